"""Protocol of the store that the engine uses: ordered keys and values of bytes.

All methods are called on the event loop; commits happen elsewhere. A change is *accepted* when `submit` returns: `latest` then
returns it, so the next condition is decided on it. It is *committed* when the awaitable of `submit` is done: only then `get` and `range`
return it, all changes of one `submit` at once, and only then may it be acknowledged. When a commit fails, every change accepted since
fails with it, because it may have been decided on a value that was not committed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Mapping
from typing import Protocol

from zonal.foundation.errors import ZonalError


class StorageFailed(ZonalError):
    """Changes could not be committed, for example because the disk is full; none of them took effect."""


class Snapshot(Protocol):
    """The committed state at one time. It must be closed."""

    def range(self, low: bytes, high: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values with `low <= key < high`, in order, or in reverse order."""

    def close(self) -> None:
        """Release the state. An open snapshot keeps old pages on the disk."""


class Storage(Protocol):
    def get(self, key: bytes) -> bytes | None:
        """The committed value."""

    def latest(self, key: bytes) -> bytes | None:
        """The accepted value, committed or not."""

    def range(self, low: bytes, high: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Committed keys and values with `low <= key < high`; to be consumed before the next `await`."""

    def submit(self, changes: Mapping[bytes, bytes | None]) -> Awaitable[None]:
        """Accept changes (None deletes); the awaitable is done when they are durable, or raises `StorageFailed`."""

    def settled(self) -> Awaitable[None]:
        """Done when all accepted changes are durable; raises `StorageFailed` when a commit fails."""

    def snapshot(self) -> Snapshot:
        """The current committed state, for reads with an `await` in between."""

    async def close(self) -> None:
        """Commit all accepted changes, and close."""
