"""Reports a drill while it runs: every journal entry about the database as a sentence, and a sign of life where none comes.

`ProgressWatch` is the scenario's stopwatch; it reports in every wait, so that the scenario itself has nothing to do for it. Reports go to
the drill's `report_progress` (standard error of the command line) and change nothing about the drill.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from zonal.drills.region_operator import RegionOperator
from zonal.foundation.journal_sentences import sentence

POLL_SECONDS = 0.25
SILENT_SECONDS = 2.0
"""How long nothing may be reported before there is a sign of life."""

PREFIXES = ("failover.", "node.", "redundancy.", "deployment.")
"""Events that are reported; RDS's own events tell the same a second time."""


class SleepingClock(Protocol):
    """A stopwatch with a wait: the module `time`, or a test's own."""

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float, /) -> None: ...


class Progress:
    """Reports what the journal says about one database, by its ARN, from the sequence `after` on. `activity` gives the sign of life."""

    def __init__(
        self,
        operator: RegionOperator,
        subject: str,
        *,
        after: int,
        report_progress: Callable[[str], None],
        activity: Callable[[], str],
        clock: SleepingClock = time,
    ) -> None:
        self._operator = operator
        self._subject = subject
        self._sequence = after
        self._say = report_progress
        self._activity = activity
        self._clock = clock
        self._polled = self._reported = clock.monotonic()

    def report(self) -> None:
        """Report what is new; cheap where it was called a moment ago."""
        now = self._clock.monotonic()
        if now - self._polled < POLL_SECONDS:
            return
        self._polled = now
        for entry in self._operator.journal(after=self._sequence, subject=self._subject):
            self._sequence = entry.sequence
            if entry.event.startswith(PREFIXES) and entry.event != "failover.waiting":  # Most of what is waited for lasts a moment.
                self._say(f"  {sentence(entry)}")
                self._reported = now
        if now - self._reported >= SILENT_SECONDS:
            self._say(f"  {self._activity()}")
            self._reported = now


class ProgressWatch:
    """A stopwatch whose waits report progress."""

    def __init__(self, progress: Progress, clock: SleepingClock = time) -> None:
        self._progress = progress
        self._clock = clock

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def sleep(self, seconds: float, /) -> None:
        """Wait, in pieces; what the reports take counts as waiting."""
        deadline = self._clock.monotonic() + seconds
        while (left := deadline - self._clock.monotonic()) > 0:
            self._clock.sleep(min(left, POLL_SECONDS))
            self._progress.report()


def last_sequence(operator: RegionOperator, subject: str) -> int:
    """The sequence of the last entry about a database, by its ARN; 0 where there is none."""
    return max((entry.sequence for entry in operator.journal(subject=subject)), default=0)
