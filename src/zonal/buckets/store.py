"""The S3 store of one region: catalog and content in one directory.

`receive` stores content (durable when it returns, not yet visible), a change of the catalog makes it an object, `read` returns it. Content
of up to `SMALL_BYTES` is stored in the catalog with the entry: one sync for both instead of three.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from zonal.buckets.blob_files import BlobFiles
from zonal.buckets.blobs import BlobMissing, Blobs, DiskFull, Hold, new_id
from zonal.buckets.catalog import BucketCatalog
from zonal.buckets.records import Segment
from zonal.foundation.files import sync_directory

SMALL_BYTES = 8 * 1024


class Content(NamedTuple):
    """Received content. It is durable, except `small` content, which becomes durable with the change that adds it."""

    segment: Segment
    small: bytes | None


class ContentSpan(NamedTuple):
    """A range of a segment; `content` is set if the segment is small."""

    blob: str
    offset: int
    size: int
    content: bytes | None


class BucketStore:
    """The store in `directory`."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = BlobFiles(directory / "content")
        self.blobs: Blobs = files
        self._files = files
        self.catalog = BucketCatalog(directory / "catalog.db", files.remove)
        for path in (directory, directory.parent):
            sync_directory(path)

    async def receive(self, pieces: AsyncIterator[bytes], watch: Callable[[bytes], None]) -> Content:
        """Store content; `watch` gets each piece in order. If anything raises (for example `DiskFull`), all of it is removed."""
        held: list[bytes] = []
        size = 0
        async for piece in pieces:
            held.append(piece)
            size += len(piece)
            if size > SMALL_BYTES:
                return await self._receive_large(held, pieces, watch)
        content = b"".join(held)
        if content:
            watch(content)
        return self.take_small(content)

    def take_small(self, content: bytes) -> Content:
        """Accept content of at most `SMALL_BYTES` that is completely in memory. Raises `DiskFull`."""
        if not self._files.has_space():
            raise DiskFull("the disk is full")
        return Content(Segment(new_id(), len(content), small=True), content)

    async def _receive_large(self, held: list[bytes], pieces: AsyncIterator[bytes], watch: Callable[[bytes], None]) -> Content:
        writer = self.blobs.writer(watch)
        size = 0
        try:
            for piece in held:
                size += len(piece)
                await writer.write(piece)
            held.clear()
            async for piece in pieces:
                size += len(piece)
                await writer.write(piece)
            return Content(Segment(await writer.commit(), size), None)
        except BaseException:
            await writer.abort()
            raise

    def forget(self, content: Content) -> None:
        """Remove content that no record refers to."""
        if content.small is None:
            self.blobs.remove(content.segment.blob)

    def small(self, segment: Segment) -> bytes | None:
        """The content of a small segment; None if it has been removed."""
        return self.catalog.view.small(segment.blob)

    def file(self, segment: Segment) -> IO[bytes]:
        """A large segment as an open file. Raises `BlobMissing`."""
        return self._files.open(segment.blob)

    def read(self, segments: Sequence[Segment], offset: int, size: int) -> AsyncIterator[bytes]:
        """`size` bytes from `offset` of concatenated segments, which are held until the end. Raises `BlobMissing` if one was removed."""
        return self._read(*self._held(segments, offset, size))

    async def _read(self, spans: list[ContentSpan], hold: Hold) -> AsyncIterator[bytes]:
        for span in spans:
            if span.content is not None:
                yield span.content
            else:
                async with contextlib.aclosing(self.blobs.read(span.blob, span.offset, span.size)) as pieces:  # type: ignore[type-var]
                    async for piece in pieces:
                        yield piece
        del hold  # If the reader stops earlier, the frame is dropped and the hold with it.

    def files(self, segments: Sequence[Segment], offset: int, size: int) -> Iterator[bytes | tuple[IO[bytes], int, int]]:
        """Like `read`, for `sendfile`: large content is returned as an open file, an offset and a size."""
        return self._files_of(*self._held(segments, offset, size))

    def _files_of(self, spans: list[ContentSpan], hold: Hold) -> Iterator[bytes | tuple[IO[bytes], int, int]]:
        for span in spans:
            yield span.content if span.content is not None else (self._files.open(span.blob), span.offset, span.size)
        del hold  # If the reader stops earlier, the frame is dropped and the hold with it.

    def _held(self, segments: Sequence[Segment], offset: int, size: int) -> tuple[list[ContentSpan], Hold]:
        """The spans that make up these bytes, with small content loaded and large content held."""
        spans = []
        for segment in segments:
            if size <= 0:
                break
            taken = min(size, segment.size - offset)
            if taken > 0:
                spans.append(self._span(segment, offset, taken))
                size -= taken
            offset = max(0, offset - segment.size)
        return spans, self.blobs.hold([span.blob for span in spans if span.content is None])

    def _span(self, segment: Segment, offset: int, size: int) -> ContentSpan:
        if not segment.small:
            return ContentSpan(segment.blob, offset, size, None)
        content = self.small(segment)
        if content is None:
            raise BlobMissing(segment.blob)
        return ContentSpan(segment.blob, offset, size, content[offset : offset + size])

    async def sweep(self) -> int:
        """Remove unreferenced content that an earlier run left; return the number of blobs."""

        return await asyncio.to_thread(self._sweep)

    def _sweep(self) -> int:
        view = self.catalog.new_view()
        return self._files.sweep(view.refers_to)

    async def close(self) -> None:
        await self.catalog.close()
        await self._files.close()
