"""The journal of one subject, found by its ARN or by a name that a person typed, across renames.

A deployment's entries have its owner's ARN as their subject, so a DB instance and a cache of the same name are told apart. A name, or the
end of an ARN (`db:orders`, `rds:db:orders`), selects the ARN that it belongs to; where it belongs to several, they are listed in an error.
An entry keeps the ARN that its subject had at the time, because facts are not rewritten. A rename is an entry of its own (`rds.renamed`,
under the new ARN), so the entries of `orders` that was `shop` before are: those of `shop` until the rename, those of `orders` from it on.
Versions before ARNs wrote a DB instance's identifier as the subject; these entries are included by their event names.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from zonal.foundation.errors import ZonalError
from zonal.foundation.identifiers import parse_arn
from zonal.foundation.journal import JournalEntry
from zonal.records.store import Store
from zonal.services.rds.model import instance_arn, instance_identifier

RENAMED = "rds.renamed"
_INSTANCE_EVENTS = ("database.", "deployment.", "failover.", "modification.", "node.", "rds.", "redundancy.")
"""The events about DB instances in entries whose subject is not an ARN."""


class AmbiguousSubject(ZonalError):
    """A name that several resources of the journal have."""


class NameSpan(NamedTuple):
    """A name that the subject had, from the first to the last sequence (both included)."""

    name: str
    first: int
    last: float


def name_spans(identifier: str, renames: list[JournalEntry]) -> list[NameSpan]:
    """The identifiers of the DB instance called `identifier` now, the oldest first. `renames` are all entries of renames, in order."""
    spans: list[NameSpan] = []
    last = math.inf
    for entry in reversed(renames):
        if entry.fields["identifier"] == identifier and entry.sequence <= last:
            spans.append(NameSpan(identifier, entry.sequence, last))
            identifier, last = str(entry.fields["former"]), entry.sequence - 1
    return [NameSpan(identifier, 0, last), *reversed(spans)]


def subject_journal(store: Store, subject: str, *, after: int = 0, event: str = "", limit: int | None = None) -> list[JournalEntry]:
    """Like `Store.journal`, with the entries under the subject's former names; an empty subject selects every entry.

    `subject` is what `resolved` takes. Raises `AmbiguousSubject`.
    """
    subject = resolved(store, subject) if subject else ""
    identifier = _instance(store, subject) if subject else None
    if identifier is None:
        return store.journal(after=after, event=event, subject=subject, limit=limit)
    found = [
        entry
        for span in name_spans(identifier, store.journal(event=RENAMED))
        for entry in _instance_journal(store, span.name, after=max(after, span.first - 1), event=event)
        if entry.sequence <= span.last
    ]
    return found if limit is None else found[-limit:]


def resolved(store: Store, text: str) -> str:
    """The one ARN in the journal that is `text` or ends with it; `text` itself where there is none. Raises `AmbiguousSubject`."""
    if parse_arn(text) is not None:
        return text
    arns = [subject for subject in store.journal_subjects(prefix="arn:") if text in _short_forms(subject)]
    if len(arns) > 1:
        raise AmbiguousSubject(f"'{text}' is the name of several resources; give one of {', '.join(arns)}")
    return arns[0] if arns else text


def _short_forms(arn: str) -> tuple[str, ...]:
    """`orders`, `db:orders` and `rds:db:orders` of a DB instance's ARN."""
    parsed = parse_arn(arn)
    if parsed is None:
        return ()
    service, _, _, resource = parsed
    return resource.replace("/", ":").rpartition(":")[2], resource, f"{service}:{resource}"


def _instance(store: Store, subject: str) -> str | None:
    """The identifier where the subject is a DB instance, also one with entries from before ARNs alone; else None."""
    if parse_arn(subject) is None and not any(entry.event.startswith(_INSTANCE_EVENTS) for entry in store.journal(subject=subject)):
        return None
    return instance_identifier(subject)


def _instance_journal(store: Store, identifier: str, *, after: int, event: str) -> list[JournalEntry]:
    """The entries about a DB instance under one identifier, in order."""
    entries = store.journal(after=after, event=event, subject=instance_arn(identifier))
    before_arns = store.journal(after=after, event=event, subject=identifier)
    entries += [entry for entry in before_arns if entry.event.startswith(_INSTANCE_EVENTS)]
    return sorted(entries, key=lambda entry: entry.sequence)
