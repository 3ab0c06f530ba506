"""Routes, gateways, and plans that change: what a VPC's packets can and cannot do."""

from __future__ import annotations

import asyncio
import socket

from tests.contract.fabric.plans import (
    ANYBODY,
    INTERNET,
    PRIVATE_A,
    PRIVATE_B,
    PUBLIC_A,
    PUBLIC_B,
    PUBLIC_C,
    A,
    B,
    C,
    interface,
    subnet,
    vpc,
)
from tests.contract.fabric.sandboxed import ANSWER_SECONDS, FabricHarness, sandboxed
from zonal.fabric.hosts import LinuxHost
from zonal.fabric.linux.namespaces import inside
from zonal.fabric.plan import NatGatewayPlan, PlannedRoute, PlannedRule, SecurityGroupPlan
from zonal.fabric.zones import ZoneFault


async def peer_name(listener: socket.socket) -> str:
    """The address that a listener sees as its next caller's."""
    async with asyncio.timeout(ANSWER_SECONDS):
        _, address = await asyncio.get_running_loop().sock_accept(listener)
    return str(address[0])


async def outsider(harness: FabricHarness) -> LinuxHost:
    """A host in the internet."""
    return await harness.host("outsider", A, internet_address="192.0.2.64", machine_files=True)


@sandboxed
async def test_a_public_address_is_translated_one_to_one_in_both_directions(harness: FabricHarness) -> None:
    await harness.fabric.apply_vpc(vpc(interface("web", PUBLIC_A, "10.0.0.10", public="203.0.113.10")))
    web, outside = await harness.host("web", A), await outsider(harness)
    inner, outer = harness.listen(web, 80), harness.listen(outside, 80)
    assert await harness.reaches(outside, "203.0.113.10", 80)
    assert await peer_name(inner) == outside.spec.internet_address
    assert await harness.reaches(web, outside.spec.internet_address or "", 80)
    assert await peer_name(outer) == "203.0.113.10"


@sandboxed
async def test_neither_without_a_public_address_nor_without_a_route_does_anything_pass_the_internet_gateway(harness: FabricHarness) -> None:
    await harness.fabric.apply_vpc(
        vpc(
            interface("addressless", PUBLIC_A, "10.0.0.10"),
            interface("routeless", PRIVATE_A, "10.0.10.10", public="203.0.113.10"),
        )
    )
    outside = await outsider(harness)
    outer = harness.listen(outside, 80)
    address = outside.spec.internet_address or ""
    for name in ("addressless", "routeless"):
        assert await harness.is_silent(await harness.host(name, A), address, 80)
    inner = harness.listen(harness.fabric.hosts.get("routeless"), 80)  # type: ignore[arg-type]
    assert await harness.is_silent(outside, "203.0.113.10", 80)
    assert await harness.is_silent(outside, "10.0.10.10", 80)
    assert outer and inner


@sandboxed
async def test_private_hosts_reach_the_internet_through_a_nat_gateway_of_another_zone_and_cannot_be_reached(harness: FabricHarness) -> None:
    through_nat = PlannedRoute("0.0.0.0/0", "interface", "nat-1")
    private_a = subnet(PRIVATE_A.id, A, PRIVATE_A.cidr, through_nat)
    private_b = subnet(PRIVATE_B.id, B, PRIVATE_B.cidr, through_nat)
    await harness.fabric.apply_vpc(
        vpc(
            interface("near", private_b, "10.0.11.10"),
            interface("far", private_a, "10.0.10.10"),
            interface("nat", PUBLIC_B, "10.0.1.5", public="203.0.113.99"),
            subnets=(PUBLIC_A, PUBLIC_B, private_a, private_b),
            nat_gateways=(NatGatewayPlan("nat-1", "eni-nat"),),
        )
    )
    outside = await outsider(harness)
    outer = harness.listen(outside, 80)
    for name, zone in (("near", B), ("far", A)):
        assert await harness.reaches(await harness.host(name, zone), outside.spec.internet_address or "", 80), name
        assert await peer_name(outer) == "203.0.113.99"
    inner = harness.listen(harness.fabric.hosts.get("near"), 80)  # type: ignore[arg-type]
    assert await harness.is_silent(outside, "203.0.113.99", 80)
    assert await harness.reaches(harness.fabric.hosts.get("far"), "10.0.11.10", 80)  # type: ignore[arg-type]
    assert inner


