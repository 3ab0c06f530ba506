"""Where content is kept: bytes under ids that the store makes up, behind a protocol of a few methods.

Content is never changed: it is written once, becomes durable at `BlobWriter.commit`, and is removed. Ids are random and say nothing of
buckets or keys, so no key, whatever is in it, can reach outside, and two keys never meet. Whoever outgrows one machine puts another
implementation behind this protocol; nothing above it knows files.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from zonal.foundation.release_queue import ReleaseQueue
from zonal.records.store import StoreUnavailable


class BlobWriter(Protocol):
    """Content on its way in. Ends with `commit` or `abort`."""

    async def write(self, piece: bytes) -> None:
        """Add a piece. Waits while the disk is behind."""

    async def commit(self) -> str:
        """Make everything written durable; returns its id."""

    async def abort(self) -> None:
        """Forget everything written. May be called after a failure of the other two."""


class Blobs(Protocol):
    """A store of content."""

    def writer(self, watch: Callable[[bytes], None]) -> BlobWriter:
        """Begin new content. `watch` is given each piece in order, on a thread where it may compute."""

    def read(self, blob: str, offset: int, size: int) -> AsyncIterator[bytes]:
        """`size` bytes from `offset`. Raises `BlobMissing` at once where there is none; held open from then on."""

    def hold(self, blobs: Sequence[str]) -> Hold:
        """Keep content from going while what is returned lives. Raises `BlobMissing` where some has gone already."""

    def remove(self, blob: str) -> None:
        """Let go of content. Those who read or hold it now may read to its end."""


class Hold:
    """Keeps content there for as long as somebody has this object, whatever happens to the code that has it."""

    def __init__(self, blobs: Sequence[str], released: ReleaseQueue[Sequence[str]]) -> None:
        released.add_when_collected(self, blobs)


class BlobMissing(Exception):
    """There is no content with this id."""


class DiskFull(StoreUnavailable):
    """The disk has no room for what was to be stored; nothing of it took effect."""


def new_id() -> str:
    """An id that nobody has used: 128 random bits."""
    return secrets.token_hex(16)
