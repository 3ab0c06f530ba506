"""Events as RDS writes them: a view of the journal.

What RDS itself does is noted in the journal as `rds.event` with the number of the event; what control does for a deployment (a failover, a
restart) is translated from control's own entries. Texts and categories are those of "Amazon RDS event categories and event messages"
in the RDS User Guide. AWS keeps events for 14 days and answers the last hour unless told otherwise; so does zonal.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from zonal.foundation.errors import AwsError
from zonal.foundation.journal import Entry
from zonal.records.store import Store, Transaction
from zonal.services.operation import Call, operation
from zonal.services.rds.lookups import Answer, filters, page
from zonal.services.rds.model import instance_arn

if TYPE_CHECKING:
    from types_boto3_rds.type_defs import DescribeEventCategoriesMessageTypeDef, DescribeEventsMessageTypeDef, EventTypeDef

KEPT = timedelta(days=14)
DEFAULT_MINUTES = 60
JOURNALLED = "rds.event"


class Kind(NamedTuple):
    """An event: its number in RDS's list, its category, and its text."""

    number: int
    category: str
    message: str


KINDS = {
    kind.number: kind
    for kind in (
        Kind(3, "deletion", "DB instance deleted"),
        Kind(4, "availability", "DB instance shutdown"),
        Kind(5, "creation", "DB instance created"),
        Kind(6, "availability", "DB instance restarted"),
        Kind(12, "configuration change", "Applying modification to database instance class"),
        Kind(13, "failover", "Multi-AZ instance failover started."),
        Kind(14, "configuration change", "Finished applying modification to DB instance class"),
        Kind(16, "configuration change", "Reset master credentials"),
        Kind(17, "configuration change", "Finished applying modification to allocated storage"),
        Kind(24, "configuration change", "Applying modification to convert to a Multi-AZ DB Instance"),
        Kind(25, "configuration change", "Finished applying modification to convert to a Multi-AZ DB Instance"),
        Kind(29, "configuration change", "Finished applying modification to convert to a standard (Single-AZ) DB Instance"),
        Kind(30, "configuration change", "Applying modification to convert to a standard (Single-AZ) DB Instance"),
        Kind(47, "maintenance", "Database instance patched"),
        Kind(49, "failover", "Multi-AZ instance failover completed"),
        Kind(87, "notification", "DB instance stopped"),
        Kind(88, "notification", "DB instance started"),
    )
}

CATEGORIES = (
    "availability",
    "backup",
    "configuration change",
    "creation",
    "deletion",
    "failover",
    "failure",
    "low storage",
    "maintenance",
    "notification",
    "read replica",
    "recovery",
    "restoration",
    "security",
    "security patching",
)
"""The categories of events about DB instances."""

SOURCE_TYPES = (
    "db-instance",
    "db-parameter-group",
    "db-security-group",
    "db-snapshot",
    "db-cluster",
    "db-cluster-snapshot",
    "custom-engine-version",
    "db-proxy",
    "blue-green-deployment",
    "db-shard-group",
    "zero-etl",
)


def note(transaction: Transaction, identifier: str, number: int) -> None:
    """Write an event about an instance."""
    transaction.note(JOURNALLED, identifier, number=number)


def kind_of(entry: Entry) -> Kind | None:
    """The RDS event that a journal entry amounts to, if it does."""
    if entry.event == JOURNALLED:
        return KINDS[entry.fields["number"]]
    if entry.event == "failover.decided" and entry.fields["action"] == "promote":
        return KINDS[13]
    if entry.event == "failover.renamed":
        return KINDS[49]
    if entry.event in ("failover.restarted", "node.restarted"):
        return KINDS[6]
    if entry.event == "modification.failed":
        return Kind(0, "failure", f"The modification failed and was taken back: {entry.fields['why']}")
    return None


class Events:
    """The operations on events."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @operation("DescribeEvents")
    def describe(self, call: Call, request: DescribeEventsMessageTypeDef) -> Answer:
        filters(request, ())
        source, kind = request.get("SourceIdentifier"), request.get("SourceType")
        if source and not kind:
            raise AwsError("InvalidParameterCombination", "SourceType must be provided if SourceIdentifier is specified.")
        if kind and kind not in SOURCE_TYPES:
            raise AwsError("InvalidParameterValue", f"The source type {kind} is not supported.")
        begin, end = _interval(request, call.now)
        wanted = set(request.get("EventCategories") or ())
        found = [] if kind not in (None, "db-instance") else list(self._between(begin, end, (source or "").lower()))
        chosen = [(entry, each) for entry, each in found if not wanted or each.category in wanted]
        return page(chosen, request, "Events", lambda pair: f"{pair[0].sequence:012}", lambda pair: _answer(*pair))

    @operation("DescribeEventCategories")
    def categories(self, call: Call, request: DescribeEventCategoriesMessageTypeDef) -> Answer:
        """The categories of what zonal has events about: DB instances."""
        filters(request, ())
        kind = request.get("SourceType")
        if kind and kind not in SOURCE_TYPES:
            raise AwsError("InvalidParameterValue", f"The source type {kind} is not supported.")
        shown = [{"SourceType": "db-instance", "EventCategories": list(CATEGORIES)}] if kind in (None, "db-instance") else []
        return {"EventCategoriesMapList": shown}

    def _between(self, begin: datetime, end: datetime, subject: str) -> Iterator[tuple[Entry, Kind]]:
        prefixes = JOURNALLED, "failover.", "node.restarted", "modification.failed"
        entries = [entry for prefix in prefixes for entry in self._store.journal(event=prefix, subject=subject)]
        for entry in entries:
            kind = kind_of(entry)
            if kind is not None and begin <= entry.at <= end:
                yield entry, kind


def _interval(request: DescribeEventsMessageTypeDef, now: datetime) -> tuple[datetime, datetime]:
    """What the request asks for, at most the last 14 days. Raises `InvalidParameterCombination` and `InvalidParameterValue`."""
    begin, end, minutes = request.get("StartTime"), request.get("EndTime"), request.get("Duration")
    assert not isinstance(begin, str) and not isinstance(end, str)
    if begin and end and begin > end:
        raise AwsError("InvalidParameterCombination", "StartTime must be before EndTime.")
    if minutes is not None and not 0 < minutes <= KEPT.total_seconds() / 60:
        raise AwsError("InvalidParameterValue", f"The duration {minutes} is not valid; events are kept for 14 days (20160 minutes).")
    if begin and begin < now - KEPT:
        raise AwsError("InvalidParameterValue", "StartTime cannot be before 14 days ago.")
    span = timedelta(minutes=minutes or DEFAULT_MINUTES)
    if begin is None:
        begin = (end or now) - span
        return begin, end or now
    if end is None and minutes is not None:
        end = begin + span
    return begin, end or now


def _answer(entry: Entry, kind: Kind) -> EventTypeDef:
    return {
        "SourceIdentifier": entry.subject,
        "SourceType": "db-instance",
        "Message": kind.message,
        "EventCategories": [kind.category],
        "Date": entry.at,
        "SourceArn": instance_arn(entry.subject),
    }
