"""The sandbox: the namespaces in which the region runs, and the supervisor on the host that starts it.

`run` is the supervisor. It holds the host's listeners, forks a helper that creates the namespaces (also a user namespace, unless the caller
is root) and starts process 1 in them, passes on the listeners, and waits. It changes no device, route, rule, mount or name of the host.
Process 1 of the sandbox is `init`; when it ends, by itself or because the supervisor ended, the kernel removes the sandbox.

While it waits, the supervisor serves the listener broker (`listener_broker`): it opens further listeners on loopback addresses of the host
for public endpoints of the region.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from zonal.fabric.id_ranges import IdRangeMissing, MapWriter, granted_maps
from zonal.fabric.linux import syscalls
from zonal.fabric.linux.processes import ProcessMark, mark
from zonal.fabric.listener_broker import ListenerBroker
from zonal.fabric.nsenter import INIT_VARIABLE
from zonal.foundation.errors import ZonalError, describe
from zonal.foundation.signal_forwarding import forward_to

RUN = "run"
PID_FILE = "zonal.pid"
LISTENERS_VARIABLE = "ZONAL_LISTENERS"
READY_VARIABLE = "ZONAL_READY"
FAILED = "failed "


class SandboxRefused(ZonalError):
    """The sandbox cannot be created; the message gives the reason."""


class RegionFailed(ZonalError):
    """The region ended by itself before it served; the message is the region's own reason."""


class AlreadyRunning(ZonalError):
    """A region runs on this state directory already."""


def run(
    state: Path,
    listeners: Sequence[socket.socket],
    region_argv: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    grace_seconds: float = 20.0,
    on_ready: Callable[[], None] | None = None,
    log: Path | None = None,
) -> int:
    """Run a region in a sandbox until it ends, and return the exit status of init. Blocks; must be called from the main thread.

    `region_argv` is run inside with the descriptors of `listeners` in `ZONAL_LISTENERS`; it is started again whenever it dies. SIGTERM and
    SIGINT end it in order: the region gets SIGTERM and `grace_seconds`. `on_ready` is called once the region reports that it serves.
    `log` is a file that the region's processes append to; init keeps it bounded while it starts the region again and again.
    `STATE/zonal.pid` (see `init_pid`) names init while it runs. Raises `AlreadyRunning`, `SandboxRefused` and `RegionFailed`.
    """
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = _lock(state)
    try:
        (state / RUN).mkdir(exist_ok=True)
        with ListenerBroker(state / "broker.sock") as broker:
            order = {"argv": list(region_argv), "grace_seconds": grace_seconds, "log": str(log or "")}
            return _run(state, listeners, order, dict(environment or os.environ), on_ready, broker)
    finally:
        (state / PID_FILE).unlink(missing_ok=True)
        os.close(lock)


def inherited_listeners(environment: Mapping[str, str] = os.environ) -> list[socket.socket]:
    """The host's listeners, inside the region process."""
    found = []
    for word in environment.get(LISTENERS_VARIABLE, "").split(","):
        if word:
            os.set_inheritable(int(word), False)
            found.append(socket.socket(fileno=int(word)))
    return found


def report_ready(environment: Mapping[str, str] = os.environ) -> None:
    """Report to the supervisor that the region serves. Does nothing without a supervisor that waits."""
    word = environment.get(READY_VARIABLE)
    if word:
        os.set_inheritable(int(word), False)
        os.write(int(word), b"ready\n")


def tell_failure(reason: str, environment: Mapping[str, str] = os.environ) -> None:
    """Report to the supervisor why the region does not start. Does nothing without a supervisor that waits."""
    word = environment.get(READY_VARIABLE)
    if word:
        try:
            os.write(int(word), f"{FAILED}{' '.join(reason.split())[:2000]}\n".encode())
        except OSError:
            pass  # The supervisor has ended, or the descriptor was not inherited.


def identity() -> str:
    """Identifies this sandbox from inside: the boot id of the machine, and the start of process 1 in ticks since that boot."""
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {mark(1).began}"


def init_pid(state: Path) -> int | None:
    """The pid on the host of the init of the region on `state`, or None when none runs."""
    try:
        pid, began = (state / PID_FILE).read_text().split()
    except (FileNotFoundError, ValueError):
        return None
    return int(pid) if ProcessMark(int(pid), int(began)).is_alive() else None


def _run(
    state: Path,
    listeners: Sequence[socket.socket],
    order: dict[str, Any],
    environment: dict[str, str],
    on_ready: Callable[[], None] | None,
    broker: ListenerBroker,
) -> int:
    syscalls.adopt_orphans()
    lifeline_reader, lifeline = os.pipe2(os.O_CLOEXEC)
    ready, ready_writer = os.pipe2(os.O_CLOEXEC)
    environment |= {
        LISTENERS_VARIABLE: ",".join(str(listener.fileno()) for listener in listeners),
        READY_VARIABLE: str(ready_writer),
    }
    order |= {"environment": environment, "lifeline": lifeline_reader}
    handed = [lifeline_reader, ready_writer, *(listener.fileno() for listener in listeners)]
    pid = _make(state, order, handed, own=(lifeline, ready))
    os.close(lifeline_reader)
    os.close(ready_writer)
    (state / PID_FILE).write_text(f"{pid} {mark(pid).began}\n")
    try:
        return _wait(pid, ready, on_ready, broker)
    finally:
        os.close(lifeline)
        os.close(ready)


