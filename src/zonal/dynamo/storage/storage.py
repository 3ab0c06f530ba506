"""What the engine asks of a store of ordered bytes.

Everything is done on the event loop's thread; only making changes durable happens elsewhere. A change is *accepted* when `submit`
returns: from then on `latest` sees it, so the next condition is decided on it. It is *committed* when the awaitable that `submit`
returned is done: only then `get` and `range` see it, all changes of one `submit` at once, and only then may it be acknowledged. When
a commit fails, every change accepted since fails with it, because it may have been decided on what is not there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Mapping
from typing import Protocol

from zonal.foundation.errors import ZonalError


class StorageFailed(ZonalError):
    """Changes could not be made durable (a full disk, say); none of them took effect."""


class Snapshot(Protocol):
    """The committed state of one moment, for as long as it is held."""

    def range(self, low: bytes, high: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values with `low <= key < high`, in order, or in reverse order."""

    def close(self) -> None:
        """Let the moment go; holding it for long costs disk space."""


class Storage(Protocol):
    def get(self, key: bytes) -> bytes | None:
        """The committed value."""

    def latest(self, key: bytes) -> bytes | None:
        """The accepted value, committed or not."""

    def range(self, low: bytes, high: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Committed keys and values with `low <= key < high`; to be used up before the next `await`."""

    def submit(self, changes: Mapping[bytes, bytes | None]) -> Awaitable[None]:
        """Accept changes (None deletes); the awaitable is done when they are durable, or raises `StorageFailed`."""

    def settled(self) -> Awaitable[None]:
        """Done when everything accepted so far is durable; raises `StorageFailed` where it cannot be."""

    def snapshot(self) -> Snapshot:
        """The committed state of now, for reads that wait in between."""

    async def close(self) -> None:
        """Commit what was accepted, and close."""
