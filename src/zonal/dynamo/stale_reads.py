"""Eventual consistency that can be seen: reads that are a bounded, seeded while behind.

DynamoDB's eventually consistent reads and its global indexes usually show the latest write, which is why programs come to rely on it.
With a lag set, they do not: each such read looks at the committed state as it was up to so many seconds ago. The past is kept as what each
change replaced, for as long as the largest lag that is set.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from zonal.dynamo.item_pages import ReadView
from zonal.dynamo.storage.storage import Storage


class ReplacedValues(NamedTuple):
    """What keys held before a commit, and when that was."""

    at: float
    values: Mapping[bytes, bytes | None]


class StaleReads:
    """Keeps the near past of a store. `seconds` is region time; `limit` the longest lag that anybody has set."""

    def __init__(self, storage: Storage, seconds: Callable[[], float], seed: int) -> None:
        self._storage = storage
        self._seconds = seconds
        self._random = random.Random(seed)
        self._past: deque[ReplacedValues] = deque()
        self.limit = 0.0

    def before_commit(self, changes: Mapping[bytes, bytes | None]) -> Mapping[bytes, bytes | None] | None:
        """What the changes are about to replace, to be handed to `committed`; None while no lag is set."""
        if self.limit <= 0:
            return None
        return {key: self._storage.latest(key) for key in changes}

    def committed(self, replaced: Mapping[bytes, bytes | None] | None) -> None:
        """Note that the changes became visible now."""
        if replaced is not None:
            self._past.append(ReplacedValues(self._seconds(), replaced))
        horizon = self._seconds() - self.limit
        while self._past and self._past[0].at < horizon:
            self._past.popleft()

    def view(self, most_seconds: float) -> ReadView:
        """The state of a random moment within the lag."""
        moment = self._seconds() - self._random.uniform(0, most_seconds)
        shadow: dict[bytes, bytes | None] = {}
        for replaced in reversed(self._past):
            if replaced.at <= moment:
                break
            shadow.update(replaced.values)
        return _PastState(self._storage, shadow) if shadow else self._storage


class _PastState:
    """The committed state with the latest changes taken back."""

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
