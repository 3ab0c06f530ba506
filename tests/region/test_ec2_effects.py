"""EC2's configuration takes effect: tested by connections from inside the region."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.running_region import ZONAL, RunningRegion, eventually

SERVER = """
import socket
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); probe.connect(("8.8.8.8", 9))
server = socket.create_server(("0.0.0.0", 8080)); print(probe.getsockname()[0], flush=True)
while True:
    client, peer = server.accept(); client.sendall(peer[0].encode()); client.close()
"""
CLIENT = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], 8080), timeout=2) as connection: print(connection.recv(99).decode())
except OSError as error: print(type(error).__name__)
"""


@contextmanager
def serving(region: RunningRegion, place: str, *groups: str) -> Iterator[str]:
    """A server that sends each client the source address it saw; yields the server's own address."""
    argv = [word for group in groups for word in ("--security-group", group)]
    command = [*ZONAL, "exec", "--state", str(region.state), "--in", place, *argv, "--", sys.executable, "-S", "-c", SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            address = server.stdout.readline().strip()
            assert address, "the server did not start"
            yield address
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(10)


def attempt(region: RunningRegion, address: str, place: str, *groups: str) -> str:
    """The client's result: its address as the server saw it, or the name of its error (`TimeoutError`: no response)."""
    return region.execute(sys.executable, "-S", "-c", CLIENT, address, place=place, groups=groups).strip()


class Tiers:
    """A VPC with a public subnet in one zone, a private one in another, and groups for its tiers."""

    def __init__(self, ec2: Any) -> None:
        self.ec2 = ec2
        self.vpc = ec2.create_vpc(CidrBlock="10.50.0.0/16")["Vpc"]["VpcId"]
        self.public, self.private = (
            ec2.create_subnet(VpcId=self.vpc, CidrBlock=cidr, AvailabilityZone=zone)["Subnet"]["SubnetId"]
            for cidr, zone in (("10.50.1.0/24", "us-east-1a"), ("10.50.2.0/24", "us-east-1b"))
        )
        self.gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=self.gateway, VpcId=self.vpc)
        self.table = ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        self.association = ec2.associate_route_table(RouteTableId=self.table, SubnetId=self.public)["AssociationId"]
        ec2.create_route(RouteTableId=self.table, DestinationCidrBlock="0.0.0.0/0", GatewayId=self.gateway)
        self.web, self.database = (
            ec2.create_security_group(GroupName=name, Description=name, VpcId=self.vpc)["GroupId"] for name in ("web", "database")
        )

    def remove(self) -> None:
        eventually(lambda: self._gone(lambda: self.ec2.delete_security_group(GroupId=self.database)))
        eventually(lambda: self._gone(lambda: self.ec2.delete_security_group(GroupId=self.web)))
        self.ec2.disassociate_route_table(AssociationId=self.association)
        self.ec2.delete_route_table(RouteTableId=self.table)
        for subnet in (self.public, self.private):
            eventually(lambda subnet=subnet: self._gone(lambda: self.ec2.delete_subnet(SubnetId=subnet)))
        self.ec2.detach_internet_gateway(InternetGatewayId=self.gateway, VpcId=self.vpc)
        self.ec2.delete_internet_gateway(InternetGatewayId=self.gateway)
        self.ec2.delete_vpc(VpcId=self.vpc)

    def _gone(self, delete: Any) -> bool:
        """Whether a deletion succeeded; hosts of commands release their interfaces shortly after the command ends."""
        try:
            delete()
        except ClientError as error:
            assert error.response["Error"]["Code"] == "DependencyViolation"
            return False
        return True


@pytest.fixture
def tiers(region: RunningRegion) -> Iterator[Tiers]:
    made = Tiers(region.client("ec2"))
    yield made
    made.remove()


