"""Region time and the stopwatch.

Region time governs what AWS times (statuses, TTL, maintenance windows) and may run faster than real time. The stopwatch (`monotonic`)
measures real time, because drills measure with it. Code that waits or records a time takes a `Clock` argument. If a clock's first event
loop runs in virtual time (`tests/virtual_time.py`), both readings come from that loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """The source of time for the region."""

    def now(self) -> datetime:
        """Region time as an aware datetime in UTC."""

    def monotonic(self) -> float:
        """The stopwatch in real seconds. Only differences have a meaning."""

    async def sleep(self, seconds: float) -> None:
        """Wait for a number of seconds of *region* time."""


class RegionClock:
    """The clock of a running region: region time starts at the present time and runs `speed` times as fast."""

    def __init__(self, speed: float = 1.0) -> None:
        if speed <= 0:
            raise ValueError(f"a clock's speed must be positive, not {speed}")
        self.speed = speed
        self._is_wall = None if speed == 1.0 else False  # Cached: every request reads the time.
        self._started_wall = datetime.now(UTC)
        self._started_monotonic = self.monotonic()

    def now(self) -> datetime:
        if self._is_wall is None:
            self._is_wall = _is_real_time()
        if self._is_wall is not False:
            return datetime.now(UTC)
        return self._started_wall + timedelta(seconds=(self.monotonic() - self._started_monotonic) * self.speed)

    def monotonic(self) -> float:
        try:
            return asyncio.get_running_loop().time()
        except RuntimeError:
            return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.speed)


def _is_real_time() -> bool | None:
    """Whether the running event loop keeps real time; None if no loop runs."""
    try:
        return not getattr(asyncio.get_running_loop(), "is_virtual", False)
    except RuntimeError:
        return None


async def wait_for(condition: Callable[[], T], *, within: timedelta, every: timedelta = timedelta(milliseconds=20)) -> T:
    """Poll until `condition()` is true, and return its value. Raises `TimeoutError` with the last value after `within`.

    Polls for a value instead of waiting for a change, so a missed signal cannot block it.
    """
    value = condition()
    try:
        async with asyncio.timeout(within.total_seconds()):
            while not value:
                await asyncio.sleep(every.total_seconds())
                value = condition()
    except TimeoutError:
        raise TimeoutError(f"still {value!r} after {within.total_seconds():g} s") from None
    return value
