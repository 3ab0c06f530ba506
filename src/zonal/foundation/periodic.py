"""Work that is done again and again for as long as the region runs, whatever goes wrong in between.

A background task that ends with an exception is missed by nobody: on a full disk it would fail once and not be there any more when there is
room again. `repeat` logs the failure and goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

_log = logging.getLogger(__name__)


async def repeat(work: Callable[[], Awaitable[object]], *, what: str, pause_seconds: float) -> None:
    """Do `work` for ever, with a pause after each time. A failure is logged when it is another one than the time before."""
    failure = ""
    while True:
        try:
            await work()
            failure = ""
        except Exception as error:
            if failure != (failure := f"{type(error).__name__}: {error}"):
                _log.warning("%s failed and is tried again every %g s", what, pause_seconds, exc_info=True)
        await asyncio.sleep(pause_seconds)
