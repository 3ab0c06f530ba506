"""The blob store with files.

A writer writes to `arriving/ID` (see `file_writer`), syncs the file, renames it to `kept/AA/ID` (AA: the id's first two digits) and syncs
that directory; only then does the content exist. After a power loss every file in `kept` is complete, and no file in `arriving` has been
acknowledged. Ids end with a suffix that is random for each opening of the store, so that `sweep` recognises older files without a clock: it
removes all older files in `arriving`, and those in `kept` that the catalog does not refer to.

Disk work runs in a thread pool, never on the event loop. A reader holds one piece in memory.

Content that is removed while it is held is unlinked after the last `Hold` has been garbage-collected. The finaliser only queues the release
(`foundation.release_queue` has the reason); a timer on the event loop drains the queue while removed content is held.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from zonal.buckets.blobs import BlobMissing, Hold
from zonal.buckets.file_writer import FileWriter, has_space
from zonal.foundation.files import sync_directory
from zonal.foundation.release_queue import ReleaseQueue

COLLECT_SECONDS = 0.2
"""Interval at which the release queue is drained while removed content is held."""
PIECE_BYTES = 1024 * 1024
THREADS = 8
SUFFIX_DIGITS = 8


class BlobFiles:
    """A blob store in one directory."""

    def __init__(self, directory: Path) -> None:
        self.arriving = directory / "arriving"
        self.kept = directory / "kept"
        self._kept = str(self.kept)
        for path in (directory, self.arriving, self.kept):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(256):
            (self.kept / f"{number:02x}").mkdir(mode=0o700, exist_ok=True)
        for path in (self.kept, directory):
            sync_directory(path)
        self._suffix = secrets.token_hex(SUFFIX_DIGITS // 2)
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()
        self._removed: set[str] = set()
        """Content to unlink when its last hold is released."""
        self._released: ReleaseQueue[Sequence[str]] = ReleaseQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="blobs")

    def writer(self, watch: Callable[[bytes], None]) -> FileWriter:
        blob = secrets.token_hex(12) + self._suffix
        return FileWriter(self.arriving / blob, self.path(blob), watch, self.threads)

    def read(self, blob: str, offset: int, size: int) -> AsyncIterator[bytes]:
        return self._pieces(self.open(blob), offset, size)

    def open(self, blob: str) -> IO[bytes]:
        """The content as an open file, for `sendfile`. Raises `BlobMissing`."""
        try:
            return open(f"{self._kept}/{blob[:2]}/{blob}", "rb", buffering=0)  # noqa: PTH123 (pathlib takes longer than the system call)
        except FileNotFoundError:
            raise BlobMissing(blob) from None

    def hold(self, blobs: Sequence[str]) -> Hold:
        """Keep content until the returned object is garbage-collected. Must be called on the event loop. Raises `BlobMissing`."""
        self._loop = asyncio.get_running_loop()
        with self._lock:
            self._count_released()
            self._held.update(blobs)
        hold = Hold(blobs, self._released)
        for blob in blobs:
            if not self.path(blob).exists():
                raise BlobMissing(blob)
        return hold

    def remove(self, blob: str) -> None:
        with contextlib.suppress(RuntimeError):  # Closed: the next start sweeps it.
            self.threads.submit(self._remove, blob)

    def _remove(self, blob: str) -> None:
        with self._lock:
            self._count_released()
            if not self._held[blob]:
                del self._held[blob]
                self.path(blob).unlink(missing_ok=True)
                return
            self._removed.add(blob)
        assert self._loop is not None  # `hold` has set it.
        with contextlib.suppress(RuntimeError):  # The loop has ended: the next start sweeps it.
            self._loop.call_soon_threadsafe(self._schedule_collection)

    def _count_released(self) -> None:
        """Subtract the holds that were garbage-collected. The caller has the lock."""
        for blobs in self._released.drain():
            for blob in blobs:
                self._held[blob] -= 1
                if self._held[blob] <= 0:
                    del self._held[blob]

    def _schedule_collection(self) -> None:
        if self._timer is None and self._loop is not None and not self._is_closed:
            self._timer = self._loop.call_later(COLLECT_SECONDS, self._collect)

    def _collect(self) -> None:
        """Unlink removed content that is no longer held; schedule another run if some still is."""
        self._timer = None
        with self._lock:
            self._count_released()
            free = {blob for blob in self._removed if blob not in self._held}
            self._removed -= free
        for blob in free:
            self.remove(blob)
        if self._removed:
            self._schedule_collection()

    def path(self, blob: str) -> Path:
        return self.kept / blob[:2] / blob

    def has_space(self) -> bool:
        return has_space(self.kept)

    def sweep(self, is_known: Callable[[str], bool]) -> int:
        """Remove unreferenced content of earlier openings; return the number of files. Blocks, so call it in a thread."""
        count = sum(self._remove_older(path) for path in self.arriving.iterdir())
        for directory in self.kept.iterdir():
            count += sum(self._remove_older(path) for path in directory.iterdir() if not is_known(path.name))
        return count

    def _remove_older(self, path: Path) -> bool:
        if path.name.endswith(self._suffix):
            return False
        if path.parent == self.arriving:
            path.unlink(missing_ok=True)
        else:
            self._remove(path.name)
        return True

    async def close(self) -> None:
        """Unlink content that is no longer held, and end the threads."""
        self._collect()
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.to_thread(self.threads.shutdown)

    async def _pieces(self, file: IO[bytes], offset: int, size: int) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        descriptor, end = file.fileno(), offset + size
        with file:
            while offset < end:
                piece = await loop.run_in_executor(self.threads, os.pread, descriptor, min(PIECE_BYTES, end - offset), offset)
                if not piece:
                    raise BlobMissing(f"the content ends {end - offset} bytes early")
                offset += len(piece)
                yield piece
