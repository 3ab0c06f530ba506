"""Threads for work that changes its thread: a thread that entered a host's namespaces is not used for anything else."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_own_thread(work: Callable[[], T], *, name: str) -> T:
    """Run `work` in a new thread that ends with it."""
    done, run = handed_over(work)
    threading.Thread(target=run, name=name, daemon=True).start()
    return await done


def handed_over(work: Callable[[], T]) -> tuple[asyncio.Future[T], Callable[[], None]]:
    """A future of the running loop, and the function by which a thread runs `work` and completes it, unless it was cancelled."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(outcome: Callable[[], None]) -> None:
        if not done.done():
            outcome()

    def run() -> None:
        if done.cancelled():
            return
        try:
            result = work()
            outcome = functools.partial(done.set_result, result)
        except BaseException as error:
            outcome = functools.partial(done.set_exception, error)
        try:
            loop.call_soon_threadsafe(settle, outcome)
        except RuntimeError:
            pass  # The loop has ended, so nothing waits for the future.

    return done, run
