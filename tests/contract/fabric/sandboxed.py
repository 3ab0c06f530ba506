"""Tests that run inside a real sandbox, as root and as an ordinary user.

`@sandboxed` makes a pytest test of a scenario, a coroutine function that takes a `FabricHarness`. The test starts a supervisor in a process
of its own, which makes a sandbox in which this module runs the scenario as the region would run. Outside, the test waits, and fails with
what the scenario raised. Where pytest runs as root, every scenario runs twice: as root, and as a user without any rights.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from zonal.fabric import sandbox
from zonal.fabric.fabric import Fabric
from zonal.fabric.hosts import LinuxHost
from zonal.fabric.linux.namespaces import inside
from zonal.fabric.plan import HostSpec

ROOT = Path(__file__).parents[3]
NOBODY = 65534
PATIENCE_SECONDS = 120.0
ANSWER_SECONDS = 20.0
"""How long a test waits for what must come: a busy machine may take so long, and a quiet one answers in milliseconds."""
SILENCE_SECONDS = 0.4
"""How long nothing must come for a test to call it silence."""
USERS = ("root", "ordinary user") if os.geteuid() == 0 else ("ordinary user",)

Scenario = Callable[["FabricHarness"], Awaitable[None]]


class FabricHarness:
    """What a scenario stands on: a fabric, and sockets inside its hosts."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.fabric = Fabric(state)

    async def host(self, name: str, zone: str, **given: Any) -> LinuxHost:
        """A host, powered on."""
        host = self.fabric.hosts.host(HostSpec(name, zone, str(self.state / "disks" / name), **given))
        await host.power_on()
        return host

    def socket(self, where: LinuxHost, kind: int = socket.SOCK_STREAM, protocol: int = 0) -> socket.socket:
        """A socket on a host."""
        namespace = where.open_namespace()
        assert namespace is not None, f"{where.name} is off"
        try:
            with inside(namespace):
                made = socket.socket(socket.AF_INET, kind, protocol)
        finally:
            os.close(namespace)
        made.setblocking(False)
        return made

    def listen(self, where: LinuxHost, port: int) -> socket.socket:
        """A listener on every address of a host; the kernel alone takes its connections."""
        listener = self.socket(where)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("0.0.0.0", port))
        listener.listen(64)
        return listener

    async def connect(self, where: LinuxHost, address: str, port: int, *, within: float = ANSWER_SECONDS) -> socket.socket:
        """A connection from a host. Raises `TimeoutError` for silence, `ConnectionRefusedError` for a refusal."""
        connection = self.socket(where)
        try:
            async with asyncio.timeout(within):
                await asyncio.get_running_loop().sock_connect(connection, (address, port))
        except BaseException:
            connection.close()
            raise
        return connection

    async def reaches(self, where: LinuxHost, address: str, port: int) -> bool:
        """Whether a connection is established. A refusal or an error fails the test: the fabric drops packets in silence only."""
        try:
            (await self.connect(where, address, port)).close()
        except TimeoutError:
            return False
        return True

    async def is_silent(self, where: LinuxHost, address: str, port: int) -> bool:
        """Whether a connection attempt gets no answer for `SILENCE_SECONDS`. A refusal or an error fails the test."""
        try:
            (await self.connect(where, address, port, within=SILENCE_SECONDS)).close()
        except TimeoutError:
            return True
        return False

    async def is_silent_or_fails(self, where: LinuxHost, address: str, port: int) -> bool:
        """Like `is_silent`, for a host that may have no network any more."""
        try:
            return await self.is_silent(where, address, port)
        except OSError:
            return True


