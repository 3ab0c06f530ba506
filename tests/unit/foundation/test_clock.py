"""Region time may run fast; the stopwatch never does; waiting waits for a value."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tests import virtual_time
from zonal.foundation.clock import RegionClock, wait_for


def test_region_time_runs_as_fast_as_it_is_told_and_the_stopwatch_does_not() -> None:
    async def story() -> tuple[timedelta, float]:
        clock = RegionClock(speed=60)
        began, reading = clock.now(), clock.monotonic()
        await clock.sleep(3600)
        return clock.now() - began, clock.monotonic() - reading

    region, real = virtual_time.run(story())
    assert region == pytest.approx(timedelta(hours=1), abs=timedelta(milliseconds=1))
    assert real == pytest.approx(60)


@pytest.mark.parametrize("speed", [0, -1])
def test_time_does_not_stand_or_run_backwards(speed: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        RegionClock(speed)


def test_waiting_returns_the_value_that_was_waited_for() -> None:
    async def story() -> str:
        seen: list[str] = []
        asyncio.get_running_loop().call_later(5, seen.append, "here")
        return (await wait_for(lambda: seen, within=timedelta(seconds=10)))[0]

    assert virtual_time.run(story()) == "here"


def test_waiting_in_vain_says_what_was_last_seen() -> None:
    async def story() -> None:
        await wait_for(list, within=timedelta(seconds=10))

    with pytest.raises(TimeoutError, match=r"still \[\] after 10 s"):
        virtual_time.run(story())
