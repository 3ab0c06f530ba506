"""Processes identified by pid and start time, so that a reused pid is not mistaken for the process that had it before."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import msgspec


class ProcessMark(msgspec.Struct, frozen=True):
    """A process: its pid, and its start in ticks since the machine booted. Pid 0: not known (yet)."""

    pid: int = 0
    began: int = 0

    def is_alive(self) -> bool:
        """Whether that very process runs (a zombie does not)."""
        return self.pid > 0 and _stat(self.pid) == (True, self.began)

    def send(self, number: int) -> None:
        """Send it a signal. Does nothing when it does not run."""
        if self.is_alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                pass

    async def wait(self) -> None:
        """Wait for its end, and reap it if it is a child of this process."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except (ProcessLookupError, OSError):
            return
        try:
            if self.is_alive():
                await _readable(descriptor)
        finally:
            os.close(descriptor)
        collect(self.pid)


def mark(pid: int) -> ProcessMark:
    """The mark of a running process; the mark with pid 0 when it does not run."""
    alive, began = _stat(pid)
    return ProcessMark(pid, began) if alive else ProcessMark()


def collect(pid: int) -> None:
    """Reap a child that has ended. Does nothing when it runs or is not a child of this process."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass


def find(variable: str, value: str) -> ProcessMark:
    """The topmost visible process whose environment has `variable=value`."""
    word = f"{variable}={value}".encode()
    found = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and _environment_has(path, word):
            pid = int(path.name)
            found[pid] = parent(pid)
    roots = [pid for pid, above in found.items() if above not in found]
    return mark(min(roots)) if roots else ProcessMark()


def find_with_descendants(variable: str, value: str) -> list[ProcessMark]:
    """Every visible process whose environment has `variable=value`, with all its descendants."""
    word = f"{variable}={value}".encode()
    parents, found = {}, set()
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            pid = int(path.name)
            parents[pid] = parent(pid)
            if _environment_has(path, word):
                found.add(pid)
    children: dict[int, list[int]] = {}
    for pid, above in parents.items():
        children.setdefault(above, []).append(pid)
    waiting = list(found)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return [marked for marked in map(mark, sorted(found)) if marked.pid]


def parent(pid: int) -> int:
    """The pid of a process's parent, or 0 when it has none that is visible."""
    fields = _fields(pid)
    return int(fields[1]) if fields else 0


def spawn(path: str, argv: tuple[str, ...], environment: dict[str, str], *, stdin: int, stdout: int, stderr: int | None = None) -> int:
    """Start a program in the calling thread's namespaces and directory, in a new session. Returns its pid."""
    actions = [
        (os.POSIX_SPAWN_DUP2, stdin, 0),
        (os.POSIX_SPAWN_DUP2, stdout, 1),
        (os.POSIX_SPAWN_DUP2, stdout if stderr is None else stderr, 2),
    ]
    return os.posix_spawn(
        path, argv, environment, file_actions=actions, setsid=True, setsigmask=(), setsigdef=(signal.SIGPIPE, signal.SIGINT)
    )


def _environment_has(path: Path, word: bytes) -> bool:
    try:
        return word in (path / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _stat(pid: int) -> tuple[bool, int]:
    fields = _fields(pid)
    return (fields[0] not in "ZX", int(fields[19])) if fields else (False, 0)


def _fields(pid: int) -> list[str]:
    """The fields of `/proc/PID/stat` after the program's name; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


async def _readable(descriptor: int) -> None:
    import asyncio  # Imported here, because the supervisor does not need it.

    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if not ended.done():
            ended.set_result(None)

    loop.add_reader(descriptor, end)
    try:
        await ended
    finally:
        loop.remove_reader(descriptor)
