"""Compiles security groups, network ACLs and source checks of one VPC in one zone into packet rules. Pure.

A packet that an interface sends passes these steps in its zone's namespace:

1. *prerouting*: it is dropped if its source is not an address of the interface it came from, unless that interface forwards.
2. *forward*: if it crosses the edge of its subnet, the stateless ACLs apply in the order of their numbers: that of the source's subnet for
   leaving, that of the destination's for entering.
3. If it belongs to an established connection, it is accepted. This rule precedes the groups, so that established connections pass few
   rules, and so that a changed group does not cut them (as on AWS: "Security group connection tracking").
4. The egress chain of the interface it came from, then the ingress chain of the one it goes to. Interfaces with the same groups share a
   chain; a verdict map selects the chain by device. A packet that no rule admits is dropped.

Between zones the packet passes two such namespaces, and each applies the chains of its own interfaces. A group that rules name is a set of
the private addresses of its members in *all* zones. The resolver and the metadata service are in the zone's namespace: packets to them
are not forwarded, so neither groups nor ACLs apply to them ("Security groups: traffic to Amazon DNS, IMDS … is not filtered").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from zonal.fabric.device_names import port_name
from zonal.fabric.plan import AclEntry, InterfacePlan, NetworkAclPlan, PlannedRule, SecurityGroupPlan, SubnetPlan, VpcPlan
from zonal.fabric.ruleset import (
    Chain,
    Dispatch,
    Established,
    InRange,
    InSet,
    Is,
    Match,
    PacketRule,
    PacketSet,
    Ruleset,
    Verdict,
    VerdictMap,
    Within,
)

TABLE = "zonal"
RESOLVER_PORT, METADATA_PORT = 53, 80
_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17}
_ACCEPT, _DROP, _RETURN, _CONTINUE = Verdict("accept"), Verdict("drop"), Verdict("return"), Verdict("continue")
_RAW, _FILTER = -300, 0


def ruleset(plan: VpcPlan, zone: str) -> Ruleset:
    """The packet rules of the VPC's namespace in `zone`."""
    subnets = {subnet.id: subnet for subnet in plan.subnets}
    interfaces = [each for each in plan.interfaces if subnets[each.subnet_id].zone == zone]
    gates = _GroupChains(plan)
    edges = _AclChains(plan, zone, interfaces)
    egress = VerdictMap("egress", tuple((port_name(each.id), gates.verdict("egress", each)) for each in interfaces))
    ingress = VerdictMap("ingress", tuple((port_name(each.id), gates.verdict("ingress", each)) for each in interfaces))
    forward = Chain(
        "forward",
        (
            *edges.rules(),
            PacketRule(_ACCEPT, (Established(),)),
            PacketRule(Dispatch("iifname", "egress")),
            PacketRule(Dispatch("oifname", "ingress")),
        ),
        hook="forward",
        priority=_FILTER,
    )
    return Ruleset(
        TABLE,
        chains=(_sources_chain(), _input_chain(plan), *gates.chains(), *edges.chains(), forward),
        sets=(*_source_sets(plan, interfaces), *gates.sets(), *edges.sets()),
        verdict_maps=(egress, ingress),
    )


def _sources_chain() -> Chain:
    """Drops packets whose source is not an address of the interface they came from."""
    spoofed = (InSet(("iifname",), "checked"), InSet(("iifname", "saddr"), "sources", negated=True))
    return Chain("sources", (PacketRule(_DROP, spoofed),), hook="prerouting", priority=_RAW)


def _source_sets(plan: VpcPlan, interfaces: list[InterfacePlan]) -> tuple[PacketSet, PacketSet]:
    gateways = {gateway.interface_id for gateway in plan.nat_gateways}
    checked = [each for each in interfaces if not each.forwards and each.id not in gateways]
    sources = tuple((port_name(each.id), address) for each in checked for address in each.addresses)
    return (
        PacketSet("checked", ("name",), tuple((port_name(each.id),) for each in checked)),
        PacketSet("sources", ("name", "address"), sources),
    )


def _input_chain(plan: VpcPlan) -> Chain:
    """Only the resolver and the metadata service answer in the zone's namespace. The router does not answer, as on AWS."""
    services = ((17, RESOLVER_PORT), (6, RESOLVER_PORT), (6, METADATA_PORT)) if plan.link_local_services else ()
    rules = [PacketRule(_ACCEPT, (Is("protocol", protocol), Is("dport", port))) for protocol, port in services]
    return Chain("input", (*rules, PacketRule(_DROP, (Is("iifname", "lo", negated=True),))), hook="input", priority=_FILTER)


