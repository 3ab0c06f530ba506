"""Where packets go: the compiled routes, followed from namespace to namespace, against a direct reading of the plan's route tables.

The route targets of the generated plans stand in every zone.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from hypothesis import example, given, settings
from hypothesis import strategies as st

from zonal.fabric import vpc_networks
from zonal.fabric.device_names import CORE_DEVICE, GATEWAY_DEVICE, core_transit_name, port_name, transit_name
from zonal.fabric.linux.netlink import MAIN, KernelRoute, RoutingRule
from zonal.fabric.network_state import NetworkState
from zonal.fabric.plan import InterfacePlan, NatGatewayPlan, SubnetPlan, VpcPlan
from zonal.fabric.plan import PlannedRoute as PlannedRoute

ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
VPC = "10.0.0.0/16"
CIDRS = ("0.0.0.0/0", "10.0.0.0/8", "10.0.1.0/24", "10.0.3.0/24", "10.0.1.16/28", "8.8.0.0/16", "8.8.8.0/24", VPC)
DESTINATIONS = ("10.0.0.10", "10.0.1.10", "10.0.2.10", "10.0.3.10", "10.0.1.20", "10.0.9.9", "10.9.9.9", "8.8.8.8", "8.8.1.1", "9.9.9.9")


class Network:
    """The routers of one VPC, with the links between them."""

    def __init__(self, plan: VpcPlan, *, off: str = "") -> None:
        self._plan = plan
        self._routers: dict[str, NetworkState] = {zone: vpc_networks.zone_network_state(plan, zone) for zone in ZONES}
        self._routers["core"] = vpc_networks.core_network_state(plan, ZONES)
        self._ports = {port_name(each.id): each.id for each in plan.interfaces if each.id != off}
        self._links = {(zone, CORE_DEVICE): ("core", zone) for zone in ZONES}
        for link in vpc_networks.transit_links(plan):
            self._links[link.zone, transit_name(link.target.id)] = ("core", core_transit_name(link.zone, link.target.id))
        self._links |= {there: here for here, there in self._links.items()}

    def destination(self, sender: InterfacePlan, source: str, destination: str) -> str:
        """Where a packet ends: an interface's id, `internet` or `dropped`."""
        zones = {subnet.id: subnet.zone for subnet in self._plan.subnets}
        place, device = zones[sender.subnet_id], port_name(sender.id)
        for _ in range(8):
            route = self._route(place, device, source, destination)
            if route.kind == "blackhole":
                return "dropped"
            if route.device in self._ports:
                return self._ports[route.device]
            if route.device == GATEWAY_DEVICE:
                return "internet"
            place, device = self._links[place, route.device]
        raise AssertionError(f"{source} to {destination} goes round in circles")

    def _route(self, place: str, device: str, source: str, destination: str) -> KernelRoute:
        router = self._routers[place]
        tables = [rule.table for rule in sorted(router.rules) if _applies(rule, device, source)]
        for table in [*tables, MAIN]:
            found = [
                row
                for row in router.routes
                if row.table == table
                and IPv4Address(destination) in IPv4Network(row.cidr)
                and (not row.device or row.device in self._ports or row.device == GATEWAY_DEVICE or (place, row.device) in self._links)
            ]
            best = max(found, key=lambda row: (IPv4Network(row.cidr).prefixlen, -row.metric), default=None)
            if best is not None and best.kind != "throw":
                return best
        raise AssertionError(f"{place} has no route for {destination}")


def _applies(rule: RoutingRule, device: str, source: str) -> bool:
    return rule.device in ("", device) and (not rule.cidr or IPv4Address(source) in IPv4Network(rule.cidr))


def expected(plan: VpcPlan, sender: InterfacePlan, destination: str, *, off: str = "") -> str:
    """The route tables as AWS's documentation reads them: the longest prefix of the sender's subnet's table decides, once."""
    subnet = next(each for each in plan.subnets if each.id == sender.subnet_id)
    rows = {VPC: PlannedRoute(VPC, "local")} | {route.cidr: route for route in subnet.routes}
    found = [row for row in rows.values() if IPv4Address(destination) in IPv4Network(row.cidr)]
    route = max(found, key=lambda row: IPv4Network(row.cidr).prefixlen, default=PlannedRoute("0.0.0.0/0", "blackhole"))
    interfaces = {each.id: each.id for each in plan.interfaces} | {nat.id: nat.interface_id for nat in plan.nat_gateways}
    if route.kind == "local":
        return next((each.id for each in plan.interfaces if destination in each.addresses and each.id != off), "dropped")
    if route.kind == "internet":
        return "internet" if plan.internet_gateway else "dropped"
    if route.kind == "interface":
        target = interfaces.get(route.target or "", "dropped")
        return "dropped" if target == off else target
    return "dropped"


