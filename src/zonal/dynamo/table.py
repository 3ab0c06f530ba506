"""Tables and indexes: their records, and the shape that reads and writes work with.

A `TableRecord` is what the region remembers of a table; it changes only in store transactions. `Table` is the same made ready: schemas
compiled, indexes with their projections. It is made anew whenever the record changes and is never changed itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import msgspec

from zonal.dynamo.items import Item, kind_and_body, validation
from zonal.dynamo.keys import EmptyKey, KeyPart, Schema, tie_digest
from zonal.records.store import Record

LAG_TAG = "zonal:lag-seconds"
"""The tag by which a table has a lag of its own, whatever the region's is; a table on AWS may have it too, where it does nothing."""

LONGEST_LAG_SECONDS = 60.0
STREAM_VIEWS = ("NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES", "KEYS_ONLY")


class KeyElement(msgspec.Struct, frozen=True):
    """One entry of a key schema: an attribute and its role, HASH or RANGE."""

    name: str
    role: str


class Throughput(msgspec.Struct, frozen=True, kw_only=True):
    """Provisioned capacity and when it last changed; both 0 where the table is on demand."""

    read: int = 0
    write: int = 0
    increased_at: datetime | None = None
    decreased_at: datetime | None = None
    decreases_today: int = 0


class OnDemand(msgspec.Struct, frozen=True):
    """Maxima that the owner set for an on-demand table; -1: none."""

    read: int = -1
    write: int = -1


class IndexRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A secondary index. While it is CREATING, its items are still being filled in."""

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
    """A stream of a table's changes, told apart by its label; `closed_at` once it was switched off."""

    label: str
    view: str
    keyspace: int = msgspec.field(name="space")
    created_at: datetime
    closed_at: datetime | None = None


class TableRecord(Record, frozen=True, kw_only=True):
    """A table. `id` is its name; `keyspace` the number under which its items lie; `import_arn` what its items are being imported by."""

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
        """How far its eventually consistent reads may be behind, where it has a word of its own on that."""
        value = self.tags.get(LAG_TAG)
        return None if value is None else lag_of(value)

    @property
    def stream(self) -> Stream | None:
        """The open stream, if there is one."""
        return self.streams[-1] if self.streams and self.streams[-1].closed_at is None else None


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """Point-in-time recovery: since when, for how many days, and where its log lies."""

    since: datetime
    days: int = 35
    keyspace: int = msgspec.field(name="space")


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """Where a restored table came from. While `pending`, its items are still being brought, from `source_keyspace`.

    For a restore to a point in time that space is filled first (`is_staged`), with the state of `source_table` at `as_of`.
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
    """An on-demand backup: the table's record as it was, and the space that its items were copied to. `id` is the backup's ARN."""

    kind: ClassVar[str] = "dynamodb-backup"

    name: str
    table: TableRecord
    status: str = "CREATING"
    created_at: datetime
    keyspace: int = msgspec.field(name="space")
    items: int = 0
    size_bytes: int = 0


class KeyspaceCounter(Record, frozen=True, kw_only=True):
    """The next free number for items of a table, an index, a stream or a log; numbers are never used again."""

    kind: ClassVar[str] = "dynamodb-spaces"
    next: int = 16


class DiscardedKeyspace(Record, frozen=True, kw_only=True):
    """A space whose items nobody needs any more, to be emptied in the background. `id` is its number."""

    kind: ClassVar[str] = "dynamodb-refuse"


def lag_of(text: str) -> float:
    """The lag that a tag's value says, in seconds. Raises `ValidationException` where it says none."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_LAG_SECONDS:
        raise validation(f"The tag {LAG_TAG} must be a number of seconds from 0 to {LONGEST_LAG_SECONDS:g}, not '{text}'")
    return seconds


def keyspace_prefix(keyspace: int) -> bytes:
    """The beginning of every key in a space."""
    return keyspace.to_bytes(4, "big")


class Backfill:
    """How far a new index has been filled in: up to and including the table key `cursor`.

    Writes to keys behind the cursor leave the index alone, since the filling will come past them. It is not remembered over a restart:
    the filling then begins anew (`has_begun` is False) with an empty index.
    """

    def __init__(self) -> None:
        self.cursor = b""
        self.has_begun = False


class Index:
    """A secondary index made ready. `backfill` is None once it is complete."""

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
        """Where the item (or what the index holds of it) lies in the index."""
        return self.schema.key(item) + tie_digest(item, self.table_schema)

    def project(self, item: Item) -> Item:
        """What of the item lies in the index."""
        if self.projects_all:
            return item
        return {name: value for name, value in item.items() if name in self.attributes}


class Table:
    """A table made ready."""

    def __init__(self, record: TableRecord) -> None:
        self.record = record
        self.name = record.id
        self.keyspace = record.keyspace
        types = {part.name: part.type for part in record.attributes}
        self.types = types
        self.schema = schema(record.keyspace, record.keys, types)
        self.key_names = tuple(part.name for part in self.schema.parts)
        indexes = [Index(index, types, self.schema) for index in record.indexes]
        # DynamoDB looks at global indexes before local ones.
        indexes.sort(key=lambda index: not index.is_global)
        self.indexes = tuple(index for index in indexes if index.record.status != "DELETING")
        self.by_name = {index.name: index for index in indexes if index.is_readable}
        self.has_local = any(not index.is_global for index in self.indexes)
        self.stream = record.stream
        self.is_watched = self.stream is not None or record.recovery is not None
        self.needs_before = bool(self.indexes) or self.is_watched

    def check_index_keys(self, item: Item) -> None:
        """That index key attributes in the item are of the index's types, neither empty nor too long. Raises `ValidationException`."""
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
    """The key of a table or index with the types of its attributes."""
    parts = [(element.role, KeyPart(element.name, types[element.name])) for element in keys]
    return Schema(
        keyspace_prefix(keyspace),
        tuple(part for role, part in parts if role == "HASH"),
        tuple(part for role, part in parts if role == "RANGE"),
    )
