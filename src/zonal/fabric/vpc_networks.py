"""Compiles the plan of a VPC into the network state of its namespaces: a core, and one in each zone. Pure.

```
   host ──port──▶ VPC@us-east-1a ──core──▶ VPC (core) ◀──core── VPC@us-east-1b ◀──port── host
                                             │ igw
                                             ▼
                                          internet
```
There is no bridge: every interface is a routed port with a host route in its zone's namespace, so that every packet, also one between
neighbours in a subnet, is forwarded and passes the rules there. Zone faults cut the links between core and zones.

Route tables: the table of a subnet is selected by the source address (`ip rule from SUBNET`). `local` is a `throw` back to the main table,
which has the routes to the ports. The longest prefix wins, as on AWS. The route of a packet is chosen once, in the zone of its source:
packets from the core use the main table only. A route to an interface in *another* zone has links of its own, through the core to that
zone, and every packet from them goes to that interface. Packets without a route are dropped by a blackhole: AWS sends no ICMP errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from zonal.fabric.device_names import (
    CORE_DEVICE,
    GATEWAY_DEVICE,
    NEXT_HOP,
    core_transit_name,
    mac,
    port_name,
    table_number,
    transit_name,
)
from zonal.fabric.linux.netlink import MAIN, Address, KernelRoute, Neighbour, RoutingRule
from zonal.fabric.network_state import NetworkState
from zonal.fabric.plan import InterfacePlan, SubnetPlan, VpcPlan
from zonal.fabric.ruleset import (
    AddressMap,
    Chain,
    InSet,
    Is,
    PacketRule,
    PacketSet,
    Ruleset,
    Translate,
    Untracked,
    Verdict,
    Within,
)

RESOLVER = "169.254.169.253"
METADATA = "169.254.169.254"

_TRANSIT, _FROM_CORE, _FORWARDED, _SUBNET = 40, 50, 100, 200
_EVERYWHERE = "0.0.0.0/0"


class TransitLink(NamedTuple):
    """A link between the core and a zone for packets that a route sends to an interface in another zone.

    Packets pass it towards the core, or, in the zone of its target, out of the core.
    """

    zone: str
    target: InterfacePlan
    target_zone: str

    @property
    def leads_to_target(self) -> bool:
        return self.zone == self.target_zone


def zone_network_state(plan: VpcPlan, zone: str) -> NetworkState:
    """The state of the VPC's namespace in one zone."""
    zones = _zones(plan)
    mine = [subnet for subnet in plan.subnets if subnet.zone == zone]
    interfaces = [each for each in plan.interfaces if zones[each.subnet_id] == zone]
    neighbours = [Neighbour(CORE_DEVICE, NEXT_HOP, mac(plan.id, zone, "core side"))]
    routes = {KernelRoute(MAIN, _EVERYWHERE, "blackhole")}
    cidrs = {subnet.cidr for subnet in mine}
    routes |= {KernelRoute(MAIN, cidr, "blackhole") for cidr in cidrs}
    routes |= {KernelRoute(MAIN, cidr, device=CORE_DEVICE, gateway=NEXT_HOP) for cidr in plan.cidrs if cidr not in cidrs}
    rules = {RoutingRule(_FROM_CORE, MAIN, device=CORE_DEVICE)}
    for interface in interfaces:
        port = port_name(interface.id)
        neighbours += [Neighbour(port, address, interface.mac) for address in interface.addresses]
        routes |= {KernelRoute(MAIN, f"{address}/32", device=port) for address in interface.addresses}
    targets = _targets(plan)
    for subnet in mine:
        routes |= set(_subnet_routes(plan, subnet, targets, zones))
        rules.add(RoutingRule(_SUBNET, table_number(subnet.id), subnet.cidr))
    forwarding = _forwarding(plan)
    for port, table in [(port_name(each.id), table_number(each.subnet_id)) for each in interfaces if each.id in forwarding]:
        rules.add(RoutingRule(_FORWARDED, table, device=port))
        rules.add(RoutingRule(_FORWARDED + 1, MAIN, device=port))  # The table of the source's subnet would send the packet back.
    for link in transit_links(plan):
        if link.zone == zone:
            device, table = transit_name(link.target.id), table_number(link.target.id)
            neighbours.append(Neighbour(device, NEXT_HOP, mac(plan.id, zone, link.target.id, "core side")))
            if link.leads_to_target:
                rules.add(RoutingRule(_TRANSIT, table, device=device))
                routes |= set(_to_port(table, _EVERYWHERE, link.target))
    return NetworkState(frozenset(_zone_addresses(plan, mine)), tuple(neighbours), frozenset(routes), frozenset(rules))


