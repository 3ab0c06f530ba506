"""The firewall's compiler against a direct reading of the plan, over generated plans and packets."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.fabric.packets import NUMBERS, Packet, admitted, passes, ways
from zonal.fabric import firewall
from zonal.fabric.naming import port_name
from zonal.fabric.plan import (
    AclEntry,
    InterfacePlan,
    NatGatewayPlan,
    NetworkAclPlan,
    Rule,
    SecurityGroupPlan,
    SubnetPlan,
    VpcPlan,
)
from zonal.fabric.ruleset import Chain, Dispatch, PacketRule

GROUPS = ("sg-1", "sg-2", "sg-3")
ZONES = ("us-east-1a", "us-east-1b")
CIDRS = ("0.0.0.0/0", "10.0.0.0/16", "10.0.0.0/24", "10.0.1.0/24", "10.0.0.1/32", "10.0.1.2/32", "::/0")
PORTS = (22, 80, 5432, 65535)

protocols = st.sampled_from(["-1", "tcp", "udp", "icmp", "6", "17", "1", "50"])


@st.composite
def traffic(draw: st.DrawFn) -> tuple[str, int | None, int | None]:
    protocol = draw(protocols)
    if protocol in ("tcp", "udp", "6", "17"):
        low, high = sorted(draw(st.tuples(st.sampled_from(PORTS), st.sampled_from(PORTS))))
        return draw(st.sampled_from([(protocol, low, high), (protocol, None, None), (protocol, 0, 65535), (protocol, low, low)]))
    if protocol in ("icmp", "1"):
        return protocol, draw(st.sampled_from([-1, 0, 8])), draw(st.sampled_from([-1, 0, 1]))
    return protocol, None, None


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    by_group = draw(st.booleans())
    peer = {"group_id": draw(st.sampled_from(GROUPS))} if by_group else {"cidr": draw(st.sampled_from(CIDRS))}
    protocol, low, high = draw(traffic())
    return Rule(protocol, low, high, **peer)


@st.composite
def acls(draw: st.DrawFn) -> tuple[AclEntry, ...]:
    numbers = draw(st.lists(st.integers(1, 400), unique=True, max_size=4))
    return tuple(
        AclEntry(number, draw(st.booleans()), protocol, draw(st.sampled_from(CIDRS)), low, high)
        for number in numbers
        for protocol, low, high in [draw(traffic())]
    )


@st.composite
def plans(draw: st.DrawFn) -> VpcPlan:
    groups = tuple(
        SecurityGroupPlan(id, tuple(draw(st.lists(rules(), max_size=3))), tuple(draw(st.lists(rules(), max_size=3)))) for id in GROUPS
    )
    whole = AclEntry(100, True, "-1", "0.0.0.0/0")
    acl = NetworkAclPlan("acl-1", draw(acls()), draw(acls()))
    subnets = tuple(
        SubnetPlan(f"subnet-{number}", draw(st.sampled_from(ZONES)), f"10.0.{number}.0/24", (), draw(st.sampled_from(["acl-0", "acl-1"])))
        for number in range(3)
    )
    interfaces = []
    for number in range(4):
        home = draw(st.integers(0, 2))
        addresses = (f"10.0.{home}.{number * 2 + 1}", f"10.0.{home}.{number * 2 + 2}")
        chosen = tuple(draw(st.lists(st.sampled_from(GROUPS), unique=True, max_size=2)))
        interfaces.append(
            InterfacePlan(f"eni-{number}", f"subnet-{home}", "02:00:00:00:00:01", addresses, chosen, forwards=draw(st.booleans()))
        )
    open_acl = NetworkAclPlan("acl-0", (whole,), (whole,))
    return VpcPlan("vpc-1", ("10.0.0.0/16",), subnets, tuple(interfaces), groups, (open_acl, acl))


@given(data=st.data(), plan=plans())
@settings(max_examples=150, deadline=None)
def test_the_compiled_rules_let_through_exactly_what_the_plan_admits(data: st.DataObject, plan: VpcPlan) -> None:
    sender, receiver = data.draw(st.sampled_from(plan.interfaces)), data.draw(st.sampled_from(plan.interfaces))
    if sender.id == receiver.id:
        return
    compiled = {zone: firewall.ruleset(plan, zone) for zone in ZONES}
    for _ in range(4):
        packet = Packet(
            "",
            "",
            data.draw(st.sampled_from([*sender.addresses, "10.0.9.9"])),
            data.draw(st.sampled_from(receiver.addresses)),
            data.draw(st.sampled_from([*NUMBERS.values(), 50])),
            dport=data.draw(st.sampled_from([*PORTS, 81])),
            icmp_type=data.draw(st.sampled_from([0, 8])),
            icmp_code=data.draw(st.sampled_from([0, 1])),
            established=data.draw(st.booleans()),
        )
        seen = all(passes(compiled[zone], view) for zone, view in ways(plan, sender, receiver, packet))
        assert seen == admitted(plan, sender, receiver, packet), packet


WEB = Rule("tcp", 5432, 5432, group_id="sg-1")


def small(*interfaces: InterfacePlan, **given_plan: object) -> VpcPlan:
    subnet = SubnetPlan("subnet-1", ZONES[0], "10.0.0.0/24", (), "acl-0")
    groups = (SecurityGroupPlan("sg-1", (WEB,), ()), SecurityGroupPlan("sg-2"))
    return VpcPlan("vpc-1", ("10.0.0.0/16",), (subnet,), interfaces, groups, **given_plan)  # type: ignore[arg-type]


def interface(id: str, *groups: str) -> InterfacePlan:
    return InterfacePlan(id, "subnet-1", "02:00:00:00:00:01", ("10.0.0.5",), groups)


def test_interfaces_with_the_same_groups_share_their_gates() -> None:
    few = firewall.ruleset(small(*(interface(f"eni-{number}", "sg-1") for number in range(2))), ZONES[0])
    many = firewall.ruleset(small(*(interface(f"eni-{number}", "sg-1") for number in range(50))), ZONES[0])
    assert len(few.chains) == len(many.chains)


def test_a_packet_of_an_established_connection_meets_one_rule_only_before_it_is_accepted() -> None:
    rules_of_zone = firewall.ruleset(small(interface("eni-1", "sg-1")), ZONES[0])
    forward = next(chain for chain in rules_of_zone.chains if chain.name == "forward")
    assert forward.rules[0].statement.kind == "accept"  # type: ignore[union-attr]


def test_an_interface_without_groups_admits_nothing() -> None:
    lonely = small(interface("eni-1"))
    rules_of_zone = firewall.ruleset(lonely, ZONES[0])
    packet = Packet("core", port_name("eni-1"), "10.0.1.1", "10.0.0.5", 6, dport=22)
    assert not passes(rules_of_zone, packet)


def test_a_nat_gateway_has_no_gates_and_may_send_in_all_names() -> None:
    gateway = small(interface("eni-1"), nat_gateways=(NatGatewayPlan("nat-1", "eni-1"),))
    rules_of_zone = firewall.ruleset(gateway, ZONES[0])
    assert passes(rules_of_zone, Packet(port_name("eni-1"), "core", "8.8.8.8", "10.0.1.1", 6, dport=22))
    assert passes(rules_of_zone, Packet("core", port_name("eni-1"), "10.0.1.1", "8.8.8.8", 6, dport=22))


def test_the_rules_read_like_nft() -> None:
    text = firewall.ruleset(small(interface("eni-1", "sg-1")), ZONES[0]).text()
    assert "ip saddr @members-sg-1 meta l4proto 6 th dport 5432 return" in text
    assert "ct state established,related accept" in text
    assert "set members-sg-1 { type ipv4_addr; elements = { 10.0.0.5 } }" in text


def test_every_chain_and_set_that_is_named_is_there() -> None:
    rules_of_zone = firewall.ruleset(small(interface("eni-1", "sg-1"), interface("eni-2", "sg-2")), ZONES[0])
    chains = {chain.name for chain in rules_of_zone.chains}
    maps = {each.name for each in rules_of_zone.verdict_maps}
    for verdicts in rules_of_zone.verdict_maps:
        assert {verdict.chain for _, verdict in verdicts.elements} <= chains
    dispatches = [rule.statement.map for chain in rules_of_zone.chains for rule in chain.rules if isinstance(rule.statement, Dispatch)]
    assert set(dispatches) <= maps
    assert isinstance(rules_of_zone.chains[0], Chain) and isinstance(rules_of_zone.chains[0].rules[0], PacketRule)
