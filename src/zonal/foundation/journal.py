"""The journal: one timeline of facts, and the product's memory.

An `JournalEntry` is one fact: when, an event name, and fields. Entries are written inside the store transaction that makes them true
(`records.store.Transaction.note`), so a fact and its record can never disagree. CLI, console, RDS events and drill reports are views
of this timeline. Event names are lower-case words joined by dots, from general to special: `zone.cut`, `failover.decided`.
Fields never hold secrets, and are in one order (`ordered`). `journal_sentences` renders entries for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec


class JournalEntry(msgspec.Struct, frozen=True):
    """One fact of the region's history.

    `sequence` grows by one with every entry. `at` is region time; `monotonic` is the stopwatch reading in seconds (comparable
    between processes of one boot of the machine), which drills measure with.
    """

    sequence: int
    at: datetime
    monotonic: float
    event: str
    subject: str
    fields: dict[str, Any]

    @property
    def happened_at(self) -> datetime:
        """Region time of the fact: `at`, or the field `since` if it could be recorded only later (on a full disk)."""
        since = self.fields.get("since")
        return datetime.fromisoformat(since) if since else self.at


FIRST_FIELDS = ("node", "zone", "action", "condition", "fault", "how")
LAST_FIELDS = ("why", "votes", "epoch")


def ordered(fields: Mapping[str, Any]) -> dict[str, Any]:
    """An entry's fields in the one order that every entry has: what it is about, then the rest by name, then the reason and the epoch.

    The fields of nested objects are in the order of their names.
    """
    middle = sorted(name for name in fields if name not in FIRST_FIELDS and name not in LAST_FIELDS)
    names = [name for name in (*FIRST_FIELDS, *middle, *LAST_FIELDS) if name in fields]
    return {name: dict(sorted(fields[name].items())) if isinstance(fields[name], dict) else fields[name] for name in names}
