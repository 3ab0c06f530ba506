"""Writes the change logs of a table: its stream, and the recovery log for point-in-time recovery.

Both are written in the same commit as the change. A stream has a keyspace of its own; its records are stored under increasing sequence
numbers as the JSON that `GetRecords` returns. The recovery log stores, under the time of the change, the item's key and the value before;
reading it from a point in time on gives the values that undo all later changes.
(Developer Guide, "Change data capture for DynamoDB Streams"; API Reference, `Record`, `StreamRecord`.)
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from zonal.dynamo.items import Item, item_size
from zonal.dynamo.storage.storage import Storage
from zonal.dynamo.table import Recovery, Stream, Table, keyspace_prefix
from zonal.foundation.identifiers import REGION

RETENTION_SECONDS = 24 * 3600
_ENCODE = msgspec.json.Encoder().encode


class Undo(NamedTuple):
    """An entry of the recovery log: the value under `key` before a change."""

    key: bytes
    before: bytes | None


class ChangeLog:
    """Writes streams and recovery logs. Sequence numbers increase over all streams and across restarts."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._sequence = 0

    def note(
        self,
        changes: dict[bytes, bytes | None],
        table: Table,
        key: bytes,
        before: bytes | None,
        old: Item | None,
        after: bytes | None,
        new: Item | None,
        *,
        now: datetime,
        by_ttl: bool,
    ) -> None:
        """Add the log entries of one item's change to `changes`."""
        if table.stream is not None:
            sequence = self.next_sequence(now)
            record = _record(table, table.stream, sequence, old, new, now=now, by_ttl=by_ttl)
            changes[record_key(table.stream, sequence)] = _at(now) + _ENCODE(record)
        if table.record.recovery is not None:
            undo_key = keyspace_prefix(table.record.recovery.keyspace) + _at(now) + self.next_sequence(now).to_bytes(12, "big")
            changes[undo_key] = len(key).to_bytes(2, "big") + key + (before or b"")

    def next_sequence(self, now: datetime) -> int:
        """A number larger than all before. It begins with the time, so that a restart need not read the last one."""
        self._sequence = max(self._sequence + 1, int(now.timestamp() * 1000) * 1_000_000)
        return self._sequence


def record_key(stream: Stream, sequence: int) -> bytes:
    """The storage key of a stream's record."""
    return keyspace_prefix(stream.keyspace) + sequence.to_bytes(12, "big")


def sequence_of(key: bytes) -> int:
    """The sequence number of a stream's record."""
    return int.from_bytes(key[4:16], "big")


def sequence_text(sequence: int) -> str:
    """A sequence number in AWS's form: at least 21 digits."""
    return f"{sequence:021d}"


def record_of(value: bytes) -> bytes:
    """The JSON of a stream's record."""
    return value[8:]


def time_of(value: bytes) -> float:
    """When a stream's record was written, in seconds since 1970."""
    return int.from_bytes(value[:8], "big") / 1e6


def undo_of(value: bytes) -> Undo:
    """A decoded entry of the recovery log."""
    length = int.from_bytes(value[:2], "big")
    return Undo(value[2 : 2 + length], value[2 + length :] or None)


def undo_range(recovery: Recovery, since: datetime) -> tuple[bytes, bytes]:
    """The range of recovery log entries after `since`."""
    keyspace = keyspace_prefix(recovery.keyspace)
    return keyspace + _at(since) + b"\xff" * 12, keyspace_prefix(recovery.keyspace + 1)


def older_undo_range(recovery: Recovery, before: datetime) -> tuple[bytes, bytes]:
    """The range of recovery log entries before `before`."""
    keyspace = keyspace_prefix(recovery.keyspace)
    return keyspace, keyspace + _at(before)


def record_range(stream: Stream, before: datetime) -> tuple[bytes, bytes]:
    """The range of a stream's records before `before`."""
    return keyspace_prefix(stream.keyspace), record_key(stream, int(before.timestamp() * 1000) * 1_000_000)


def _at(now: datetime) -> bytes:
    return int(now.timestamp() * 1e6).to_bytes(8, "big")


def _record(
    table: Table, stream: Stream, sequence: int, old: Item | None, new: Item | None, *, now: datetime, by_ttl: bool
) -> dict[str, Any]:
    item = new if new is not None else old
    assert item is not None
    change: dict[str, Any] = {
        "ApproximateCreationDateTime": int(now.timestamp()),
        "Keys": {name: item[name] for name in table.key_names},
        "SequenceNumber": sequence_text(sequence),
    }
    size = item_size(change["Keys"])
    if new is not None and stream.view in ("NEW_IMAGE", "NEW_AND_OLD_IMAGES"):
        change["NewImage"] = new
        size += item_size(new)
    if old is not None and stream.view in ("OLD_IMAGE", "NEW_AND_OLD_IMAGES"):
        change["OldImage"] = old
        size += item_size(old)
    change |= {"SizeBytes": size, "StreamViewType": stream.view}
    record: dict[str, Any] = {
        "eventID": uuid.uuid4().hex,
        "eventName": "INSERT" if old is None else "REMOVE" if new is None else "MODIFY",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": REGION,
        "dynamodb": change,
    }
    if by_ttl:
        record["userIdentity"] = {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
    return record
