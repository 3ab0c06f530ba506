"""Events that `DescribeEvents` of RDS, ElastiCache and similar services returns: a view of the journal.

A service records its own events in the journal and maps entries of the control layer (a failover, a restart) to events. `EventLog` reads
the entries with the service's event names. `EventRules` validates a request's source, source type and interval. AWS keeps events for 14
days and returns the last hour by default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Generic, NamedTuple, TypeVar

from zonal.foundation.errors import AwsError
from zonal.foundation.journal import JournalEntry
from zonal.records.store import Store

K = TypeVar("K")

KEPT = timedelta(days=14)
DEFAULT_MINUTES = 60


class EventQuery(NamedTuple):
    """A validated request. `source` is an identifier in lower case, `source_type` its kind; empty and None select all."""

    begin: datetime
    end: datetime
    source: str
    source_type: str | None


class EventRules(NamedTuple):
    """A service's source types and error codes."""

    source_types: tuple[str, ...]
    invalid: str = "InvalidParameterValue"
    combination: str = "InvalidParameterCombination"

    def query(self, request: Mapping[str, Any], now: datetime) -> EventQuery:
        """The query of a `DescribeEvents` request. Raises `invalid` and `combination`."""
        source, kind = request.get("SourceIdentifier") or "", request.get("SourceType") or None
        if source and not kind:
            raise AwsError(self.combination, "SourceType must be provided if SourceIdentifier is specified.")
        self.check_source_type(kind)
        return EventQuery(*self.interval(request, now), source.lower(), kind)

    def check_source_type(self, kind: str | None) -> None:
        """Raises `invalid` for a source type that the service does not have."""
        if kind and kind not in self.source_types:
            raise AwsError(self.invalid, f"The source type {kind} is not supported.")

    def interval(self, request: Mapping[str, Any], now: datetime) -> tuple[datetime, datetime]:
        """Begin and end from `StartTime`, `EndTime` and `Duration` (minutes), within the last 14 days. Raises `combination`, `invalid`."""
        begin, end, minutes = request.get("StartTime"), request.get("EndTime"), request.get("Duration")
        if begin and end and begin > end:
            raise AwsError(self.combination, "StartTime must be before EndTime.")
        if minutes is not None and not 0 < minutes <= KEPT.total_seconds() / 60:
            raise AwsError(self.invalid, f"The duration {minutes} is not valid; events are kept for 14 days (20160 minutes).")
        if begin and begin < now - KEPT:
            raise AwsError(self.invalid, "StartTime cannot be before 14 days ago.")
        span = timedelta(minutes=minutes or DEFAULT_MINUTES)
        if begin is None:
            begin = (end or now) - span
            return begin, end or now
        if end is None and minutes is not None:
            end = begin + span
        return begin, end or now


class EventLog(Generic[K]):
    """A service's events in the journal. `kind_of` maps a journal entry to the service's event, or to None.

    `names` are the prefixes of journal event names that can be events of the service. `subjects` returns the subjects of the entries
    about a source.
    """

    def __init__(
        self,
        store: Store,
        *,
        names: tuple[str, ...],
        kind_of: Callable[[JournalEntry], K | None],
        subjects: Callable[[str], tuple[str, ...]] = lambda source: (source,),
    ) -> None:
        self._store = store
        self._names = names
        self._kind_of = kind_of
        self._subjects = subjects

    def matching(self, query: EventQuery) -> Iterator[tuple[JournalEntry, K]]:
        """The events that match the query, grouped by event name, each group in journal order."""
        subjects = self._subjects(query.source) if query.source else ("",)
        for name in self._names:
            for entry in sorted(
                (each for subject in subjects for each in self._store.journal(event=name, subject=subject)), key=lambda each: each.sequence
            ):
                kind = self._kind_of(entry)
                if kind is not None and query.begin <= entry.happened_at <= query.end:
                    yield entry, kind
