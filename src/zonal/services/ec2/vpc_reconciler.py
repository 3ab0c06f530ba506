"""Compiles a VPC's records into a plan for the fabric, and reconciles the fabric with it.

`vpc_plan` is a pure function: equal records give equal plans, whatever the order in which they were created. `VpcReconciler` runs whenever
a record of a VPC changes: it computes the plan and calls the fabric to apply it, which is idempotent. A NAT gateway becomes `available`
only after the fabric has applied a plan that contains it, and `deleted` only after one without it. A deleted VPC's `FabricNetwork` record
remains until the fabric has removed the network.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from zonal.fabric import plan
from zonal.foundation.clock import Clock
from zonal.records.record_view import RecordView
from zonal.records.store import Record, Store
from zonal.services.ec2 import addresses, model, nat_gateways
from zonal.services.ec2.lookups import gateway_of, rules_of, subnets
from zonal.services.ec2.route_tables import LOCAL, is_black_hole


class VpcFabric(Protocol):
    """The part of the fabric that the reconciler uses (`fabric.Fabric` implements it)."""

    async def apply_vpc(self, plan: plan.VpcPlan, /) -> None:
        """Make the kernel match the plan. On return it is in effect."""

    async def remove_vpc(self, vpc_id: str, /) -> None:
        """Remove the network of a VPC. Does nothing if there is none."""


def vpc_plan(view: RecordView, vpc_id: str) -> plan.VpcPlan | None:
    """The desired state of a VPC, or None if there is no such VPC. Reads only the VPC's records, each one once."""
    vpc = view.get(model.Vpc, vpc_id)
    if vpc is None:
        return None
    nats = nat_gateways.in_vpc(view, vpc_id)
    gone = {nat.interface_id for nat in nats if nat.state == "deleting"}
    tables = _tables(view, vpc_id)
    acls = view.lookup(model.NetworkAcl, "vpc_id", vpc_id)
    acl_ids = {association.subnet_id: acl.id for acl in acls for association in acl.associations}
    interfaces = view.lookup(model.NetworkInterface, "vpc_id", vpc_id)
    return plan.VpcPlan(
        id=vpc.id,
        cidrs=tuple(association.cidr for association in vpc.cidrs),
        subnets=tuple(_subnet(view, subnet, tables.get(subnet.id) or tables[None], acl_ids[subnet.id]) for subnet in subnets(view, vpc_id)),
        interfaces=tuple(_interface(view, interface) for interface in interfaces if interface.id not in gone),
        security_groups=tuple(_group(view, group) for group in view.lookup(model.SecurityGroup, "vpc_id", vpc_id)),
        network_acls=tuple(_acl(acl) for acl in acls),
        nat_gateways=tuple(plan.NatGatewayPlan(nat.id, nat.interface_id) for nat in nats if nat.state in ("pending", "available")),
        internet_gateway=gateway_of(view, vpc_id) is not None,
        dns=vpc.dns_support,
    )


def _tables(view: RecordView, vpc_id: str) -> dict[str | None, model.RouteTable]:
    """The route tables by associated subnet; the main table is at None."""
    tables = view.lookup(model.RouteTable, "vpc_id", vpc_id)
    return {association.subnet_id: table for table in tables for association in table.associations}


def _subnet(view: RecordView, subnet: model.Subnet, table: model.RouteTable, acl_id: str) -> plan.SubnetPlan:
    routes = tuple(sorted((_route(view, table, route) for route in table.routes), key=lambda route: route.cidr))
    return plan.SubnetPlan(subnet.id, subnet.zone, subnet.cidr, routes, acl_id)


def _route(view: RecordView, table: model.RouteTable, route: model.RouteEntry) -> plan.PlannedRoute:
    if route.target == LOCAL:
        return plan.PlannedRoute(route.cidr, "local")
    if is_black_hole(view, table, route):
        return plan.PlannedRoute(route.cidr, "blackhole")
    if route.target.startswith("igw-"):
        return plan.PlannedRoute(route.cidr, "internet")
    if route.target.startswith("nat-"):
        return plan.PlannedRoute(route.cidr, "interface", view.require(model.NatGateway, route.target).interface_id)
    return plan.PlannedRoute(route.cidr, "interface", route.target)


def _interface(view: RecordView, interface: model.NetworkInterface) -> plan.InterfacePlan:
    public = [(interface.addresses[0], interface.public_address)] if interface.public_address else []
    public += [
        (elastic.private_address, elastic.address) for elastic in addresses.associated_with(view, interface.id) if elastic.private_address
    ]
    return plan.InterfacePlan(
        id=interface.id,
        subnet_id=interface.subnet_id,
        mac=interface.mac,
        addresses=interface.addresses,
        group_ids=tuple(sorted(interface.group_ids)),
        host=interface.attachment.host if interface.attachment else None,
        device_index=interface.attachment.device_index if interface.attachment else 0,
        public=tuple(sorted(public)),
        forwards=not interface.source_dest_check or interface.interface_type == "nat_gateway",
    )


def _group(view: RecordView, group: model.SecurityGroup) -> plan.SecurityGroupPlan:
    rules = rules_of(view, group.id)
    return plan.SecurityGroupPlan(
        id=group.id,
        ingress=_rules(rule for rule in rules if not rule.is_egress),
        egress=_rules(rule for rule in rules if rule.is_egress),
    )


