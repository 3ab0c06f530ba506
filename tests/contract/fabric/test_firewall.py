"""Security groups, network ACLs and source checks, by attempt: real packets between real hosts."""

from __future__ import annotations

import asyncio
import socket
import struct

from tests.contract.fabric.plans import ANYBODY, PRIVATE_A, PUBLIC_A, PUBLIC_B, A, B, interface, subnet, vpc
from tests.contract.fabric.sandboxed import ANSWER_SECONDS, SILENCE_SECONDS, FabricHarness, sandboxed
from zonal.fabric.hosts import LinuxHost
from zonal.fabric.plan import AclEntry, NetworkAclPlan, PlannedRule, SecurityGroupPlan

WEB = SecurityGroupPlan("sg-web", (), (ANYBODY,))
DATABASE = SecurityGroupPlan("sg-database", (PlannedRule("tcp", 5432, 5432, group_id="sg-web"),), ())


async def database_and_clients(harness: FabricHarness, *groups: SecurityGroupPlan) -> tuple[LinuxHost, LinuxHost, LinuxHost, LinuxHost]:
    """A database, a web host beside it, one in another zone, and a stranger in the web hosts' subnet."""
    await harness.fabric.apply_vpc(
        vpc(
            interface("database", PUBLIC_A, "10.0.0.10", "sg-database"),
            interface("web", PUBLIC_A, "10.0.0.11", "sg-web"),
            interface("far", PUBLIC_B, "10.0.1.11", "sg-web"),
            interface("stranger", PUBLIC_A, "10.0.0.12"),
            groups=groups or (WEB, DATABASE),
        )
    )
    database = await harness.host("database", A)
    harness.listening = [harness.listen(database, port) for port in (5432, 5433)]  # type: ignore[attr-defined]
    return database, await harness.host("web", A), await harness.host("far", B), await harness.host("stranger", A)


@sandboxed
async def test_a_rule_that_names_a_group_admits_its_members_in_every_zone_and_nobody_else(harness: FabricHarness) -> None:
    _, web, far, stranger = await database_and_clients(harness)
    assert await harness.reaches(web, "10.0.0.10", 5432)
    assert await harness.reaches(far, "10.0.0.10", 5432)
    assert await harness.is_silent(stranger, "10.0.0.10", 5432)
    assert await harness.is_silent(web, "10.0.0.10", 5433)


@sandboxed
async def test_traffic_that_the_egress_rules_reject_is_dropped_even_where_the_ingress_rules_admit_it(harness: FabricHarness) -> None:
    database, web, _, _ = await database_and_clients(harness, WEB, SecurityGroupPlan("sg-database", (ANYBODY,), ()))
    listening = harness.listen(web, 8080)
    assert await harness.reaches(web, "10.0.0.10", 5433)
    assert await harness.is_silent(database, "10.0.0.11", 8080)
    listening.close()


@sandboxed
async def test_a_changed_group_applies_to_new_connections_only(harness: FabricHarness) -> None:
    _, web, _, stranger = await database_and_clients(harness)
    before = await harness.connect(web, "10.0.0.10", 5432)
    server = (await asyncio.get_running_loop().sock_accept(harness.listening[0]))[0]  # type: ignore[attr-defined]
    now_strangers = SecurityGroupPlan("sg-database", (PlannedRule("tcp", 5432, 5432, cidr="10.0.0.12/32"),), ())
    await harness.fabric.apply_vpc(
        vpc(
            interface("database", PUBLIC_A, "10.0.0.10", "sg-database"),
            interface("web", PUBLIC_A, "10.0.0.11", "sg-web"),
            interface("far", PUBLIC_B, "10.0.1.11", "sg-web"),
            interface("stranger", PUBLIC_A, "10.0.0.12"),
            groups=(WEB, now_strangers),
        )
    )
    assert await harness.reaches(stranger, "10.0.0.10", 5432)
    assert await harness.is_silent(web, "10.0.0.10", 5432)
    await asyncio.get_running_loop().sock_sendall(before, b"still here")
    async with asyncio.timeout(ANSWER_SECONDS):
        assert await asyncio.get_running_loop().sock_recv(server, 100) == b"still here"


@sandboxed
async def test_icmp_is_admitted_by_its_type(harness: FabricHarness) -> None:
    echo_only = SecurityGroupPlan("sg-database", (PlannedRule("icmp", 8, -1, cidr="0.0.0.0/0"),), ())
    _, web, far, _ = await database_and_clients(harness, WEB, echo_only)
    assert await answers_ping(harness, web, "10.0.0.10")
    assert await answers_ping(harness, far, "10.0.0.10")
    assert not await answers_ping(harness, web, "10.0.1.11", within=SILENCE_SECONDS)


