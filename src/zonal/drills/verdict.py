"""What a drill proved, computed from what the clients wrote down, what was read back, and the journal.

Nothing here does IO. `judge` compares three independent witnesses:

1. the clients' ledgers (`Attempt`): what was acknowledged, refused or left open, and when;
2. the rows that the database holds after everything has healed;
3. the journal: when the fault struck, when it was noticed, when the standby led, when the pair was synchronous again.

An acknowledged row that is missing is *lost*: that is the failure a Multi-AZ database exists to prevent. A row that is there although its
client was told no is a *phantom*. *Two primaries* acknowledged if a server that had been followed by another one still
acknowledged a write begun after the follower's first acknowledgement. Silence is measured where it is felt: for each client, the longest
time between two acknowledgements in a row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from zonal.drills.ledger import Attempt, Outcome


class ReadBackRow(msgspec.Struct, frozen=True, order=True):
    """A row as it was read back."""

    client: int
    number: int


class Milestones(msgspec.Struct, frozen=True):
    """When what happened, as stopwatch readings; None where it did not happen (or does not belong to this fault).

    `begun` and `ended` bound the time in which the clients wrote. `detected` is the decision to act, `promoted` the moment the new primary
    took writes, `redundant` the moment the pair was synchronous again after the fault was healed.
    """

    begun: float
    ended: float
    struck: float
    healed: float | None = None
    detected: float | None = None
    promoted: float | None = None
    redundant: float | None = None


class Silence(msgspec.Struct, frozen=True):
    """The longest time a client went without an acknowledgement, from the fault on, and whether it came back after all that happened."""

    client: int
    zone: str
    seconds: float
    recovered: bool
    counted: bool
    """False for a client in the zone that was lost: it went down with its zone, as a web server there would."""


class DrillVerdict(msgspec.Struct, frozen=True):
    """The outcome of one drill. Times are in seconds, None where the thing did not happen; rows are counted.

    `redundancy_seconds` runs from the heal (from the strike, for a fault that needs none) to the return of synchronous replication.
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
    """Everything a verdict is computed from. `zones` gives each client's zone; `lost_zone` is the zone that the fault took, if any."""

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
    """Rows whose client was told that they are safe, and that are not there."""
    acknowledged = {ReadBackRow(a.client, a.number) for a in attempts if a.outcome is Outcome.ACKNOWLEDGED}
    return sorted(acknowledged - found)


def phantom_rows(attempts: Iterable[Attempt], found: frozenset[ReadBackRow]) -> list[ReadBackRow]:
    """Rows that are there although their client was told no, or never asked."""
    possible = {ReadBackRow(a.client, a.number) for a in attempts if a.outcome is not Outcome.FAILED}
    return sorted(found - possible)


def overlapping_primaries(attempts: Iterable[Attempt]) -> list[str]:
    """Pairs of servers that cannot have led one after the other, each as a sentence.

    A server's reign is its acknowledgements on one timeline. Of two reigns the one with the higher timeline is the later. They overlap
    if the earlier one acknowledged a write that began after the later one had acknowledged its first; on one timeline, always.
    """
    reigns: dict[tuple[int, str], list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        if attempt.outcome is Outcome.ACKNOWLEDGED and attempt.server:
            reigns[attempt.timeline, attempt.server].append(attempt)
    overlaps = []
    order = sorted(reigns)
    for index, earlier in enumerate(order):
        for later in order[index + 1 :]:
            first = min(attempt.ended for attempt in reigns[later])
            last = max(attempt.begun for attempt in reigns[earlier])
            if earlier[0] == later[0]:
                overlaps.append(f"{earlier[1]} and {later[1]} both acknowledged on timeline {later[0]}")
            elif last > first:
                overlaps.append(
                    f"{earlier[1]} (timeline {earlier[0]}) acknowledged a write begun {last - first:.3f} s after "
                    f"{later[1]} (timeline {later[0]}) had taken over"
                )
    return overlaps


def silence(attempts: Iterable[Attempt], milestones: Milestones, *, client: int, zone: str, counted: bool = True) -> Silence:
    """The longest gap between two acknowledgements of this client that lies after the fault, wholly or in part.

    A client that never wrote anything is silent from the begin to the end. One has recovered that has an acknowledgement later than the
    strike, the promotion and the heal.
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
