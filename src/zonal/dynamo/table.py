"""Tables and indexes: their stored records, and the objects that reads and writes use.

A `TableRecord` is stored and changes in store transactions only. A `Table` is derived from it: compiled key schemas, and indexes with their
projections. It is immutable and derived again when the record changes.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import msgspec

from zonal.dynamo.items import Item, kind_and_body, validation
from zonal.dynamo.keys import EmptyKey, KeyPart, Schema, tie_digest
from zonal.records.store import Record

LAG_TAG = "zonal:lag-seconds"
"""A tag that sets a table's own lag, in place of the region's. On AWS the tag has no effect."""

LONGEST_LAG_SECONDS = 60.0
STREAM_VIEWS = ("NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES", "KEYS_ONLY")


class KeyElement(msgspec.Struct, frozen=True):
    """One entry of a key schema: an attribute and its role, HASH or RANGE."""

    name: str
    role: str


class Throughput(msgspec.Struct, frozen=True, kw_only=True):
    """Provisioned capacity in units a second, and its last changes; 0 for an on-demand table."""

    read: int = 0
    write: int = 0
    increased_at: datetime | None = None
    decreased_at: datetime | None = None
    decreases_today: int = 0


class OnDemand(msgspec.Struct, frozen=True):
    """`OnDemandThroughput`: the limits of an on-demand table in units a second; -1: no limit."""

    read: int = -1
    write: int = -1


class IndexRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A secondary index. While it is CREATING, the back-fill is running."""

    name: str
    is_global: bool
    keys: tuple[KeyElement, ...]
    projection: str
    attributes: tuple[str, ...] = ()
    keyspace: int = msgspec.field(name="space")
    status: str = "ACTIVE"
    throughput: Throughput = Throughput()
    on_demand: OnDemand | None = None


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """A stream of a table's changes, identified by its label; `closed_at` is set once it is disabled."""

    label: str
    view: str
    keyspace: int = msgspec.field(name="space")
    created_at: datetime
    closed_at: datetime | None = None


class TableRecord(Record, frozen=True, kw_only=True):
    """A table. `id` is its name, `keyspace` the number of its items' keyspace, `import_arn` the import that is filling it."""

    kind: ClassVar[str] = "dynamodb-table"

    table_id: str
    status: str = "CREATING"
    attributes: tuple[KeyPart, ...]
    keys: tuple[KeyElement, ...]
    keyspace: int = msgspec.field(name="space")
    indexes: tuple[IndexRecord, ...] = ()
    created_at: datetime
    billing: str = "PROVISIONED"
    on_demand_since: datetime | None = None
    throughput: Throughput = Throughput()
    on_demand: OnDemand | None = None
    streams: tuple[Stream, ...] = ()
    deletion_protection: bool = False
    table_class: str = ""
    table_class_changed_at: datetime | None = None
    encryption: str = ""
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    ttl_attribute: str = ""
    ttl_status: str = "DISABLED"
    ttl_changed_at: datetime | None = None
    recovery: Recovery | None = None
    restored: Restored | None = None
    import_arn: str = ""

    @property
    def lag_seconds(self) -> float | None:
        """The table's own lag of eventually consistent reads; None: the region's."""
        value = self.tags.get(LAG_TAG)
        return None if value is None else lag_of(value)

    @property
    def stream(self) -> Stream | None:
        """The open stream, if there is one."""
        return self.streams[-1] if self.streams and self.streams[-1].closed_at is None else None


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """Point-in-time recovery: its start, its period, and the keyspace of its log."""

    since: datetime
    days: int = 35
    keyspace: int = msgspec.field(name="space")


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """The source of a restored table. While `pending`, its items are being copied from `source_keyspace`.

    For a restore to a point in time, that keyspace is first filled (`is_staged`) with the state of `source_table` at `as_of`.
    """

    source_table_arn: str
    at: datetime
    backup_arn: str = ""
    pending: bool = True
    source_keyspace: int = msgspec.field(default=0, name="source_space")
    is_staged: bool = True
    source_table: str = ""
    as_of: datetime | None = None


class BackupRecord(Record, frozen=True, kw_only=True):
    """An on-demand backup: the table's record at that time, and the keyspace of its items' copies. `id` is the backup's ARN."""

    kind: ClassVar[str] = "dynamodb-backup"

    name: str
    table: TableRecord
    status: str = "CREATING"
    created_at: datetime
    keyspace: int = msgspec.field(name="space")
    items: int = 0
    size_bytes: int = 0


class KeyspaceCounter(Record, frozen=True, kw_only=True):
    """The next free keyspace number, for a table, an index, a stream or a log. Numbers are not reused."""

    kind: ClassVar[str] = "dynamodb-spaces"
    next: int = 16


