"""Writes one blob to a file.

Pieces are collected into batches. Two threads process a batch at the same time, one writing it, one passing it to `watch` (which computes
hashes), while the next batch is collected; so a writer holds two batches in memory, however large the content is. At the end the file is
synced while the last hashes are computed. The kernel starts to write each batch to the disk immediately, and large content is also synced
at intervals, so that the final sync is short.

Durability depends on the final order: write, sync the file, rename it, sync the directory. (A power loss can undo a rename that was not
synced; the content then has no name.) Free space is checked before each batch: content leaves `RESERVE_BYTES` of the disk free, so that the
catalog can still record deletions when the disk is too full for content.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from zonal.buckets.blobs import DiskFull
from zonal.foundation.files import begin_writing_back, sync_directory

FIRST_BATCH_BYTES = 512 * 1024
"""Smaller than the others, so that the threads start earlier; this shortens the upload of content of a few batches."""
BATCH_BYTES = 1024 * 1024
SYNC_BYTES = 32 * 1024 * 1024
RESERVE_BYTES = 16 * 1024 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT)
_PIECES_AT_ONCE = 512


class FileWriter:
    """Writes to `path`; `commit` renames the file to `kept`, whose name is the content's id."""

    def __init__(self, path: Path, kept: Path, watch: Callable[[bytes], None], threads: Executor) -> None:
        self._path = path
        self._kept = kept
        self._watch = watch
        self._threads = threads
        self._descriptor: int | None = None
        self._batch: list[bytes] = []
        self._batch_bytes = 0
        self._limit_bytes = FIRST_BATCH_BYTES
        self._written_bytes = 0
        self._unsynced_bytes = 0
        self._running: list[asyncio.Future[None]] = []

    async def write(self, piece: bytes) -> None:
        self._batch.append(piece)
        self._batch_bytes += len(piece)
        if self._batch_bytes >= self._limit_bytes:
            self._limit_bytes = BATCH_BYTES
            await self._start_batch(self._append)

    async def commit(self) -> str:
        await self._start_batch(self._append_and_finish)
        await self._await_batch()
        return self._kept.name

    async def abort(self) -> None:
        self._batch = []
        if self._running:
            await asyncio.wait(self._running)
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._threads, self._forget))

    async def _start_batch(self, work: Callable[[list[bytes]], None]) -> None:
        """Start the threads on this batch when they have finished the previous one."""
        await self._await_batch()
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        loop = asyncio.get_running_loop()
        self._running = [loop.run_in_executor(self._threads, each, batch) for each in (work, self._show)]

    async def _await_batch(self) -> None:
        """Wait for the threads and raise their errors. If the caller is cancelled here, `abort` waits for the running threads."""
        if self._running:
            await asyncio.wait(self._running)
        running, self._running = self._running, []
        for error in [each.exception() for each in running]:
            if error is not None:
                raise error

    def _show(self, batch: list[bytes]) -> None:
        self._watch(b"".join(batch))  # One call for the batch: between two calls the thread would wait for the interpreter's lock.

    def _append(self, batch: list[bytes]) -> None:
        try:
            if not has_space(self._path.parent):
                raise DiskFull("the disk is full")
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            for start in range(0, len(batch), _PIECES_AT_ONCE):
                _write(self._descriptor, batch[start : start + _PIECES_AT_ONCE])
            size = sum(map(len, batch))
            begin_writing_back(self._descriptor, self._written_bytes, size)
            self._written_bytes += size
            self._unsynced_bytes += size
            if self._unsynced_bytes >= SYNC_BYTES:
                sync_file(self._descriptor)
                self._unsynced_bytes = 0
        except OSError as error:
            raise _explained(error) from error

    def _append_and_finish(self, batch: list[bytes]) -> None:
        self._append(batch)
        assert self._descriptor is not None
        try:
            sync_file(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
            self._path.rename(self._kept)
            sync_directory(self._kept.parent)
        except OSError as error:
            raise _explained(error) from error

    def _forget(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self._path.unlink(missing_ok=True)
        self._kept.unlink(missing_ok=True)


def has_space(path: Path) -> bool:
    """Whether the disk that holds `path` has room for content."""
    disk = os.statvfs(path)
    return disk.f_bavail * disk.f_frsize > RESERVE_BYTES


def sync_file(descriptor: int) -> None:
    """Make a file's content durable."""
    os.fdatasync(descriptor)


def _write(descriptor: int, pieces: list[bytes]) -> None:
    """Write all pieces, in one system call if the kernel accepts them all."""
    written = os.writev(descriptor, pieces)
    for piece in pieces:
        if written >= len(piece):
            written -= len(piece)
            continue
        rest = memoryview(piece)[written:]
        written = 0
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def _explained(error: OSError) -> Exception:
    return DiskFull(str(error)) if error.errno in _FULL else error
