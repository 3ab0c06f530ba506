"""Unix sockets at paths of any length.

A socket address holds 107 bytes, so the directory is opened and addressed as `/proc/self/fd/N`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def bind(unbound: socket.socket, path: Path) -> None:
    """Bind a socket to a path, with mode 0600. Removes a socket file that an earlier process left."""
    path.unlink(missing_ok=True)
    mask = os.umask(0o177)
    try:
        with _short(path) as name:
            unbound.bind(name)
    finally:
        os.umask(mask)


def connect(unconnected: socket.socket, path: Path) -> None:
    """Connect to the socket at a path. Raises `OSError`."""
    with _short(path) as name:
        unconnected.connect(name)


@contextmanager
def _short(path: Path) -> Iterator[str]:
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
