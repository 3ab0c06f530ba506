"""When what happened, found in the journal.

The drill knows when it struck and when it healed; when the region noticed, promoted and was redundant again is for the journal to say.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from zonal.drills.verdict import Milestones
from zonal.foundation.journal import JournalEntry

DETECTED = ("failover.detected", "failover.decided")
"""Events that say that the region has noticed; a failover that somebody asked for is only decided."""
PROMOTED = ("failover.promoted",)
"""Events that say that another node takes writes."""
REDUNDANT = ("redundancy.synchronous",)
"""Events that say that the standby holds every acknowledged write again."""


class Outline(msgspec.Struct, frozen=True):
    """What the drill itself did when, by the stopwatch. `sequence` is the journal's last entry before the first row."""

    sequence: int
    begun: float
    ended: float
    struck: float
    healed: float | None


def milestones(outline: Outline, timeline: Iterable[JournalEntry], *, subject: str) -> Milestones:
    """The drill's moments, with those of the region about this database, by its ARN. Redundancy counts from the heal on."""
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
