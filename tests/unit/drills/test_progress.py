"""The progress reports of a drill, in simulated time."""

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from zonal.drills.progress import SILENT_SECONDS, Progress, ProgressWatch, last_sequence
from zonal.foundation.journal import JournalEntry


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.time = 50.0

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float, /) -> None:
        assert seconds > 0
        self.time += seconds


class Operator:
    """A journal whose entries appear at their stopwatch readings."""

    def __init__(self, clock: Clock, *entries: JournalEntry) -> None:
        self.clock, self.entries = clock, entries

    def journal(self, *, after: int = 0, subject: str = "") -> list[JournalEntry]:
        return [each for each in self.entries if each.sequence > after and each.subject == subject and each.monotonic <= self.clock.time]


def entry(sequence: int, at: float, event: str, subject: str = "orders", **fields: Any) -> JournalEntry:
    return JournalEntry(sequence, datetime(2026, 11, 30, tzinfo=UTC), at, event, subject, fields)


def reports(clock: Clock, operator: Operator, *, after: int, seconds: float) -> list[tuple[float, str]]:
    said: list[tuple[float, str]] = []
    progress = Progress(
        operator,  # type: ignore[arg-type]
        "orders",
        after=after,
        report_progress=lambda line: said.append((clock.time, line.strip())),
        activity=lambda: "still writing",
        clock=clock,
    )
    ProgressWatch(progress, clock).sleep(seconds)
    return said


def test_entries_of_the_database_are_reported_as_sentences_within_a_moment() -> None:
    clock = Clock()
    operator = Operator(
        clock,
        entry(1, 40.0, "failover.promoted", node="orders-1", zone="us-east-1b"),
        entry(2, 51.0, "failover.promoted", node="orders-2", zone="us-east-1a"),
        entry(3, 51.1, "failover.promoted", "another", node="another-2", zone="us-east-1a"),
        entry(4, 51.2, "rds.event", number=13, message="Multi-AZ instance failover started."),
    )
    [(at, line)] = reports(clock, operator, after=last_sequence(operator, "orders"), seconds=1.5)  # type: ignore[arg-type]
    assert line == "orders-2 in us-east-1a takes writes" and 51.0 <= at <= 51.5


def test_a_long_wait_is_never_silent_for_longer_than_the_bound() -> None:
    clock = Clock()
    said = reports(clock, Operator(clock, entry(1, 57.0, "node.started", node="n", zone="z")), after=0, seconds=20.0)
    times = [50.0, *(at for at, _ in said), 70.0]
    assert max(later - earlier for earlier, later in pairwise(times)) <= SILENT_SECONDS + 0.5
    assert {line for _, line in said} == {"still writing", "n in z is started"}


def test_reporting_does_not_make_a_wait_longer() -> None:
    clock = Clock()
    reports(clock, Operator(clock), after=0, seconds=3.3)
    assert abs(clock.time - 53.3) < 1e-9