@sandboxed
async def test_an_acl_is_stateless_and_ordered_and_applies_only_at_the_edge_of_its_subnet(harness: FabricHarness) -> None:
    one_way = NetworkAclPlan(
        "acl-strict",
        ingress=(
            AclEntry(100, True, "tcp", "10.0.0.0/16", 5432, 5433),
            AclEntry(90, False, "tcp", "10.0.0.12/32", 5432, 5432),
        ),
        egress=(AclEntry(100, True, "tcp", "10.0.0.11/32", 1024, 65535), AclEntry(110, True, "tcp", "10.0.0.12/32", 1024, 65535)),
    )
    strict = subnet(PRIVATE_A.id, A, PRIVATE_A.cidr, acl="acl-strict")
    plan = vpc(
        interface("database", strict, "10.0.10.10"),
        interface("neighbour", strict, "10.0.10.11"),
        interface("web", PUBLIC_A, "10.0.0.11"),
        interface("refused", PUBLIC_A, "10.0.0.12"),
        interface("unanswered", PUBLIC_A, "10.0.0.13"),
        subnets=(PUBLIC_A, strict),
        network_acls=(one_way, vpc().network_acls[0]),
    )
    await harness.fabric.apply_vpc(plan)
    hosts = {each.host: await harness.host(each.host or "", A) for each in plan.interfaces}
    listening = [harness.listen(hosts["database"], port) for port in (5432, 5433, 80)]
    assert await harness.reaches(hosts["web"], "10.0.10.10", 5432)
    assert await harness.is_silent(hosts["web"], "10.0.10.10", 80)
    assert await harness.is_silent(hosts["refused"], "10.0.10.10", 5432)
    assert await harness.reaches(hosts["refused"], "10.0.10.10", 5433)
    assert await harness.is_silent(hosts["unanswered"], "10.0.10.10", 5432)
    assert await harness.reaches(hosts["neighbour"], "10.0.10.10", 80)
    assert len(listening) == 3


@sandboxed
async def test_a_packet_with_a_foreign_source_is_dropped_unless_the_interface_forwards(harness: FabricHarness) -> None:
    def plan(forwards: bool) -> object:
        return vpc(interface("target", PUBLIC_A, "10.0.0.10"), interface("liar", PUBLIC_A, "10.0.0.66", forwards=forwards))

    await harness.fabric.apply_vpc(plan(False))  # type: ignore[arg-type]
    target, liar = await harness.host("target", A), await harness.host("liar", A)
    ear = harness.socket(target, socket.SOCK_DGRAM)
    ear.bind(("0.0.0.0", 9999))
    mouth = harness.socket(liar, socket.SOCK_RAW, socket.IPPROTO_RAW)
    assert await hears(ear, mouth, source="10.0.0.66")
    assert not await hears(ear, mouth, source="10.0.0.77", within=SILENCE_SECONDS)
    await harness.fabric.apply_vpc(plan(True))  # type: ignore[arg-type]
    assert await hears(ear, mouth, source="10.0.0.77")


@sandboxed
async def test_neither_the_router_of_a_vpc_nor_an_unassigned_address_answers(harness: FabricHarness) -> None:
    _, web, _, _ = await database_and_clients(harness)
    assert not await answers_ping(harness, web, "10.0.0.1", within=SILENCE_SECONDS)
    assert await harness.is_silent(web, "10.0.0.1", 22)
    assert await harness.is_silent(web, "10.0.0.200", 22)
    assert await harness.is_silent(web, "10.0.9.9", 22)
    assert await harness.is_silent(web, "8.8.8.8", 53)


async def answers_ping(harness: FabricHarness, where: LinuxHost, address: str, *, within: float = ANSWER_SECONDS) -> bool:
    """Whether an echo request is answered."""
    with harness.socket(where, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        whole = sum(struct.unpack("!4H", struct.pack("!BBHHH", 8, 0, 0, 7, 1)))
        packet = struct.pack("!BBHHH", 8, 0, ~whole & 0xFFFF, 7, 1)
        await asyncio.get_running_loop().sock_sendto(raw, packet, (address, 0))
        try:
            async with asyncio.timeout(within):
                while (await asyncio.get_running_loop().sock_recv(raw, 1500))[20] != 0:
                    pass
        except TimeoutError:
            return False
        return True


async def hears(ear: socket.socket, mouth: socket.socket, *, source: str, within: float = ANSWER_SECONDS) -> bool:
    """Whether a datagram with that source address arrives."""
    payload = b"who am I"
    udp = struct.pack("!HHHH", 1234, 9999, 8 + len(payload), 0) + payload
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, socket.inet_aton(source), socket.inet_aton("10.0.0.10"))
    mouth.sendto(head + udp, ("10.0.0.10", 0))
    try:
        async with asyncio.timeout(within):
            return await asyncio.get_running_loop().sock_recv(ear, 100) == payload
    except TimeoutError:
        return False
