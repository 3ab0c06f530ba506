"""The management network by attempt: hosts of one deployment and the monitoring hosts get through on the planned ports, nobody else."""

from __future__ import annotations

import socket
import struct
from datetime import timedelta

from tests.contract.fabric.plans import PUBLIC_A, PUBLIC_B, A, B, C, interface, vpc
from tests.contract.fabric.sandboxed import ANSWER_SECONDS, SILENCE_SECONDS, FabricHarness, sandboxed
from tests.contract.fabric.test_firewall import answers_ping
from zonal.fabric.hosts import LinuxHost
from zonal.fabric.management import management_network, monitor_address
from zonal.fabric.plan import ManagementGroup, PortRange

PORT = 5432
PORTS = (PortRange("tcp", PORT, PORT),)
ORDERS = ManagementGroup("orders", peer_ports=PORTS, probe_ports=PORTS)
INVOICES = ManagementGroup("invoices", peer_ports=PORTS, probe_ports=PORTS)
OTHER_PORTS = (22, 80, 5433, 9000)


def address(zone: str, place: int) -> str:
    return str(management_network(zone)[place])


async def two_deployments(harness: FabricHarness) -> tuple[LinuxHost, LinuxHost, LinuxHost, LinuxHost]:
    """A primary and a standby of two deployments each, in the first two zones; all four are also in one VPC."""
    names = (("orders-1", A, 20, ORDERS), ("orders-2", B, 20, ORDERS), ("invoices-1", A, 21, INVOICES), ("invoices-2", B, 21, INVOICES))
    subnets = {A: PUBLIC_A, B: PUBLIC_B}
    await harness.fabric.apply_vpc(
        vpc(*(interface(name, subnets[zone], f"10.0.{(A, B).index(zone)}.{place}") for name, zone, place, _ in names))
    )
    found = [
        await harness.host(name, zone, management_address=address(zone, place), management_group=group, vpc_id="vpc-test")
        for name, zone, place, group in names
    ]
    return found[0], found[1], found[2], found[3]


async def probed(harness: FabricHarness, zone: str, target: str, port: int = PORT, *, within: float = ANSWER_SECONDS) -> str:
    """What a monitoring host learns of a port: `open`, `refused` or `silent`."""

    def look() -> str:
        try:
            socket.create_connection((target, port), within).close()
        except ConnectionRefusedError:
            return "refused"
        except TimeoutError:
            return "silent"
        return "open"

    return await harness.fabric.monitors.probe(zone, look, within=timedelta(seconds=within + 5))


@sandboxed
async def test_the_nodes_of_one_deployment_reach_each_other_on_their_replication_port_and_nothing_else_of_each_other(
    harness: FabricHarness,
) -> None:
    first, second, _, _ = await two_deployments(harness)
    listening = [harness.listen(host, port) for host in (first, second) for port in (PORT, *OTHER_PORTS)]
    assert await harness.reaches(first, second.management_address, PORT)
    assert await harness.reaches(second, first.management_address, PORT)
    for port in OTHER_PORTS:
        assert await harness.is_silent(first, second.management_address, port), port
    assert not await answers_ping(harness, first, second.management_address, within=SILENCE_SECONDS)
    assert listening


@sandboxed
async def test_no_node_reaches_a_node_of_another_deployment_in_its_own_zone_or_another(harness: FabricHarness) -> None:
    first, second, *others = await two_deployments(harness)
    listening = [harness.listen(host, port) for host in (first, second, *others) for port in (PORT, *OTHER_PORTS)]
    for sender in (first, second):
        for other in others:
            for port in (PORT, *OTHER_PORTS):
                assert await harness.is_silent(sender, other.management_address, port), (sender.name, other.name, port)
            assert not await answers_ping(harness, sender, other.management_address, within=SILENCE_SECONDS)
            assert not await hears_datagram(harness, sender, other)
    assert listening


