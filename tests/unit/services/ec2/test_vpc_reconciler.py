"""Plans from records, and the reconciliation of the fabric with them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from tests import virtual_time
from zonal.control.reconciler import Driver
from zonal.fabric import plan
from zonal.foundation.clock import RegionClock
from zonal.foundation.errors import AwsError
from zonal.services.ec2 import addresses, model, network_interfaces
from zonal.services.ec2.nat_gateways import LIFECYCLE
from zonal.services.ec2.vpc_reconciler import VpcReconciler, vpc_plan

from .fabric import FakeFabric
from .harness import Ec2, code


class StoppedClock(RegionClock):
    """A clock with the region time of the calls."""

    def __init__(self, ec2: Ec2) -> None:
        super().__init__()
        self._ec2 = ec2

    def now(self) -> datetime:
        return self._ec2.now


class Simulation:
    """An account, a fake fabric, and the reconciler."""

    def __init__(self) -> None:
        self.ec2 = Ec2()
        self.fabric = FakeFabric()
        self.reconciler = VpcReconciler(self.ec2.store, self.fabric, StoppedClock(self.ec2))

    def settle(self) -> None:
        """Converge every existing or deleted VPC."""
        for network in self.ec2.store.select(model.FabricNetwork):
            virtual_time.run(self.reconciler.converge(network.id))

    def nat(self, id: str) -> Any:
        return self.ec2.describe_nat_gateways(NatGatewayIds=[id])["NatGateways"][0]


@pytest.fixture
def simulation() -> Simulation:
    return Simulation()


def tiers(ec2: Ec2) -> dict[str, str]:
    """A VPC with a public and a private subnet, groups for web and database, a gateway; ids by name."""
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    public = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.1.0/24", AvailabilityZone="us-east-1a")["Subnet"]["SubnetId"]
    private = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.2.0/24", AvailabilityZone="us-east-1b")["Subnet"]["SubnetId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc_id)
    table = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=public)
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    web = ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc_id)["GroupId"]
    database = ec2.create_security_group(GroupName="database", Description="database", VpcId=vpc_id)["GroupId"]
    permission = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "UserIdGroupPairs": [{"GroupId": web}]}
    ec2.authorize_security_group_ingress(GroupId=database, IpPermissions=[permission])
    return {"vpc": vpc_id, "public": public, "private": private, "gateway": gateway, "table": table, "web": web, "database": database}


def planned(ec2: Ec2, vpc_id: str) -> plan.VpcPlan:
    found = vpc_plan(ec2.store, vpc_id)
    assert found is not None
    return found


def test_a_plan_has_the_routes_and_the_rules_of_the_vpc(simulation: Simulation) -> None:
    ids = tiers(simulation.ec2)
    found = planned(simulation.ec2, ids["vpc"])
    by_id = {subnet.id: subnet for subnet in found.subnets}
    local = plan.PlannedRoute("10.0.0.0/16", "local")
    assert by_id[ids["public"]].routes == (plan.PlannedRoute("0.0.0.0/0", "internet"), local)
    assert by_id[ids["private"]].routes == (local,)
    groups = {group.id: group for group in found.security_groups}
    assert groups[ids["database"]].ingress == (plan.PlannedRule("tcp", 5432, 5432, group_id=ids["web"]),)
    assert groups[ids["web"]].egress == (plan.PlannedRule("-1", cidr="0.0.0.0/0"),)
    assert found.internet_gateway and found.dns and found.cidrs == ("10.0.0.0/16",)


def test_an_interface_is_planned_with_its_host_addresses_and_groups(simulation: Simulation) -> None:
    ids = tiers(simulation.ec2)
    subnet = simulation.ec2.store.require(model.Subnet, ids["public"])
    with simulation.ec2.store.transaction() as tx:
        made = network_interfaces.create_managed(tx, subnet, [ids["database"]], requester="amazon-rds", description="db")
        network_interfaces.plug(tx, made.id, "db-orders-a", now=simulation.ec2.now)
        lent = addresses.assign_public(tx, made.id)
    [interface] = planned(simulation.ec2, ids["vpc"]).interfaces
    assert interface == plan.InterfacePlan(
        id=made.id,
        subnet_id=ids["public"],
        mac=made.mac,
        addresses=("10.0.1.4",),
        group_ids=(ids["database"],),
        host="db-orders-a",
        public=(("10.0.1.4", str(lent.public_address)),),
    )


def test_a_route_to_an_interface_without_source_check_is_active_while_it_is_attached(simulation: Simulation) -> None:
    ids = tiers(simulation.ec2)
    id = simulation.ec2.create_network_interface(SubnetId=ids["public"])["NetworkInterface"]["NetworkInterfaceId"]
    simulation.ec2.modify_network_interface_attribute(NetworkInterfaceId=id, SourceDestCheck={"Value": False})
    simulation.ec2.create_route(RouteTableId=ids["table"], DestinationCidrBlock="192.168.0.0/16", NetworkInterfaceId=id)

    def route() -> plan.PlannedRoute:
        public = next(subnet for subnet in planned(simulation.ec2, ids["vpc"]).subnets if subnet.id == ids["public"])
        return next(each for each in public.routes if each.cidr == "192.168.0.0/16")

    assert planned(simulation.ec2, ids["vpc"]).interfaces[0].forwards
    assert route() == plan.PlannedRoute("192.168.0.0/16", "blackhole")
    with simulation.ec2.store.transaction() as tx:
        network_interfaces.plug(tx, id, "router", now=simulation.ec2.now)
    assert route() == plan.PlannedRoute("192.168.0.0/16", "interface", id)


def test_acl_entries_are_planned_in_order_with_the_fabrics_protocol_names(simulation: Simulation) -> None:
    ids = tiers(simulation.ec2)
    acl_id = simulation.ec2.create_network_acl(VpcId=ids["vpc"])["NetworkAcl"]["NetworkAclId"]
    entry = {"NetworkAclId": acl_id, "RuleAction": "allow", "Egress": False, "CidrBlock": "10.0.0.0/8"}
    simulation.ec2.create_network_acl_entry(RuleNumber=200, Protocol="17", PortRange={"From": 53, "To": 53}, **entry)
    simulation.ec2.create_network_acl_entry(RuleNumber=100, Protocol="1", IcmpTypeCode={"Type": 8, "Code": -1}, **entry)
    [acl] = [each for each in planned(simulation.ec2, ids["vpc"]).network_acls if each.id == acl_id]
    assert acl.ingress == (
        plan.AclEntry(100, True, "icmp", "10.0.0.0/8", 8, -1),
        plan.AclEntry(200, True, "udp", "10.0.0.0/8", 53, 53),
        plan.AclEntry(32767, False, "-1", "0.0.0.0/0"),
    )
    assert acl.egress == (plan.AclEntry(32767, False, "-1", "0.0.0.0/0"),)


def test_there_is_no_plan_without_a_vpc(simulation: Simulation) -> None:
    assert vpc_plan(simulation.ec2.store, "vpc-0123456789abcdef0") is None


def test_a_deleted_vpcs_network_is_removed_even_after_a_crash_in_between(simulation: Simulation) -> None:
    vpc_id = simulation.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    simulation.settle()
    assert set(simulation.fabric.networks) == {vpc_id, simulation.ec2.default_vpc_id}
    simulation.ec2.delete_vpc(VpcId=vpc_id)
    simulation.reconciler = VpcReconciler(
        simulation.ec2.store, simulation.fabric, StoppedClock(simulation.ec2)
    )  # The region was killed here.
    simulation.settle()
    assert set(simulation.fabric.networks) == {simulation.ec2.default_vpc_id}
    assert simulation.ec2.store.get(model.FabricNetwork, vpc_id) is None
    calls = simulation.fabric.calls
    virtual_time.run(simulation.reconciler.converge(vpc_id))
    assert simulation.fabric.calls == calls


def public_nat(ec2: Ec2, ids: dict[str, str], **more: Any) -> str:
    allocation_id = ec2.allocate_address()["AllocationId"]
    return str(ec2.create_nat_gateway(SubnetId=ids["public"], AllocationId=allocation_id, **more)["NatGateway"]["NatGatewayId"])


def test_a_nat_gateway_becomes_available_only_after_its_plan_is_applied(simulation: Simulation) -> None:
    ids = tiers(simulation.ec2)
    nat_id = public_nat(simulation.ec2, ids)
    main = simulation.ec2.describe_route_tables(
        Filters=[{"Name": "vpc-id", "Values": [ids["vpc"]]}, {"Name": "association.main", "Values": ["true"]}]
    )["RouteTables"][0]["RouteTableId"]
    simulation.ec2.create_route(RouteTableId=main, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=nat_id)
    simulation.fabric.failing = 1
    with pytest.raises(Exception, match="torn"):
        virtual_time.run(simulation.reconciler.converge(ids["vpc"]))
    assert simulation.nat(nat_id)["State"] == "pending"
    simulation.settle()
    shown = simulation.nat(nat_id)
    [address] = shown["NatGatewayAddresses"]
    assert (shown["State"], shown["ConnectivityType"]) == ("available", "public")
    applied = simulation.fabric.networks[ids["vpc"]]
    assert applied.nat_gateways == (plan.NatGatewayPlan(nat_id, address["NetworkInterfaceId"]),)
    private = next(subnet for subnet in applied.subnets if subnet.id == ids["private"])
    assert plan.PlannedRoute("0.0.0.0/0", "interface", address["NetworkInterfaceId"]) in private.routes
    [interface] = applied.interfaces
    assert interface.public == ((address["PrivateIp"], address["PublicIp"]),) and interface.forwards


def test_a_deleted_nat_gateway_releases_its_interface_and_address_after_the_fabric_has_removed_it(simulation: Simulation) -> None:
    ids = tiers(simulation.ec2)
    nat_id = public_nat(simulation.ec2, ids)
    simulation.settle()
    simulation.ec2.delete_nat_gateway(NatGatewayId=nat_id)
    simulation.ec2.delete_nat_gateway(NatGatewayId=nat_id)
    assert simulation.nat(nat_id)["State"] == "deleting"
    assert len(simulation.ec2.describe_network_interfaces()["NetworkInterfaces"]) == 1
    simulation.settle()
    assert simulation.nat(nat_id)["State"] == "deleted"
    assert simulation.ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    assert "AssociationId" not in simulation.ec2.describe_addresses()["Addresses"][0]
    with pytest.raises(AwsError) as error:
        simulation.ec2.delete_nat_gateway(NatGatewayId=nat_id)
    assert code(error) == "NatGatewayNotFound"
    simulation.ec2.wait(minutes=61)
    assert simulation.ec2.describe_nat_gateways()["NatGateways"] == []
    simulation.settle()
    assert simulation.ec2.store.select(model.NatGateway) == []


def test_a_route_to_the_interface_of_a_nat_gateway_being_deleted_is_a_black_hole(simulation: Simulation) -> None:
    ids = tiers(simulation.ec2)
    nat_id = public_nat(simulation.ec2, ids)
    simulation.settle()
    [address] = simulation.nat(nat_id)["NatGatewayAddresses"]
    interface_id = address["NetworkInterfaceId"]
    simulation.ec2.create_route(RouteTableId=ids["table"], DestinationCidrBlock="192.168.0.0/16", NetworkInterfaceId=interface_id)

    def route() -> plan.PlannedRoute:
        public = next(subnet for subnet in planned(simulation.ec2, ids["vpc"]).subnets if subnet.id == ids["public"])
        return next(each for each in public.routes if each.cidr == "192.168.0.0/16")

    assert route() == plan.PlannedRoute("192.168.0.0/16", "interface", interface_id)
    simulation.ec2.delete_nat_gateway(NatGatewayId=nat_id)
    assert route() == plan.PlannedRoute("192.168.0.0/16", "blackhole")  # The fabric removes the interface now.


def test_a_nat_gateway_deleted_while_pending_never_becomes_available(simulation: Simulation) -> None:
    ids = tiers(simulation.ec2)
    nat_id = public_nat(simulation.ec2, ids)
    simulation.ec2.delete_nat_gateway(NatGatewayId=nat_id)
    simulation.settle()
    assert simulation.nat(nat_id)["State"] == "deleted"
    assert [entry.event for entry in simulation.ec2.store.journal(subject=nat_id)] == [
        "nat_gateway.pending",
        "nat_gateway.deleting",
        "nat_gateway.deleted",
    ]


def test_a_public_nat_gateway_without_an_internet_gateway_fails_with_the_reason(simulation: Simulation) -> None:
    vpc_id = simulation.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    island = simulation.ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    nat_id = public_nat(simulation.ec2, {"public": island})
    simulation.settle()
    shown = simulation.nat(nat_id)
    assert (shown["State"], shown["FailureCode"]) == ("failed", "Gateway.NotAttached")
    assert shown["FailureMessage"] == f"Network {vpc_id} has no Internet gateway attached"
    assert simulation.ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    simulation.ec2.delete_nat_gateway(NatGatewayId=nat_id)
    simulation.settle()
    assert simulation.nat(nat_id)["State"] == "deleted"


def test_a_private_nat_gateway_needs_no_public_address(simulation: Simulation) -> None:
    ids = tiers(simulation.ec2)
    nat_id = simulation.ec2.create_nat_gateway(SubnetId=ids["private"], ConnectivityType="private", PrivateIpAddress="10.0.2.9")[
        "NatGateway"
    ]["NatGatewayId"]
    simulation.settle()
    shown = simulation.nat(nat_id)
    assert (shown["State"], shown["NatGatewayAddresses"][0]["PrivateIp"]) == ("available", "10.0.2.9")
    assert simulation.fabric.networks[ids["vpc"]].interfaces[0].public == ()


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, "MissingParameter"),
        ({"ConnectivityType": "private", "AllocationId": "eipalloc-0123456789abcdef0"}, "InvalidParameterCombination"),
        ({"AllocationId": "eipalloc-0123456789abcdef0"}, "InvalidAllocationID.NotFound"),
        ({"AvailabilityMode": "regional"}, "InvalidParameterValue"),
        ({"ConnectivityType": "private", "SecondaryPrivateIpAddressCount": 1}, "InvalidParameterValue"),
        ({"ConnectivityType": "private", "PrivateIpAddress": "10.0.2.9"}, "InvalidParameterValue"),
    ],
)
def test_an_invalid_nat_gateway_is_rejected(simulation: Simulation, request_: dict[str, Any], expected: str) -> None:
    ids = tiers(simulation.ec2)
    with pytest.raises(AwsError) as error:
        simulation.ec2.create_nat_gateway(SubnetId=ids["public"], **request_)
    assert code(error) == expected
    assert simulation.ec2.store.select(model.NatGateway) == []


def test_an_elastic_address_of_a_nat_gateway_cannot_be_used_elsewhere(simulation: Simulation) -> None:
    ids = tiers(simulation.ec2)
    public_nat(simulation.ec2, ids)
    [address] = simulation.ec2.describe_addresses()["Addresses"]
    with pytest.raises(AwsError) as error:
        simulation.ec2.create_nat_gateway(SubnetId=ids["public"], AllocationId=address["AllocationId"])
    assert code(error) == "Resource.AlreadyAssociated"
    with pytest.raises(AwsError) as error:
        simulation.ec2.disassociate_address(AssociationId=address["AssociationId"])
    assert code(error) == "AuthFailure"


def test_a_zone_has_at_most_five_nat_gateways(simulation: Simulation) -> None:
    ids = tiers(simulation.ec2)
    for _ in range(5):
        simulation.ec2.create_nat_gateway(SubnetId=ids["private"], ConnectivityType="private")
    with pytest.raises(AwsError) as error:
        simulation.ec2.create_nat_gateway(SubnetId=ids["private"], ConnectivityType="private")
    assert code(error) == "NatGatewayLimitExceeded"
    simulation.ec2.create_nat_gateway(SubnetId=ids["public"], ConnectivityType="private")


def test_the_nat_gateways_lifecycle_has_no_dead_end() -> None:
    assert LIFECYCLE.dead_ends() == frozenset()


def test_every_change_wakes_the_reconciler_of_its_vpc(simulation: Simulation) -> None:
    ids = tiers(simulation.ec2)
    ec2, reconciler = simulation.ec2, simulation.reconciler
    seen: set[str] = set()

    def watcher(kind: str, id: str) -> None:
        found = reconciler.key_of(kind, id)
        seen.update([found] if isinstance(found, str) else found)

    ec2.store.watch(reconciler.kinds, watcher)
    rule = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [ids["web"]]}])["SecurityGroupRules"][0]
    allocation_id = ec2.allocate_address()["AllocationId"]
    interface_id = ec2.create_network_interface(SubnetId=ids["public"])["NetworkInterface"]["NetworkInterfaceId"]
    for change in (
        lambda: ec2.revoke_security_group_egress(GroupId=ids["web"], SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]]),
        lambda: ec2.associate_address(AllocationId=allocation_id, NetworkInterfaceId=interface_id),
        lambda: ec2.disassociate_address(PublicIp=ec2.describe_addresses()["Addresses"][0]["PublicIp"]),
        lambda: ec2.delete_network_interface(NetworkInterfaceId=interface_id),
        lambda: ec2.detach_internet_gateway(InternetGatewayId=ids["gateway"], VpcId=ids["vpc"]),
        lambda: ec2.delete_subnet(SubnetId=ids["private"]),
        lambda: ec2.create_route(RouteTableId=ids["table"], DestinationCidrBlock="1.0.0.0/8", GatewayId=ids["gateway"]),
    ):
        seen.clear()
        try:
            change()
        except AwsError as error:
            assert "different networks" in error.message  # The gateway was detached just before.
            continue
        assert ids["vpc"] in seen


def test_the_driver_converges_a_region_whatever_call_fails(simulation: Simulation) -> None:
    ids = tiers(simulation.ec2)
    nat_id = public_nat(simulation.ec2, ids)

    async def drive() -> None:
        clock = RegionClock()
        simulation.fabric.failing = 3
        async with Driver(simulation.ec2.store, [VpcReconciler(simulation.ec2.store, simulation.fabric, clock)], clock=clock) as driver:
            await driver.idle()
            assert simulation.nat(nat_id)["State"] == "available"
            simulation.fabric.failing = 2
            simulation.ec2.delete_nat_gateway(NatGatewayId=nat_id)
            await driver.idle()
            assert simulation.nat(nat_id)["State"] == "deleted"

    virtual_time.run(drive())
    for vpc_id, applied in simulation.fabric.networks.items():
        assert applied == vpc_plan(simulation.ec2.store, vpc_id)
