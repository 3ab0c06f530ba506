"""How fast a client must send a document that the gateway holds in memory until it is complete.

Without a minimum rate a client could hold a part of the budget for ever by sending a byte now and then. Within each window of
`request_timeout_seconds` at least `MIN_BYTES_PER_SECOND` must arrive on average, and the whole document within `MOST_WINDOWS` of them.
The check runs when a piece arrives; a client that sends nothing at all ends by the connection's own time limit. Bodies of operations that
stream have no minimum rate, because they are not held.
"""

from __future__ import annotations

MIN_BYTES_PER_SECOND = 1024
MOST_WINDOWS = 20


class BodyPace:
    """The progress of one document. Times are the event loop's, in seconds."""

    def __init__(self, now: float, window_seconds: float) -> None:
        self._window_seconds = window_seconds
        self._last = now + MOST_WINDOWS * window_seconds
        self._since = now
        self._size_before = 0

    def is_too_slow(self, now: float, size_bytes: int) -> bool:
        """Whether a document of which `size_bytes` have arrived until now is refused."""
        elapsed = now - self._since
        if elapsed < self._window_seconds:
            return now >= self._last
        if size_bytes - self._size_before < MIN_BYTES_PER_SECOND * elapsed:
            return True
        self._since, self._size_before = now, size_bytes
        return now >= self._last
