"""The blob store's protocol: immutable content under ids that the store generates.

Content is written once, becomes durable at `BlobWriter.commit`, and is never changed, only removed. Ids are random and independent of
buckets and keys, so no key can lead to a path outside the store, and no two keys share content. Another implementation can replace files;
the layers above depend on files only where plain content is sent by `sendfile` (`store.BucketStore.file`).
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from zonal.foundation.release_queue import ReleaseQueue
from zonal.records.store import StoreUnavailable


class BlobWriter(Protocol):
    """Content that is being written. Ends with `commit` or `abort`."""

    async def write(self, piece: bytes) -> None:
        """Append a piece. Waits while earlier pieces are written to the disk."""

    async def commit(self) -> str:
        """Make everything written durable; return its id."""

    async def abort(self) -> None:
        """Discard everything written. May be called after a failure of the other two."""


class Blobs(Protocol):
    """A blob store."""

    def writer(self, watch: Callable[[bytes], None]) -> BlobWriter:
        """Begin new content. `watch` is called with each batch in order, in a thread, so that it can compute hashes."""

    def read(self, blob: str, offset: int, size: int) -> AsyncIterator[bytes]:
        """`size` bytes from `offset`. Raises `BlobMissing` when called if there is no such content; later the content stays open."""

    def hold(self, blobs: Sequence[str]) -> Hold:
        """Keep content readable until the returned object is garbage-collected. Raises `BlobMissing` if any has been removed."""

    def remove(self, blob: str) -> None:
        """Remove content. Readers and holders of it can read it to the end."""


class Hold:
    """Keeps content readable as long as this object is referenced; it needs no explicit release."""

    def __init__(self, blobs: Sequence[str], released: ReleaseQueue[Sequence[str]]) -> None:
        released.add_when_collected(self, blobs)


class BlobMissing(Exception):
    """There is no content with this id."""


class DiskFull(StoreUnavailable):
    """The disk is full; nothing of the change took effect."""


def new_id() -> str:
    """A new unique id: 128 random bits."""
    return secrets.token_hex(16)
