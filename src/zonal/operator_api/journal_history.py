"""The journal of one subject across its renames.

An entry keeps the name that its subject had at the time, because facts are not rewritten. A rename is an entry of its own (`rds.renamed`,
under the new name), so the entries of `orders` that was `shop` before are: those of `shop` until the rename, those of `orders` from it on.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from zonal.foundation.journal import JournalEntry
from zonal.records.store import Store

RENAMED = "rds.renamed"


class NameSpan(NamedTuple):
    """A name that the subject had, from the first to the last sequence (both included)."""

    name: str
    first: int
    last: float


def name_spans(subject: str, renames: list[JournalEntry]) -> list[NameSpan]:
    """The names of what is called `subject` now, the oldest first. `renames` are all entries of renames, in order."""
    spans: list[NameSpan] = []
    last = math.inf
    for entry in reversed(renames):
        if entry.subject == subject and entry.sequence <= last:
            spans.append(NameSpan(subject, entry.sequence, last))
            subject, last = str(entry.fields["former"]), entry.sequence - 1
    return [NameSpan(subject, 0, last), *reversed(spans)]


def subject_journal(store: Store, subject: str, *, after: int = 0, event: str = "", limit: int | None = None) -> list[JournalEntry]:
    """Like `Store.journal`, with the entries under the subject's former names; an empty subject selects every entry."""
    spans = name_spans(subject, store.journal(event=RENAMED)) if subject else []
    if len(spans) < 2:
        return store.journal(after=after, event=event, subject=subject, limit=limit)
    found = [
        entry
        for span in spans
        for entry in store.journal(after=max(after, span.first - 1), event=event, subject=span.name)
        if entry.sequence <= span.last
    ]
    return found if limit is None else found[-limit:]
