"""DescribeEvents and DescribeEventCategories: RDS events as a view of the journal.

RDS's own actions are journalled as `rds.event` with the number of the event. Control's entries about a deployment whose owner is a DB
instance (a failover, a restart) are translated into events. Texts and categories are those of "Amazon RDS event categories and event
messages" in the RDS User Guide. Events belong to the name that an instance had at the time ("Renaming a DB instance" in the RDS User Guide:
"Metrics and events associated with the name of a DB instance are maintained if you reuse a DB instance name").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from zonal.foundation.journal import JournalEntry
from zonal.records.store import Store, Transaction
from zonal.services.common.events import EventLog, EventRules
from zonal.services.operation import ControlCall, ResponseMembers, operation
from zonal.services.rds.lookups import filters, page
from zonal.services.rds.model import instance_arn, instance_identifier

if TYPE_CHECKING:
    from types_boto3_rds.type_defs import DescribeEventCategoriesMessageTypeDef, DescribeEventsMessageTypeDef, EventTypeDef

JOURNALLED = "rds.event"


class Kind(NamedTuple):
    """An event: its number in RDS's list (RDS-EVENT-0049 is 49), its category, and its text."""

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
        Kind(7, "low storage", "Allocated storage has been exhausted"),
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

_RULES = EventRules(
    source_types=(
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
    ),
)


def note(transaction: Transaction, identifier: str, number: int) -> None:
    """Journal an event about an instance."""
    transaction.note(JOURNALLED, instance_arn(identifier), number=number, message=KINDS[number].message)


def subjects(identifier: str) -> tuple[str, ...]:
    """The journal's subjects of a DB instance: its ARN, and its bare identifier in entries that versions before ARNs wrote."""
    return instance_arn(identifier), identifier


def kind_of(entry: JournalEntry) -> Kind | None:
    """The RDS event of a journal entry; None where there is none, or where the subject is not a DB instance."""
    if instance_identifier(entry.subject) is None:
        return None
    if entry.event == JOURNALLED:
        return KINDS[entry.fields["number"]]
    if entry.event == "failover.decided" and entry.fields["action"] == "promote":
        return KINDS[13]
    if entry.event == "failover.renamed":
        return KINDS[49]
    if entry.event == "database.disk_full":
        return KINDS[7]
    if entry.event in ("failover.restarted", "node.restarted"):
        return KINDS[6]
    if entry.event == "modification.failed":
        return Kind(0, "failure", f"The modification failed and was taken back: {entry.fields['why']}")
    return None


class Events:
    """The operations on events."""

    def __init__(self, store: Store) -> None:
        self._log = EventLog(
            store,
            names=(JOURNALLED, "failover.", "node.restarted", "database.disk_full", "modification.failed"),
            kind_of=kind_of,
            subjects=subjects,
        )

    @operation("DescribeEvents")
    def describe(self, call: ControlCall, request: DescribeEventsMessageTypeDef) -> ResponseMembers:
        filters(request, ())
        query = _RULES.query(request, call.now)
        wanted = set(request.get("EventCategories") or ())
        found = self._log.matching(query) if query.source_type in (None, "db-instance") else ()
        chosen = [(entry, kind) for entry, kind in found if not wanted or kind.category in wanted]
        return page(chosen, request, "Events", lambda pair: f"{pair[0].sequence:012}", lambda pair: _answer(*pair))

    @operation("DescribeEventCategories")
    def categories(self, call: ControlCall, request: DescribeEventCategoriesMessageTypeDef) -> ResponseMembers:
        """The categories of the source types that zonal has events about: DB instances."""
        filters(request, ())
        kind = request.get("SourceType")
        _RULES.check_source_type(kind)
        shown = [{"SourceType": "db-instance", "EventCategories": list(CATEGORIES)}] if kind in (None, "db-instance") else []
        return {"EventCategoriesMapList": shown}


def _answer(entry: JournalEntry, kind: Kind) -> EventTypeDef:
    identifier = instance_identifier(entry.subject) or ""
    return {
        "SourceIdentifier": identifier,
        "SourceType": "db-instance",
        "Message": kind.message,
        "EventCategories": [kind.category],
        "Date": entry.happened_at,
        "SourceArn": instance_arn(identifier),
    }
