"""Hosts: what runs on them, what it sees, and what a killed region finds again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from tests.contract.fabric.plans import PUBLIC_A, A, interface, vpc
from tests.contract.fabric.sandboxed import FabricHarness, sandboxed
from zonal.fabric.hosts import HostFailed, HostUnreachable, LinuxHost
from zonal.fabric.linux.processes import mark
from zonal.fabric.plan import HostSpec, ProcessSpec

SECONDS = timedelta(seconds=5)


async def shell(host: LinuxHost, command: str) -> str:
    """What a shell command on a host prints."""
    done = await host.run(("/bin/sh", "-c", command), within=SECONDS)
    assert done.returncode == 0, done
    return done.stdout.decode().strip()


def sleeper(harness: FabricHarness, name: str = "sleeper") -> ProcessSpec:
    return ProcessSpec(name, ("/bin/sleep", "1000"), str(harness.state / "log"))


@sandboxed
async def test_a_program_is_an_ordinary_user_with_a_name_a_directory_and_a_process_table_of_its_own(harness: FabricHarness) -> None:
    host = await harness.host("db-orders-a", A)
    assert await shell(host, "id -u; id -g") == "1000\n1000"
    assert await shell(host, "hostname; cat /etc/hostname") == "db-orders-a\ndb-orders-a"
    assert await shell(host, "pwd; touch kept; ls") == f"{host.directory}\nkept"
    assert await shell(host, "tr '\\0' ' ' < /proc/1/cmdline | cut -c1-4") == "init"
    assert int(await shell(host, "ls -d /proc/[0-9]* | wc -l")) < 10
    assert (host.directory / "kept").exists()
    assert host.directory.stat().st_mode & 0o777 == 0o700


@sandboxed
async def test_a_host_sees_the_machine_read_only_and_nothing_of_the_regions_state_but_its_own(harness: FabricHarness) -> None:
    engine = harness.state / "engines" / "postgres"
    engine.mkdir(parents=True)
    (engine / "binary").write_text("here")
    (harness.state / "store.sqlite").write_text("secret")
    host = await harness.host("host", A, readable=(str(engine),))
    other = await harness.host("other", A)
    assert await shell(host, f"cat {engine}/binary") == "here"
    assert "Read-only" in await shell(host, f"touch {engine}/more 2>&1 || true")
    assert "Read-only" in await shell(host, "touch /usr/more 2>&1 || true")
    assert "No such file" in await shell(host, f"cat {harness.state}/store.sqlite 2>&1 || true")
    assert "No such file" in await shell(host, f"ls {other.directory} 2>&1 || true")
    await shell(host, "echo mine > /tmp/zonal-test-file; echo mine > /dev/shm/zonal-test-file")
    assert await shell(other, "ls /tmp /dev/shm | grep -c zonal-test-file || true") == "0"


@sandboxed
async def test_a_program_is_started_once_signalled_and_found_gone(harness: FabricHarness) -> None:
    host = await harness.host("host", A)
    await host.start(sleeper(harness))
    first = host._find("sleeper")
    await host.start(sleeper(harness))
    assert host._find("sleeper") == first
    assert await host.is_running("sleeper")
    assert not await host.wait_until_gone("sleeper", timedelta(seconds=0.05))
    await host.signal("sleeper", signal.SIGTERM)
    assert await host.wait_until_gone("sleeper", SECONDS)
    assert not await host.is_running("sleeper")
    await host.signal("sleeper", signal.SIGTERM)
    await host.start(sleeper(harness))
    assert await host.is_running("sleeper")


@sandboxed
async def test_a_host_whose_program_ends_at_once_can_be_powered_off(harness: FabricHarness) -> None:
    host = await harness.host("db-orders-a", A)
    for number in range(20):
        await host.start(ProcessSpec(f"brief-{number}", ("/bin/true",), str(harness.state / "log"), privileged=True))
    await host.power_off()
    assert not host.is_on


@sandboxed
async def test_the_output_of_a_program_is_appended_to_its_log(harness: FabricHarness) -> None:
    host = await harness.host("host", A)
    log = harness.state / "program.log"
    for word in ("one", "two"):
        await host.start(ProcessSpec(word, ("/bin/sh", "-c", f"echo {word} $GIVEN"), str(log), environment=(("GIVEN", "given"),)))
        assert await host.wait_until_gone(word, SECONDS)
    assert log.read_text() == "one given\ntwo given\n"


@sandboxed
async def test_a_program_is_run_to_its_end_or_to_its_time(harness: FabricHarness) -> None:
    host = await harness.host("host", A)
    done = await host.run(("/bin/sh", "-c", "cat; echo $X >&2; exit 3"), within=SECONDS, environment=(("X", "x"),), input=b"in")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"in", b"x\n")
    done = await host.run(("/bin/sh", "-c", "echo first; sleep 1000 & sleep 1000"), within=timedelta(seconds=0.3))
    assert (done.returncode, done.stdout) == (-9, b"first\n")
    with pytest.raises(HostFailed):
        await host.start(ProcessSpec("missing", ("zonal-has-no-such-program",), str(harness.state / "log"), privileged=True))


@sandboxed
async def test_power_off_kills_everything_and_the_disk_survives(harness: FabricHarness) -> None:
    host = await harness.host("host", A)
    await host.power_on()
    await shell(host, "echo kept > file")
    await host.start(ProcessSpec("forker", ("/bin/sh", "-c", "setsid sleep 1000 & setsid sleep 1000"), str(harness.state / "log")))
    namespace = _pid_namespace(Path(f"/proc/{host.init.pid}"))
    await host.power_off()
    assert _processes_in(namespace) == []
    with pytest.raises(HostUnreachable):
        await host.is_running("forker")
    await host.power_off()
    await host.power_on()
    assert not await host.is_running("forker")
    assert await shell(host, "cat file") == "kept"


@sandboxed
async def test_a_region_that_is_killed_finds_its_hosts_and_programs_again(harness: FabricHarness) -> None:
    noted = harness.state / "noted"
    plan = vpc(interface("host", PUBLIC_A, "10.0.0.10"), interface("client", PUBLIC_A, "10.0.0.11"))
    await harness.fabric.apply_vpc(plan)
    if not noted.exists():
        host = await harness.host("host", A, readable=(sys.prefix,))  # This Python may lie below a place that hosts have of their own.
        await harness.host("client", A)
        program = "import socket,time; s=socket.socket(); s.bind(('0.0.0.0',80)); s.listen(); time.sleep(1000)"
        await host.start(ProcessSpec("server", (sys.executable, "-S", "-c", program), str(harness.state / "log")))
        await host.start(sleeper(harness, "unrecorded"))
        (host._records / "unrecorded.process").write_bytes(b'{"pid":0,"began":0}')  # As if killed before it was recorded.
        noted.write_bytes(msgspec.json.encode([host.init, host._find("server")]))
        os.kill(os.getpid(), signal.SIGKILL)
    host, client = harness.fabric.hosts.get("host"), harness.fabric.hosts.get("client")
    assert host is not None and client is not None and client.is_on
    assert msgspec.json.decode(noted.read_bytes()) == msgspec.to_builtins([host.init, host._find("server")])
    assert await host.is_running("server"), (harness.state / "log").read_text()
    assert await host.is_running("unrecorded")
    assert await harness.reaches(client, "10.0.0.10", 80)
    await host.signal("unrecorded", signal.SIGKILL)
    assert await host.wait_until_gone("unrecorded", SECONDS)
    await host.power_off()
    assert not host.is_on


@sandboxed
async def test_a_reused_pid_is_not_taken_for_the_process_that_had_it_before(harness: FabricHarness) -> None:
    host = await harness.host("host", A)
    await host.start(sleeper(harness))
    found = host._find("sleeper")
    (host._records / "sleeper.process").write_bytes(msgspec.json.encode({"pid": found.pid, "began": found.began + 1}))
    assert not await host.is_running("sleeper")
    await host.signal("sleeper", signal.SIGKILL)
    assert mark(found.pid) == found


@sandboxed
async def test_a_removed_host_can_be_created_again(harness: FabricHarness) -> None:
    host = await harness.host("host", A)
    await asyncio.gather(harness.fabric.hosts.remove("host"), harness.fabric.hosts.remove("host"))
    await harness.fabric.hosts.remove("host")
    assert harness.fabric.hosts.get("host") is None and not host.is_on
    assert (await harness.host("host", A)).is_on
    with pytest.raises(HostFailed):
        harness.fabric.hosts.host(HostSpec("../escape", A, "/tmp/x"))


@sandboxed
async def test_a_host_that_is_powered_on_by_several_callers_and_with_changed_specs_at_once_is_powered_on_once(
    harness: FabricHarness,
) -> None:
    specs = [HostSpec("host", A, str(harness.state / "disk"), readable=readable) for readable in ((), ("/usr",), ("/usr", "/etc"), ())]
    hosts = [harness.fabric.hosts.host(spec) for spec in specs]
    await asyncio.gather(*(host.power_on() for host in hosts))
    assert len({_pid_namespace(each) for each in _processes_with(b"ZONAL_PROCESS=host/.init")}) == 1


@sandboxed
async def test_a_host_that_is_removed_while_it_is_powered_on_is_not_on_afterwards(harness: FabricHarness) -> None:
    host = harness.fabric.hosts.host(HostSpec("host", A, str(harness.state / "disk")))
    first = asyncio.create_task(host.power_on())
    await asyncio.sleep(0)
    removed, late = asyncio.create_task(harness.fabric.hosts.remove("host")), asyncio.create_task(host.power_on())
    await asyncio.gather(first, removed)
    with pytest.raises(HostFailed, match="removed"):
        await late
    assert not host.is_on and harness.fabric.hosts.get("host") is None


def _processes_with(variable: bytes) -> list[Path]:
    """The processes that have this variable in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if variable in (process / "environ").read_bytes().split(b"\0"):
                found.append(process)
        except OSError:
            continue
    return found


def _processes_in(namespace: str) -> list[str]:
    return [each.name for each in Path("/proc").glob("[0-9]*") if _pid_namespace(each) == namespace]


def _pid_namespace(process: Path) -> str:
    try:
        return str((process / "ns" / "pid").readlink())
    except OSError:
        return ""


@sandboxed
async def test_a_hosts_init_survives_its_own_output(harness: FabricHarness) -> None:
    host = await harness.host("host", A)

    def outputs() -> list[str]:
        return [os.readlink(f"/proc/{host.init.pid}/fd/{number}") for number in (0, 1, 2)]  # noqa: PTH115

    async with asyncio.timeout(60):
        while outputs() != ["/dev/null"] * 3:  # noqa: ASYNC110 (the init redirects its output after it reported that it runs)
            await asyncio.sleep(0.01)
