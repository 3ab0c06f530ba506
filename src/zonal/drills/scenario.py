"""Runs one drill from the first row to the verdict.

Clients in every zone begin to write. When all of them have acknowledged writes, the fault is injected at a moment that the seed determines.
The drill waits for the failover and for the duration of the outage, heals the fault, waits until the pair is synchronous and the clients
have acknowledged writes again, ends the clients, and reads every row back. The fault is healed on every way out.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import msgspec

from zonal.drills.database import Database
from zonal.drills.faults import Fault, Victim
from zonal.drills.milestones import DETECTED, Outline, milestones
from zonal.drills.progress import Progress, ProgressWatch, last_sequence
from zonal.drills.region_operator import DrillFailed, Pair, RegionOperator
from zonal.drills.verdict import DrillVerdict, Witnesses, judge
from zonal.drills.workload import Client, Workload
from zonal.foundation.journal import JournalEntry

ReportProgress = Callable[[str], None]


class Stopwatch(Protocol):
    """A stopwatch with a wait: the module `time`, or a test's own."""

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float, /) -> None: ...


class Clients(Protocol):
    """The clients of a scenario (`workload.Workload`)."""

    @property
    def clients(self) -> tuple[Client, ...]: ...

    def start(self, *, pause_seconds: float) -> None: ...

    def stop(self) -> None: ...

    def have_acknowledged_since(self, moment: float, clients: tuple[Client, ...]) -> bool: ...

    def last_output(self) -> str: ...


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a drill. `zone` is the zone to lose, or empty for the primary's; `seconds` is how long the outage lasts."""

    drill: str
    seed: int
    zone: str = ""
    clients: int = 3
    seconds: float = 5.0
    pause_seconds: float = 0.005
    patience_seconds: float = 0.5
    settle_seconds: float = 60.0


class Report(msgspec.Struct, frozen=True):
    """A verdict with its evidence: the journal between first and last row, and the directory that holds the ledgers.

    `subject` is the database's ARN.
    """

    verdict: DrillVerdict
    database: str
    subject: str
    primary_zone: str
    standby_zone: str
    struck_zone: str
    directory: str
    begun: float
    struck: float
    healed: float | None
    timeline: tuple[JournalEntry, ...]


def run(
    database: Database, operator: RegionOperator, fault: Fault, options: Options, *, directory: Path, report_progress: ReportProgress
) -> Report:
    """Carry out the drill. Raises `DrillFailed` where there is no verdict."""
    directory.mkdir(parents=True, mode=0o700)
    subject = database.arn()
    zone = options.zone or _wait_redundant(operator, database.identifier, time, within=options.settle_seconds).primary_zone
    if zone not in database.zones():
        raise DrillFailed(f"the database's subnets are in {', '.join(database.zones())}; '{zone}' is none of these zones")
    clients = database.clients(options.clients, first_zone=zone)
    with Workload(operator, database.target(patience_seconds=options.patience_seconds), clients, directory) as workload:
        _create_table(workload, within=options.settle_seconds)
        before = _wait_redundant(operator, database.identifier, time, within=options.settle_seconds)
        zone = options.zone or before.primary_zone
        victim = Victim(database.identifier, subject, before.primary, zone, database.force_failover)
        report_progress(f"{database.identifier}: primary in {before.primary_zone}, standby in {before.standby_zone}, synchronous")
        report_progress(f"{len(clients)} clients write, in {', '.join(sorted({client.zone for client in clients}))}")
        after = last_sequence(operator, subject)
        progress = Progress(
            operator,
            subject,
            after=after,
            report_progress=report_progress,
            activity=lambda: f"{workload.acknowledged()} writes acknowledged",
        )
        outline = carry_out(workload, operator, fault, victim, options, report_progress=report_progress, watch=ProgressWatch(progress))
        lost_zone = zone if fault.takes_zone else ""
        reader = next((client for client in clients if client.zone != lost_zone), clients[0])
        report_progress("reading every row back")
        found = workload.read_back(reader)
        attempts = tuple(workload.attempts())
    timeline = tuple(operator.journal(after=outline.sequence))
    witnesses = Witnesses(
        attempts=attempts,
        found=found,
        milestones=milestones(outline, timeline, subject=subject),
        zones=tuple((client.number, client.zone) for client in clients),
        lost_zone=lost_zone,
    )
    return Report(
        verdict=judge(witnesses, drill=options.drill, fault=fault.name, seed=options.seed),
        database=database.identifier,
        subject=subject,
        primary_zone=before.primary_zone,
        standby_zone=before.standby_zone,
        struck_zone=zone,
        directory=str(directory),
        begun=outline.begun,
        struck=outline.struck,
        healed=outline.healed,
        timeline=timeline,
    )


