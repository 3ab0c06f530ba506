"""Atomic replacement and durability of files.

After a crash or a power loss a file has either its old content or its new one.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path

_WRITE = 2


def replace_file(path: Path, content: bytes | str, *, durable: bool = True) -> None:
    """Replace a file atomically, with mode 0600. Only one writer at a time may replace it. Text is encoded as UTF-8.

    With `durable=False` the call does not wait for the disk, and a power loss may undo it.
    """
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    with new.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    new.replace(path)
    if durable:
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make changes of a directory's entries durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def begin_writing_back(descriptor: int, offset: int, size: int) -> None:
    """Start writing these bytes of a file to the disk, so that a later sync takes less time. Guarantees nothing by itself.

    Python has no `sync_file_range`, and `posix_fadvise` would also evict the bytes from the page cache. If the C library has no such
    function either, this does nothing.
    """
    start = _sync_file_range()
    if start is not None:
        start(descriptor, offset, size, _WRITE)


@functools.cache
def _sync_file_range() -> Callable[[int, int, int, int], int] | None:
    """The C library's function, or None where it has none. `ctypes` is loaded at the first call, not by every import of this module."""
    import ctypes

    start = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if start is not None:
        start.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    return start