def sandboxed(scenario: Scenario) -> Any:
    """Make a pytest test of a scenario."""

    @pytest.mark.parametrize("user", USERS)
    def test(user: str) -> None:
        with state_directory(user) as state:
            process = start(state, user, [f"{scenario.__module__}:{scenario.__name__}"])
            output = wait(process)
            outcome = state / "outcome"
            said = outcome.read_text() if outcome.exists() else f"the scenario left no word; its sandbox printed:\n{output}"
            assert said == "passed", said

    functools.update_wrapper(test, scenario)
    del test.__wrapped__  # type: ignore[attr-defined]  # pytest would take the scenario's arguments for fixtures.
    test.scenario = scenario  # type: ignore[attr-defined]
    return test


@contextmanager
def state_directory(user: str) -> Iterator[Path]:
    """A new state directory that belongs to the user."""
    state = Path(tempfile.mkdtemp(prefix="zonal-test-"))
    try:
        if user != "root" and os.geteuid() == 0:
            os.chown(state, NOBODY, NOBODY)
        yield state
    finally:
        for process in processes_of(state):  # A test that failed half-way leaves its supervisor.
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        shutil.rmtree(state)


def start(state: Path, user: str, argv: list[str], *, program: str = "") -> subprocess.Popen[str]:
    """Start a supervisor as that user, whose region is this module with these words (or a program that is the supervisor)."""
    given: dict[str, Any] = {}
    if user != "root" and os.geteuid() == 0:
        given = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    python = interpreter(user)
    path = os.pathsep.join([str(ROOT), str(ROOT / "src"), *(each for each in sys.path if each.endswith("site-packages"))])
    command = [python, program] if program else [python, "-m", "tests.contract.fabric.sandboxed", "supervisor", str(state), *argv]
    environment = os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(command, cwd="/", env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **given)


def wait(process: subprocess.Popen[str]) -> str:
    """Wait for a supervisor's end; what it printed."""
    try:
        return process.communicate(timeout=PATIENCE_SECONDS)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0] + "\n(killed: it took too long)"


@functools.cache
def interpreter(user: str) -> str:
    """A Python of this version that the user may run: this one may be in somebody's home."""
    if user == "root" or os.geteuid() != 0:
        return sys.executable
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        try:
            if subprocess.run([candidate, "-c", ""], user=NOBODY, group=NOBODY, extra_groups=[], cwd="/", check=False).returncode == 0:
                return candidate
        except OSError:
            continue
    pytest.skip(f"no {name} on this machine can be run by an ordinary user; run the tests as one to see this variant")


def processes_of(state: Path) -> list[int]:
    """Processes of this machine that have the state directory in their command line or environment."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and int(path.name) != os.getpid():
            try:
                argv = (path / "cmdline").read_bytes() + (path / "environ").read_bytes()
            except OSError:
                continue
            if str(state).encode() in argv:
                found.append(int(path.name))
    return found


def wait_until(look: Callable[[], Any], seconds: float = 3 * ANSWER_SECONDS) -> Any:
    """The first true value of `look`."""
    deadline = time.monotonic() + seconds
    while not (value := look()):
        assert time.monotonic() < deadline, f"still {value!r} after {seconds:g} s"
        time.sleep(0.01)
    return value


def _supervise(state: Path, argv: list[str]) -> int:
    region = [sys.executable, "-m", "tests.contract.fabric.sandboxed", "region", str(state), *argv]
    return sandbox.run(state, [], region, grace_seconds=5.0)


def _region(state: Path, name: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    module, _, function = name.partition(":")
    scenario = getattr(importlib.import_module(module), function)
    try:
        asyncio.run(_play(state, getattr(scenario, "scenario", scenario)))
        outcome = "passed"
    except BaseException:
        outcome = traceback.format_exc()
    (state / "outcome").write_text(outcome)
    os._exit(0)


async def _play(state: Path, scenario: Scenario) -> None:
    harness = FabricHarness(state)
    await harness.fabric.start()
    await scenario(harness)
    await harness.fabric.stop()


if __name__ == "__main__":
    if sys.argv[1] == "supervisor":
        sys.exit(_supervise(Path(sys.argv[2]), sys.argv[3:]))
    _region(Path(sys.argv[2]), sys.argv[3])