@sandboxed
async def test_a_nat_gateway_in_another_zone_takes_nothing_of_the_vpcs_own_traffic(harness: FabricHarness) -> None:
    through_nat = PlannedRoute("0.0.0.0/0", "interface", "nat-1")
    private = [subnet(f"subnet-private-{zone[-1]}", zone, f"10.0.2{n}.0/24", through_nat) for n, zone in enumerate((A, B, C))]
    members = SecurityGroupPlan("sg-members", (PlannedRule("tcp", 80, 80, group_id="sg-members"),), (ANYBODY,))
    plan = vpc(
        interface("nat", PUBLIC_A, "10.0.0.5", public="203.0.113.99"),
        *(interface(f"host-{each.zone[-1]}", each, f"10.0.2{n}.10", "sg-members") for n, each in enumerate(private)),
        subnets=(PUBLIC_A, *private),
        groups=(members,),
        nat_gateways=(NatGatewayPlan("nat-1", "eni-nat"),),
    )
    await harness.fabric.apply_vpc(plan)
    hosts = [await harness.host(f"host-{each.zone[-1]}", each.zone) for each in private]
    listeners = [harness.listen(host, 80) for host in hosts]
    outside = await outsider(harness)
    outer = harness.listen(outside, 80)
    for number, sender in enumerate(hosts):
        for place, listener in enumerate(listeners):
            if sender is not hosts[place]:
                assert await harness.reaches(sender, f"10.0.2{place}.10", 80), (sender.name, hosts[place].name)
                assert await peer_name(listener) == f"10.0.2{number}.10"
        assert await harness.reaches(sender, outside.spec.internet_address or "", 80), sender.name
        assert await peer_name(outer) == "203.0.113.99"
    await harness.fabric.fail_zone(A, ZoneFault("network"))
    assert await harness.is_silent(hosts[1], outside.spec.internet_address or "", 80), "the gateway's zone is lost"
    assert await harness.reaches(hosts[1], "10.0.22.10", 80)


@sandboxed
async def test_a_firewall_host_in_another_zone_sends_on_through_a_nat_gateway_in_a_third_and_stops_everything_when_it_is_off(
    harness: FabricHarness,
) -> None:
    inspected = subnet("subnet-inspected", A, "10.0.20.0/24", PlannedRoute("0.0.0.0/0", "interface", "eni-box"))
    boxes = subnet("subnet-boxes", B, "10.0.21.0/24", PlannedRoute("0.0.0.0/0", "interface", "nat-1"))
    plan = vpc(
        interface("client", inspected, "10.0.20.10"),
        interface("box", boxes, "10.0.21.10", forwards=True),
        interface("nat", PUBLIC_C, "10.0.2.5", public="203.0.113.99"),
        subnets=(PUBLIC_C, inspected, boxes),
        nat_gateways=(NatGatewayPlan("nat-1", "eni-nat"),),
    )
    await harness.fabric.apply_vpc(plan)
    client, box, outside = await harness.host("client", A), await harness.host("box", B), await outsider(harness)
    outer = harness.listen(outside, 80)
    assert await harness.is_silent(client, outside.spec.internet_address or "", 80)
    forward(box)
    assert await harness.reaches(client, outside.spec.internet_address or "", 80)
    assert await peer_name(outer) == "203.0.113.99"
    await box.power_off()
    assert await harness.is_silent(client, outside.spec.internet_address or "", 80)
    await harness.fabric.apply_vpc(vpc(interface("client", inspected, "10.0.20.10"), subnets=(PUBLIC_C, inspected)))
    assert not [name for devices, *_ in everything(harness).values() for name in devices if name.startswith("t")]  # type: ignore[misc]


