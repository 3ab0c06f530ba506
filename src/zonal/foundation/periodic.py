"""Periodic background work that continues after failures.

A background task that raised on a full disk would not run again when the disk has space. `repeat` logs the failure and continues.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

_log = logging.getLogger(__name__)


async def repeat(work: Callable[[], Awaitable[object]], *, what: str, pause_seconds: float) -> None:
    """Call `work` for ever, with a pause after each call. A failure is logged unless the previous call failed in the same way."""
    failure = ""
    while True:
        try:
            await work()
            failure = ""
        except Exception as error:
            if failure != (failure := f"{type(error).__name__}: {error}"):
                _log.warning("%s failed; retrying every %g s", what, pause_seconds, exc_info=True)
        await asyncio.sleep(pause_seconds)
