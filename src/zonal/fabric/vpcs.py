"""The networks: one core namespace for each VPC and one for each of its zones, and what joins them.

```
   host ──port──▶ VPC@us-east-1a ──core──▶ VPC (core) ◀──core── VPC@us-east-1b ◀──port── host
                                             │ igw
                                             ▼
                                          internet
```
No bridge: every interface is a routed port with a host route of its own in its zone's namespace, so that every packet, also one between
neighbours in a subnet, is forwarded and meets the rules there. The links between core and zones are what faults cut.

Route tables: a subnet's own table is consulted by its addresses (`ip rule from SUBNET`); `local` is a `throw` back to the main table, which
knows the ports; more special routes win by their length, as on AWS. Packets that come from the core obey the main table only, since
their way was chosen where they began. Only a route to an interface in *another* zone has to be repeated on the way there. Whatever has no
way is a blackhole: AWS answers nothing where a kernel would send ICMP errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from zonal.fabric.linux.netlink import MAIN, Address, Neighbour, Route, RoutingRule
from zonal.fabric.naming import (
    CORE_DEVICE,
    GATEWAY_DEVICE,
    NEXT_HOP,
    mac,
    port_name,
    table_number,
)
from zonal.fabric.plan import InterfacePlan, SubnetPlan, VpcPlan
from zonal.fabric.ruleset import (
    AddressMap,
    Chain,
    Is,
    Member,
    PacketRule,
    PacketSet,
    Ruleset,
    Translate,
    Untracked,
    Verdict,
    Within,
)
from zonal.fabric.wiring import Wiring

RESOLVER = "169.254.169.253"
METADATA = "169.254.169.254"

_DETOUR, _FROM_CORE, _FORWARDED, _SUBNET = 40, 50, 100, 200
_EVERYWHERE = "0.0.0.0/0"


def zone_wiring(plan: VpcPlan, zone: str) -> Wiring:
    """The VPC's namespace in one zone."""
    subnets = {subnet.id: subnet for subnet in plan.subnets}
    mine = [subnet for subnet in plan.subnets if subnet.zone == zone]
    interfaces = [each for each in plan.interfaces if subnets[each.subnet_id].zone == zone]
    neighbours = [Neighbour(CORE_DEVICE, NEXT_HOP, mac(plan.id, zone, "core side"))]
    routes = {Route(MAIN, _EVERYWHERE, "blackhole")}
    routes |= {Route(MAIN, subnet.cidr, "blackhole") for subnet in mine}
    routes |= {Route(MAIN, cidr, device=CORE_DEVICE, gateway=NEXT_HOP) for cidr in plan.cidrs if cidr not in {each.cidr for each in mine}}
    rules = {RoutingRule(_FROM_CORE, MAIN, device=CORE_DEVICE)}
    for interface in interfaces:
        neighbours += [Neighbour(port_name(interface.id), address, interface.mac) for address in interface.addresses]
        routes |= {Route(MAIN, f"{address}/32", device=port_name(interface.id)) for address in interface.addresses}
    for subnet in mine:
        routes |= set(_subnet_routes(plan, subnet, zone))
        rules.add(RoutingRule(_SUBNET, table_number(subnet.id), subnet.cidr))
    for port, table in [(port_name(each.id), table_number(each.subnet_id)) for each in interfaces if forwards(plan, each)]:
        rules.add(RoutingRule(_FORWARDED, table, device=port))
        rules.add(RoutingRule(_FORWARDED + 1, MAIN, device=port))  # The table of the source's subnet would send it back here.
    for subnet, cidr, target in detours(plan):
        if subnets[target.subnet_id].zone == zone:
            routes.add(Route(table_number(subnet.id), cidr, device=port_name(target.id), gateway=target.addresses[0]))
            rules.add(RoutingRule(_DETOUR, table_number(subnet.id), subnet.cidr, CORE_DEVICE))
    return Wiring(frozenset(_zone_addresses(plan, mine)), tuple(neighbours), frozenset(routes), frozenset(rules))


def core_wiring(plan: VpcPlan, zones: tuple[str, ...]) -> Wiring:
    """The VPC's core."""
    subnets = {subnet.id: subnet for subnet in plan.subnets}
    neighbours = [Neighbour(zone, NEXT_HOP, mac(plan.id, zone, "zone side")) for zone in zones]
    routes = {Route(MAIN, cidr, "blackhole") for cidr in plan.cidrs if cidr not in {subnet.cidr for subnet in plan.subnets}}
    routes |= {Route(MAIN, subnet.cidr, device=subnet.zone, gateway=NEXT_HOP) for subnet in plan.subnets}
    rules = set()
    if plan.internet_gateway:
        neighbours.append(Neighbour(GATEWAY_DEVICE, NEXT_HOP, mac(plan.id, "internet side")))
        routes.add(Route(MAIN, _EVERYWHERE, device=GATEWAY_DEVICE, gateway=NEXT_HOP))
    else:
        routes.add(Route(MAIN, _EVERYWHERE, "blackhole"))
    for subnet, cidr, target in detours(plan):
        routes.add(Route(table_number(subnet.id), cidr, device=subnets[target.subnet_id].zone, gateway=NEXT_HOP))
        rules.add(RoutingRule(_DETOUR, table_number(subnet.id), subnet.cidr, subnet.zone))
    return Wiring(frozenset(), tuple(neighbours), frozenset(routes), frozenset(rules))


