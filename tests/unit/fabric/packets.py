"""Two readings of who may send what to whom: one of the compiled rules, one of the plan itself. They share no code."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from zonal.fabric.device_names import port_name
from zonal.fabric.plan import AclEntry, InterfacePlan, PlannedRule, VpcPlan
from zonal.fabric.ruleset import (
    Chain,
    Chance,
    Dispatch,
    Established,
    InRange,
    InSet,
    Is,
    Masquerade,
    Match,
    Ruleset,
    StartsWith,
    Translate,
    Untracked,
    Verdict,
    Within,
)

NUMBERS = {"icmp": 1, "tcp": 6, "udp": 17}


class Packet(NamedTuple):
    """A packet as one zone's namespace sees it. Devices are ports, or `core`."""

    iifname: str
    oifname: str
    saddr: str
    daddr: str
    protocol: int
    sport: int = 40000
    dport: int = 0
    icmp_type: int = 8
    icmp_code: int = 0
    established: bool = False


def passes(rules: Ruleset, packet: Packet) -> bool:
    """Whether the compiled rules forward a packet: every chain on its way must let it go."""
    for hook in ("prerouting", "forward"):
        for chain in sorted((each for each in rules.chains if each.hook == hook), key=lambda each: each.priority):
            verdict = _walk(rules, chain, packet)
            if verdict == "drop" or (verdict != "accept" and not chain.accepts):
                return False
    return True


def _walk(rules: Ruleset, chain: Chain, packet: Packet) -> str:
    """`accept`, `drop`, or `return` where the chain lets go of the packet."""
    chains = {each.name: each for each in rules.chains}
    maps = {each.name: dict(each.elements) for each in rules.verdict_maps}
    for rule in chain.rules:
        if not all(_holds(rules, match, packet) for match in rule.matches):
            continue
        statement = rule.statement
        if isinstance(statement, Dispatch):
            found = maps[statement.map].get(getattr(packet, statement.key))
            if found is None:
                continue
            statement = found
        match statement:
            case Verdict("continue"):
                continue
            case Verdict("jump", name):
                verdict = _walk(rules, chains[name], packet)
                if verdict != "return":
                    return verdict
            case Verdict(kind, ""):
                return kind
            case Translate() | Masquerade() | Untracked() | Verdict() | Dispatch():
                raise AssertionError(f"{statement} has no place in a firewall")
    return "return"


def _holds(rules: Ruleset, match: Match, packet: Packet) -> bool:
    match match:
        case Is(key, value, negated):
            return _knows(key, packet) and (getattr(packet, key) == value) != negated
        case StartsWith(key, prefix):
            return bool(getattr(packet, key).startswith(prefix))
        case Within(key, cidr, negated):
            return (IPv4Address(getattr(packet, key)) in IPv4Network(cidr)) != negated
        case InRange(key, low, high):
            return low <= getattr(packet, key) <= high
        case InSet(keys, name, negated):
            elements = next(each.elements for each in rules.sets if each.name == name)
            return (tuple(getattr(packet, key) for key in keys) in elements) != negated
        case Established():
            return packet.established
        case Chance():
            raise AssertionError("a firewall does not gamble")


def _knows(key: str, packet: Packet) -> bool:
    """Ports are asked of TCP and UDP only, types of ICMP only; a rule that asks otherwise would read garbage."""
    if key in ("sport", "dport"):
        assert packet.protocol in (6, 17), "ports were asked of a protocol that has none"
    if key.startswith("icmp"):
        assert packet.protocol == 1, "an ICMP type was asked of another protocol"
    return True


def admitted(plan: VpcPlan, sender: InterfacePlan, receiver: InterfacePlan, packet: Packet) -> bool:
    """The plan, read as AWS's documentation reads it: sources, groups (two gates), ACLs at the edge."""
    if not sender.forwards and packet.saddr not in sender.addresses:
        return False
    if sender.subnet_id != receiver.subnet_id:
        leaving, entering = _acl(plan, sender), _acl(plan, receiver)
        if not _acl_allows(leaving[1], packet.daddr, packet) or not _acl_allows(entering[0], packet.saddr, packet):
            return False
    if packet.established:
        return True
    groups = {group.id: group for group in plan.security_groups}
    out = any(_rule_admits(plan, rule, packet.daddr, packet) for id in sender.group_ids for rule in groups[id].egress)
    inside = any(_rule_admits(plan, rule, packet.saddr, packet) for id in receiver.group_ids for rule in groups[id].ingress)
    return out and inside


def _rule_admits(plan: VpcPlan, rule: PlannedRule, peer: str, packet: Packet) -> bool:
    if rule.group_id is not None:
        peers = [address for each in plan.interfaces if rule.group_id in each.group_ids for address in each.addresses]
        if peer not in peers:
            return False
    elif ":" in (rule.cidr or "") or IPv4Address(peer) not in IPv4Network(rule.cidr or ""):
        return False
    return _is_traffic(rule.protocol, rule.from_port, rule.to_port, packet)


def _acl(plan: VpcPlan, interface: InterfacePlan) -> tuple[tuple[AclEntry, ...], tuple[AclEntry, ...]]:
    subnet = next(each for each in plan.subnets if each.id == interface.subnet_id)
    acl = next(each for each in plan.network_acls if each.id == subnet.network_acl_id)
    return acl.ingress, acl.egress


def _acl_allows(entries: tuple[AclEntry, ...], peer: str, packet: Packet) -> bool:
    for entry in sorted(entries, key=lambda each: each.number):
        matches = ":" not in entry.cidr and IPv4Address(peer) in IPv4Network(entry.cidr)
        if matches and _is_traffic(entry.protocol, entry.from_port, entry.to_port, packet):
            return entry.allow
    return False


def _is_traffic(protocol: str, low: int | None, high: int | None, packet: Packet) -> bool:
    if protocol == "-1":
        return True
    if packet.protocol != (NUMBERS[protocol] if protocol in NUMBERS else int(protocol)):
        return False
    if packet.protocol in (6, 17):
        return low is None or low == -1 or low <= packet.dport <= (low if high is None else high)
    if packet.protocol == 1:
        return (low is None or low == -1 or packet.icmp_type == low) and (
            low in (None, -1) or high is None or high == -1 or packet.icmp_code == high
        )
    return True


def ways(plan: VpcPlan, sender: InterfacePlan, receiver: InterfacePlan, packet: Packet) -> list[tuple[str, Packet]]:
    """The zones that a packet passes, and how it looks there."""
    zones = {subnet.id: subnet.zone for subnet in plan.subnets}
    here, there = zones[sender.subnet_id], zones[receiver.subnet_id]
    if here == there:
        return [(here, packet._replace(iifname=port_name(sender.id), oifname=port_name(receiver.id)))]
    return [
        (here, packet._replace(iifname=port_name(sender.id), oifname="core")),
        (there, packet._replace(iifname="core", oifname=port_name(receiver.id))),
    ]
