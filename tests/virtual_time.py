"""An event loop in virtual time: a test that waits an hour takes no time.

If no callback is ready, the loop moves its clock to the next timer instead of sleeping. `asyncio.timeout`, `asyncio.sleep` and
zonal's clocks all read the loop's time, so all of them are virtual. Tests on it use no real sockets and processes.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop in virtual time, starting at 1,000,000 s."""

    is_virtual = True

    def __init__(self) -> None:
        self._virtual_time = 1_000_000.0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self._virtual_time


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            return super().select(0.05)  # Only another thread can wake the loop now.
        self._loop._virtual_time += max(timeout, 0.0)
        return []


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)
