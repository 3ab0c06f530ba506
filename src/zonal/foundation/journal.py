"""The journal: the timeline of everything that happens in a region.

A `JournalEntry` is one event: its time, name, subject and fields. Entries are written inside the store transaction that makes the change
(`records.store.Transaction.note`), so an entry and its record always agree. The CLI, the operator API, RDS events and drill reports read
this timeline. Event names are lower-case words joined by dots, from general to special: `zone.failed`, `failover.decided`.
Fields never contain secrets, and have a fixed order (`ordered`). `journal_sentences` renders entries as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec


class JournalEntry(msgspec.Struct, frozen=True):
    """One event of the region's history.

    `sequence` grows by one with every entry. `at` is region time; `monotonic` is the stopwatch reading in seconds (comparable
    between processes until the machine reboots), with which drills measure.
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
    """An entry's fields in the fixed order: what the event is about, then the rest by name, then the reason and the epoch.

    The fields of nested objects are sorted by name.
    """
    middle = sorted(name for name in fields if name not in FIRST_FIELDS and name not in LAST_FIELDS)
    names = [name for name in (*FIRST_FIELDS, *middle, *LAST_FIELDS) if name in fields]
    return {name: dict(sorted(fields[name].items())) if isinstance(fields[name], dict) else fields[name] for name in names}
