"""Finds the milestones of a drill in the journal.

The drill itself records the times of the fault and of its healing. The journal has the times of detection, promotion and redundancy.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from zonal.drills.verdict import Milestones
from zonal.foundation.journal import JournalEntry

DETECTED = ("failover.detected", "failover.decided")
"""Events of detection. A requested failover has `failover.decided` only."""
PROMOTED = ("failover.promoted",)
"""Events of promotion: another node takes writes."""
REDUNDANT = ("redundancy.synchronous",)
"""Events of redundancy: the standby holds every acknowledged write."""


class Outline(msgspec.Struct, frozen=True):
    """The times of the drill's own actions, by the stopwatch. `sequence` is the journal's last entry before the first row."""

    sequence: int
    begun: float
    ended: float
    struck: float
    healed: float | None


def milestones(outline: Outline, timeline: Iterable[JournalEntry], *, subject: str) -> Milestones:
    """The times of the drill and of the region's entries about this database, by its ARN. Redundancy counts from the heal on."""
    mine = [entry for entry in timeline if entry.subject == subject]
    detected = _first(mine, DETECTED, after=outline.struck)
    return Milestones(
        begun=outline.begun,
        ended=outline.ended,
        struck=outline.struck,
        healed=outline.healed,
        detected=detected,
        promoted=_first(mine, PROMOTED, after=detected or outline.struck),
        redundant=_first(mine, REDUNDANT, after=outline.struck if outline.healed is None else outline.healed),
    )


def _first(entries: list[JournalEntry], events: tuple[str, ...], *, after: float) -> float | None:
    return next((entry.monotonic for entry in entries if entry.event in events and entry.monotonic >= after), None)
