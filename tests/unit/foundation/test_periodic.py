"""Periodic work continues after a failure."""

from __future__ import annotations

import asyncio
import logging

import pytest

from zonal.foundation.periodic import repeat


async def test_work_that_fails_is_repeated_and_the_same_failure_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    outcomes = [OSError("full"), OSError("full"), None, OSError("full"), ValueError("other"), None]
    done = asyncio.Event()

    async def work() -> None:
        outcome = outcomes.pop(0)
        if not outcomes:
            done.set()
        if outcome is not None:
            raise outcome

    with caplog.at_level(logging.WARNING):
        task = asyncio.create_task(repeat(work, what="the work", pause_seconds=0.001))
        async with asyncio.timeout(60):
            await done.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(caplog.records) == 3
