"""The firewall's compiler against a direct reading of the plan, over generated plans and packets."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.fabric.packets import NUMBERS, Packet, admitted, passes, ways
from zonal.fabric import firewall
from zonal.fabric.device_names import port_name
from zonal.fabric.plan import (
    AclEntry,
    InterfacePlan,
    NatGatewayPlan,
    NetworkAclPlan,
    PlannedRule,
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
def rules(draw: st.DrawFn) -> PlannedRule:
    by_group = draw(st.booleans())
    peer = {"group_id": draw(st.sampled_from(GROUPS))} if by_group else {"cidr": draw(st.sampled_from(CIDRS))}
    protocol, low, high = draw(traffic())
    return PlannedRule(protocol, low, high, **peer)


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
@settings(max_examples=150)
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


WEB = PlannedRule("tcp", 5432, 5432, group_id="sg-1")


def small(*interfaces: InterfacePlan, **given_plan: object) -> VpcPlan:
    subnet = SubnetPlan("subnet-1", ZONES[0], "10.0.0.0/24", (), "acl-0")
    groups = (SecurityGroupPlan("sg-1", (WEB,), ()), SecurityGroupPlan("sg-2"))
    return VpcPlan("vpc-1", ("10.0.0.0/16",), (subnet,), interfaces, groups, **given_plan)  # type: ignore[arg-type]


def interface(id: str, *groups: str) -> InterfacePlan:
    return InterfacePlan(id, "subnet-1", "02:00:00:00:00:01", ("10.0.0.5",), groups)


def test_interfaces_with_the_same_groups_share_their_chains() -> None:
    few = firewall.ruleset(small(*(interface(f"eni-{number}", "sg-1") for number in range(2))), ZONES[0])
    many = firewall.ruleset(small(*(interface(f"eni-{number}", "sg-1") for number in range(50))), ZONES[0])
    assert len(few.chains) == len(many.chains)


def test_a_packet_of_an_established_connection_is_accepted_by_the_first_rule() -> None:
    rules_of_zone = firewall.ruleset(small(interface("eni-1", "sg-1")), ZONES[0])
    forward = next(chain for chain in rules_of_zone.chains if chain.name == "forward")
    assert forward.rules[0].statement.kind == "accept"  # type: ignore[union-attr]


def test_an_interface_without_groups_admits_nothing() -> None:
    lonely = small(interface("eni-1"))
    rules_of_zone = firewall.ruleset(lonely, ZONES[0])
    packet = Packet("core", port_name("eni-1"), "10.0.1.1", "10.0.0.5", 6, dport=22)
    assert not passes(rules_of_zone, packet)


@pytest.mark.parametrize(
    ("rule", "let_through", "dropped"),
    [
        (("tcp", 22, 80), [(6, 22), (6, 50), (6, 80)], [(6, 21), (6, 81), (17, 50)]),
        (("udp", 53, 53), [(17, 53)], [(17, 52), (17, 54), (6, 53)]),
        (("tcp", 0, 65535), [(6, 0), (6, 65535)], [(17, 0)]),
        (("icmp", 8, -1), [(1, 8, 0), (1, 8, 1)], [(1, 0, 0)]),
        (("icmp", 3, 1), [(1, 3, 1)], [(1, 3, 0), (1, 1, 1)]),
        (("icmp", -1, -1), [(1, 3, 1), (1, 8, 0)], [(6, 8)]),
        (("50", None, None), [(50, 0)], [(51, 0), (6, 0)]),
    ],
)
def test_a_rule_admits_its_ports_or_its_icmp_type_and_code_to_the_last_one_and_nothing_beyond(
    rule: tuple[str, int | None, int | None], let_through: list[tuple[int, ...]], dropped: list[tuple[int, ...]]
) -> None:
    group = SecurityGroupPlan("sg-1", (PlannedRule(*rule, cidr="0.0.0.0/0"),), ())
    compiled = firewall.ruleset(replace(small(interface("eni-1", "sg-1")), security_groups=(group,)), ZONES[0])

    def arrives(protocol: int, first: int, second: int = 0) -> bool:
        numbers = {"icmp_type": first, "icmp_code": second} if protocol == 1 else {"dport": first}
        return passes(compiled, Packet("core", port_name("eni-1"), "10.0.1.1", "10.0.0.5", protocol, **numbers))

    assert [packet for packet in let_through if not arrives(*packet)] == []
    assert [packet for packet in dropped if arrives(*packet)] == []


def test_acl_entries_count_in_the_order_of_their_numbers_and_the_first_that_matches_decides() -> None:
    deny, allow = AclEntry(100, False, "tcp", "0.0.0.0/0", 22, 22), AclEntry(200, True, "-1", "0.0.0.0/0")
    open_group = SecurityGroupPlan("sg-1", (PlannedRule("-1", None, None, cidr="0.0.0.0/0"),), ())
    acl = NetworkAclPlan("acl-0", (allow, deny), (AclEntry(1, True, "-1", "0.0.0.0/0"),))
    plan = replace(small(interface("eni-1", "sg-1")), security_groups=(open_group,), network_acls=(acl,))
    compiled = firewall.ruleset(plan, ZONES[0])
    arriving = Packet("core", port_name("eni-1"), "10.0.1.1", "10.0.0.5", 6)
    assert [passes(compiled, arriving._replace(dport=port)) for port in (22, 23)] == [False, True]


def test_an_acl_that_is_open_on_one_side_only_still_guards_the_other() -> None:
    everything = AclEntry(100, True, "-1", "0.0.0.0/0")
    open_group = SecurityGroupPlan(
        "sg-1", (PlannedRule("-1", None, None, cidr="0.0.0.0/0"),), (PlannedRule("-1", None, None, cidr="0.0.0.0/0"),)
    )
    acl = NetworkAclPlan("acl-0", (everything,), ())
    plan = replace(small(interface("eni-1", "sg-1")), security_groups=(open_group,), network_acls=(acl,))
    compiled = firewall.ruleset(plan, ZONES[0])
    assert passes(compiled, Packet("core", port_name("eni-1"), "10.0.1.1", "10.0.0.5", 6, dport=22))
    assert not passes(compiled, Packet(port_name("eni-1"), "core", "10.0.0.5", "10.0.1.1", 6, dport=22))


def test_a_packet_with_the_source_of_another_interface_is_dropped_unless_its_sender_forwards() -> None:
    open_group = SecurityGroupPlan("sg-1", (), (PlannedRule("-1", None, None, cidr="0.0.0.0/0"),))
    sender = interface("eni-1", "sg-1")
    spoofed = Packet(port_name("eni-1"), "core", "10.0.0.77", "10.0.1.1", 6, dport=22)
    for forwards in (False, True):
        plan = replace(small(replace(sender, forwards=forwards)), security_groups=(open_group,))
        assert passes(firewall.ruleset(plan, ZONES[0]), spoofed) is forwards
        assert passes(firewall.ruleset(plan, ZONES[0]), spoofed._replace(saddr="10.0.0.5"))


def test_a_nat_gateway_has_no_groups_and_may_send_with_any_source() -> None:
    gateway = small(interface("eni-1"), nat_gateways=(NatGatewayPlan("nat-1", "eni-1"),))
    rules_of_zone = firewall.ruleset(gateway, ZONES[0])
    assert passes(rules_of_zone, Packet(port_name("eni-1"), "core", "8.8.8.8", "10.0.1.1", 6, dport=22))
    assert passes(rules_of_zone, Packet("core", port_name("eni-1"), "10.0.1.1", "8.8.8.8", 6, dport=22))


def test_the_text_of_a_ruleset_has_the_syntax_of_nft() -> None:
    text = firewall.ruleset(small(interface("eni-1", "sg-1")), ZONES[0]).text()
    assert "ip saddr @members-sg-1 meta l4proto 6 th dport 5432 return" in text
    assert "ct state established,related accept" in text
    assert "set members-sg-1 { type ipv4_addr; elements = { 10.0.0.5 } }" in text


def test_every_referenced_chain_and_set_is_defined() -> None:
    rules_of_zone = firewall.ruleset(small(interface("eni-1", "sg-1"), interface("eni-2", "sg-2")), ZONES[0])
    chains = {chain.name for chain in rules_of_zone.chains}
    maps = {each.name for each in rules_of_zone.verdict_maps}
    for verdicts in rules_of_zone.verdict_maps:
        assert {verdict.chain for _, verdict in verdicts.elements} <= chains
    dispatches = [rule.statement.map for chain in rules_of_zone.chains for rule in chain.rules if isinstance(rule.statement, Dispatch)]
    assert set(dispatches) <= maps
    assert isinstance(rules_of_zone.chains[0], Chain) and isinstance(rules_of_zone.chains[0].rules[0], PacketRule)