async def hears_datagram(harness: FabricHarness, sender: LinuxHost, receiver: LinuxHost) -> bool:
    """Whether a datagram arrives whose source port is the replication port and whose source address is that of the receiver's own peer."""
    with harness.socket(receiver, socket.SOCK_DGRAM) as ear, harness.socket(sender, socket.SOCK_RAW, socket.IPPROTO_RAW) as mouth:
        ear.bind(("0.0.0.0", PORT))
        ear.setblocking(True)
        ear.settimeout(0.3)
        for source in (sender.management_address, receiver.management_address[:-1] + "9", monitor_address(A)):
            udp = struct.pack("!HHHH", PORT, PORT, 12, 0) + b"news"
            addresses = socket.inet_aton(source) + socket.inet_aton(receiver.management_address)
            mouth.sendto(
                struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0) + addresses + udp, (receiver.management_address, 0)
            )
            try:
                ear.recv(100)
            except TimeoutError:
                continue
            return True
    return False


@sandboxed
async def test_monitoring_hosts_reach_every_node_on_its_port_and_get_refusals_and_echoes(harness: FabricHarness) -> None:
    first, second, third, _ = await two_deployments(harness)
    listening = [harness.listen(host, port) for host in (first, second) for port in (PORT, *OTHER_PORTS)]
    for zone in (A, B, C):
        assert await probed(harness, zone, first.management_address) == "open"
        assert await probed(harness, zone, second.management_address) == "open"
        assert await probed(harness, zone, third.management_address) == "refused", "its host answers, its engine is not there"
        assert await probed(harness, zone, first.management_address, 9000, within=SILENCE_SECONDS) == "silent"
        for other in (A, B, C):
            assert await probed(harness, zone, monitor_address(other), 7) == "refused", "monitoring hosts hear each other"
    assert listening


@sandboxed
async def test_only_monitoring_hosts_reach_a_monitoring_host_and_none_reaches_a_router(harness: FabricHarness) -> None:
    first, *_ = await two_deployments(harness)
    stranger = await harness.host("stranger", A, management_address=address(A, 30))
    command = await harness.host("command", A, internet_address="192.0.2.64", machine_files=True)
    monitor = harness.fabric._networks.namespace("monitor@us-east-1a")
    from zonal.fabric.linux.namespaces import inside

    with inside(monitor):
        listener = socket.create_server(("0.0.0.0", PORT))
    for host in (first, stranger):
        for target in (monitor_address(A), monitor_address(B), str(management_network(A)[1]), "100.64.0.0", "169.254.169.254"):
            for port in (53, 80, PORT):
                assert await harness.is_silent_or_fails(host, target, port), (host.name, target, port)
        assert not await answers_ping(harness, host, monitor_address(A), within=SILENCE_SECONDS)
    assert await harness.is_silent_or_fails(stranger, first.management_address, PORT), "a host without a group"
    assert await harness.is_silent_or_fails(command, first.management_address, PORT)
    assert await probed(harness, B, stranger.management_address, within=SILENCE_SECONDS) == "silent"
    listener.close()


@sandboxed
async def test_a_deployment_that_changes_its_port_is_reached_on_the_new_one_only(harness: FabricHarness) -> None:
    first, second, _, _ = await two_deployments(harness)
    moved = (PortRange("tcp", 6000, 6010),)
    group = ManagementGroup("orders", peer_ports=moved, probe_ports=moved)
    for host in (first, second):
        await harness.host(host.name, host.zone, management_address=host.management_address, management_group=group, vpc_id="vpc-test")
    listening = [harness.listen(second, port) for port in (PORT, 6000, 6010, 6011)]
    for port in (6000, 6010):
        assert await harness.reaches(first, second.management_address, port), port
    for port in (PORT, 6011):
        assert await harness.is_silent(first, second.management_address, port), port
    assert listening


@sandboxed
async def test_a_host_sees_neither_the_loopback_device_of_the_machine_nor_that_of_the_region(harness: FabricHarness) -> None:
    first, *_ = await two_deployments(harness)
    with socket.create_server(("127.0.0.1", 0)) as of_the_region:
        try:
            is_unreached = await harness.is_silent(first, "127.0.0.1", of_the_region.getsockname()[1])
        except ConnectionRefusedError:
            is_unreached = True
    assert is_unreached