def test_only_the_group_that_a_rule_references_can_connect(region: RunningRegion, tiers: Tiers) -> None:
    permission = {"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, "UserIdGroupPairs": [{"GroupId": tiers.web}]}
    tiers.ec2.authorize_security_group_ingress(GroupId=tiers.database, IpPermissions=[permission])
    with serving(region, tiers.private, tiers.database) as address:
        assert attempt(region, address, tiers.public, tiers.web).startswith("10.50.1.")
        assert attempt(region, address, tiers.public, tiers.database) == "TimeoutError"
        assert attempt(region, address, tiers.private, tiers.database) == "TimeoutError", "also inside one subnet"
        tiers.ec2.revoke_security_group_ingress(GroupId=tiers.database, IpPermissions=[permission])
        eventually(lambda: attempt(region, address, tiers.public, tiers.web) == "TimeoutError")


def test_egress_rules_are_enforced_separately(region: RunningRegion, tiers: Tiers) -> None:
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    tiers.ec2.authorize_security_group_ingress(GroupId=tiers.database, IpPermissions=everything)
    with serving(region, tiers.private, tiers.database) as address:
        assert attempt(region, address, tiers.public, tiers.web).startswith("10.50.1.")
        tiers.ec2.revoke_security_group_egress(GroupId=tiers.web, IpPermissions=everything)
        eventually(lambda: attempt(region, address, tiers.public, tiers.web) == "TimeoutError")


def test_an_acl_filters_at_the_subnets_boundary_and_is_stateless(region: RunningRegion, tiers: Tiers) -> None:
    ec2 = tiers.ec2
    ec2.authorize_security_group_ingress(GroupId=tiers.database, IpProtocol="-1", CidrIp="0.0.0.0/0")
    acl = ec2.create_network_acl(VpcId=tiers.vpc)["NetworkAcl"]["NetworkAclId"]
    ports = {"Protocol": "6", "RuleAction": "allow", "CidrBlock": "10.50.1.0/24", "NetworkAclId": acl, "RuleNumber": 100}
    ec2.create_network_acl_entry(Egress=False, PortRange={"From": 8080, "To": 8080}, **ports)
    [before] = ec2.describe_network_acls(Filters=[{"Name": "association.subnet-id", "Values": [tiers.private]}])["NetworkAcls"]
    [association] = [each for each in before["Associations"] if each["SubnetId"] == tiers.private]
    with serving(region, tiers.private, tiers.database) as address:
        moved = ec2.replace_network_acl_association(AssociationId=association["NetworkAclAssociationId"], NetworkAclId=acl)
        eventually(lambda: attempt(region, address, tiers.public, tiers.web) == "TimeoutError")  # Responses cannot leave the subnet.
        ec2.create_network_acl_entry(Egress=True, PortRange={"From": 1024, "To": 65535}, **ports)
        eventually(lambda: attempt(region, address, tiers.public, tiers.web).startswith("10.50.1."))
        assert attempt(region, address, tiers.private, tiers.web).startswith("10.50.2."), "not inside the subnet"
    ec2.replace_network_acl_association(AssociationId=moved["NewAssociationId"], NetworkAclId=before["NetworkAclId"])
    ec2.delete_network_acl(NetworkAclId=acl)


def test_a_private_subnet_reaches_the_internet_by_its_nat_gateway_only(region: RunningRegion, tiers: Tiers) -> None:
    ec2 = tiers.ec2
    [main] = ec2.describe_route_tables(
        Filters=[{"Name": "vpc-id", "Values": [tiers.vpc]}, {"Name": "association.main", "Values": ["true"]}]
    )["RouteTables"]
    with serving(region, "internet") as address:
        assert attempt(region, address, tiers.private, tiers.web) in ("TimeoutError", "OSError")
        elastic = ec2.allocate_address()
        nat = ec2.create_nat_gateway(SubnetId=tiers.public, AllocationId=elastic["AllocationId"])["NatGateway"]["NatGatewayId"]
        ec2.get_waiter("nat_gateway_available").wait(NatGatewayIds=[nat], WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        ec2.create_route(RouteTableId=main["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", NatGatewayId=nat)
        eventually(lambda: attempt(region, address, tiers.private, tiers.web) == elastic["PublicIp"])
        ec2.delete_nat_gateway(NatGatewayId=nat)
        ec2.get_waiter("nat_gateway_deleted").wait(NatGatewayIds=[nat], WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        assert attempt(region, address, tiers.private, tiers.web) in ("TimeoutError", "OSError")
    ec2.release_address(AllocationId=elastic["AllocationId"])
