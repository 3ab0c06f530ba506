"""Leases: locked files by which one process detects that another one has ended.

The holder creates a file in a shared directory and keeps it locked (`flock`). The kernel releases the lock when the holder ends, even by
SIGKILL, and children do not inherit it. The other side tests the lock. It needs neither a connection nor the holder's process id, which
it could not resolve in another process namespace.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import time
from collections.abc import Collection
from pathlib import Path

DIRECTORY = "leases"
"""The directory of the leases, in a state directory."""

STRAY_SECONDS = 60.0

_NAME = re.compile(r"[0-9a-f]{16}")


class Lease:
    """A lease held by this process from construction on. The holder passes `name` to the other side."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, exist_ok=True)
        self.name = secrets.token_hex(8)
        self._path = directory / self.name
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        """End the lease before the process ends. May be called twice."""
        if self._file >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1


def is_name(name: str) -> bool:
    """Whether this is a valid name of a lease."""
    return _NAME.fullmatch(name) is not None


def is_held(directory: Path, name: str) -> bool:
    """Whether the holder of the lease still runs."""
    try:
        file = os.open(directory / name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def discard(directory: Path, name: str) -> None:
    """Remove the file of a lease; does nothing if there is none."""
    (directory / name).unlink(missing_ok=True)


def discard_stray(directory: Path, *, known: Collection[str]) -> None:
    """Remove the files of leases whose holders ended before their lease was recorded."""
    if not directory.is_dir():
        return
    for path in directory.iterdir():
        if path.name not in known and is_name(path.name) and not is_held(directory, path.name):
            try:
                if time.time() - path.stat().st_mtime > STRAY_SECONDS:
                    path.unlink()
            except FileNotFoundError:
                continue  # Its holder removed it meanwhile.
