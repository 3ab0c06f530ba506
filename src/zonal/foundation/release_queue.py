"""A queue that finalisers append to, because they may do nothing else safely.

The garbage collector runs a finaliser in whatever thread allocates, between any two instructions: inside a `with lock:` of this program or
of the standard library too (`ThreadPoolExecutor.submit` allocates while it holds two locks). A finaliser that takes a lock, does I/O or
submits work to a pool can therefore wait for a lock that its own thread holds, and never return. `ReleaseQueue` appends to a `deque`, which
is one atomic operation; its owner drains the queue later, outside the collector.

This is the only module that registers finalisers; `tests/test_house.py` verifies it.
"""

from __future__ import annotations

import weakref
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class ReleaseQueue(Generic[T]):
    """Items whose owners have been collected, in the order of collection."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()

    def add_when_collected(self, owner: object, item: T) -> None:
        """Queue `item` when `owner` is collected, but not at the interpreter's exit."""
        weakref.finalize(owner, self._items.append, item).atexit = False

    def drain(self) -> list[T]:
        """Remove and return the queued items. May be called from any thread."""
        taken = []
        while self._items:
            try:
                taken.append(self._items.popleft())
            except IndexError:  # Another thread drained it meanwhile.
                break
        return taken