def _create_table(workload: Workload, *, within: float) -> None:
    """Create the table; retries, because the database may be in a failover that is not detected yet."""
    deadline = time.monotonic() + within
    while True:
        try:
            return workload.create_table()
        except DrillFailed:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def carry_out(
    workload: Clients,
    operator: RegionOperator,
    fault: Fault,
    victim: Victim,
    options: Options,
    *,
    report_progress: ReportProgress,
    watch: Stopwatch,
) -> Outline:
    """Inject the fault, heal it, and wait for the end, while the clients write. Returns the times."""
    sequence = max((entry.sequence for entry in operator.journal()), default=0)
    before = operator.pair(victim.database)
    begun = watch.monotonic()
    workload.start(pause_seconds=options.pause_seconds)
    _wait_acknowledged(workload, workload.clients, watch, since=begun, within=options.settle_seconds)
    watch.sleep(random.Random(options.seed).uniform(0.5, 1.5))
    survivors = tuple(client for client in workload.clients if not (fault.takes_zone and client.zone == victim.zone))
    with _struck(fault, operator, victim, report_progress, watch) as times:
        _wait_noticed(operator, victim, before, watch, since=sequence, within=options.settle_seconds)
        _wait_acknowledged(workload, survivors, watch, since=watch.monotonic(), within=options.settle_seconds)
        if fault.heal:
            watch.sleep(max(0.0, times["struck"] + options.seconds - watch.monotonic()))
    report_progress("waiting until two zones hold every acknowledged write")
    _wait_redundant(operator, victim.database, watch, within=options.settle_seconds)
    _wait_acknowledged(workload, survivors, watch, since=watch.monotonic(), within=options.settle_seconds)
    ended = watch.monotonic()
    workload.stop()
    return Outline(sequence=sequence, begun=begun, ended=ended, struck=times["struck"], healed=times.get("healed"))


@contextmanager
def _struck(
    fault: Fault, operator: RegionOperator, victim: Victim, report_progress: ReportProgress, watch: Stopwatch
) -> Iterator[dict[str, float]]:
    """A context in which the fault is in force; it is healed on every way out. Yields the times `struck` and, at the end, `healed`."""
    report_progress(f"{fault.name}: {victim.zone if fault.takes_zone else victim.node}")
    times = {"struck": watch.monotonic()}
    try:
        fault.strike(operator, victim)
        yield times
    finally:
        if fault.heal:
            report_progress(f"healing {victim.zone}")
            times["healed"] = watch.monotonic()
            fault.heal(operator, victim)


def _wait_noticed(operator: RegionOperator, victim: Victim, before: Pair, watch: Stopwatch, *, since: int, within: float) -> None:
    """Wait until the region has reacted to the fault: another node leads, or the pair is not redundant any more."""

    def noticed() -> bool:
        now = operator.pair(victim.database)
        acted = any(entry.event in DETECTED for entry in operator.journal(after=since, subject=victim.subject))
        return acted or now.primary != before.primary or now.redundancy != before.redundancy

    _wait(
        noticed,
        watch,
        within=within,
        timeout_message=lambda: f"the region did not detect the fault on {victim.database} within {within:g} s",
    )


def _wait_acknowledged(workload: Clients, clients: tuple[Client, ...], watch: Stopwatch, *, since: float, within: float) -> None:
    """Wait until each of these clients has had a write acknowledged since that time."""
    _wait(
        lambda: workload.have_acknowledged_since(since, clients),
        watch,
        within=within,
        timeout_message=lambda: f"clients had no write acknowledged for {within:g} s: {workload.last_output()}",
    )


def _wait_redundant(operator: RegionOperator, database: str, watch: Stopwatch, *, within: float) -> Pair:
    """Wait until the database is available and its standby holds every acknowledged write; returns its state."""
    pair = operator.pair(database)

    def redundant() -> bool:
        nonlocal pair
        pair = operator.pair(database)
        return pair.redundancy == "synchronous" and pair.state == "available"

    _wait(
        redundant,
        watch,
        within=within,
        timeout_message=lambda: (
            f"{database} is still '{pair.state}' and '{pair.redundancy}' after {within:g} s ({pair.why or 'no reason given'})"
        ),
    )
    return pair


def _wait(condition: Callable[[], bool], watch: Stopwatch, *, within: float, timeout_message: Callable[[], str]) -> None:
    deadline = watch.monotonic() + within
    while not condition():
        if watch.monotonic() > deadline:
            raise DrillFailed(timeout_message())
        watch.sleep(0.05)
