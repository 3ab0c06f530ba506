"""Content as files.

A writer writes to `arriving/ID`, syncs the file, renames it to `kept/AA/ID` (AA: the id's first two digits) and syncs that directory;
only then is the content there. After a power loss a file in `kept` is whole, and what is in `arriving` was never acknowledged. `sweep`
removes what nobody refers to: everything in `arriving`, and in `kept` what is older than the start and not in the catalog.

Disk work is done by a few threads, never on the event loop. Memory is bounded: a writer holds one batch, a reader one piece.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from zonal.buckets.blobs import BlobMissing, new_id

BATCH_BYTES = 1024 * 1024
PIECE_BYTES = 1024 * 1024
THREADS = 4


class BlobFiles:
    """A blob store in one directory."""

    def __init__(self, directory: Path) -> None:
        self.arriving = directory / "arriving"
        self.kept = directory / "kept"
        for path in (directory, self.arriving, self.kept):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(256):
            (self.kept / f"{number:02x}").mkdir(mode=0o700, exist_ok=True)
        for path in (self.kept, directory):
            sync_directory(path)
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="blobs")

    def writer(self, watch: Callable[[bytes], None]) -> FileWriter:
        return FileWriter(self, new_id(), watch)

    def read(self, blob: str, offset: int, size: int) -> AsyncIterator[bytes]:
        return self._pieces(self.open(blob), offset, size)

    def open(self, blob: str) -> IO[bytes]:
        """The content as an open file, for whoever can send files. Raises `BlobMissing`."""
        try:
            return self.path(blob).open("rb", buffering=0)
        except FileNotFoundError:
            raise BlobMissing(blob) from None

    def remove(self, blob: str) -> None:
        self.threads.submit(lambda: self.path(blob).unlink(missing_ok=True))

    def path(self, blob: str) -> Path:
        return self.kept / blob[:2] / blob

    def sweep(self, is_known: Callable[[str], bool], before: float) -> int:
        """Remove what nobody refers to and is older than `before` (seconds since 1970); returns how much. Blocks: for a thread."""
        count = 0
        for path in self.arriving.iterdir():
            count += _remove_older(path, before)
        for directory in self.kept.iterdir():
            for path in directory.iterdir():
                if not is_known(path.name):
                    count += _remove_older(path, before)
        return count

    def close(self) -> None:
        self.threads.shutdown()

    async def _pieces(self, file: IO[bytes], offset: int, size: int) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        descriptor, end = file.fileno(), offset + size
        with file:
            while offset < end:
                piece = await loop.run_in_executor(self.threads, os.pread, descriptor, min(PIECE_BYTES, end - offset), offset)
                if not piece:
                    raise BlobMissing(f"the content ended {end - offset} bytes early")
                offset += len(piece)
                yield piece


class FileWriter:
    """New content on its way into a file."""

    def __init__(self, files: BlobFiles, blob: str, watch: Callable[[bytes], None]) -> None:
        self._files = files
        self._blob = blob
        self._watch = watch
        self._path = files.arriving / blob
        self._descriptor: int | None = None
        self._batch: list[bytes] = []
        self._batch_bytes = 0
        self._flight: asyncio.Future[None] | None = None

    async def write(self, piece: bytes) -> None:
        self._batch.append(piece)
        self._batch_bytes += len(piece)
        if self._batch_bytes >= BATCH_BYTES:
            await self._take_off()

    async def commit(self) -> str:
        await self._take_off()
        await self._land()
        await self._run(self._finish)
        return self._blob

    async def abort(self) -> None:
        self._batch = []
        if self._flight is not None:
            await asyncio.wait([self._flight])
        await self._run(self._forget)

    async def _take_off(self) -> None:
        """Hand the batch to a thread, which writes it while the next one is gathered."""
        await self._land()
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        self._flight = asyncio.get_running_loop().run_in_executor(self._files.threads, self._append, batch)

    async def _land(self) -> None:
        flight, self._flight = self._flight, None
        if flight is not None:
            await asyncio.shield(flight)

    async def _run(self, work: Callable[[], None]) -> None:
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._files.threads, work))

    def _append(self, batch: list[bytes]) -> None:
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        for piece in batch:
            self._watch(piece)
            view = memoryview(piece)
            while view:
                view = view[os.write(self._descriptor, view) :]

    def _finish(self) -> None:
        assert self._descriptor is not None
        os.fdatasync(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = None
        kept = self._files.path(self._blob)
        self._path.rename(kept)
        sync_directory(kept.parent)

    def _forget(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self._path.unlink(missing_ok=True)


def sync_directory(path: Path) -> None:
    """Make a directory's entries durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_older(path: Path, before: float) -> int:
    try:
        if path.stat().st_mtime >= before:
            return 0
        path.unlink()
    except FileNotFoundError:
        return 0
    return 1
