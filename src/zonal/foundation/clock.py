"""Region time and the stopwatch.

Region time paces what AWS paces (statuses, TTL, windows) and may run faster than the wall; the stopwatch
(`monotonic`) never does, because drills measure with it. Everything that waits or dates takes a `Clock` argument. Both readings of a
clock whose first loop is one of virtual time (`tests/virtual_time.py`) come from that loop, so a test moves them without sleeping.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """Time as the region sees it."""

    def now(self) -> datetime:
        """Region time, aware, UTC."""

    def monotonic(self) -> float:
        """The stopwatch, in real seconds, for measuring."""

    async def sleep(self, seconds: float) -> None:
        """Wait for so many seconds of *region* time."""


class RegionClock:
    """The clock of a running region: region time starts at the wall's time and runs `speed` times as fast."""

    def __init__(self, speed: float = 1.0) -> None:
        if speed <= 0:
            raise ValueError(f"a clock's speed must be positive, not {speed}")
        self.speed = speed
        self._is_wall = None if speed == 1.0 else False  # Found out once, on a loop: every request asks for the time.
        self._started_wall = datetime.now(UTC)
        self._started_monotonic = self.monotonic()

    def now(self) -> datetime:
        if self._is_wall is None:
            self._is_wall = _is_of_the_wall()
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


def _is_of_the_wall() -> bool | None:
    """Whether the running loop's time is the wall's; None where none runs."""
    try:
        return not getattr(asyncio.get_running_loop(), "is_virtual", False)
    except RuntimeError:
        return None


async def wait_for(look: Callable[[], T], *, within: timedelta, every: timedelta = timedelta(milliseconds=20)) -> T:
    """Look until `look()` is true (its value is returned), at most `within`; `TimeoutError` says what was last seen.

    Waits for a condition's value, not for a change, so a missed signal cannot hang it.
    """
    value = look()
    try:
        async with asyncio.timeout(within.total_seconds()):
            while not value:
                await asyncio.sleep(every.total_seconds())
                value = look()
    except TimeoutError:
        raise TimeoutError(f"still {value!r} after {within.total_seconds():g} s") from None
    return value
