"""Bounded log files, and writes to them that never fail.

A process that must not end (init above all) writes its messages with `write_line`, which drops a message that cannot be written: on a full
disk, to a closed terminal. `bound` limits a log file while other processes write to it: it copies the end of the file to `NAME.1` and
truncates the file. It does not rename, because writers inherit the open file; all of them append (`O_APPEND`) and continue at the new
end. A line that is written between the copy and the truncation is lost. On a full disk the copy fails, and the truncation frees space.

init imports this module, so it imports little itself.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

LOG_BYTES = 8 * 1024 * 1024
"""The maximum size of a log file; `NAME.1`, which keeps its end, has the same limit."""
REGION_LOG = "region.log"
"""The log file in the state directory: output of supervisor, init, region and DynamoDB's writer after `zonal start --detach`."""
FORWARDER_LOG = "forwarder.log"
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_PIECE_BYTES = 1 << 16


def write_line(line: str, *, descriptor: int = 2) -> bool:
    """Write a line to a log. Never raises; returns False if the line could not be written completely."""
    data = f"{line}\n".encode(errors="backslashreplace")
    try:
        return os.write(descriptor, data) == len(data)
    except OSError:
        return False


def bound(path: Path, *, limit_bytes: int = LOG_BYTES) -> bool:
    """Truncate a log file that is longer than `limit_bytes`. Never raises `OSError`; returns whether it was truncated."""
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
    """Copy a file from `offset` on. A copy that fails is removed."""
    try:
        copy.unlink(missing_ok=True)  # First, because the new copy may need its space.
        copy.touch(mode=0o600)
        with path.open("rb") as source, copy.open("wb") as target:
            source.seek(offset)
            while piece := source.read(_PIECE_BYTES):
                target.write(piece)
    except OSError:
        with contextlib.suppress(OSError):
            copy.unlink(missing_ok=True)


def open_log(path: Path) -> int:
    """A descriptor that appends to a log file, after bounding it. On a full disk, one of /dev/null, so that the writer starts."""
    bound(path)
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
