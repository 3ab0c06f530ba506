"""A request's body that its operation reads while it arrives.

The connection puts pieces in and the operation takes them out. The `BodyBudget` counts the pieces in between.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from zonal.foundation.errors import AwsError
from zonal.gateway.body_budget import BodyBudget, share_of

STREAM_BUFFER_BYTES = 512 * 1024
JOIN_BYTES = 4 * 1024
"""Pieces smaller than this are joined while nobody takes them: each is an object of some 40 bytes beside its content."""
JOINED_BYTES = 64 * 1024
"""The size at which a joined piece is complete."""


class BodyStream:
    """A queue of a body's pieces. The connection stops reading while the queue is full, which it is earlier when the budget is tight."""

    def __init__(
        self, budget: BodyBudget, *, is_verified: bool, on_taken: Callable[[], None], on_reader_waiting: Callable[[], None]
    ) -> None:
        """`on_taken` is called after a piece was taken, `on_reader_waiting` when a reader waits for one.

        `is_verified`: the head contains the whole signature, as S3's does.
        """
        self._is_verified = is_verified
        self._budget = budget
        self._on_taken = on_taken
        self._on_reader_waiting = on_reader_waiting
        self._pieces: deque[bytes] = deque()
        self._joined = bytearray()  # Small pieces, behind the others.
        self._size = 0
        self._ended = False
        self._broken: Exception | None = None
        self._changed = asyncio.Event()

    def put(self, piece: bytes) -> bool:
        """Add a piece. Returns False if the budget does not allow it."""
        if self._ended:
            return True  # The reader has ended.
        if not self._budget.reserve(len(piece), share_of(is_verified=self._is_verified, size_bytes=self._size + len(piece))):
            return False
        self._size += len(piece)
        if len(piece) < JOIN_BYTES:
            self._joined += piece
            if len(self._joined) >= JOINED_BYTES:
                self._complete_joined()
        else:
            self._complete_joined()
            self._pieces.append(piece)
        self._changed.set()
        return True

    def _complete_joined(self) -> None:
        if self._joined:
            self._pieces.append(bytes(self._joined))
            self._joined = bytearray()

    def end(self, error: Exception | None = None) -> None:
        """End the body: it is complete, or broken by an error, which drops the pieces that were not taken."""
        if self._ended:
            return
        self._ended, self._broken = True, error
        if error is not None:
            self._drop()
        self._changed.set()

    def close(self) -> None:
        """End the reading: drops the rest of the body."""
        self.end(incomplete_body())
        self._drop()

    def _drop(self) -> None:
        self._pieces.clear()
        self._joined = bytearray()
        self._budget.release(self._size)
        self._size = 0

    @property
    def is_full(self) -> bool:
        return self._size > STREAM_BUFFER_BYTES or (self._size > 0 and self._budget.is_tight)

    @property
    def is_complete(self) -> bool:
        """Whether the whole body has arrived."""
        return self._ended and self._broken is None

    async def pieces(self) -> AsyncIterator[bytes]:
        """The pieces. Raises `AwsError` if the client disconnected or stopped sending."""
        while True:
            while self._size:
                if not self._pieces:
                    self._complete_joined()
                piece = self._pieces.popleft()
                self._size -= len(piece)
                self._budget.release(len(piece))
                self._on_taken()
                yield piece
            if self._broken:
                raise self._broken
            if self._ended:
                return
            self._changed.clear()
            self._on_reader_waiting()
            await self._changed.wait()


def incomplete_body() -> AwsError:
    return AwsError("IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header")


def too_slow() -> AwsError:
    return AwsError("RequestTimeout", TOO_SLOW)


TOO_SLOW = (
    "Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed."
)
