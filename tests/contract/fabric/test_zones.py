"""Zones that fail: silence first, then death; and what lives through it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from datetime import timedelta

import pytest

from tests.contract.fabric.plans import PUBLIC_A, PUBLIC_B, A, B, C, interface, vpc
from tests.contract.fabric.sandboxed import ANSWER_SECONDS, SILENCE_SECONDS, FabricHarness, sandboxed
from zonal.fabric.hosts import HostUnreachable, LinuxHost
from zonal.fabric.impairments import NoDelay
from zonal.fabric.management import management_network
from zonal.fabric.plan import ManagementGroup, PortRange
from zonal.fabric.zones import BadFault, UnknownZone, ZoneFault

NETWORK, POWER = ZoneFault("network"), ZoneFault("power")
PROBED = ManagementGroup("pair", probe_ports=(PortRange("tcp", 9000, 9000),))
MANAGED_A, MANAGED_B = (str(management_network(zone)[20]) for zone in (A, B))


async def pair(harness: FabricHarness) -> tuple[LinuxHost, LinuxHost, socket.socket]:
    """A server in the first zone, listening, and a client in the second."""
    await harness.fabric.apply_vpc(vpc(interface("server", PUBLIC_A, "10.0.0.10"), interface("client", PUBLIC_B, "10.0.1.10")))
    server = await harness.host("server", A, management_address=MANAGED_A, management_group=PROBED)
    client = await harness.host("client", B, management_address=MANAGED_B, management_group=PROBED)
    return server, client, harness.listen(server, 80)


@sandboxed
async def test_a_cut_zone_is_silent_and_its_connections_survive_a_short_cut(harness: FabricHarness) -> None:
    _, client, listener = await pair(harness)
    connection = await harness.connect(client, "10.0.0.10", 80)
    accepted, _ = await asyncio.get_running_loop().sock_accept(listener)
    await harness.fabric.fail_zone(A, NETWORK)
    assert await harness.is_silent(client, "10.0.0.10", 80)
    await asyncio.get_running_loop().sock_sendall(connection, b"are you there")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await asyncio.get_running_loop().sock_recv(accepted, 100)
    await harness.fabric.recover_zone(A)
    async with asyncio.timeout(ANSWER_SECONDS):  # TCP tries again by itself.
        assert await asyncio.get_running_loop().sock_recv(accepted, 100) == b"are you there"


@sandboxed
async def test_a_zone_that_loses_power_falls_silent_before_its_hosts_die(harness: FabricHarness) -> None:
    server, client, listener = await pair(harness)
    connection = await harness.connect(client, "10.0.0.10", 80)
    await harness.fabric.fail_zone("use1-az1", POWER)
    listener.close()  # The test's own hold on the namespace.
    assert not server.is_on
    assert client.is_on
    with pytest.raises(TimeoutError):  # Neither an end nor a reset was heard.
        async with asyncio.timeout(0.5):
            await asyncio.get_running_loop().sock_recv(connection, 100)
    with pytest.raises(HostUnreachable):
        await server.power_on()
    await harness.fabric.recover_zone(A)
    assert await harness.is_silent(client, "10.0.0.10", 80)
    await server.power_on()
    listener = harness.listen(server, 80)
    assert await harness.reaches(client, "10.0.0.10", 80)
    assert listener


@sandboxed
async def test_a_host_in_a_cut_zone_keeps_running_and_cannot_be_controlled(harness: FabricHarness) -> None:
    server, client, _ = await pair(harness)
    await harness.fabric.fail_zone(A, NETWORK)
    for act in (
        server.power_on,
        server.power_off,
        lambda: server.is_running("x"),
        lambda: server.run(("true",), within=timedelta(seconds=1)),
    ):
        with pytest.raises(HostUnreachable):
            await act()
    assert server.is_on
    assert (await client.run(("true",), within=timedelta(seconds=ANSWER_SECONDS))).returncode == 0


@sandboxed
async def test_a_host_that_is_powered_off_is_silent_too(harness: FabricHarness) -> None:
    server, client, listener = await pair(harness)
    connection = await harness.connect(client, "10.0.0.10", 80)
    await server.power_off()
    listener.close()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await asyncio.get_running_loop().sock_recv(connection, 100)
    assert await harness.is_silent(client, "10.0.0.10", 80)


@sandboxed
async def test_the_monitoring_host_of_a_cut_zone_reaches_its_own_zone_only(harness: FabricHarness) -> None:
    server, client, _ = await pair(harness)
    listening = [harness.listen(host, 9000) for host in (server, client)]

    async def sees(zone: str, address: str, within: float = ANSWER_SECONDS) -> bool:
        def look() -> bool:
            try:
                socket.create_connection((address, 9000), within).close()
            except TimeoutError:
                return False
            return True

        return await harness.fabric.monitors.probe(zone, look, within=timedelta(seconds=within + 5))

    assert all([await sees(zone, address) for zone in (A, B, C) for address in (MANAGED_A, MANAGED_B)])
    await harness.fabric.fail_zone(A, NETWORK)
    assert await sees(A, MANAGED_A) and not await sees(A, MANAGED_B, SILENCE_SECONDS)
    assert await sees(C, MANAGED_B) and not await sees(C, MANAGED_A, SILENCE_SECONDS)
    await harness.fabric.recover_zone(A)
    assert await sees(C, MANAGED_A)
    assert len(listening) == 2


@sandboxed
async def test_a_probe_that_hangs_is_abandoned_and_does_not_delay_the_next_one(harness: FabricHarness) -> None:
    import time

    with pytest.raises(TimeoutError):
        await harness.fabric.monitors.probe(A, lambda: time.sleep(30 * ANSWER_SECONDS), within=timedelta(seconds=0.05))
    assert await harness.fabric.monitors.probe(A, lambda: "seen", within=timedelta(seconds=ANSWER_SECONDS)) == "seen"
    with pytest.raises(ZeroDivisionError):
        await harness.fabric.monitors.probe(A, lambda: 1 // 0, within=timedelta(seconds=ANSWER_SECONDS))


@sandboxed
async def test_a_zone_fault_applies_to_a_vpc_that_is_created_later(harness: FabricHarness) -> None:
    await harness.fabric.fail_zone(A, NETWORK)
    await harness.fabric.apply_vpc(
        vpc(
            interface("client", PUBLIC_B, "10.0.1.10"),
            interface("other", PUBLIC_B, "10.0.1.11"),
            interface("server", PUBLIC_A, "10.0.0.10"),
        )
    )
    client, other = await harness.host("client", B), await harness.host("other", B)
    await harness.fabric.recover_zone(A)
    server = await harness.host("server", A)
    listening = harness.listen(server, 80), harness.listen(other, 80)
    await harness.fabric.fail_zone(A, NETWORK)
    await harness.fabric.remove_vpc("vpc-unknown")
    assert await harness.reaches(client, "10.0.1.11", 80)
    assert await harness.is_silent(client, "10.0.0.10", 80)
    assert len(listening) == 2


@sandboxed
async def test_a_lossy_zone_loses_the_given_share_of_packets(harness: FabricHarness) -> None:
    server, client, _ = await pair(harness)
    ear, mouth = (harness.socket(host, socket.SOCK_DGRAM) for host in (server, client))
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    ear.bind(("0.0.0.0", 9000))
    await harness.fabric.fail_zone(A, ZoneFault("loss", 30))
    for _ in range(1000):
        mouth.sendto(b"x", ("10.0.0.10", 9000))
        await asyncio.sleep(0)
    await asyncio.sleep(0.1)
    heard = 0
    while True:
        try:
            ear.recv(10)
        except BlockingIOError:
            break
        heard += 1
    assert 600 < heard < 800
    assert await server.is_running("x") is False  # A lossy zone can be acted on.


@sandboxed
async def test_a_delay_is_in_force_or_refused_with_what_is_missing_and_nothing_is_changed(harness: FabricHarness) -> None:
    server, client, _ = await pair(harness)
    try:
        await harness.fabric.fail_zone(A, ZoneFault("delay", 50))
    except NoDelay as error:
        assert "CONFIG_NET_SCH_NETEM" in str(error)
        assert harness.fabric.zones.fault(A) is None
        assert await harness.reaches(client, "10.0.0.10", 80)
    else:
        started = asyncio.get_running_loop().time()
        assert await harness.reaches(client, "10.0.0.10", 80)
        assert asyncio.get_running_loop().time() - started >= 0.05
    for wrong in (ZoneFault("loss", 0), ZoneFault("loss", 101), ZoneFault("delay", 0), ZoneFault("flood")):
        with pytest.raises(BadFault):
            await harness.fabric.fail_zone(A, wrong)
    with pytest.raises(UnknownZone):
        await harness.fabric.fail_zone("us-east-1z", NETWORK)
    assert server.is_on


@sandboxed
async def test_a_recorded_fault_is_in_force_in_every_network_when_a_killed_region_restarts(harness: FabricHarness) -> None:
    again = harness.state / "again"
    if not again.exists():
        server, client, listener = await pair(harness)
        again.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    await harness.fabric.fail_zone(A, NETWORK)  # Before any plan is known again.
    client, server = harness.fabric.hosts.get("client"), harness.fabric.hosts.get("server")
    assert client is not None and server is not None
    listener = harness.listen(server, 80)
    assert await harness.is_silent(client, "10.0.0.10", 80)
    await harness.fabric.recover_zone(A)
    assert await harness.reaches(client, "10.0.0.10", 80)
    assert listener