TARGETS = ("eni-0", "eni-1", "eni-2", "eni-3", "nat-1", "eni-gone")


@st.composite
def routes(draw: st.DrawFn) -> PlannedRoute:
    """A route that AWS lets be made: nothing inside the VPC leads to the internet gateway."""
    cidr = draw(st.sampled_from(CIDRS))
    is_inside = IPv4Network(cidr).subnet_of(IPv4Network(VPC))
    kind = draw(st.sampled_from(["interface", "interface", "blackhole", "interface" if is_inside else "internet"]))
    return PlannedRoute(cidr, kind, draw(st.sampled_from(TARGETS)) if kind == "interface" else None)


@st.composite
def plans(draw: st.DrawFn) -> VpcPlan:
    subnets = tuple(
        SubnetPlan(
            f"subnet-{number}",
            draw(st.sampled_from(ZONES)),
            f"10.0.{number}.0/24",
            tuple(draw(st.lists(routes(), max_size=4, unique_by=lambda route: route.cidr))),
            "acl",
        )
        for number in range(4)
    )
    interfaces = tuple(
        InterfacePlan(f"eni-{number}", f"subnet-{number}", "02:00:00:00:00:01", (f"10.0.{number}.10",), (), forwards=draw(st.booleans()))
        for number in range(4)
    )
    gateways = (NatGatewayPlan("nat-1", draw(st.sampled_from(["eni-0", "eni-1", "eni-2"]))),)
    return VpcPlan("vpc-1", (VPC,), subnets, interfaces, nat_gateways=gateways, internet_gateway=draw(st.booleans()))


def one_gateway_for_two_zones() -> VpcPlan:
    private = (PlannedRoute(VPC, "local"), PlannedRoute("0.0.0.0/0", "interface", "nat-1"))
    public = (PlannedRoute(VPC, "local"), PlannedRoute("0.0.0.0/0", "internet"))
    subnets = tuple(
        SubnetPlan(f"subnet-{number}", zone, f"10.0.{number}.0/24", public if number == 0 else private, "acl")
        for number, zone in enumerate(("us-east-1a", "us-east-1a", "us-east-1b", "us-east-1c"))
    )
    interfaces = tuple(
        InterfacePlan(f"eni-{number}", f"subnet-{number}", "02:00:00:00:00:01", (f"10.0.{number}.10",), ()) for number in range(4)
    )
    return VpcPlan("vpc-1", (VPC,), subnets, interfaces, nat_gateways=(NatGatewayPlan("nat-1", "eni-0"),), internet_gateway=True)


@given(plan=plans(), off=st.sampled_from(["", "", "eni-1"]))
@example(plan=one_gateway_for_two_zones(), off="")
@settings(max_examples=200)
def test_a_packet_goes_where_the_route_table_of_its_senders_subnet_says(plan: VpcPlan, off: str) -> None:
    network = Network(plan, off=off)
    for sender in plan.interfaces:
        if sender.id == off:
            continue
        for destination in DESTINATIONS:
            found = network.destination(sender, sender.addresses[0], destination)
            assert found == expected(plan, sender, destination, off=off), (sender.id, destination)


@given(plan=plans())
@settings(max_examples=100)
def test_what_an_interface_forwards_for_others_goes_where_its_own_route_table_says(plan: VpcPlan) -> None:
    network, gateways = Network(plan), {nat.interface_id for nat in plan.nat_gateways}
    for sender in plan.interfaces:
        if sender.forwards or sender.id in gateways:
            for destination in DESTINATIONS:
                for other in plan.interfaces:
                    found = network.destination(sender, other.addresses[0], destination)
                    assert found == expected(plan, sender, destination), (sender.id, other.id, destination)


def test_the_networks_own_traffic_does_not_pass_a_nat_gateway_of_another_zone() -> None:
    plan = one_gateway_for_two_zones()
    network = Network(plan)
    for sender in plan.interfaces[1:]:
        assert network.destination(sender, sender.addresses[0], "9.9.9.9") == "eni-0"
        for receiver in plan.interfaces:
            assert network.destination(sender, sender.addresses[0], receiver.addresses[0]) == receiver.id
