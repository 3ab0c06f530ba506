"""Limits the memory of request bodies over all connections.

A body is counted piece by piece from its arrival until its request is answered or rejected, or its connection is lost. A piece that exceeds
the limit is rejected (503), so many large requests harm only themselves. Above half of the limit the budget is tight: streamed bodies are
then read only as fast as their operations consume them.

Not every body may use the whole budget (`share`). The last eighth is for small bodies, which arrive with their request. Documents whose
signature covers a body that has not arrived, and is therefore not verified yet, may use half of it, or three quarters up to 64 KiB. So
clients with wrong signatures cannot keep the others out.

The C library keeps freed memory of such sizes, so `trim` returns it to the operating system after a large part of the budget was in use.
"""

from __future__ import annotations

from collections.abc import Callable

from zonal.foundation.errors import AwsError
from zonal.foundation.malloc_trim import release_free_memory

ALL = 1.0
"""The share of small bodies, which arrive with their request."""
STREAMED = 7 / 8
"""The share of bodies whose request was verified by its head (S3), and of what a verified document is unpacked to."""
UNVERIFIED_SMALL = 3 / 4
UNVERIFIED = 1 / 2
"""The shares of a document whose signature is not verified yet: up to `UNVERIFIED_SMALL_BYTES`, and above."""
UNVERIFIED_SMALL_BYTES = 64 * 1024
DOCUMENT_SHARE = 4
"""One document, and so one connection, may have a fourth of the budget."""
TRIM_BYTES = 8 * 1024 * 1024
"""The peak use from which on a trim is worth its time."""


class BodyBudget:
    """Counts the bytes of request bodies in memory, up to `limit_bytes`."""

    def __init__(self, limit_bytes: int, *, trim: Callable[[], None] | None = None) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._peak_bytes = 0
        self._trim = trim or release_free_memory

    def reserve(self, size_bytes: int, share: float = ALL) -> bool:
        """Count bytes before they are stored. Returns False, and counts nothing, if more than `share` of the limit would be in use."""
        used = self.used_bytes + size_bytes
        if used > self.limit_bytes * share:
            return False
        self.used_bytes = used
        if used > self._peak_bytes:
            self._peak_bytes = used
        return True

    def release(self, size_bytes: int) -> None:
        """Stop counting bytes that were reserved."""
        assert size_bytes <= self.used_bytes, "more bytes are released than were reserved"
        self.used_bytes -= size_bytes

    @property
    def is_tight(self) -> bool:
        """Whether more than half is in use."""
        return self.used_bytes * 2 > self.limit_bytes

    @property
    def needs_trim(self) -> bool:
        """Whether much was in use since the last trim and little is now."""
        return self._peak_bytes >= TRIM_BYTES and self.used_bytes * 4 <= self._peak_bytes

    def trim(self) -> None:
        """Return freed memory to the operating system. Takes some milliseconds, so it runs in a thread."""
        self._peak_bytes = self.used_bytes
        self._trim()


def share_of(*, is_verified: bool, size_bytes: int) -> float:
    """The share of a body of which `size_bytes` are held."""
    if is_verified:
        return STREAMED
    return UNVERIFIED_SMALL if size_bytes <= UNVERIFIED_SMALL_BYTES else UNVERIFIED


def too_many_bodies(service: str) -> AwsError:
    """The error for a request whose body exceeds the budget. `service` is botocore's name."""
    if service == "s3":
        return AwsError("SlowDown", "Please reduce your request rate.", status=503)
    return AwsError("ThrottlingException", "Rate exceeded", status=503)