@sandboxed
async def test_a_middlebox_sees_what_is_routed_to_it(harness: FabricHarness) -> None:
    detour = PlannedRoute("10.0.11.0/24", "interface", "eni-box")
    private_a = subnet(PRIVATE_A.id, A, PRIVATE_A.cidr, detour)
    plan = vpc(
        interface("client", private_a, "10.0.10.10"),
        interface("box", PUBLIC_A, "10.0.0.10", forwards=True),
        interface("server", PRIVATE_B, "10.0.11.10"),
        subnets=(PUBLIC_A, private_a, PRIVATE_B),
    )
    await harness.fabric.apply_vpc(plan)
    client, box, server = await harness.host("client", A), await harness.host("box", A), await harness.host("server", B)
    listener = harness.listen(server, 80)
    assert await harness.is_silent(client, "10.0.11.10", 80)  # The box does not forward yet.
    forward(box)
    assert await harness.reaches(client, "10.0.11.10", 80)
    assert await peer_name(listener) == "10.0.10.10"


@sandboxed
async def test_a_change_elsewhere_in_the_vpc_leaves_open_connections_alone(harness: FabricHarness) -> None:
    first = interface("server", PUBLIC_A, "10.0.0.10")
    second = interface("client", PUBLIC_B, "10.0.1.10")
    await harness.fabric.apply_vpc(vpc(first, second))
    server, client = await harness.host("server", A), await harness.host("client", B)
    listener = harness.listen(server, 80)
    connection = await harness.connect(client, "10.0.0.10", 80)
    accepted, _ = await asyncio.get_running_loop().sock_accept(listener)
    await harness.fabric.apply_vpc(
        vpc(first, second, interface("new", PUBLIC_A, "10.0.0.30", public="203.0.113.7"), subnets=(*vpc().subnets, extra()))
    )
    await harness.host("new", A)
    await harness.fabric.apply_vpc(vpc(first, second, internet_gateway=False))
    for sender, receiver in ((connection, accepted), (accepted, connection)):
        await asyncio.get_running_loop().sock_sendall(sender, b"still here")
        async with asyncio.timeout(ANSWER_SECONDS):
            assert await asyncio.get_running_loop().sock_recv(receiver, 100) == b"still here"


@sandboxed
async def test_an_interface_and_a_secondary_address_are_plugged_into_a_running_host_and_pulled_again(harness: FabricHarness) -> None:
    first = interface("server", PUBLIC_A, "10.0.0.10")
    client = interface("client", PUBLIC_A, "10.0.0.11")
    await harness.fabric.apply_vpc(vpc(first, client))
    server, caller = await harness.host("server", A), await harness.host("client", A)
    listener = harness.listen(server, 80)
    assert await harness.is_silent(caller, "10.0.0.20", 80)
    more = interface("server", PUBLIC_A, "10.0.0.10")
    two = type(more)(more.id, more.subnet_id, more.mac, ("10.0.0.10", "10.0.0.20"), more.group_ids, more.host)
    second = type(more)("eni-second", PRIVATE_A.id, "02:00:00:00:00:77", ("10.0.10.20",), ("sg-open",), "server", device_index=1)
    await harness.fabric.apply_vpc(vpc(two, second, client))
    for address in ("10.0.0.10", "10.0.0.20", "10.0.10.20"):
        assert await harness.reaches(caller, address, 80), address
    await harness.fabric.apply_vpc(vpc(first, client))
    assert await harness.is_silent(caller, "10.0.0.20", 80)
    assert await harness.is_silent(caller, "10.0.10.20", 80)
    assert await harness.reaches(caller, "10.0.0.10", 80)
    assert listener