def _make(state: Path, order: dict[str, Any], handed: list[int], *, own: tuple[int, ...]) -> int:
    """Fork a helper that creates the namespaces and starts init in them. Returns its pid on the host. Raises `SandboxRefused`."""
    report, report_writer = os.pipe2(os.O_CLOEXEC)
    go, go_writer = os.pipe2(os.O_CLOEXEC)
    helper = os.fork()
    if helper == 0:
        os.close(report)
        os.close(go_writer)
        for descriptor in own:
            os.close(descriptor)
        _help(state, order, handed, report_writer, go)
    os.close(report_writer)
    os.close(go)
    os.waitpid(helper, 0)
    first = os.read(report, 4096).decode().strip()
    if not first.isdigit():
        raise SandboxRefused(f"{first or 'the sandbox could not be made'}; `zonal doctor` says what to change")
    os.write(go_writer, first.encode())  # Only now is init a child of this process, so that it can detect its end.
    os.close(go_writer)
    with os.fdopen(report) as lines:
        refusal = lines.read().strip()
    if refusal:
        os.waitpid(int(first), 0)
        raise SandboxRefused(f"{refusal}; `zonal doctor` says what to change")
    return int(first)


def _help(state: Path, order: dict[str, Any], handed: list[int], report: int, go: int) -> NoReturn:
    """Runs in the helper: create the namespaces, fork init into them, report its pid, end the process."""
    try:
        make_namespaces()
        pid = os.fork()
        if pid:
            os.write(report, f"{pid}\n".encode())
            os._exit(0)
        _become_init(state, order, handed, go)
    except BaseException as error:
        os.write(report, f"{describe(error)}\n".encode())
    os._exit(1)


def make_namespaces() -> None:
    """Move the calling process into new namespaces, also a user namespace unless it is root. Its next child is process 1.

    The sandbox of an ordinary user maps a range of ids if the machine grants one (`id_ranges`), else the user's own id alone.
    """
    flags = syscalls.NEW_NET | syscalls.NEW_MOUNT | syscalls.NEW_PID | syscalls.NEW_IPC | syscalls.NEW_UTS
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        syscalls.unshare(flags)
        return
    try:
        writer = MapWriter(granted_maps(user, group))
    except IdRangeMissing:
        _map_own_id(flags | syscalls.NEW_USER, user, group)
        return
    syscalls.unshare(flags | syscalls.NEW_USER)
    writer.write()


def _map_own_id(flags: int, user: int, group: int) -> None:
    syscalls.unshare(flags)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def _become_init(state: Path, order: dict[str, Any], handed: list[int], go: int) -> NoReturn:
    own_number = os.read(go, 32).decode()
    if not own_number:
        os._exit(1)
    syscalls.die_with_parent(signal.SIGKILL)
    syscalls.mount("none", "/", flags=syscalls.RECURSIVE | syscalls.PRIVATE)
    syscalls.mount("proc", "/proc", "proc", syscalls.NO_SETUID | syscalls.NO_DEVICES | 8)
    syscalls.mount("tmpfs", str(state / RUN), "tmpfs", syscalls.NO_DEVICES, "mode=700")
    for descriptor in handed:
        os.set_inheritable(descriptor, True)
    environment = order.pop("environment") | {INIT_VARIABLE: own_number}
    source = str(Path(__file__).parents[2])
    argv = [sys.executable, "-S", "-E", "-c", f"import sys; sys.path.insert(0, {source!r}); {_INIT}", json.dumps(order)]
    os.setsid()
    os.execve(sys.executable, argv, environment)  # Every user can read an argv, but not an environment, which may hold secrets.


_INIT = "import json; from zonal.fabric.init import main; sys.exit(main(json.loads(sys.argv[1])))"


def _wait(pid: int, ready: int, on_ready: Callable[[], None] | None, broker: ListenerBroker) -> int:
    """Serve the broker and forward signals until init has ended. Returns its exit status.

    Raises `RegionFailed` when the region reported why it does not start, and never served.
    """
    forward_to(pid, signals=(signal.SIGTERM, signal.SIGINT))
    ended = os.pidfd_open(pid)
    watched = [ended, ready, broker.fileno()]
    reports: list[str] = []
    try:
        while True:
            found, _, _ = select.select(watched, [], [])
            if broker.fileno() in found:
                broker.serve()
            if ready in found:
                if report := os.read(ready, 65536).decode(errors="replace"):
                    reports += report.splitlines()
                    if not reports[-1].startswith(FAILED):
                        (on_ready or (lambda: None))()
                else:
                    watched.remove(ready)
            if ended in found and ready not in found:  # The last reports of the region are read first.
                break
    finally:
        os.close(ended)
    if reports and all(each.startswith(FAILED) for each in reports):
        os.waitpid(pid, 0)
        raise RegionFailed(reports[-1].removeprefix(FAILED))
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status if status >= 0 else 128 - status


def _lock(state: Path) -> int:
    """Lock the state directory for this region until the supervisor ends. Raises `AlreadyRunning`."""
    descriptor = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise AlreadyRunning(f"a region runs on {state} already; `zonal status` shows it, `zonal stop` ends it") from None
    return descriptor