def core_network_state(plan: VpcPlan, zones: tuple[str, ...]) -> NetworkState:
    """The state of the VPC's core."""
    cidrs = {subnet.cidr for subnet in plan.subnets}
    neighbours = [Neighbour(zone, NEXT_HOP, mac(plan.id, zone, "zone side")) for zone in zones]
    routes = {KernelRoute(MAIN, cidr, "blackhole") for cidr in plan.cidrs if cidr not in cidrs}
    routes |= {KernelRoute(MAIN, subnet.cidr, device=subnet.zone, gateway=NEXT_HOP) for subnet in plan.subnets}
    rules = set()
    if plan.internet_gateway:
        neighbours.append(Neighbour(GATEWAY_DEVICE, NEXT_HOP, mac(plan.id, "internet side")))
        routes.add(KernelRoute(MAIN, _EVERYWHERE, device=GATEWAY_DEVICE, gateway=NEXT_HOP))
    else:
        routes.add(KernelRoute(MAIN, _EVERYWHERE, "blackhole"))
    for link in transit_links(plan):
        device, table = core_transit_name(link.zone, link.target.id), table_number(link.target.id)
        if link.leads_to_target:
            neighbours.append(Neighbour(device, NEXT_HOP, mac(plan.id, link.zone, link.target.id, "zone side")))
            routes.add(KernelRoute(table, _EVERYWHERE, device=device, gateway=NEXT_HOP))
        else:
            rules.add(RoutingRule(_TRANSIT, table, device=device))
    return NetworkState(frozenset(), tuple(neighbours), frozenset(routes), frozenset(rules))


def host_network_state(subnet_cidr: str, interface: InterfacePlan, *, reaches: str = _EVERYWHERE) -> NetworkState:
    """The state of an interface inside its host. All packets, also those within the subnet, go to the router, so that ARP is not needed.

    `reaches` is the network behind the router: everything in a VPC, the management network on that one.
    """
    device, network, primary = device_name(interface), IPv4Network(subnet_cidr), interface.addresses[0]
    router = str(network[1])
    addresses = [Address(device, f"{address}/{network.prefixlen}") for address in interface.addresses]
    routes = {
        KernelRoute(MAIN, f"{router}/32", device=device),
        KernelRoute(MAIN, subnet_cidr, device=device, gateway=router, source=primary),
    }
    rules = set()
    if interface.device_index <= 0:
        routes.add(KernelRoute(MAIN, reaches, device=device, gateway=router, source=primary))
    else:
        table = 100 + interface.device_index
        routes.add(KernelRoute(table, reaches, device=device, gateway=router))
        rules = {RoutingRule(table, table, f"{address}/32") for address in interface.addresses}
    neighbour = Neighbour(device, router, mac("port", interface.id))
    return NetworkState(frozenset(addresses), (neighbour,), frozenset(routes), frozenset(rules))


def device_name(interface: InterfacePlan) -> str:
    """The name of the interface inside its host. That of the management network has no number."""
    return f"eth{interface.device_index}" if interface.device_index >= 0 else "management"


def internet_network_state(plan: VpcPlan, link: str) -> NetworkState:
    """The state of the internet for a VPC: routes to its public addresses."""
    if not plan.internet_gateway:
        return NetworkState()
    publics = [public for each in plan.interfaces for _, public in each.public]
    routes = {KernelRoute(MAIN, f"{public}/32", device=link, gateway=NEXT_HOP) for public in publics}
    return NetworkState(neighbours=(Neighbour(link, NEXT_HOP, mac(plan.id, "gateway side")),), routes=frozenset(routes))


def gateway_rules(plan: VpcPlan) -> Ruleset:
    """The rules of the internet gateway: addresses are translated one to one, and only interfaces with a public address pass.

    Connections inside the VPC are not tracked here, but in the zones.
    """
    pairs = sorted(pair for each in plan.interfaces for pair in each.public)
    inner = tuple(
        PacketRule(Untracked(), (Within("saddr", source), Within("daddr", destination)))
        for source in plan.cidrs
        for destination in plan.cidrs
    )
    guards = (
        PacketRule(Verdict("drop"), (Is("iifname", GATEWAY_DEVICE), InSet(("daddr",), "translated", negated=True))),
        PacketRule(Verdict("drop"), (Is("oifname", GATEWAY_DEVICE), InSet(("saddr",), "translated", negated=True))),
    )
    chains = (
        Chain("inner", inner, hook="prerouting", priority=-300),
        Chain("arrive", (PacketRule(Translate("destination", "private"), (Is("iifname", GATEWAY_DEVICE),)),), "prerouting", -100, "nat"),
        Chain("guard", guards, "forward", 0),
        Chain("depart", (PacketRule(Translate("source", "public"), (Is("oifname", GATEWAY_DEVICE),)),), "postrouting", 100, "nat"),
    )
    translated = PacketSet("translated", ("address",), tuple((private,) for private, _ in pairs))
    maps = (AddressMap("private", tuple((public, private) for private, public in pairs)), AddressMap("public", tuple(pairs)))
    return Ruleset("gateway", chains, (translated,), address_maps=maps)


