"""What a soak returns, and the time that it may take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import msgspec

from tests.running_region import RunningRegion, temporary_region

OVERTIME_SECONDS = 600.0

Outcome = Literal["passed", "failed", "unavailable"]


class SoakResult(msgspec.Struct, kw_only=True):
    """The result of one soak. `counts` are its own figures; `reason` says why it failed or could not run."""

    soak: str
    outcome: Outcome
    seed: int
    runs: int
    seconds: float = 0.0
    reason: str = ""
    counts: dict[str, float] = {}


class Budget:
    """The time and the runs that are left. `runs` is the number of runs that were begun."""

    def __init__(self, *, minutes: float, most_runs: int | None) -> None:
        self._deadline = time.monotonic() + minutes * 60
        self._most_runs = most_runs
        self.runs = 0

    @property
    def seconds_left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    @property
    def command_timeout_seconds(self) -> float:
        """The timeout of one command: a run in progress may exceed the time by `OVERTIME_SECONDS`."""
        return self.seconds_left + OVERTIME_SECONDS

    def take_run(self) -> bool:
        """Whether another run may begin; counts it. The first run always may."""
        if self.runs and (self.seconds_left == 0.0 or self.runs == self._most_runs):
            return False
        self.runs += 1
        return True


class SoakUnavailable(Exception):
    """The machine lacks what the soak needs; the message names it."""


class SoakFailed(Exception):
    """What the soak checks does not hold; the message says what."""


@contextmanager
def soak_region() -> Iterator[RunningRegion]:
    """A running region that is removed afterwards."""
    with temporary_region("zonal-soak-") as running:
        yield running
