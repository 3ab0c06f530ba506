"""Computes the verdict of a drill from the clients' ledgers, the rows read back, and the journal. Pure.

`judge` compares three independent witnesses:

1. the clients' ledgers (`Attempt`): what was acknowledged, refused or left open, and when;
2. the rows that the database holds after everything has healed;
3. the journal: the times of the fault, its detection, the promotion, and the return to synchronous replication.

An acknowledged row that is missing is *lost*: the failure that a Multi-AZ database exists to prevent. A row that exists although its write
was rejected is a *phantom*. *Two primaries* acknowledged if a server with a successor acknowledged a write that began after the successor's
first acknowledgement. Silence is measured for each client: the longest time between two consecutive acknowledgements.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from zonal.drills.ledger import Attempt, Outcome


class ReadBackRow(msgspec.Struct, frozen=True, order=True):
    """A row that was read back."""

    client: int
    number: int


class Milestones(msgspec.Struct, frozen=True):
    """The times of the milestones, as stopwatch readings; None where one did not happen or does not belong to this fault.

    `begun` and `ended` bound the time in which the clients wrote. `detected` is the time of the detection or decision,
    `promoted` that of the promotion, `redundant` the time at which the pair was synchronous again after the healing.
    """

    begun: float
    ended: float
    struck: float
    healed: float | None = None
    detected: float | None = None
    promoted: float | None = None
    redundant: float | None = None


class Silence(msgspec.Struct, frozen=True):
    """A client's longest time without an acknowledgement, from the fault on, and whether it recovered."""

    client: int
    zone: str
    seconds: float
    recovered: bool
    counted: bool
    """False for a client in the lost zone, which is down with its zone."""


class DrillVerdict(msgspec.Struct, frozen=True):
    """The outcome of one drill. Times are in seconds, None where there is no such milestone; rows are counted.

    `redundancy_seconds` runs from the healing (from the fault, where it needs none) to the return of synchronous replication.
    """

    passed: bool
    drill: str
    fault: str
    seed: int
    rto_seconds: float
    acknowledged: int
    failed: int
    unknown: int
    lost: int
    phantom: int
    two_primaries: int
    detection_seconds: float | None
    promotion_seconds: float | None
    redundancy_seconds: float | None
    silences: tuple[Silence, ...] = ()
    reasons: tuple[str, ...] = ()


class Witnesses(msgspec.Struct, frozen=True):
    """The input of a verdict. `zones` has each client's zone; `lost_zone` is the zone that the fault took, or empty."""

    attempts: tuple[Attempt, ...]
    found: frozenset[ReadBackRow]
    milestones: Milestones
    zones: tuple[tuple[int, str], ...]
    lost_zone: str = ""


def judge(witnesses: Witnesses, *, drill: str, fault: str, seed: int) -> DrillVerdict:
    """The verdict: nothing acknowledged was lost, nothing refused appeared, never two primaries acknowledged, and the clients came back."""
    attempts, milestones = witnesses.attempts, witnesses.milestones
    counts = {outcome: sum(attempt.outcome is outcome for attempt in attempts) for outcome in Outcome}
    lost = lost_rows(attempts, witnesses.found)
    phantoms = phantom_rows(attempts, witnesses.found)
    overlaps = overlapping_primaries(attempts)
    silences = tuple(
        silence(attempts, milestones, client=client, zone=zone, counted=zone != witnesses.lost_zone) for client, zone in witnesses.zones
    )
    reasons = tuple(_reasons(counts[Outcome.ACKNOWLEDGED], lost, phantoms, overlaps, silences))
    return DrillVerdict(
        passed=not reasons,
        drill=drill,
        fault=fault,
        seed=seed,
        rto_seconds=round(max((each.seconds for each in silences if each.counted), default=0.0), 3),
        acknowledged=counts[Outcome.ACKNOWLEDGED],
        failed=counts[Outcome.FAILED],
        unknown=counts[Outcome.UNKNOWN],
        lost=len(lost),
        phantom=len(phantoms),
        two_primaries=len(overlaps),
        detection_seconds=_between(milestones.struck, milestones.detected),
        promotion_seconds=_between(milestones.detected, milestones.promoted),
        redundancy_seconds=_between(milestones.struck if milestones.healed is None else milestones.healed, milestones.redundant),
        silences=silences,
        reasons=reasons,
    )


