"""After any sequence of operations the records are consistent and every VPC has a plan.

A hypothesis state machine calls EC2's operations with existing and deleted resources and conflicting values. An operation may fail with an
AWS error but with no other exception, and the invariants hold after each.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests import virtual_time
from zonal.fabric.plan import VpcPlan
from zonal.foundation.clock import RegionClock
from zonal.foundation.errors import AwsError
from zonal.services.ec2 import addresses, model, network_interfaces
from zonal.services.ec2.network_interfaces import free_address_count
from zonal.services.ec2.vpc_reconciler import VpcReconciler, vpc_plan

from .fabric import FakeFabric
from .harness import Ec2

CIDRS = st.sampled_from(
    ["10.0.0.0/16", "10.0.0.0/24", "10.0.0.0/28", "10.0.1.0/24", "10.0.1.128/25", "10.1.0.0/16", "0.0.0.0/0", "172.31.200.0/24"]
)
PICK = st.integers(min_value=0, max_value=10_000)
PORT = st.sampled_from([22, 80, 5432])


class Account(RuleBasedStateMachine):
    """The rules are EC2's operations; `pick` chooses their arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.ec2 = Ec2()
        self.fabric = FakeFabric()
        self.reconciler = VpcReconciler(self.ec2.store, self.fabric, RegionClock())

    @initialize()
    def furnish(self) -> None:
        """Create a VPC with two tiers, so that few steps lead to interesting states: groups with references, a route, addresses."""
        ec2 = self.ec2
        vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnet_id = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.2.0/24")["Subnet"]["SubnetId"]
        gateway_id = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=gateway_id, VpcId=vpc_id)
        table_id = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
        ec2.associate_route_table(RouteTableId=table_id, SubnetId=subnet_id)
        ec2.create_route(RouteTableId=table_id, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway_id)
        web, database = (ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc_id)["GroupId"] for name in ("a", "b"))
        ec2.authorize_security_group_ingress(GroupId=database, IpPermissions=[{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": web}]}])
        interface_id = ec2.create_network_interface(SubnetId=subnet_id, Groups=[database])["NetworkInterface"]["NetworkInterfaceId"]
        ec2.associate_address(AllocationId=ec2.allocate_address()["AllocationId"], NetworkInterfaceId=interface_id)
        ec2.create_nat_gateway(SubnetId=subnet_id, AllocationId=ec2.allocate_address()["AllocationId"])

    def choose(self, kind: type[model.Tagged], prefix: str, pick: int) -> str:
        """An existing id, or an unknown one (every twentieth pick, and if none exists)."""
        ids = [record.id for record in self.ec2.store.select(kind)]
        return ids[pick % len(ids)] if ids and pick % 20 else f"{prefix}-0123456789abcdef0"

    def attempt(self, operation: str, **request: Any) -> None:
        try:
            self.ec2.call(operation, request)
        except AwsError as error:
            assert error.status == 400 and error.code and error.message

    def within(self, change: Callable[[Any], None]) -> None:
        try:
            with self.ec2.store.transaction() as tx:
                change(tx)
        except AwsError:
            pass

    @rule(cidr=CIDRS)
    def create_vpc(self, cidr: str) -> None:
        self.attempt("CreateVpc", CidrBlock=cidr)

    @rule(pick=PICK)
    def delete_vpc(self, pick: int) -> None:
        self.attempt("DeleteVpc", VpcId=self.choose(model.Vpc, "vpc", pick))

    @rule(pick=PICK, cidr=CIDRS)
    def add_range(self, pick: int, cidr: str) -> None:
        self.attempt("AssociateVpcCidrBlock", VpcId=self.choose(model.Vpc, "vpc", pick), CidrBlock=cidr)

    @rule(pick=PICK)
    def drop_range(self, pick: int) -> None:
        ids = [each.id for vpc in self.ec2.store.select(model.Vpc) for each in vpc.cidrs] or ["vpc-cidr-assoc-0123456789abcdef0"]
        self.attempt("DisassociateVpcCidrBlock", AssociationId=ids[pick % len(ids)])

    @rule(pick=PICK, cidr=CIDRS)
    def create_subnet(self, pick: int, cidr: str) -> None:
        self.attempt("CreateSubnet", VpcId=self.choose(model.Vpc, "vpc", pick), CidrBlock=cidr)

    @rule(pick=PICK)
    def delete_subnet(self, pick: int) -> None:
        self.attempt("DeleteSubnet", SubnetId=self.choose(model.Subnet, "subnet", pick))

    @rule(pick=PICK, name=st.sampled_from(["web", "database"]))
    def create_group(self, pick: int, name: str) -> None:
        self.attempt("CreateSecurityGroup", GroupName=name, Description=name, VpcId=self.choose(model.Vpc, "vpc", pick))

    @rule(pick=PICK, peer=PICK, port=PORT, egress=st.booleans())
    def authorize(self, pick: int, peer: int, port: int, egress: bool) -> None:
        pair = {"GroupId": self.choose(model.SecurityGroup, "sg", peer)}
        permission = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "UserIdGroupPairs": [pair]}
        side = "Egress" if egress else "Ingress"
        self.attempt(f"AuthorizeSecurityGroup{side}", GroupId=self.choose(model.SecurityGroup, "sg", pick), IpPermissions=[permission])

    @rule(pick=PICK)
    def revoke(self, pick: int) -> None:
        id = self.choose(model.SecurityGroupRule, "sgr", pick)
        found = self.ec2.store.get(model.SecurityGroupRule, id)
        side = "Egress" if found and found.is_egress else "Ingress"
        group_id = found.group_id if found else "sg-0123456789abcdef0"
        self.attempt(f"RevokeSecurityGroup{side}", GroupId=group_id, SecurityGroupRuleIds=[id])

    @rule(pick=PICK)
    def delete_group(self, pick: int) -> None:
        self.attempt("DeleteSecurityGroup", GroupId=self.choose(model.SecurityGroup, "sg", pick))

    @rule(pick=PICK)
    def create_table(self, pick: int) -> None:
        self.attempt("CreateRouteTable", VpcId=self.choose(model.Vpc, "vpc", pick))

    @rule(pick=PICK, subnet=PICK)
    def associate_table(self, pick: int, subnet: int) -> None:
        subnet_id = self.choose(model.Subnet, "subnet", subnet)
        self.attempt("AssociateRouteTable", RouteTableId=self.choose(model.RouteTable, "rtb", pick), SubnetId=subnet_id)

    @rule(pick=PICK, table=PICK)
    def move_table(self, pick: int, table: int) -> None:
        ids = [each.id for record in self.ec2.store.select(model.RouteTable) for each in record.associations] or ["rtbassoc-0"]
        table_id = self.choose(model.RouteTable, "rtb", table)
        self.attempt("ReplaceRouteTableAssociation", AssociationId=ids[pick % len(ids)], RouteTableId=table_id)

    @rule(pick=PICK, goal=PICK, cidr=CIDRS, kind=st.sampled_from(["GatewayId", "NatGatewayId", "NetworkInterfaceId"]))
    def create_route(self, pick: int, goal: int, cidr: str, kind: str) -> None:
        kinds: dict[str, tuple[type[model.Tagged], str]] = {
            "GatewayId": (model.InternetGateway, "igw"),
            "NatGatewayId": (model.NatGateway, "nat"),
            "NetworkInterfaceId": (model.NetworkInterface, "eni"),
        }
        table_id = self.choose(model.RouteTable, "rtb", pick)
        self.attempt("CreateRoute", RouteTableId=table_id, DestinationCidrBlock=cidr, **{kind: self.choose(*kinds[kind], goal)})

    @rule(pick=PICK)
    def delete_table(self, pick: int) -> None:
        self.attempt("DeleteRouteTable", RouteTableId=self.choose(model.RouteTable, "rtb", pick))

    @rule()
    def create_gateway(self) -> None:
        self.attempt("CreateInternetGateway")

    @rule(pick=PICK, vpc=PICK, verb=st.sampled_from(["Attach", "Detach"]))
    def move_gateway(self, pick: int, vpc: int, verb: str) -> None:
        gateway_id = self.choose(model.InternetGateway, "igw", pick)
        self.attempt(f"{verb}InternetGateway", InternetGatewayId=gateway_id, VpcId=self.choose(model.Vpc, "vpc", vpc))

    @rule(pick=PICK)
    def delete_gateway(self, pick: int) -> None:
        self.attempt("DeleteInternetGateway", InternetGatewayId=self.choose(model.InternetGateway, "igw", pick))

    @rule(pick=PICK)
    def create_acl(self, pick: int) -> None:
        self.attempt("CreateNetworkAcl", VpcId=self.choose(model.Vpc, "vpc", pick))

    @rule(pick=PICK, acl=PICK)
    def move_acl(self, pick: int, acl: int) -> None:
        ids = [each.id for record in self.ec2.store.select(model.NetworkAcl) for each in record.associations] or ["aclassoc-0"]
        acl_id = self.choose(model.NetworkAcl, "acl", acl)
        self.attempt("ReplaceNetworkAclAssociation", AssociationId=ids[pick % len(ids)], NetworkAclId=acl_id)

    @rule(pick=PICK)
    def delete_acl(self, pick: int) -> None:
        self.attempt("DeleteNetworkAcl", NetworkAclId=self.choose(model.NetworkAcl, "acl", pick))

    @rule(pick=PICK, group=PICK, more=st.integers(min_value=0, max_value=3))
    def create_interface(self, pick: int, group: int, more: int) -> None:
        subnet_id = self.choose(model.Subnet, "subnet", pick)
        groups = [self.choose(model.SecurityGroup, "sg", group)] if group % 2 else []
        self.attempt("CreateNetworkInterface", SubnetId=subnet_id, Groups=groups, SecondaryPrivateIpAddressCount=more)

    @rule(pick=PICK, group=PICK, public=st.booleans())
    def create_managed(self, pick: int, group: int, public: bool) -> None:
        def make(tx: Any) -> None:
            subnet = tx.get(model.Subnet, self.choose(model.Subnet, "subnet", pick))
            if subnet is not None:
                group_id = self.choose(model.SecurityGroup, "sg", group)
                made = network_interfaces.create_managed(tx, subnet, [group_id], requester="amazon-rds", description="db")
                network_interfaces.plug(tx, made.id, f"db-{made.id}", now=self.ec2.now)
                if public:
                    addresses.assign_public(tx, made.id)

        self.within(make)

    @rule(pick=PICK)
    def delete_managed(self, pick: int) -> None:
        interface = self.ec2.store.get(model.NetworkInterface, self.choose(model.NetworkInterface, "eni", pick))
        if interface is not None and interface.requester == "amazon-rds":
            self.within(lambda tx: network_interfaces.delete(tx, interface.id))

    @rule(pick=PICK)
    def delete_interface(self, pick: int) -> None:
        self.attempt("DeleteNetworkInterface", NetworkInterfaceId=self.choose(model.NetworkInterface, "eni", pick))

    @rule()
    def allocate(self) -> None:
        self.attempt("AllocateAddress")

    @rule(pick=PICK, interface=PICK)
    def associate_address(self, pick: int, interface: int) -> None:
        interface_id = self.choose(model.NetworkInterface, "eni", interface)
        self.attempt("AssociateAddress", AllocationId=self.choose(model.ElasticAddress, "eipalloc", pick), NetworkInterfaceId=interface_id)

    @rule(pick=PICK)
    def release(self, pick: int) -> None:
        self.attempt("ReleaseAddress", AllocationId=self.choose(model.ElasticAddress, "eipalloc", pick))

    @rule(pick=PICK, address=PICK)
    def create_nat(self, pick: int, address: int) -> None:
        allocation_id = self.choose(model.ElasticAddress, "eipalloc", address)
        self.attempt("CreateNatGateway", SubnetId=self.choose(model.Subnet, "subnet", pick), AllocationId=allocation_id)

    @rule(pick=PICK)
    def delete_nat(self, pick: int) -> None:
        self.attempt("DeleteNatGateway", NatGatewayId=self.choose(model.NatGateway, "nat", pick))

    @rule()
    def settle(self) -> None:
        for network in self.ec2.store.select(model.FabricNetwork):
            virtual_time.run(self.reconciler.converge(network.id))
        assert set(self.fabric.networks) == {vpc.id for vpc in self.ec2.store.select(model.Vpc)}
        assert not self.ec2.store.select(model.NatGateway, lambda nat: nat.state in ("pending", "deleting"))
        for applied in self.fabric.networks.values():
            assert {each.id for each in applied.interfaces} == {
                each.id for each in self.ec2.store.select(model.NetworkInterface) if each.vpc_id == applied.id
            }

    @invariant()
    def every_vpc_has_what_it_was_born_with(self) -> None:
        store = self.ec2.store
        for vpc in store.select(model.Vpc):
            assert store.get(model.FabricNetwork, vpc.id) is not None
            assert len(store.select(model.RouteTable, lambda each, id=vpc.id: each.vpc_id == id and each.is_main)) == 1
            assert len(store.select(model.NetworkAcl, lambda each, id=vpc.id: each.vpc_id == id and each.is_default)) == 1
            assert len(store.select(model.SecurityGroup, lambda each, id=vpc.id: each.vpc_id == id and each.name == "default")) == 1

    @invariant()
    def no_id_dangles(self) -> None:
        store = self.ec2.store
        kinds: tuple[type[model.InVpc], ...] = (
            model.Subnet,
            model.RouteTable,
            model.SecurityGroup,
            model.NetworkAcl,
            model.NetworkInterface,
        )
        for kind in kinds:
            for record in store.select(kind):
                store.require(model.Vpc, record.vpc_id)
        for found in store.select(model.SecurityGroupRule):
            store.require(model.SecurityGroup, found.group_id)
            if found.referenced_group_id:
                store.require(model.SecurityGroup, found.referenced_group_id)
        for interface in store.select(model.NetworkInterface):
            assert store.require(model.Subnet, interface.subnet_id).vpc_id == interface.vpc_id
            assert all(store.require(model.SecurityGroup, id).vpc_id == interface.vpc_id for id in interface.group_ids)
        for address in store.select(model.ElasticAddress):
            if address.interface_id:
                assert address.private_address in store.require(model.NetworkInterface, address.interface_id).addresses
        for nat in store.select(model.NatGateway):
            if nat.state in ("pending", "available", "deleting"):
                store.require(model.NetworkInterface, nat.interface_id)

    @invariant()
    def every_subnet_follows_one_table_and_stands_behind_one_acl(self) -> None:
        tables = [each.subnet_id for table in self.ec2.store.select(model.RouteTable) for each in table.associations if each.subnet_id]
        acls = [each.subnet_id for acl in self.ec2.store.select(model.NetworkAcl) for each in acl.associations]
        subnets = {subnet.id for subnet in self.ec2.store.select(model.Subnet)}
        assert len(tables) == len(set(tables)) and set(tables) <= subnets
        assert sorted(acls) == sorted(subnets)

    @invariant()
    def addresses_are_in_their_subnets_and_nobody_elses(self) -> None:
        for subnet in self.ec2.store.select(model.Subnet):
            found = self.ec2.store.select(model.NetworkInterface, lambda each, id=subnet.id: each.subnet_id == id)
            used = [address for interface in found for address in interface.addresses]
            network = IPv4Network(subnet.cidr)
            assert len(used) == len(set(used))
            assert all(network[3] < IPv4Address(address) < network[-1] for address in used)
            assert free_address_count(self.ec2.store, subnet) == network.num_addresses - 5 - len(used)
        public = [each.public_address for each in self.ec2.store.select(model.NetworkInterface) if each.public_address]
        public += [each.address for each in self.ec2.store.select(model.ElasticAddress)]
        assert len(public) == len(set(public))

    @invariant()
    def every_vpc_has_a_plan_that_names_only_what_it_holds(self) -> None:
        for vpc in self.ec2.store.select(model.Vpc):
            found = vpc_plan(self.ec2.store, vpc.id)
            assert found is not None and found == vpc_plan(self.ec2.store, vpc.id)
            check_plan(found)


def check_plan(plan: VpcPlan) -> None:
    subnets = {subnet.id for subnet in plan.subnets}
    groups = {group.id for group in plan.security_groups}
    acls = {acl.id for acl in plan.network_acls}
    interfaces = {interface.id for interface in plan.interfaces}
    for subnet in plan.subnets:
        assert subnet.network_acl_id in acls
        assert {route.cidr for route in subnet.routes if route.kind == "local"} == set(plan.cidrs)
        assert len({route.cidr for route in subnet.routes}) == len(subnet.routes)
        assert all(plan.internet_gateway for route in subnet.routes if route.kind == "internet")
        assert all(route.target in interfaces for route in subnet.routes if route.kind == "interface")
    for interface in plan.interfaces:
        assert interface.subnet_id in subnets and set(interface.group_ids) <= groups
        assert all(private in interface.addresses for private, _ in interface.public)
    for group in plan.security_groups:
        for each in (*group.ingress, *group.egress):
            assert (each.cidr is None) != (each.group_id is None) and each.group_id in {None, *groups}
    assert {nat.interface_id for nat in plan.nat_gateways} <= interfaces


TestAccount = Account.TestCase
TestAccount.settings = settings(
    max_examples=20, stateful_step_count=50, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