class _GroupChains:
    """Egress and ingress chains, one for each combination of groups, and the sets of the groups that rules name."""

    def __init__(self, plan: VpcPlan) -> None:
        self._plan = plan
        self._open = {gateway.interface_id for gateway in plan.nat_gateways}
        self._groups = {group.id: group for group in plan.security_groups}
        self._chains: dict[tuple[str, tuple[str, ...]], Chain] = {}
        self._named: dict[str, None] = {}

    def verdict(self, side: str, interface: InterfacePlan) -> Verdict:
        """The verdict that selects the interface's chain. A NAT gateway has none ("NAT gateways": no security group can be associated)."""
        if interface.id in self._open:
            return _CONTINUE
        key = (side, tuple(sorted(interface.group_ids)))
        if key not in self._chains:
            groups = [self._groups[id] for id in key[1] if id in self._groups]
            rules = dict.fromkeys(rule for group in groups for rule in _rules(group, side))
            admitted = [PacketRule(_RETURN, matches) for rule in rules for matches in self._matches(side, rule)]
            self._chains[key] = Chain(f"{side}-{len(self._chains)}", (*admitted, PacketRule(_DROP)))
        return Verdict("jump", self._chains[key].name)

    def chains(self) -> Iterable[Chain]:
        return self._chains.values()

    def sets(self) -> Iterator[PacketSet]:
        members: dict[str, dict[str, None]] = {id: {} for id in self._named}
        for each in self._plan.interfaces:
            for id in each.group_ids:
                if id in members:
                    members[id].update(dict.fromkeys(each.addresses))
        for id, addresses in members.items():
            yield PacketSet(members_name(id), ("address",), tuple((address,) for address in addresses))

    def _matches(self, side: str, rule: PlannedRule) -> Iterator[tuple[Match, ...]]:
        peer = "daddr" if side == "egress" else "saddr"
        traffic = tuple(_traffic(rule.protocol, rule.from_port, rule.to_port))
        if rule.group_id is not None:
            self._named.setdefault(rule.group_id)
            yield (InSet((peer,), members_name(rule.group_id)), *traffic)
        elif rule.cidr is not None and ":" not in rule.cidr:  # A rule for IPv6 admits nothing: the fabric has IPv4 only.
            yield (*_network(peer, rule.cidr), *traffic)


class _AclChains:
    """Chains of the ACLs. An ACL whose first entry admits everything, as that of the default ACL does, needs no rule."""

    def __init__(self, plan: VpcPlan, zone: str, interfaces: list[InterfacePlan]) -> None:
        acls = {acl.id: acl for acl in plan.network_acls}
        guarded = [
            (subnet, acls[subnet.network_acl_id]) for subnet in plan.subnets if subnet.zone == zone and subnet.network_acl_id in acls
        ]
        self._guarded: list[tuple[SubnetPlan, NetworkAclPlan]] = [row for row in guarded if not _is_open(row[1])]
        self._ports: dict[str, list[str]] = {subnet.id: [] for subnet, _ in self._guarded}
        for each in interfaces:
            if each.subnet_id in self._ports:
                self._ports[each.subnet_id].append(port_name(each.id))

    def rules(self) -> Iterator[PacketRule]:
        for subnet, _ in self._guarded:
            inner = _ports_name(subnet)
            leaving = (InSet(("iifname",), inner), InSet(("oifname",), inner, negated=True))
            yield PacketRule(Verdict("jump", f"leave-{subnet.id}"), leaving)
        for subnet, _ in self._guarded:
            inner = _ports_name(subnet)
            entering = (InSet(("oifname",), inner), InSet(("iifname",), inner, negated=True))
            yield PacketRule(Verdict("jump", f"enter-{subnet.id}"), entering)

    def chains(self) -> Iterator[Chain]:
        for subnet, acl in self._guarded:
            yield Chain(f"leave-{subnet.id}", tuple(_acl_rules(acl.egress, "daddr")))
            yield Chain(f"enter-{subnet.id}", tuple(_acl_rules(acl.ingress, "saddr")))

    def sets(self) -> Iterator[PacketSet]:
        for subnet, _ in self._guarded:
            yield PacketSet(_ports_name(subnet), ("name",), tuple((port,) for port in self._ports[subnet.id]))


def members_name(group_id: str) -> str:
    """The name of the set of a group's members."""
    return f"members-{group_id}"


def _ports_name(subnet: SubnetPlan) -> str:
    return f"ports-{subnet.id}"


def _rules(group: SecurityGroupPlan, side: str) -> tuple[PlannedRule, ...]:
    return group.egress if side == "egress" else group.ingress


def _is_open(acl: NetworkAclPlan) -> bool:
    return all(side and _admits_all(min(side, key=lambda entry: entry.number)) for side in (acl.ingress, acl.egress))


def _admits_all(entry: AclEntry) -> bool:
    return entry.allow and entry.protocol == "-1" and entry.cidr == "0.0.0.0/0"


def _acl_rules(entries: tuple[AclEntry, ...], peer: str) -> Iterator[PacketRule]:
    for entry in sorted(entries, key=lambda each: each.number):
        if ":" not in entry.cidr:
            matches = (*_network(peer, entry.cidr), *_traffic(entry.protocol, entry.from_port, entry.to_port))
            yield PacketRule(_RETURN if entry.allow else _DROP, matches)
    yield PacketRule(_DROP)


def _network(key: str, cidr: str) -> Iterator[Match]:
    if not cidr.endswith("/0"):
        yield Within(key, cidr)


def _traffic(protocol: str, from_port: int | None, to_port: int | None) -> Iterator[Match]:
    """The matches for a protocol with ports, or with ICMP type and code."""
    if protocol == "-1":
        return
    number = _PROTOCOLS.get(protocol)
    number = int(protocol) if number is None else number
    yield Is("protocol", number)
    if number in (6, 17) and from_port is not None and from_port != -1:
        low, high = from_port, from_port if to_port is None else to_port
        if low == high:
            yield Is("dport", low)
        elif (low, high) != (0, 65535):
            yield InRange("dport", low, high)
    elif number == 1 and from_port is not None and from_port != -1:
        yield Is("icmp_type", from_port)
        if to_port is not None and to_port != -1:
            yield Is("icmp_code", to_port)
