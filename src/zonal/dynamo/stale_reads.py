"""Simulated staleness: a read returns the committed state of a seeded random time within the last `lag_seconds`.

DynamoDB's eventually consistent reads and global indexes usually return the latest write, so programs come to rely on it. With a lag set,
such reads are stale: they undo the latest commits with the values that these replaced, which are kept for the longest lag.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from zonal.dynamo.item_pages import ReadView
from zonal.dynamo.storage.storage import Storage


class ReplacedValues(NamedTuple):
    """The values that a commit replaced, and the time of the commit in seconds."""

    at: float
    values: Mapping[bytes, bytes | None]


class StaleReads:
    """Keeps replaced values. `seconds` returns region time; `limit` is the longest lag of the region and its tables."""

    def __init__(self, storage: Storage, seconds: Callable[[], float], seed: int) -> None:
        self._storage = storage
        self._seconds = seconds
        self._random = random.Random(seed)
        self._past: deque[ReplacedValues] = deque()
        self.limit = 0.0

    def before_commit(self, changes: Mapping[bytes, bytes | None]) -> Mapping[bytes, bytes | None] | None:
        """The values that the changes replace, to be passed to `committed`; None while no lag is set."""
        if self.limit <= 0:
            return None
        return {key: self._storage.latest(key) for key in changes}

    def committed(self, replaced: Mapping[bytes, bytes | None] | None) -> None:
        """Record that the changes are committed, and drop values older than the longest lag."""
        if replaced is not None:
            self._past.append(ReplacedValues(self._seconds(), replaced))
        horizon = self._seconds() - self.limit
        while self._past and self._past[0].at < horizon:
            self._past.popleft()

    def view(self, most_seconds: float) -> ReadView:
        """The state of a random time within the last `most_seconds`."""
        moment = self._seconds() - self._random.uniform(0, most_seconds)
        shadow: dict[bytes, bytes | None] = {}
        for replaced in reversed(self._past):
            if replaced.at <= moment:
                break
            shadow.update(replaced.values)
        return _PastState(self._storage, shadow) if shadow else self._storage


class _PastState:
    """The committed state with the latest commits undone."""

    def __init__(self, storage: Storage, shadow: Mapping[bytes, bytes | None]) -> None:
        self._storage = storage
        self._shadow = shadow

    def get(self, key: bytes) -> bytes | None:
        return self._shadow[key] if key in self._shadow else self._storage.get(key)

    def range(self, low: bytes, high: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        hidden = self._shadow
        gone = sorted(
            ((key, value) for key, value in hidden.items() if value is not None and low <= key < high),
            key=lambda pair: pair[0],
            reverse=reverse,
        )
        there = ((key, value) for key, value in self._storage.range(low, high, reverse=reverse) if key not in hidden)
        return _merged(iter(gone), there, reverse)


def _merged(first: Iterator[tuple[bytes, bytes]], second: Iterator[tuple[bytes, bytes]], reverse: bool) -> Iterator[tuple[bytes, bytes]]:
    left, right = next(first, None), next(second, None)
    while left is not None and right is not None:
        if (left[0] < right[0]) != reverse:
            yield left
            left = next(first, None)
        else:
            yield right
            right = next(second, None)
    if left is not None:
        yield left
        yield from first
    if right is not None:
        yield right
        yield from second