@sandboxed
async def test_vpcs_with_the_same_addresses_are_isolated(harness: FabricHarness) -> None:
    await harness.fabric.apply_vpc(vpc(interface("one", PUBLIC_A, "10.0.0.10"), interface("client", PUBLIC_A, "10.0.0.11"), id="vpc-one"))
    await harness.fabric.apply_vpc(vpc(interface("two", PUBLIC_A, "10.0.0.10"), interface("stranger", PUBLIC_A, "10.0.0.12"), id="vpc-two"))
    one, stranger, client = await harness.host("one", A), await harness.host("stranger", A), await harness.host("client", A)
    listener = harness.listen(one, 80)
    await harness.host("two", A)
    assert await harness.reaches(client, "10.0.0.10", 80)
    await harness.fabric.remove_vpc("vpc-two")
    await harness.fabric.remove_vpc("vpc-two")
    assert await harness.is_silent_or_fails(stranger, "10.0.0.10", 80)
    assert await harness.reaches(client, "10.0.0.10", 80)
    assert listener


@sandboxed
async def test_concurrent_callers_create_a_vpc_and_its_resolver_once(harness: FabricHarness) -> None:
    await asyncio.gather(*(harness.fabric.apply_vpc(vpc(id=id)) for id in ("vpc-one", "vpc-two") for _ in range(4)))
    harness.fabric.names.set("db.zonal.internal", private="10.0.0.10")
    await harness.fabric.apply_vpc(vpc(interface("client", PUBLIC_A, "10.0.0.11"), id="vpc-one"))
    client = await harness.host("client", A, vpc_id="vpc-one")
    assert await harness.reaches(client, "10.0.0.2", 53)
    wider = vpc(interface("client", PUBLIC_A, "10.0.0.11"), id="vpc-one", cidrs=("10.0.0.0/16", "10.1.0.0/16"))
    await asyncio.gather(*(harness.fabric.apply_vpc(wider) for _ in range(3)))
    assert await harness.reaches(client, "10.0.0.2", 53)
    for dns in (False, True, False, True):
        await harness.fabric.apply_vpc(vpc(interface("client", PUBLIC_A, "10.0.0.11"), id="vpc-one", dns=dns))
    assert await harness.reaches(client, "10.0.0.2", 53)


@sandboxed
async def test_a_vpc_that_is_removed_while_it_is_made_leaves_nothing(harness: FabricHarness) -> None:
    before = set(everything(harness))
    await asyncio.gather(harness.fabric.apply_vpc(vpc(id="vpc-one")), harness.fabric.remove_vpc("vpc-one"), harness.fabric.apply_vpc(vpc()))
    await harness.fabric.remove_vpc("vpc-test")
    assert set(everything(harness)) == before


@sandboxed
async def test_a_plan_applied_twice_changes_nothing(harness: FabricHarness) -> None:
    plan = vpc(interface("web", PUBLIC_A, "10.0.0.10", public="203.0.113.10"))
    await harness.host("web", A)
    await harness.fabric.apply_vpc(plan)
    before = everything(harness)
    await harness.fabric.apply_vpc(plan)
    assert everything(harness) == before


def everything(harness: FabricHarness) -> dict[str, object]:
    """All that the kernel says of all namespaces."""
    networks = harness.fabric._networks
    routers = {name: networks._router(name) for name in harness.fabric._keep.names()}
    return {
        name: (router.netlink.devices(), router.netlink.addresses(), router.netlink.routes(), router.netlink.rules())
        for name, router in routers.items()
    }


def extra() -> object:
    return subnet("subnet-extra", A, "10.0.50.0/24", INTERNET)


def forward(host: LinuxHost) -> None:
    """Make a host forward packets, as its owner would."""
    from pathlib import Path

    namespace = host.open_namespace()
    assert namespace is not None
    with inside(namespace):
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
