"""Catalog and content together: the S3 store of one region, as a directory.

Content comes in by `receive` (durable when it returns, visible to nobody), becomes an object by a change of the catalog, and goes out by
`read`. Content of up to `SMALL_BYTES` is kept in the catalog, beside the entry: one sync for both instead of three.
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
    """Content that has arrived and is durable, or, when `small`, is going to be with the change that adds it."""

    segment: Segment
    small: bytes | None


class ContentSpan(NamedTuple):
    """A piece of a segment; `content` is there where it is small."""

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
        """Take content in; `watch` sees each piece in order. Where anything raises (`DiskFull`, say), nothing of it stays."""
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
        """Take in content of at most `SMALL_BYTES` that is there already. Raises `DiskFull`."""
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
        """Let go of content that did not become anything."""
        if content.small is None:
            self.blobs.remove(content.segment.blob)

    def small(self, segment: Segment) -> bytes | None:
        """The content of a small segment; None where it has gone meanwhile."""
        return self.catalog.view.small(segment.blob)

    def file(self, segment: Segment) -> IO[bytes]:
        """A large segment as an open file. Raises `BlobMissing`."""
        return self._files.open(segment.blob)

    def read(self, segments: Sequence[Segment], offset: int, size: int) -> AsyncIterator[bytes]:
        """`size` bytes from `offset` of segments in a row, which stay until the end. Raises `BlobMissing` where one has gone."""
        return self._read(*self._held(segments, offset, size))

    async def _read(self, spans: list[ContentSpan], hold: Hold) -> AsyncIterator[bytes]:
        for span in spans:
            if span.content is not None:
                yield span.content
            else:
                async with contextlib.aclosing(self.blobs.read(span.blob, span.offset, span.size)) as pieces:  # type: ignore[type-var]
                    async for piece in pieces:
                        yield piece
        del hold  # Whoever stops earlier drops this frame, and the hold with it.

    def files(self, segments: Sequence[Segment], offset: int, size: int) -> Iterator[bytes | tuple[IO[bytes], int, int]]:
        """As `read`, for whoever can send files: in the place of large content an open file, an offset and a size."""
        return self._files_of(*self._held(segments, offset, size))

    def _files_of(self, spans: list[ContentSpan], hold: Hold) -> Iterator[bytes | tuple[IO[bytes], int, int]]:
        for span in spans:
            yield span.content if span.content is not None else (self._files.open(span.blob), span.offset, span.size)
        del hold  # Whoever stops earlier drops this frame, and the hold with it.

    def _held(self, segments: Sequence[Segment], offset: int, size: int) -> tuple[list[ContentSpan], Hold]:
        """The spans of content that these bytes are, with small content at hand and large content held."""
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
        """Remove content that an earlier life left without an entry; returns how much."""
        return await asyncio.to_thread(self._sweep)

    def _sweep(self) -> int:
        view = self.catalog.new_view()
        return self._files.sweep(view.knows)

    async def close(self) -> None:
        await self.catalog.close()
        await self._files.close()
