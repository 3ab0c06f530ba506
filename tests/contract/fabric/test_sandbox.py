"""The sandbox from outside: it ends whole, restarts its region, hands down listeners, and lets commands in."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.contract.fabric.plans import PUBLIC_A, A, interface, vpc
from tests.contract.fabric.sandboxed import (
    ANSWER_SECONDS,
    NOBODY,
    USERS,
    FabricHarness,
    processes_of,
    start,
    state_directory,
    wait,
    wait_until,
)
from zonal.fabric import sandbox
from zonal.fabric.nsenter import INIT_VARIABLE, enter_argv

HERE = "tests.contract.fabric.test_sandbox"
pytestmark = pytest.mark.parametrize("user", USERS)


async def stays(harness: FabricHarness) -> None:
    """A region with a host, that says how it can be entered, and stays."""
    await harness.fabric.apply_vpc(
        vpc(interface("inside", PUBLIC_A, "10.0.0.10"), interface("web", PUBLIC_A, "10.0.0.20", public="203.0.113.20"))
    )
    host = await harness.host("inside", A, vpc_id="vpc-test", machine_files=True)
    web = await harness.host("web", A)
    server = await asyncio.start_server(_serve, sock=harness.listen(web, 8080))
    harness.fabric.names.set("web.zonal.internal", private="10.0.0.20", public="203.0.113.20")
    address = await harness.fabric.expose("203.0.113.20", 8080)
    outside = await harness.host("outside", A, internet_address="192.0.2.64", machine_files=True)
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)  # Before the test learns that it may send one.
    (harness.state / "entry").write_text(f"{os.environ[INIT_VARIABLE]} {host.init.pid} {outside.init.pid} {address} {os.getpid()}")
    sandbox.report_ready()
    await told.wait()
    (harness.state / "stopped").write_text("in order")
    server.close()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    await writer.drain()
    writer.close()


def entry(state: Path) -> list[str]:
    return wait_until(lambda: (state / "entry").exists() and (state / "entry").read_text().split())


def nothing_is_left(state: Path) -> None:
    wait_until(lambda: not processes_of(state))
    assert str(state) not in Path("/proc/self/mounts").read_text()
    wait_until(lambda: sandbox.init_pid(state) is None)  # Taking a sandbox's namespaces down takes its init a moment.
    assert list((state / "run").iterdir()) == []


def network_of_this_machine() -> list[str]:
    return [Path(f"/proc/net/{name}").read_text() for name in ("route", "if_inet6")] + sorted(map(str, Path("/sys/class/net").iterdir()))


def test_stop_lets_the_region_end_in_order_and_leaves_nothing(user: str) -> None:
    before = network_of_this_machine()
    with state_directory(user) as state:
        process = start(state, user, [f"{HERE}:stays"])
        entry(state)
        assert network_of_this_machine() == before
        process.send_signal(signal.SIGTERM)
        output = wait(process)
        assert process.returncode == 0, output
        assert (state / "stopped").read_text() == "in order"
        nothing_is_left(state)
        assert not (state / "broker.sock").exists()


def test_the_end_of_the_supervisor_is_the_end_of_everything(user: str) -> None:
    with state_directory(user) as state:
        process = start(state, user, [f"{HERE}:stays"])
        entry(state)
        assert len(processes_of(state)) > 3
        process.kill()
        wait(process)
        nothing_is_left(state)


def test_the_end_of_init_is_the_end_of_everything(user: str) -> None:
    with state_directory(user) as state:
        process = start(state, user, [f"{HERE}:stays"])
        entry(state)
        pid = sandbox.init_pid(state)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait(process)
        assert process.returncode == 128 + signal.SIGKILL
        nothing_is_left(state)


def test_a_second_region_on_the_same_state_is_refused(user: str) -> None:
    with state_directory(user) as state:
        process = start(state, user, [f"{HERE}:stays"])
        entry(state)
        second = start(state, user, [f"{HERE}:stays"])
        assert "AlreadyRunning" in wait(second)
        assert second.returncode == 1
        process.terminate()
        wait(process)


def test_a_command_of_this_machine_runs_inside_with_its_streams_status_and_directory(user: str) -> None:
    with state_directory(user) as state:
        process = start(state, user, [f"{HERE}:stays"])
        init, inside, outside, _, _ = entry(state)

        python = str(process.args[0])  # type: ignore[index]

        def run(target: str, *whole_argv: str, **given: object) -> subprocess.CompletedProcess[bytes]:
            argv = [*enter_argv(int(init), int(target), rootless=user != "root", directory=str(state), python=python), *whole_argv]
            return subprocess.run(argv, capture_output=True, check=False, cwd="/", **(_as(user) | given))  # type: ignore[call-overload]

        done = run(inside, "/bin/sh", "-c", "cat; pwd; echo wrong >&2; exit 7", input=b"in\n")
        assert (done.returncode, done.stdout, done.stderr) == (7, f"in\n{state}\n".encode(), b"wrong\n")
        done = run(inside, "/bin/sh", "-c", f"echo written > {state}/file; ls {state}/entry")
        assert (done.returncode, (state / "file").read_text()) == (0, "written\n"), done
        program = "import socket; print(socket.gethostbyname('web.zonal.internal'))"
        assert run(inside, python, "-S", "-c", program).stdout == b"10.0.0.20\n"
        assert run(outside, python, "-S", "-c", program).stdout == b"203.0.113.20\n"
        process.terminate()
        wait(process)
        nothing_is_left(state)


def test_a_public_endpoint_is_served_on_loopback_and_goes_on_while_the_region_is_killed(user: str) -> None:
    with state_directory(user) as state:
        process = start(state, user, [f"{HERE}:stays"])
        init, _, _, address, _ = entry(state)
        assert fetch(address) == b"hello"
        forwarders = _forwarders(state)
        assert len(forwarders) == 1
        (state / "entry").unlink()
        os.kill(_region_of(int(init)), signal.SIGKILL)
        again = entry(state)
        assert again[0] == init and again[3] == address
        assert _forwarders(state) == forwarders
        wait_until(lambda: fetch(address) == b"hello")
        process.terminate()
        wait(process)
        nothing_is_left(state)


def test_listeners_are_handed_down_and_the_supervisor_hears_that_the_region_serves(user: str) -> None:
    program = (
        "import asyncio, os, sys; from zonal.fabric import sandbox\n"
        "async def main():\n"
        "    (listener,) = sandbox.inherited_listeners()\n"
        "    async def serve(reader, writer): writer.write(b'from inside'); writer.close()\n"
        "    await asyncio.start_server(serve, sock=listener); sandbox.report_ready(); await asyncio.sleep(1000)\n"
        "asyncio.run(main())"
    )
    with state_directory(user) as state:
        (state / "supervisor.py").write_text(
            "import socket, sys\nfrom pathlib import Path\nfrom zonal.fabric import sandbox\n"
            "listener = socket.create_server(('127.0.0.1', 0))\n"
            f"ready = lambda: Path({str(state / 'ready')!r}).write_text(str(listener.getsockname()[1]))\n"
            f"sys.exit(sandbox.run(Path({str(state)!r}), [listener], [sys.executable, '-c', {program!r}], on_ready=ready))\n"
        )
        process = start(state, user, [], program=str(state / "supervisor.py"))
        wait_until(lambda: (state / "ready").exists() and (state / "ready").read_text())
        with socket.create_connection(("127.0.0.1", int((state / "ready").read_text()))) as connection:
            assert connection.recv(100) == b"from inside"
        assert _memory_kilobytes(sandbox.init_pid(state) or 0) < 12_000
        process.terminate()
        wait(process)
        nothing_is_left(state)


def fetch(address: str) -> bytes:
    try:
        with urllib.request.urlopen(f"http://{address}:8080/", timeout=ANSWER_SECONDS) as answer:
            content: bytes = answer.read()
            return content
    except OSError:
        return b""


def _as(user: str) -> dict[str, object]:
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if user != "root" and os.geteuid() == 0 else {}


def _forwarders(state: Path) -> list[int]:
    return [pid for pid in processes_of(state) if b"fabric.forwarder" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def _region_of(init: int) -> int:
    """The host's number of the region process: the child of init that runs `stays`."""
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                argv = (path / "cmdline").read_bytes()
            except OSError:
                continue
            if parent == init and b":stays" in argv:
                return int(path.name)
    raise AssertionError("the region does not run")


def _memory_kilobytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS")))
