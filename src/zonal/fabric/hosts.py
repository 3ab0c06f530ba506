"""Hosts on Linux namespaces: powered on and off, and running programs.

A host is a set of namespaces (network, processes, mounts, name, IPC) held by a small init, process 1 inside. Power on: a thread creates the
namespaces, builds the view of the machine's files (`rootfs`), starts the init in them and ends; then the interfaces are connected. Start of
a program: a thread enters the namespaces and spawns it, by default in a further user namespace as uid 1000. Power off: the interfaces are
switched off first, so that no peer receives the end of a connection; then init gets SIGKILL, and the kernel ends every process of the host.

Programs keep running when the region is killed. The next region finds them by records on the sandbox's tmpfs, which end with the sandbox as
the programs do. A record is written before a program is started and completed afterwards; a program with an incomplete record is found by
its environment.

A host in a lost zone cannot be controlled: every method raises `HostUnreachable`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import msgspec

from zonal.fabric import rootfs
from zonal.fabric.host_interface import HostUnreachable as HostUnreachable
from zonal.fabric.linux import syscalls
from zonal.fabric.linux.namespaces import set_kernel_variable
from zonal.fabric.linux.netlink import Netlink, NetlinkBatch, set_up
from zonal.fabric.linux.processes import ProcessMark, collect, find, find_with_descendants, mark, spawn
from zonal.fabric.linux.threads import in_own_thread
from zonal.fabric.plan import Completed, HostSpec, ProcessSpec
from zonal.fabric.zones import Zones
from zonal.foundation.errors import ZonalError, describe
from zonal.foundation.log_files import open_log

# The shell's output is discarded: a closed pipe would kill the shell, and the host would end with it.
INIT = "mount -t proc proc /proc && echo up && exec >/dev/null 2>&1 && while :; do sleep 2147483647 & wait; done"
POWER_SECONDS = 10.0
COMMAND_ROUNDS = 100
EXEC_VARIABLE = "ZONAL_EXEC"
"""The environment variable with the id of a command of `zonal exec`, set in all its processes."""
_VARIABLE = "ZONAL_PROCESS"
_INIT_NAME = ".init"
_NAMESPACES = (
    ("mnt", syscalls.NEW_MOUNT),
    ("net", syscalls.NEW_NET),
    ("uts", syscalls.NEW_UTS),
    ("ipc", syscalls.NEW_IPC),
    ("pid", syscalls.NEW_PID),
)
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class HostFailed(ZonalError):
    """The host could not be powered on, or a program on it could not be started; the message gives the reason."""


class HostNetworking(msgspec.Struct, frozen=True):
    """Connects and disconnects the interfaces of a host; provided by `Fabric`."""

    plug: Callable[[LinuxHost], Awaitable[None]]
    unplug: Callable[[LinuxHost], Awaitable[None]]
    resolver: Callable[[HostSpec], tuple[str, ...]]


class _Progress:
    """The operations in progress on the host of one name, shared by all `LinuxHost`s of that name so that none is done twice at once."""

    def __init__(self) -> None:
        self.power = asyncio.Lock()
        self.starting = asyncio.Lock()
        self.underway: set[str] = set()


class LinuxHost:
    """One host (the `Host` of `fabric.host_interface`)."""

    def __init__(
        self, spec: HostSpec, zones: Zones, host_networking: HostNetworking, progress: _Progress, *, records: Path, state: Path
    ) -> None:
        self.spec = spec
        self.name = spec.name
        self.zone = spec.zone
        self.directory = Path(spec.directory)
        self.management_address = spec.management_address or ""
        self._zones = zones
        self._host_networking = host_networking
        self._records = records
        self._state = state
        self._progress = progress
        self.is_removed = False
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def init(self) -> ProcessMark:
        """The host's process 1."""
        return self._find(_INIT_NAME)

    @property
    def is_on(self) -> bool:
        """Whether it is on. Not a measure of health: in a real region the power of a host in a lost zone is unknown."""
        return self.init.is_alive()

    @property
    def is_reachable(self) -> bool:
        """Whether it can be controlled: its zone is not lost."""
        return not self._zones.is_lost(self.zone)

    async def power_on(self) -> None:
        """Create its namespaces and connect its interfaces. Does nothing while it is on."""
        self._check_zone()
        async with self._progress.power:
            if self.is_removed:
                raise HostFailed(f"{self.name} cannot be powered on: it was removed")
            if not self.is_on:
                with self._begun(_INIT_NAME):
                    self._prepare()
                    pid = await in_own_thread(self._boot, name=f"power-on {self.name}")
                    _write(self._record(_INIT_NAME), mark(pid))
                self._collect_when_gone(self.init)
            await self._host_networking.plug(self)
        self._check_zone()

    async def power_off(self) -> None:
        """Kill every process on it at once, as pulling the plug does."""
        self._check_zone()
        await self.lose_power()

    async def lose_power(self) -> None:
        """Power off, even in a lost zone."""
        async with self._progress.power:
            init = self.init
            await self._host_networking.unplug(self)
            init.send(signal.SIGKILL)
            async with asyncio.timeout(POWER_SECONDS):
                await init.wait()
            for path in self._records.glob("*.process"):
                path.unlink()

    async def start(self, process: ProcessSpec) -> None:
        """Start a program and leave it running. Does nothing while one of that name runs."""
        self._check()
        async with self._progress.starting:
            if self._find(process.name).is_alive():
                return
            record = self._record(process.name)
            _write(record, ProcessMark())
            pid = await in_own_thread(lambda: self._spawn(process), name=f"start {self.name}")
            started = mark(pid)
            _write(record, started)
        if started.pid:
            self._collect_when_gone(started)
        else:
            collect(pid)  # It ended at once. A zombie would keep init from ending, and the host from being powered off.
        self._check_zone()

    async def signal(self, process: str, number: int) -> None:
        """Send a signal to a running program. Does nothing when it does not run."""
        self._check()
        self._find(process).send(number)

    async def is_running(self, process: str) -> bool:
        """Whether the program runs. For starting and stopping it; not a measure of health."""
        self._check()
        return self._find(process).is_alive()

    async def end_command(self, id: str) -> None:
        """Kill a command of `zonal exec` by its id, with every process that it started, even in a lost zone.

        Raises `HostFailed` when it does not end.
        """
        for _ in range(COMMAND_ROUNDS):  # It may start more processes while the first ones are killed.
            found = await asyncio.to_thread(find_with_descendants, EXEC_VARIABLE, id)
            if not found:
                return
            for process in found:
                process.send(signal.SIGKILL)
            await asyncio.sleep(0.05)
        raise HostFailed(f"the command {id} on {self.name} keeps starting processes and cannot be killed")

    async def wait_until_gone(self, process: str, within: timedelta) -> bool:
        """Wait until a program has ended. Returns False when it still runs after `within`."""
        self._check()
        found = self._find(process)
        try:
            async with asyncio.timeout(within.total_seconds()):
                await found.wait()
        except TimeoutError:
            pass
        return not found.is_alive()

    async def run(
        self, argv: tuple[str, ...], *, within: timedelta, environment: tuple[tuple[str, str], ...] = (), input: bytes = b""
    ) -> Completed:
        """Run a program to its end, as the same ordinary user as `start`; killed after `within` (returncode -9)."""
        self._check()
        running: list[subprocess.Popen[bytes]] = []

        def work() -> Completed:
            self._enter()
            whole_argv = (*_AS_USER, *argv)
            try:
                process = subprocess.Popen(
                    whole_argv,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env=self._environment(environment),
                    start_new_session=True,
                )
            except OSError as error:
                raise HostFailed(f"{argv[0]} could not be run on {self.name}: {describe(error)}") from error
            running.append(process)
            try:
                output, errors = process.communicate(input, timeout=within.total_seconds())
            except subprocess.TimeoutExpired:
                _kill_group(process.pid)
                output, errors = process.communicate()
            return Completed(process.returncode, output, errors)

        try:
            done = await in_own_thread(work, name=f"run {self.name}")
        except asyncio.CancelledError:
            for process in running:
                _kill_group(process.pid)
            raise
        self._check_zone()  # The result of a program in a lost zone cannot be received.
        return done

    def open_namespace(self) -> int | None:
        """A new descriptor of its network namespace, or None while it is off."""
        init = self.init
        try:
            descriptor = os.open(f"/proc/{init.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        if init.is_alive():
            return descriptor
        os.close(descriptor)
        return None

    def _check_zone(self) -> None:
        if self._zones.is_lost(self.zone):
            raise HostUnreachable(f"{self.name} cannot be reached: zone {self.zone} is lost")

    def _check(self) -> None:
        self._check_zone()
        if not self.is_on:
            raise HostUnreachable(f"{self.name} is powered off")

    def _prepare(self) -> None:
        self._records.mkdir(parents=True, exist_ok=True)
        for path in self._records.glob("*.process"):
            path.unlink()
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        servers = "".join(f"nameserver {address}\n" for address in self._host_networking.resolver(self.spec))
        (self._records / "resolv.conf").write_text(f"{servers}search ec2.internal\noptions timeout:1 attempts:2\n")
        (self._records / "hosts").write_text(f"127.0.0.1 localhost {self.name}\n::1 localhost\n")
        (self._records / "hostname").write_text(f"{self.name}\n")
        _write(self._record(_INIT_NAME), ProcessMark())

    def _boot(self) -> int:
        """Runs in a thread of its own: create the host and start its init. Returns the pid of init.

        After init has mounted `/proc`, this thread sees the host's `/proc`, in which the thread itself is missing.
        """
        syscalls.unshare(
            syscalls.FILE_SYSTEM | syscalls.NEW_MOUNT | syscalls.NEW_NET | syscalls.NEW_UTS | syscalls.NEW_IPC | syscalls.NEW_PID
        )
        reader, writer = os.pipe2(os.O_CLOEXEC)
        nothing = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        try:
            _prepare_network()
            rootfs.build(self.spec, hidden=self._state, files=self._records)
            syscalls.set_host_name(self.name)
            os.chdir("/")
            environment = {"PATH": _PATH, _VARIABLE: f"{self.name}/{_INIT_NAME}"}
            pid = spawn("/bin/sh", ("init", "-c", INIT), environment, stdin=nothing, stdout=writer)
            os.close(writer)
            writer = -1
            if os.read(reader, 2) != b"up":
                collect(pid)
                raise HostFailed(f"{self.name} could not be powered on: its init ended at once; `zonal doctor` may say why")
            return pid
        finally:
            for descriptor in (reader, writer, nothing):
                if descriptor >= 0:
                    os.close(descriptor)

    def _enter(self) -> None:
        """Move the calling thread into the host's namespaces; it cannot leave them."""
        pid = self.init.pid
        try:
            descriptors = [(os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC), kind) for name, kind in _NAMESPACES]
        except FileNotFoundError:
            raise HostUnreachable(f"{self.name} is powered off") from None
        syscalls.unshare(syscalls.FILE_SYSTEM)
        for descriptor, kind in descriptors:
            syscalls.enter(descriptor, kind)
            os.close(descriptor)
        os.chdir(self.directory)

    def _spawn(self, process: ProcessSpec) -> int:
        log = open_log(Path(process.log))
        nothing = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._enter()
            argv = process.argv if process.privileged else (*_AS_USER, *process.argv)
            environment = self._environment(process.environment) | {_VARIABLE: f"{self.name}/{process.name}"}
            path = argv[0] if "/" in argv[0] else _find_program(argv[0])
            return spawn(path, argv, environment, stdin=nothing, stdout=log)
        except OSError as error:
            raise HostFailed(f"{process.argv[0]} could not be started on {self.name}: {describe(error)}") from error
        finally:
            os.close(log)
            os.close(nothing)

    def _environment(self, given: tuple[tuple[str, str], ...]) -> dict[str, str]:
        return {"PATH": _PATH, "HOME": str(self.directory), "LANG": "C.UTF-8", "USER": "zonal"} | dict(given)

    @contextmanager
    def _begun(self, process: str) -> Iterator[None]:
        """Mark a program as being started by this region, so that its incomplete record is not taken for that of an earlier region."""
        self._progress.underway.add(process)
        try:
            yield
        finally:
            self._progress.underway.discard(process)

    def _find(self, process: str) -> ProcessMark:
        record = self._record(process)
        found = _read(record)
        if process not in self._progress.underway and record.exists() and not found.pid:
            # A region was killed between the start of the program and its record.
            found = find(_VARIABLE, f"{self.name}/{process}")
            if found.pid:
                _write(record, found)
        return found

    def _record(self, process: str) -> Path:
        return self._records / f"{process}.process"

    def _collect_when_gone(self, process: ProcessMark) -> None:
        task = asyncio.get_running_loop().create_task(process.wait(), name=f"collect {process.pid}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Hosts:
    """Every host of the fabric, powered on or off."""

    def __init__(self, zones: Zones, host_networking: HostNetworking, *, records: Path, state: Path) -> None:
        self._zones = zones
        self._host_networking = host_networking
        self._records = records
        self._state = state
        self._hosts: dict[str, LinuxHost] = {}
        self._progress: defaultdict[str, _Progress] = defaultdict(_Progress)

    def load(self) -> None:
        """Load the hosts of an earlier region process."""
        self._records.mkdir(parents=True, exist_ok=True)
        for path in sorted(self._records.glob("*/host.json")):
            self._add(msgspec.json.decode(path.read_bytes(), type=HostSpec))

    def host(self, spec: HostSpec) -> LinuxHost:
        """The host of that name, added if it is new. A changed spec takes effect at the next power-on."""
        known = self._hosts.get(spec.name)
        if known is not None and known.spec == spec:
            return known
        if "/" in spec.name or spec.name.startswith("."):
            raise HostFailed(f"{spec.name!r} is not a valid name of a host")
        path = self._records / spec.name / "host.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.encode(spec))
        return self._add(spec)

    def get(self, name: str) -> LinuxHost | None:
        """The host of that name, or None."""
        return self._hosts.get(name)

    def all(self) -> list[LinuxHost]:
        return list(self._hosts.values())

    async def remove(self, name: str) -> None:
        """Power a host off and remove it, even in a lost zone; its directory stays. Does nothing when there is none."""
        host = self._hosts.get(name)
        if host is None:
            return
        host.is_removed = True
        await host.lose_power()
        if self._hosts.get(name) is host:  # Another task may have removed it and added a new one of that name.
            del self._hosts[name]
            self._progress.pop(name, None)
            shutil.rmtree(self._records / name, ignore_errors=True)

    def _add(self, spec: HostSpec) -> LinuxHost:
        host = LinuxHost(
            spec, self._zones, self._host_networking, self._progress[spec.name], records=self._records / spec.name, state=self._state
        )
        self._hosts[spec.name] = host
        return host


_AS_USER = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")


def _prepare_network() -> None:
    """Switch on the loopback device of the calling thread's namespace, and let ordinary users listen on low ports."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with closing(Netlink(own)) as network:
            batch = NetlinkBatch()
            set_up(batch, network.devices()["lo"].number)
            network.run(batch)
    finally:
        os.close(own)
    set_kernel_variable("net/ipv6/conf/all/disable_ipv6", "1")
    set_kernel_variable("net/ipv4/ip_unprivileged_port_start", "0")


def _find_program(name: str) -> str:
    for directory in _PATH.split(":"):
        if os.access(f"{directory}/{name}", os.X_OK):
            return f"{directory}/{name}"
    raise FileNotFoundError(f"there is no program {name} on this machine")


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _read(path: Path) -> ProcessMark:
    try:
        return msgspec.json.decode(path.read_bytes(), type=ProcessMark)
    except (FileNotFoundError, msgspec.DecodeError):
        return ProcessMark()


def _write(path: Path, process: ProcessMark) -> None:
    new = path.with_suffix(f".{threading.get_native_id()}")  # The fabric's thread writes records, too.
    new.write_bytes(msgspec.json.encode(process))
    new.replace(path)
