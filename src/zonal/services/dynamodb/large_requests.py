"""Checks large requests in a worker thread.

Checking a request takes time in proportion to its size: each attribute value is visited. The gateway calls a handler on the event loop, so
a handler splits its work: a function of the request alone goes through `check`, and what depends on tables and items follows on the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from zonal.services.operation import Call

T = TypeVar("T")
LARGE_BYTES = 32 * 1024
"""Bodies up to this size are checked on the event loop, in at most a few milliseconds; a thread would take longer to reach."""


def is_large(call: Call) -> bool:
    """Whether the body of the request has more than `LARGE_BYTES`."""
    return call.raw is not None and len(call.raw.body) > LARGE_BYTES


async def check(call: Call, function: Callable[[], T]) -> T:
    """The result of `function`, called in a thread where the request is large. It must not use the engine. What it raises is raised."""
    return await asyncio.to_thread(function) if is_large(call) else function()