def lost_rows(attempts: Iterable[Attempt], found: frozenset[ReadBackRow]) -> list[ReadBackRow]:
    """Acknowledged rows that were not read back."""
    acknowledged = {ReadBackRow(a.client, a.number) for a in attempts if a.outcome is Outcome.ACKNOWLEDGED}
    return sorted(acknowledged - found)


def phantom_rows(attempts: Iterable[Attempt], found: frozenset[ReadBackRow]) -> list[ReadBackRow]:
    """Rows that were read back although their write was rejected or never sent."""
    possible = {ReadBackRow(a.client, a.number) for a in attempts if a.outcome is not Outcome.FAILED}
    return sorted(found - possible)


def overlapping_primaries(attempts: Iterable[Attempt]) -> list[str]:
    """Pairs of servers that led at the same time, each as a sentence.

    A server's term is the set of its acknowledgements on one timeline. Of two terms the one with the higher timeline is the later. They
    overlap if the earlier one acknowledged a write that began after the first acknowledgement of the later one; on one timeline, always.
    """
    terms: dict[tuple[int, str], list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        if attempt.outcome is Outcome.ACKNOWLEDGED and attempt.server:
            terms[attempt.timeline, attempt.server].append(attempt)
    overlaps = []
    order = sorted(terms)
    for index, earlier in enumerate(order):
        for later in order[index + 1 :]:
            first = min(attempt.ended for attempt in terms[later])
            last = max(attempt.begun for attempt in terms[earlier])
            if earlier[0] == later[0]:
                overlaps.append(f"{earlier[1]} and {later[1]} both acknowledged on timeline {later[0]}")
            elif last > first:
                overlaps.append(
                    f"{earlier[1]} (timeline {earlier[0]}) acknowledged a write begun {last - first:.3f} s after "
                    f"{later[1]} (timeline {later[0]}) had taken over"
                )
    return overlaps


def silence(attempts: Iterable[Attempt], milestones: Milestones, *, client: int, zone: str, counted: bool = True) -> Silence:
    """The longest gap between two acknowledgements of this client that ends after the fault.

    A client without any acknowledgement is silent from the beginning to the end. A client has recovered if it has an acknowledgement later
    than the fault, the promotion and the healing.
    """
    times = sorted(a.ended for a in attempts if a.client == client and a.outcome is Outcome.ACKNOWLEDGED)
    heard = [milestones.begun, *(time for time in times if milestones.begun <= time <= milestones.ended), milestones.ended]
    longest = max((after - before for before, after in pairwise(heard) if after > milestones.struck), default=0.0)
    settled = max(moment for moment in (milestones.struck, milestones.promoted, milestones.healed) if moment is not None)
    recovered = any(time > settled for time in times)
    return Silence(client=client, zone=zone, seconds=round(longest, 3), recovered=recovered, counted=counted)


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else round(end - start, 3)


def _reasons(
    acknowledged: int, lost: Sequence[ReadBackRow], phantoms: Sequence[ReadBackRow], overlaps: Sequence[str], silences: Sequence[Silence]
) -> list[str]:
    reasons = []
    if not acknowledged:
        reasons.append("no write was acknowledged at all, so nothing was tested")
    if lost:
        reasons.append(f"{len(lost)} acknowledged rows are missing, the first is row {lost[0].number} of client {lost[0].client}")
    if phantoms:
        reasons.append(
            f"{len(phantoms)} rows are there that were refused, the first is row {phantoms[0].number} of client {phantoms[0].client}"
        )
    reasons += overlaps
    for each in silences:
        if each.counted and not each.recovered and acknowledged:
            reasons.append(f"client {each.client} in {each.zone} was still silent when the drill ended")
    return reasons
