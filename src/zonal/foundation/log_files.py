"""Log files that end nobody and stay bounded.

A process that must go on (init above all) writes its messages with `write_line`, which drops what cannot be written: on a full disk, to a
closed terminal. `bound` keeps a log file small while others write to it: it copies the end of the file to `NAME.1` and truncates the file.
A rename would not do, because writers inherit the open file; they all append (`O_APPEND`), so each goes on at the new end. A line that is
written between the copy and the truncation is lost. Where there is no room for the copy, the truncation makes some.

This module imports little: init uses it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

LOG_BYTES = 8 * 1024 * 1024
"""How large a log file may become before its beginning is dropped; its predecessor `NAME.1` takes as much again."""
REGION_LOG = "region.log"
"""In the state directory: what supervisor, init, region and DynamoDB's writer print where the region was started with `--detach`."""
FORWARDER_LOG = "forwarder.log"
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_PIECE_BYTES = 1 << 16


def write_line(line: str, *, descriptor: int = 2) -> bool:
    """Write a line of a log; never raises. False where it (or a part of it) could not be written."""
    data = f"{line}\n".encode(errors="backslashreplace")
    try:
        return os.write(descriptor, data) == len(data)
    except OSError:
        return False


def bound(path: Path, *, limit_bytes: int = LOG_BYTES) -> bool:
    """Start a log file again where it is longer than `limit_bytes`; never raises `OSError`. Whether it was done."""
    try:
        size = path.stat().st_size
        if size <= limit_bytes:
            return False
        _copy_end(path, path.with_name(f"{path.name}.1"), max(0, size - limit_bytes))
        os.truncate(path, 0)
    except OSError:
        return False
    return True


def _copy_end(path: Path, copy: Path, offset: int) -> None:
    """Copy a file from `offset` on; where that fails there is no copy."""
    try:
        copy.unlink(missing_ok=True)  # First: its room may be what the new one needs.
        copy.touch(mode=0o600)
        with path.open("rb") as source, copy.open("wb") as target:
            source.seek(offset)
            while piece := source.read(_PIECE_BYTES):
                target.write(piece)
    except OSError:
        with contextlib.suppress(OSError):
            copy.unlink(missing_ok=True)


def open_log(path: Path) -> int:
    """A descriptor that appends to a log file, bounded now; to nothing where the disk is full, so that its writer starts all the same."""
    bound(path)
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