class DiscardedKeyspace(Record, frozen=True, kw_only=True):
    """A keyspace that is no longer used; its items are deleted in the background. `id` is its number."""

    kind: ClassVar[str] = "dynamodb-refuse"


def lag_of(text: str) -> float:
    """The lag in a tag's value, in seconds. Raises `ValidationException` for an invalid value."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_LAG_SECONDS:
        raise validation(f"The tag {LAG_TAG} must be a number of seconds from 0 to {LONGEST_LAG_SECONDS:g}, not '{text}'")
    return seconds


def keyspace_prefix(keyspace: int) -> bytes:
    """The prefix of every key in a keyspace."""
    return keyspace.to_bytes(4, "big")


class Backfill:
    """Progress of a new index's back-fill: all table keys up to and including `cursor` have their entries.

    Writes to keys after the cursor do not change the index, because the back-fill will read them. Progress is not stored: after a restart
    the back-fill starts again (`has_begun` is False) with an empty index.
    """

    def __init__(self) -> None:
        self.cursor = b""
        self.has_begun = False


class Index:
    """A secondary index with compiled key schema and projection. `backfill` is None once the index is complete."""

    backfill: Backfill | None = None

    def __init__(self, record: IndexRecord, types: dict[str, str], table_schema: Schema) -> None:
        self.record = record
        self.table_schema = table_schema
        table_keys = tuple(part.name for part in table_schema.parts)
        self.name = record.name
        self.is_global = record.is_global
        self.schema = schema(record.keyspace, record.keys, types)
        self.projects_all = record.projection == "ALL"
        self.is_readable = record.status in ("ACTIVE", "UPDATING")
        names = dict.fromkeys((*table_keys, *(part.name for part in self.schema.parts), *record.attributes))
        self.attributes = frozenset(names)
        self.key_names = tuple(dict.fromkeys((*(part.name for part in self.schema.parts), *table_keys)))

    def entry(self, item: Item) -> bytes:
        """The storage key of the item's entry. `item` may be the projected item."""
        return self.schema.key(item) + tie_digest(item, self.table_schema)

    def project(self, item: Item) -> Item:
        """The projected attributes of the item."""
        if self.projects_all:
            return item
        return {name: value for name, value in item.items() if name in self.attributes}


class Table:
    """A table with compiled key schemas, derived from its record."""

    def __init__(self, record: TableRecord) -> None:
        self.record = record
        self.name = record.id
        self.keyspace = record.keyspace
        types = {part.name: part.type for part in record.attributes}
        self.types = types
        self.schema = schema(record.keyspace, record.keys, types)
        self.key_names = tuple(part.name for part in self.schema.parts)
        indexes = [Index(index, types, self.schema) for index in record.indexes]
        # DynamoDB checks global indexes before local ones.
        indexes.sort(key=lambda index: not index.is_global)
        self.indexes = tuple(index for index in indexes if index.record.status != "DELETING")
        self.by_name = {index.name: index for index in indexes if index.is_readable}
        self.has_local = any(not index.is_global for index in self.indexes)
        self.stream = record.stream
        self.is_watched = self.stream is not None or record.recovery is not None
        self.needs_before = bool(self.indexes) or self.is_watched

    def check_index_keys(self, item: Item) -> None:
        """Require that index key attributes in the item have the index's types, and are neither empty nor too long.

        Raises `ValidationException`.
        """
        for index in self.indexes:
            for part in index.schema.parts:
                value = item.get(part.name)
                if value is None:
                    continue
                if part.type not in value:
                    raise validation(
                        f"One or more parameter values were invalid: Type mismatch for Index Key {part.name}"
                        f" Expected: {part.type} Actual: {kind_and_body(value)[0]} IndexName: {index.name}"
                    )
                if not value[part.type]:
                    kind = "string" if part.type == "S" else "binary"
                    raise EmptyKey(
                        "ValidationException",
                        "One or more parameter values are not valid. A value specified for a secondary index key is not supported."
                        f" The AttributeValue for a key attribute cannot contain an empty {kind} value."
                        f" IndexName: {index.name}, IndexKey: {part.name}",
                    )
                if size := index.schema.excess(part, value[part.type]):
                    raise validation(
                        f"One or more parameter values were invalid: Size limit exceeded for Index Key {part.name}"
                        f" Actual Size: {size} bytes Max Size: {index.schema.limit(part)} bytes IndexName: {index.name}"
                    )


def schema(keyspace: int, keys: tuple[KeyElement, ...], types: dict[str, str]) -> Schema:
    """The key schema of a table or index, with the types of its attributes."""
    parts = [(element.role, KeyPart(element.name, types[element.name])) for element in keys]
    return Schema(
        keyspace_prefix(keyspace),
        tuple(part for role, part in parts if role == "HASH"),
        tuple(part for role, part in parts if role == "RANGE"),
    )
