"""Unix sockets by paths of any length: a socket's address holds 107 bytes, so its directory is named by an open descriptor."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def bind(unbound: socket.socket, path: Path) -> None:
    """Give a socket its place, mode 0600; what a dead process left there goes."""
    path.unlink(missing_ok=True)
    mask = os.umask(0o177)
    try:
        with _short(path) as name:
            unbound.bind(name)
    finally:
        os.umask(mask)


def connect(unconnected: socket.socket, path: Path) -> None:
    """Connect to a socket at its place. Raises `OSError`."""
    with _short(path) as name:
        unconnected.connect(name)


@contextmanager
def _short(path: Path) -> Iterator[str]:
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
