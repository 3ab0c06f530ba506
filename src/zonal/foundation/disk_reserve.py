"""Reserves disk space inside a database's own file, so that deletions can be committed on a completely full disk.

A deletion needs space as well: SQLite appends the changed pages to its write-ahead log (WAL), LMDB writes them to pages that are not
in use. If the file already has the blocks, neither needs a free one. The space cannot be taken by another process between its release and
its use, as the space of a spare file could.

SQLite reuses a WAL from its beginning after each checkpoint and shortens it only when the last connection is closed. Recovery ends at the
first frame whose salt and checksum do not fit the header, so zeros behind the frames are never read (https://sqlite.org/walformat.html).
LMDB takes the number of used pages from its meta page, not from the size of the file.
"""

from __future__ import annotations

import os

WAL_BYTES = 8 * 1024 * 1024
"""Twice the size at which SQLite begins to checkpoint (1,000 pages), because a checkpoint may fail on a full disk."""
LEFT_BYTES = 16 * 1024 * 1024
"""A reserve is made only if this much is left beside it: PostgreSQL needs a WAL segment of 16 MiB to continue."""


class WalReserve:
    """The WAL of the SQLite database at `database`, allocated up to `size_bytes`. The database must be open."""

    def __init__(self, database: str, *, size_bytes: int = WAL_BYTES) -> None:
        self._path = f"{database}-wal"
        self._size_bytes = size_bytes
        self.is_complete = False
        self.restore()

    def restore(self) -> None:
        """Allocate what is missing, if the disk has the space. Otherwise `is_complete` stays false; try again later."""
        if not self.is_complete:
            self.is_complete = allocate(self._path, self._size_bytes)


def allocate(path: str, size_bytes: int) -> bool:
    """Give an existing file blocks up to `size_bytes`; report whether it has them. The content does not change, a shorter file grows."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        size, disk = os.fstat(descriptor).st_size, os.fstatvfs(descriptor)
        if size >= size_bytes:
            return True
        if disk.f_bavail * disk.f_frsize < size_bytes - size + LEFT_BYTES:
            return False
        os.posix_fallocate(descriptor, size, size_bytes - size)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
