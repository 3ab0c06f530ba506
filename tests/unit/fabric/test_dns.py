"""What the resolvers answer, message by message."""

from __future__ import annotations

from pathlib import Path

import dnslib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zonal.fabric.dns import NameTable, Resolver

ORDERS = "orders.abc123.us-east-1.rds.zonal.internal"


@pytest.fixture
def names() -> NameTable:
    table = NameTable(5)
    table.set(ORDERS, private="10.0.1.5", public="203.0.113.5")
    table.set("hidden.zonal.internal", private="10.0.1.6", ttl=60)
    return table


@pytest.fixture
def inside(names: NameTable) -> Resolver:
    return Resolver(names, zone="us-east-1a", cidrs=("10.0.0.0/16",))


def ask(resolver: Resolver, name: str, kind: str = "A") -> dnslib.DNSRecord:
    answer = resolver.answer(dnslib.DNSRecord.question(name, kind).pack())
    assert answer is not None
    return dnslib.DNSRecord.parse(answer)


def addresses(answer: dnslib.DNSRecord) -> list[tuple[str, int]]:
    assert answer.header.rcode == dnslib.RCODE.NOERROR
    return [(str(row.rdata), row.ttl) for row in answer.rr]


def test_a_name_is_private_inside_a_vpc_and_public_outside(names: NameTable, inside: Resolver) -> None:
    assert addresses(ask(inside, ORDERS)) == [("10.0.1.5", 5)]
    assert addresses(ask(Resolver(names), ORDERS)) == [("203.0.113.5", 5)]


def test_a_name_without_a_public_address_is_private_outside_too(names: NameTable) -> None:
    assert addresses(ask(Resolver(names), "hidden.zonal.internal")) == [("10.0.1.6", 60)]


def test_names_are_case_insensitive_and_returned_as_queried(inside: Resolver) -> None:
    answer = ask(inside, ORDERS.upper())
    assert addresses(answer) == [("10.0.1.5", 5)]
    assert str(answer.rr[0].rname).rstrip(".") == ORDERS.upper()


def test_a_change_of_a_name_is_in_force_for_the_next_query(names: NameTable, inside: Resolver) -> None:
    names.set(ORDERS, private="10.0.2.5")
    assert addresses(ask(inside, ORDERS)) == [("10.0.2.5", 5)]
    names.remove(ORDERS)
    names.remove(ORDERS)
    assert ask(inside, ORDERS).header.rcode == dnslib.RCODE.NXDOMAIN


def test_another_record_type_is_no_data_with_a_negative_ttl(inside: Resolver) -> None:
    for name in (ORDERS, "us-east-1.rds.zonal.internal"):
        answer = ask(inside, name, "AAAA")
        assert addresses(answer) == []
        assert [row.rtype for row in answer.auth] == [dnslib.QTYPE.SOA]


def test_an_unknown_name_of_our_domains_is_nxdomain_and_any_other_is_refused(inside: Resolver) -> None:
    missing = ask(inside, "nobody.zonal.internal")
    assert missing.header.rcode == dnslib.RCODE.NXDOMAIN
    assert missing.auth[0].ttl == 5
    assert ask(inside, "example.com").header.rcode == dnslib.RCODE.REFUSED
    assert ask(inside, "4.4.8.8.in-addr.arpa", "PTR").header.rcode == dnslib.RCODE.REFUSED


def test_addresses_have_names_and_names_have_addresses(names: NameTable, inside: Resolver) -> None:
    assert addresses(ask(inside, "ip-10-0-1-5.ec2.internal")) == [("10.0.1.5", 60)]
    assert addresses(ask(inside, "5.1.0.10.in-addr.arpa", "PTR")) == [("ip-10-0-1-5.ec2.internal.", 60)]
    assert ask(inside, "ip-10-1-1-5.ec2.internal").header.rcode == dnslib.RCODE.NXDOMAIN
    assert ask(inside, "ip-10-0-1-500.ec2.internal").header.rcode == dnslib.RCODE.NXDOMAIN
    assert ask(Resolver(names), "ip-10-0-1-5.ec2.internal").header.rcode == dnslib.RCODE.NXDOMAIN


def test_changes_do_not_reach_a_lost_zone(names: NameTable, inside: Resolver) -> None:
    names.freeze("us-east-1a")
    names.set(ORDERS, private="10.0.2.5")
    assert addresses(ask(inside, ORDERS)) == [("10.0.1.5", 5)]
    assert addresses(ask(Resolver(names, zone="us-east-1b", cidrs=("10.0.0.0/16",)), ORDERS)) == [("10.0.2.5", 5)]
    names.thaw("us-east-1a")
    assert addresses(ask(inside, ORDERS)) == [("10.0.2.5", 5)]


def test_the_names_of_a_lost_zone_survive_a_restart_of_the_region(tmp_path: Path) -> None:
    before = NameTable(memory=tmp_path)
    before.set(ORDERS, private="10.0.1.5")
    before.freeze("us-east-1a")
    after = NameTable(memory=tmp_path)
    after.freeze("us-east-1a")
    after.set(ORDERS, private="10.0.2.5")
    assert after.seen_from("us-east-1a")[ORDERS].private == "10.0.1.5"
    after.thaw("us-east-1a")
    assert list(tmp_path.iterdir()) == []


def test_edns_is_answered_with_edns(inside: Resolver) -> None:
    question = dnslib.DNSRecord.question(ORDERS)
    question.add_ar(dnslib.EDNS0(udp_len=4096))
    answer = inside.answer(question.pack())
    assert answer is not None
    assert [row.rtype for row in dnslib.DNSRecord.parse(answer).ar] == [dnslib.QTYPE.OPT]


def test_other_operations_are_not_implemented_and_answers_are_not_answered(inside: Resolver) -> None:
    update = dnslib.DNSRecord.question(ORDERS)
    update.header.opcode = 5
    answer = inside.answer(update.pack())
    assert answer is not None
    assert dnslib.DNSRecord.parse(answer).header.rcode == dnslib.RCODE.NOTIMP
    assert inside.answer(answer) is None


@given(st.binary(max_size=80))
def test_random_bytes_never_raise(data: bytes) -> None:
    answer = Resolver(NameTable()).answer(data)
    assert answer is None or answer[:2] == data[:2]
