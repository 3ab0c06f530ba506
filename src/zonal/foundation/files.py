"""Files that are replaced whole: after a crash or a power loss there is either the old content or the new one, never half of it.

And what making files durable takes.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path

_WRITE = 2


def replace_file(path: Path, content: bytes | str, *, durable: bool = True) -> None:
    """Replace a file at once, readable by its owner only; by one writer at a time. Text is written as UTF-8.

    What need not outlive the machine's power (`durable=False`) waits for no disk.
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
    """Make what was made, renamed or removed in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def begin_writing_back(descriptor: int, offset: int, size: int) -> None:
    """Have the kernel begin to write these bytes of a file to the disk, so that a sync finds little left. It promises nothing by itself.

    Python knows no `sync_file_range`, and its `posix_fadvise` would also drop the bytes that the next reader wants. Where the C library
    has none either, the sync does it all.
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