def host_wiring(subnet_cidr: str, interface: InterfacePlan, *, reaches: str = _EVERYWHERE) -> Wiring:
    """An interface inside its host. Everything, the subnet included, goes to the router: nobody is asked for by ARP.

    `reaches` is the network that lies behind it: everything for a VPC's, the management network for that one's.
    """
    device, network, primary = device_name(interface), IPv4Network(subnet_cidr), interface.addresses[0]
    router = str(network[1])
    addresses = [Address(device, f"{address}/{network.prefixlen}") for address in interface.addresses]
    routes = {Route(MAIN, f"{router}/32", device=device), Route(MAIN, subnet_cidr, device=device, gateway=router, source=primary)}
    rules = set()
    if interface.device_index <= 0:
        routes.add(Route(MAIN, reaches, device=device, gateway=router, source=primary))
    else:
        table = 100 + interface.device_index
        routes.add(Route(table, reaches, device=device, gateway=router))
        rules = {RoutingRule(table, table, f"{address}/32") for address in interface.addresses}
    neighbour = Neighbour(device, router, mac("port", interface.id))
    return Wiring(frozenset(addresses), (neighbour,), frozenset(routes), frozenset(rules))


def device_name(interface: InterfacePlan) -> str:
    """What the interface is called inside its host. The management network's has no number."""
    return f"eth{interface.device_index}" if interface.device_index >= 0 else "management"


def internet_wiring(plan: VpcPlan, link: str) -> Wiring:
    """What the internet knows of a VPC: its public addresses."""
    if not plan.internet_gateway:
        return Wiring()
    publics = [public for each in plan.interfaces for _, public in each.public]
    routes = {Route(MAIN, f"{public}/32", device=link, gateway=NEXT_HOP) for public in publics}
    return Wiring(neighbours=(Neighbour(link, NEXT_HOP, mac(plan.id, "gateway side")),), routes=frozenset(routes))


def gateway_rules(plan: VpcPlan) -> Ruleset:
    """The internet gateway: public and private addresses are translated one to one, and nobody without a public address passes.

    Connections inside the VPC are not followed here; the zones do that.
    """
    pairs = sorted(pair for each in plan.interfaces for pair in each.public)
    inner = tuple(
        PacketRule(Untracked(), (Within("saddr", source), Within("daddr", destination)))
        for source in plan.cidrs
        for destination in plan.cidrs
    )
    guards = (
        PacketRule(Verdict("drop"), (Is("iifname", GATEWAY_DEVICE), Member(("daddr",), "translated", negated=True))),
        PacketRule(Verdict("drop"), (Is("oifname", GATEWAY_DEVICE), Member(("saddr",), "translated", negated=True))),
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
    """Where the VPC's resolver answers ("DNS attributes for your VPC": the base of the VPC's primary range plus two, and a fixed one)."""
    return (str(IPv4Network(plan.cidrs[0])[2]), RESOLVER) if plan.dns and plan.cidrs else ()


def detours(plan: VpcPlan) -> Iterator[tuple[SubnetPlan, str, InterfacePlan]]:
    """Routes whose target is an interface in another zone than the subnet they belong to."""
    subnets = {subnet.id: subnet for subnet in plan.subnets}
    interfaces = _targets(plan)
    for subnet in plan.subnets:
        for route in subnet.routes:
            target = interfaces.get(route.target or "") if route.kind == "interface" else None
            if target is not None and subnets[target.subnet_id].zone != subnet.zone:
                yield subnet, route.cidr, target


def forwards(plan: VpcPlan, interface: InterfacePlan) -> bool:
    """Whether the interface may send in other names: its check is off, or it is a NAT gateway's."""
    return interface.forwards or any(gateway.interface_id == interface.id for gateway in plan.nat_gateways)


def _zone_addresses(plan: VpcPlan, subnets: list[SubnetPlan]) -> Iterator[Address]:
    for subnet in subnets:
        yield Address("lo", f"{IPv4Network(subnet.cidr)[1]}/32")
    for address in (*resolver_addresses(plan), METADATA):
        yield Address("lo", f"{IPv4Address(address)}/32")


def _subnet_routes(plan: VpcPlan, subnet: SubnetPlan, zone: str) -> Iterator[Route]:
    """The subnet's own table, seen in its zone."""
    table = table_number(subnet.id)
    subnets, targets = {each.id: each for each in plan.subnets}, _targets(plan)
    routes = {_EVERYWHERE: Route(table, _EVERYWHERE, "blackhole")}
    routes |= {cidr: Route(table, cidr, "throw") for cidr in plan.cidrs}
    for route in subnet.routes:
        target = targets.get(route.target or "")
        if route.kind == "local":
            continue
        if route.kind == "internet" and plan.internet_gateway:
            routes[route.cidr] = Route(table, route.cidr, device=CORE_DEVICE, gateway=NEXT_HOP)
        elif route.kind == "interface" and target is not None and subnets[target.subnet_id].zone == zone:
            routes[route.cidr] = Route(table, route.cidr, device=port_name(target.id), gateway=target.addresses[0])
        elif route.kind == "interface" and target is not None:
            routes[route.cidr] = Route(table, route.cidr, device=CORE_DEVICE, gateway=NEXT_HOP)
        else:
            routes[route.cidr] = Route(table, route.cidr, "blackhole")
    yield from routes.values()


def _targets(plan: VpcPlan) -> dict[str, InterfacePlan]:
    """Interfaces by their id, and by the id of the NAT gateway they belong to."""
    interfaces = {each.id: each for each in plan.interfaces}
    gateways = {each.id: interfaces[each.interface_id] for each in plan.nat_gateways if each.interface_id in interfaces}
    return interfaces | gateways