def resolver_addresses(plan: VpcPlan) -> tuple[str, ...]:
    """The addresses of the VPC's resolver ("DNS attributes for your VPC": the base of its primary range plus two, and a fixed one)."""
    return (str(IPv4Network(plan.cidrs[0])[2]), RESOLVER) if plan.dns and plan.cidrs else ()


def transit_links(plan: VpcPlan) -> list[TransitLink]:
    """The links for routes whose target is an interface in another zone than the subnet they belong to, each link once."""
    zones, targets = _zones(plan), _targets(plan)
    links = {}
    for subnet in plan.subnets:
        for route in subnet.routes:
            target = targets.get(route.target or "") if route.kind == "interface" else None
            if target is not None and zones[target.subnet_id] != subnet.zone:
                for zone in (subnet.zone, zones[target.subnet_id]):
                    links[zone, target.id] = TransitLink(zone, target, zones[target.subnet_id])
    return [links[key] for key in sorted(links)]


def _forwarding(plan: VpcPlan) -> set[str]:
    """The interfaces that may send packets with other sources: their check is off, or they belong to a NAT gateway."""
    return {each.id for each in plan.interfaces if each.forwards} | {gateway.interface_id for gateway in plan.nat_gateways}


def _zone_addresses(plan: VpcPlan, subnets: list[SubnetPlan]) -> Iterator[Address]:
    for subnet in subnets:
        yield Address("lo", f"{IPv4Network(subnet.cidr)[1]}/32")
    for address in (*resolver_addresses(plan), *([METADATA] if plan.link_local_services else [])):
        yield Address("lo", f"{IPv4Address(address)}/32")


def _subnet_routes(plan: VpcPlan, subnet: SubnetPlan, targets: dict[str, InterfacePlan], zones: dict[str, str]) -> Iterator[KernelRoute]:
    """The table of a subnet, in its zone."""
    table = table_number(subnet.id)
    routes = {_EVERYWHERE: [KernelRoute(table, _EVERYWHERE, "blackhole")]}
    routes |= {cidr: [KernelRoute(table, cidr, "throw")] for cidr in plan.cidrs}
    for route in subnet.routes:
        target = targets.get(route.target or "") if route.kind == "interface" else None
        if route.kind == "local":
            continue
        if route.kind == "internet" and plan.internet_gateway:
            routes[route.cidr] = [KernelRoute(table, route.cidr, device=CORE_DEVICE, gateway=NEXT_HOP)]
        elif target is not None and zones[target.subnet_id] == subnet.zone:
            routes[route.cidr] = list(_to_port(table, route.cidr, target))
        elif target is not None:
            routes[route.cidr] = [KernelRoute(table, route.cidr, device=transit_name(target.id), gateway=NEXT_HOP)]
        else:
            routes[route.cidr] = [KernelRoute(table, route.cidr, "blackhole")]
    for rows in routes.values():
        yield from rows


def _to_port(table: int, cidr: str, target: InterfacePlan) -> Iterator[KernelRoute]:
    """A route to an interface in this zone. While the interface's host is off, its packets are dropped and take no other route."""
    yield KernelRoute(table, cidr, device=port_name(target.id), gateway=target.addresses[0])
    yield KernelRoute(table, cidr, "blackhole", metric=1)


def _zones(plan: VpcPlan) -> dict[str, str]:
    """The zone of each subnet."""
    return {subnet.id: subnet.zone for subnet in plan.subnets}


def _targets(plan: VpcPlan) -> dict[str, InterfacePlan]:
    """Interfaces by their id, and by the id of the NAT gateway they belong to."""
    interfaces = {each.id: each for each in plan.interfaces}
    gateways = {each.id: interfaces[each.interface_id] for each in plan.nat_gateways if each.interface_id in interfaces}
    return interfaces | gateways
