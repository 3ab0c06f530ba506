"""The journal: one timeline of facts, and the product's memory.

An `Entry` is one fact: when, an event name, and fields. Entries are written inside the store transaction that makes them true
(`records.store.Transaction.note`), so a fact and its record can never disagree. CLI, console, RDS events and drill reports are views
of this timeline. Event names are lower-case words joined by dots, from general to special: `zone.cut`, `failover.decided`.
Fields never hold secrets.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class Entry(msgspec.Struct, frozen=True):
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

    def line(self) -> str:
        """The entry as one line for people."""
        words = " ".join(f"{key}={_word(value)}" for key, value in self.fields.items())
        return f"{self.at:%H:%M:%S.%f}"[:-3] + f"  {self.event:<28} {self.subject:<28} {words}".rstrip()


def _word(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return f'"{text}"' if " " in text else text
