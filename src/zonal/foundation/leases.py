"""Leases: files that tell whether the process that asked for something is still there.

The holder makes a file in a directory that both sides see and keeps it locked (`flock`). The kernel releases the lock when the holder ends,
however it ends, SIGKILL included, and children do not inherit it. So whoever works for the holder tests the lock and needs neither a
connection nor the holder's process number, which a process in another process namespace could not see.
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
    """A lease of this process, held from now on; `name` is what the other side gets."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, exist_ok=True)
        self.name = secrets.token_hex(8)
        self._path = directory / self.name
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        """End the lease before the process ends; nothing happens the second time."""
        if self._file >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1


def is_name(name: str) -> bool:
    """Whether a lease may be called so."""
    return _NAME.fullmatch(name) is not None


def is_held(directory: Path, name: str) -> bool:
    """Whether the holder of that lease is still there."""
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
    """Remove the file of a lease that nobody needs any more; nothing happens where there is none."""
    (directory / name).unlink(missing_ok=True)


def discard_stray(directory: Path, *, known: Collection[str]) -> None:
    """Remove files of leases whose holders ended before anybody recorded them."""
    if not directory.is_dir():
        return
    for path in directory.iterdir():
        if path.name not in known and is_name(path.name) and not is_held(directory, path.name):
            try:
                if time.time() - path.stat().st_mtime > STRAY_SECONDS:
                    path.unlink()
            except FileNotFoundError:
                continue  # Its holder removed it.
