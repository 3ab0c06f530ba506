"""Network namespaces that outlive the process that made them.

A namespace is kept by a bind mount on a file below the keep, a directory on a tmpfs of the sandbox's mount namespace: a restarted region
finds it by its name, and the kernel removes all of them with the sandbox. A socket belongs to the namespace in which it was created, so the
calling thread enters the namespace, creates the socket and leaves again; nothing may be awaited in between.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zonal.fabric.linux import syscalls

_OWN = "/proc/thread-self/ns/net"


@contextmanager
def inside(descriptor: int) -> Iterator[None]:
    """Move the calling thread into the network namespace behind `descriptor`, and back at the end."""
    own = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.enter(descriptor, syscalls.NEW_NET)
        try:
            yield
        finally:
            syscalls.enter(own, syscalls.NEW_NET)
    finally:
        os.close(own)


class Keep:
    """The directory of kept namespaces. Descriptors are opened once and stay open."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._descriptors: dict[str, int] = {}
        directory.mkdir(parents=True, exist_ok=True)

    def names(self) -> list[str]:
        """The names of all kept namespaces."""
        return sorted(path.name for path in self.directory.iterdir() if _is_kept(path))

    def descriptor(self, name: str) -> int | None:
        """The descriptor of the namespace of that name, or None."""
        if name not in self._descriptors:
            path = self.directory / name
            if not _is_kept(path):
                return None
            self._descriptors[name] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return self._descriptors[name]

    def make(self, name: str) -> int:
        """The descriptor of the namespace of that name, created if it is missing."""
        found = self.descriptor(name)
        if found is not None:
            return found
        path = self.directory / name
        path.touch()
        own = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        try:
            syscalls.unshare(syscalls.NEW_NET)
            try:
                syscalls.mount(_OWN, str(path), flags=syscalls.BIND)
            finally:
                syscalls.enter(own, syscalls.NEW_NET)
        finally:
            os.close(own)
        made = self.descriptor(name)
        assert made is not None, f"the namespace {name} was mounted and is not there"
        return made

    def remove(self, name: str) -> None:
        """Remove a namespace. Does nothing when there is none."""
        path = self.directory / name
        if name in self._descriptors:
            os.close(self._descriptors.pop(name))
        if path.exists():
            if _is_kept(path):
                syscalls.unmount(str(path))
            path.unlink()

    def close(self) -> None:
        """Close the descriptors; the namespaces stay."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])


def set_kernel_variable(name: str, value: str) -> bool:
    """Write `/proc/sys/NAME` for the calling thread's namespace. Returns False when the kernel has no such variable or protects it."""
    try:
        Path("/proc/sys", name).write_text(value)
    except (FileNotFoundError, PermissionError):
        return False
    return True


def _is_kept(path: Path) -> bool:
    try:
        return path.is_mount() or path.stat().st_dev != path.parent.stat().st_dev
    except FileNotFoundError:
        return False
