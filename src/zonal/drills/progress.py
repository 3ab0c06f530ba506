"""Reports the progress of a drill: every journal entry about the database as a sentence, and the activity where there is none for a while.

`ProgressWatch` is the scenario's stopwatch and reports during every wait, so that the scenario has no code for it. Reports go to the
drill's `report_progress` (standard error of the command line) and do not change the drill.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from zonal.drills.region_operator import RegionOperator
from zonal.foundation.journal_sentences import sentence

POLL_SECONDS = 0.25
SILENT_SECONDS = 2.0
"""After so long without a report the activity is reported."""

PREFIXES = ("failover.", "node.", "redundancy.", "deployment.")
"""Events that are reported; RDS's own events would repeat them."""


class SleepingClock(Protocol):
    """A stopwatch with a wait: the module `time`, or a test's own."""

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float, /) -> None: ...


class Progress:
    """Reports what the journal says about one database, by its ARN, from the sequence `after` on. `activity` returns the report for
    times without an entry."""

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
        self._report_progress = report_progress
        self._activity = activity
        self._clock = clock
        self._polled = self._reported = clock.monotonic()

    def report(self) -> None:
        """Report the new entries. Polls at most every `POLL_SECONDS`."""
        now = self._clock.monotonic()
        if now - self._polled < POLL_SECONDS:
            return
        self._polled = now
        for entry in self._operator.journal(after=self._sequence, subject=self._subject):
            self._sequence = entry.sequence
            if entry.event.startswith(PREFIXES) and entry.event != "failover.waiting":  # Most waits last a moment.
                self._report_progress(f"  {sentence(entry)}")
                self._reported = now
        if now - self._reported >= SILENT_SECONDS:
            self._report_progress(f"  {self._activity()}")
            self._reported = now


class ProgressWatch:
    """A stopwatch whose waits report progress."""

    def __init__(self, progress: Progress, clock: SleepingClock = time) -> None:
        self._progress = progress
        self._clock = clock

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def sleep(self, seconds: float, /) -> None:
        """Wait in short pieces, with reports between them; their duration counts."""
        deadline = self._clock.monotonic() + seconds
        while (left := deadline - self._clock.monotonic()) > 0:
            self._clock.sleep(min(left, POLL_SECONDS))
            self._progress.report()


def last_sequence(operator: RegionOperator, subject: str) -> int:
    """The sequence of the last entry about a database, by its ARN; 0 where there is none."""
    return max((entry.sequence for entry in operator.journal(subject=subject)), default=0)
