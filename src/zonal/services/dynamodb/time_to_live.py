"""Time to live: deletes expired items.

A reconciler scans each table with time to live in small steps and deletes expired items as a caller would: index entries, streams and
recovery logs follow, and the stream's record names the service. An item does not expire if its attribute is not a number, or is more than
five years past. (Developer Guide, "Using time to live (TTL) in DynamoDB".)
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from zonal.dynamo import item_codec, keys
from zonal.dynamo.engine import DynamoEngine
from zonal.dynamo.items import validation
from zonal.dynamo.table import Table, TableRecord, keyspace_prefix
from zonal.dynamo.table_writer import WriteBatch
from zonal.records.store import Record
from zonal.services.dynamodb.tables import existing
from zonal.services.operation import ControlCall, operation

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import (
        DescribeTimeToLiveInputTypeDef,
        UpdateTimeToLiveInputTypeDef,
    )

STEP_ITEMS = 500
STEP_PAUSE_SECONDS = 0.02
SWEEP_SECONDS = 1.0
TOO_OLD = timedelta(days=5 * 365)
CHANGE_AFTER = timedelta(minutes=31)
"""The least time between two changes: the guide says up to an hour; recordings of October 2026 show half of that."""


class TimeToLive:
    """Operations on a table's time to live."""

    def __init__(self, engine: DynamoEngine) -> None:
        self._engine = engine

    @operation("UpdateTimeToLive")
    def update(self, call: ControlCall, request: UpdateTimeToLiveInputTypeDef) -> dict[str, Any]:
        record = existing(call.transaction, request["TableName"])
        wanted = request["TimeToLiveSpecification"]
        name, enabled = wanted["AttributeName"], wanted["Enabled"]
        if not enabled and not record.ttl_attribute:
            raise validation("TimeToLive is already disabled")
        if record.ttl_attribute and name != record.ttl_attribute:
            raise validation(f"TimeToLive is active on a different AttributeName: current AttributeName is {record.ttl_attribute}")
        if enabled and record.ttl_attribute:
            raise validation("TimeToLive is already enabled")
        if record.ttl_changed_at is not None and call.now - record.ttl_changed_at < CHANGE_AFTER:
            raise validation("Time to live has been modified multiple times within a fixed interval")
        status = "ENABLED" if enabled else "DISABLED"
        call.transaction.put(replace(record, ttl_attribute=name if enabled else "", ttl_status=status, ttl_changed_at=call.now))
        return {"TimeToLiveSpecification": {"AttributeName": name, "Enabled": enabled}}

    @operation("DescribeTimeToLive")
    def describe(self, call: ControlCall, request: DescribeTimeToLiveInputTypeDef) -> dict[str, Any]:
        record = existing(call.transaction, request["TableName"])
        description: dict[str, Any] = {"TimeToLiveStatus": record.ttl_status}
        if record.ttl_attribute:
            description["AttributeName"] = record.ttl_attribute
        return {"TimeToLiveDescription": description}


class TimeToLiveReconciler:
    """Scans tables for expired items repeatedly."""

    name = "dynamodb-ttl"
    kinds: Sequence[type[Record]] = (TableRecord,)

    def __init__(self, engine: DynamoEngine) -> None:
        self._engine = engine

    def key_of(self, kind: str, id: str) -> str:
        return id

    async def converge(self, key: str) -> float | None:
        low: bytes | None = b""
        while low is not None:
            table = self._engine.any_table(key)
            if table is None or not table.record.ttl_attribute or table.record.status not in ("ACTIVE", "UPDATING"):
                return None
            low = await self._sweep_step(table, low)
            await asyncio.sleep(STEP_PAUSE_SECONDS)
        return SWEEP_SECONDS

    async def _sweep_step(self, table: Table, low: bytes) -> bytes | None:
        """Delete the expired ones of the next items. Returns the key to continue at, None at the end."""
        engine, now = self._engine, self._engine.now()
        keyspace = keyspace_prefix(table.keyspace)
        batch = WriteBatch()
        found = list(islice(engine.storage.range(low or keyspace, keys.after(keyspace)), STEP_ITEMS))
        for key, packed in found:
            if _is_over(packed, table.record.ttl_attribute, now) and key not in engine.in_transaction:
                latest = engine.storage.latest(key)
                if latest is not None and _is_over(latest, table.record.ttl_attribute, now):
                    engine.writer.change(batch, table, key, latest, None, 0, now=now, by_ttl=True)
        if batch.changes:
            await engine.submit(batch)
        return found[-1][0] + b"\x00" if len(found) == STEP_ITEMS else None


def _is_over(packed: bytes, attribute: str, now: datetime) -> bool:
    if attribute.encode() not in packed and attribute.isascii() and attribute.isalnum():
        return False
    value = item_codec.item_of(packed).get(attribute)
    if value is None or "N" not in value:
        return False
    ends = float(value["N"])
    return now.timestamp() - TOO_OLD.total_seconds() < ends < now.timestamp()