def _rules(rules: Iterable[model.SecurityGroupRule]) -> tuple[plan.PlannedRule, ...]:
    return tuple(plan.PlannedRule(rule.protocol, rule.from_port, rule.to_port, rule.cidr, rule.referenced_group_id) for rule in rules)


def _acl(acl: model.NetworkAcl) -> plan.NetworkAclPlan:
    return plan.NetworkAclPlan(
        id=acl.id,
        ingress=tuple(_acl_entry(entry) for entry in acl.entries if not entry.is_egress),
        egress=tuple(_acl_entry(entry) for entry in acl.entries if entry.is_egress),
    )


_PROTOCOL_NAMES = {"6": "tcp", "17": "udp", "1": "icmp"}


def _acl_entry(entry: model.NetworkAclEntry) -> plan.AclEntry:
    protocol = _PROTOCOL_NAMES.get(entry.protocol, entry.protocol)
    return plan.AclEntry(entry.number, entry.allow, protocol, entry.cidr, entry.from_port, entry.to_port)


class VpcReconciler:
    """Reconciles the fabric with each VPC's records (a `control.reconciler.Reconciler`); its keys are VPC ids."""

    name = "vpc"
    kinds: tuple[type[Record], ...] = (
        model.FabricNetwork,
        model.Vpc,
        model.Subnet,
        model.RouteTable,
        model.InternetGateway,
        model.SecurityGroup,
        model.SecurityGroupRule,
        model.NetworkAcl,
        model.NetworkInterface,
        model.ElasticAddress,
        model.NatGateway,
    )

    def __init__(self, store: Store, fabric: VpcFabric, clock: Clock) -> None:
        self._store = store
        self._fabric = fabric
        self._clock = clock

    def key_of(self, kind: str, id: str) -> str | tuple[str, ...]:
        """The VPC of a record; every VPC if the record is deleted or detached. Reconciling an unchanged VPC is cheap."""
        vpc_id = _vpc_of(self._store, kind, id)
        return vpc_id if vpc_id is not None else tuple(network.id for network in self._store.select(model.FabricNetwork))

    async def converge(self, vpc_id: str) -> None:
        """Apply the VPC's plan and record the resulting states; remove the network of a deleted VPC."""
        self._fail_without_internet_gateway(vpc_id)
        wanted = vpc_plan(self._store, vpc_id)
        if wanted is not None:
            await self._fabric.apply_vpc(wanted)
            self._record_applied(wanted)
        elif self._store.get(model.FabricNetwork, vpc_id) is not None:
            await self._fabric.remove_vpc(vpc_id)
            with self._store.transaction() as tx:
                tx.delete(model.FabricNetwork, vpc_id)
                tx.note("vpc.removed", vpc_id)
        self._forget_ended(vpc_id)

    def _fail_without_internet_gateway(self, vpc_id: str) -> None:
        """Set public NAT gateways to `failed` that were created without an internet gateway in the VPC."""
        with self._store.transaction() as tx:
            for nat in nat_gateways.in_vpc(tx, vpc_id):
                if nat.state == "pending" and nat.connectivity == "public" and nat.addresses[0].association_id is None:
                    nat_gateways.failed(tx, nat, now=self._clock.now())

    def _record_applied(self, applied: plan.VpcPlan) -> None:
        """Record the NAT gateways that the applied plan contains as available, the others as deleted."""
        forwarding = {nat.id for nat in applied.nat_gateways}
        with self._store.transaction() as tx:
            for nat in nat_gateways.in_vpc(tx, applied.id):
                if nat.state == "pending" and nat.id in forwarding:
                    nat_gateways.became_available(tx, nat)
                elif nat.state == "deleting" and nat.id not in forwarding:
                    nat_gateways.removed(tx, nat, now=self._clock.now())

    def _forget_ended(self, vpc_id: str) -> None:
        with self._store.transaction() as tx:
            for nat in nat_gateways.in_vpc(tx, vpc_id):
                if nat_gateways.has_expired(nat, self._clock.now()):
                    tx.delete(model.NatGateway, nat.id)


_IN_VPC: tuple[type[model.InVpc], ...] = (
    model.Subnet,
    model.RouteTable,
    model.SecurityGroup,
    model.NetworkAcl,
    model.NetworkInterface,
    model.NatGateway,
)


def _vpc_of(view: RecordView, kind: str, id: str) -> str | None:
    """The VPC that a record belongs to; None if the record does not exist or has no VPC."""
    if kind in (model.FabricNetwork.kind, model.Vpc.kind):
        return id
    if kind == model.SecurityGroupRule.kind:
        rule = view.get(model.SecurityGroupRule, id)
        return _vpc_of(view, model.SecurityGroup.kind, rule.group_id) if rule else None
    if kind == model.ElasticAddress.kind:
        address = view.get(model.ElasticAddress, id)
        return _vpc_of(view, model.NetworkInterface.kind, address.interface_id) if address and address.interface_id else None
    for each in _IN_VPC:
        if each.kind == kind:
            record = view.get(each, id)
            return record.vpc_id if record else None
    return None
