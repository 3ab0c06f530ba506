"""Reserves disk space inside a database's own file, so that deletions can be committed on a completely full disk.

A deletion needs space as well: SQLite appends the changed pages to its write-ahead log (WAL), LMDB writes them to pages that are not
in use. If the file already has the blocks, neither needs a free one. The space cannot be taken by another process between its release and
its use, as the space of a spare file could.

SQLite reuses a WAL from its beginning after each checkpoint and shortens it only when the last connection is closed. Recovery ends at the
first frame whose salt and checksum do not fit the header, so zeros behind the frames are never read (https://sqlite.org/walformat.html).
LMDB takes the number of used pages from its meta page, not from the size of the file.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3

from zonal.foundation.allocation import allocate

WAL_BYTES = 8 * 1024 * 1024
"""Twice the size at which SQLite begins to checkpoint (1,000 pages), because a checkpoint may fail on a full disk."""
SPARE_BYTES = 5 * 1024 * 1024
"""A little more than the pages that wait in the WAL for a checkpoint."""
FULL_BYTES = 1024 * 1024


class WalReserve:
    """The reserve of the SQLite database at `database`, which must be open: its WAL, allocated up to `WAL_BYTES`, and a spare file.

    The WAL alone would be used up after some hundred deletions: new pages that were committed before cannot be moved to the database,
    which has to grow for them, so the WAL does not begin again. The spare file gives the space for that checkpoint. Deletions need no
    further growth, so after it any number of them can be committed.
    """

    def __init__(self, database: str) -> None:
        self._wal = f"{database}-wal"
        self._spare = f"{database}-spare"
        self._directory = os.path.dirname(database) or "."  # noqa: PTH120
        self.is_complete = False
        self._restore()

    def maintain(self, database: sqlite3.Connection) -> None:
        """Call before each transaction. Makes the reserve where it is missing; on a full disk, empties the WAL."""
        try:
            disk = os.statvfs(self._directory)
        except OSError:
            return
        if disk.f_bavail * disk.f_frsize >= FULL_BYTES:
            self._restore()
        elif not _is_checkpointed(database) and self._release_spare():
            _is_checkpointed(database)

    def _restore(self) -> None:
        if not self.is_complete:
            with contextlib.suppress(OSError):
                os.close(os.open(self._spare, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self.is_complete = allocate(self._wal, WAL_BYTES) and allocate(self._spare, SPARE_BYTES)

    def _release_spare(self) -> bool:
        self.is_complete = False
        try:
            os.unlink(self._spare)  # noqa: PTH108
        except OSError:
            return False
        return True


def _is_checkpointed(database: sqlite3.Connection) -> bool:
    """Move the WAL's pages to the database; report whether all are there."""
    try:
        _, pages, moved = database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.Error:
        return False
    return bool(pages == moved)
