"""Region time, the stopwatch, and waiting for a condition."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tests import virtual_time
from zonal.foundation.clock import RegionClock, wait_for


def test_region_time_runs_at_its_speed_and_the_stopwatch_in_real_time() -> None:
    async def story() -> tuple[timedelta, float]:
        clock = RegionClock(speed=60)
        began, reading = clock.now(), clock.monotonic()
        await clock.sleep(3600)
        return clock.now() - began, clock.monotonic() - reading

    region, real = virtual_time.run(story())
    assert region == pytest.approx(timedelta(hours=1), abs=timedelta(milliseconds=1))
    assert real == pytest.approx(60)


@pytest.mark.parametrize("speed", [0, -1])
def test_time_always_advances(speed: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        RegionClock(speed)


def test_a_wait_returns_the_value_of_its_condition() -> None:
    async def story() -> str:
        seen: list[str] = []
        asyncio.get_running_loop().call_later(5, seen.append, "here")
        return (await wait_for(lambda: seen, within=timedelta(seconds=10)))[0]

    assert virtual_time.run(story()) == "here"


def test_a_wait_that_times_out_reports_the_last_value() -> None:
    async def story() -> None:
        await wait_for(list, within=timedelta(seconds=10))

    with pytest.raises(TimeoutError, match=r"still \[\] after 10 s"):
        virtual_time.run(story())
