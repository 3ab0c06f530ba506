"""Reconcilers of tables: activate them, back-fill new indexes, and delete the items of removed tables and indexes.

Each convergence may be repeated and interrupted: a back-fill then starts again with an empty index, and the deletion of a keyspace
continues with the remaining items. Work is done in small steps, and requests are served between them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice

from msgspec.structs import replace

from zonal.dynamo import keys, streams
from zonal.dynamo.engine import DynamoEngine
from zonal.dynamo.restore import restore_step
from zonal.dynamo.table import DiscardedKeyspace, Index, Table, TableRecord, keyspace_prefix
from zonal.dynamo.table_writer import WriteBatch, backfill_entry
from zonal.records.store import Record, Store
from zonal.services.dynamodb.backups import stage
from zonal.services.dynamodb.schemas import without_idle_attributes

STEP_ITEMS = 200
BACKFILL_ITEMS = 32  # A step blocks other requests, so it takes a millisecond at most.
STREAM_RETENTION = timedelta(hours=24)
TRIM_SECONDS = 600.0
_STEP_PAUSE_SECONDS = 0.0


class TableReconciler:
    """Reconciles tables with their records."""

    name = "dynamodb-tables"
    kinds: Sequence[type[Record]] = (TableRecord,)

    def __init__(self, engine: DynamoEngine) -> None:
        self._engine = engine
        self._store = engine.store

    def key_of(self, kind: str, id: str) -> str:
        return id

    async def converge(self, key: str) -> float | None:
        record = self._store.get(TableRecord, key)
        if record is None or record.status == "ACTIVE" or record.import_arn:
            return None
        if record.status == "DELETING":
            self._delete_table(record)
            return None
        if record.status == "CREATING" and record.restored is not None and record.restored.pending:
            await self._restore(key)
        for index in record.indexes:
            if index.status == "CREATING":
                await self._backfill(key, index.name)
        self._finish(key)
        return None

    def _delete_table(self, record: TableRecord) -> None:
        with self._store.transaction() as tx:
            keyspaces = [record.keyspace, *(index.keyspace for index in record.indexes), *(stream.keyspace for stream in record.streams)]
            if record.recovery is not None:
                keyspaces.append(record.recovery.keyspace)
            for keyspace in keyspaces:
                tx.put(DiscardedKeyspace(id=str(keyspace)))
            tx.delete(TableRecord, record.id)
            tx.note("dynamodb.table.deleted", record.id)

    async def _restore(self, name: str) -> None:
        while True:
            table = self._engine.any_table(name)
            if table is None or table.record.status != "CREATING" or table.record.restored is None:
                return
            if not table.record.restored.is_staged:
                await stage(self._engine, table.record)
                continue
            if not await restore_step(self._engine, table, STEP_ITEMS):
                return
            await asyncio.sleep(_STEP_PAUSE_SECONDS)

    async def _backfill(self, name: str, index_name: str) -> None:
        while True:
            table = self._engine.any_table(name)
            index = None if table is None else next((each for each in table.indexes if each.name == index_name), None)
            if table is None or index is None or index.backfill is None:
                return
            if not index.backfill.has_begun:
                await empty_keyspace(self._engine, index.record.keyspace)
                index.backfill.has_begun = True
            if not await self._backfill_step(table, index):
                return
            await asyncio.sleep(_STEP_PAUSE_SECONDS)

    async def _backfill_step(self, table: Table, index: Index) -> bool:
        """Add the entries of the next items to an index; False once all are added."""
        assert index.backfill is not None
        storage, end = self._engine.storage, keys.after(keyspace_prefix(table.keyspace))
        low = index.backfill.cursor + b"\x00" if index.backfill.cursor else keyspace_prefix(table.keyspace)
        found = [key for key, _ in islice(storage.range(low, end), BACKFILL_ITEMS)]
        # From here on, writes of keys up to the cursor update the index. Writes decided before are committed by `settled`.
        index.backfill.cursor = found[-1] if len(found) == BACKFILL_ITEMS else end
        await self._engine.settled()
        batch = WriteBatch()
        for key, _ in storage.range(low, index.backfill.cursor + b"\x00"):
            packed = storage.latest(key)
            if packed is not None:
                backfill_entry(batch, index, packed, storage)
        await self._engine.submit(batch)
        return index.backfill.cursor != end

    def _finish(self, name: str) -> None:
        with self._store.transaction() as tx:
            record = tx.get(TableRecord, name)
            if record is None or record.status not in ("CREATING", "UPDATING"):
                return
            gone = [index for index in record.indexes if index.status == "DELETING"]
            for index in gone:
                tx.put(DiscardedKeyspace(id=str(index.keyspace)))
            kept = tuple(replace(index, status="ACTIVE") for index in record.indexes if index not in gone)
            restored = record.restored
            if restored is not None and restored.pending:
                if restored.as_of is not None:
                    tx.put(DiscardedKeyspace(id=str(restored.source_keyspace)))
                restored = replace(restored, pending=False)
            tx.put(without_idle_attributes(replace(record, status="ACTIVE", indexes=kept, restored=restored)))
            tx.note("dynamodb.table.active", name)


class KeyspaceCollector:
    """Deletes the items of keyspaces that are no longer used."""

    name = "dynamodb-refuse"
    kinds: Sequence[type[Record]] = (DiscardedKeyspace,)

    def __init__(self, engine: DynamoEngine) -> None:
        self._engine = engine
        self._store: Store = engine.store

    def key_of(self, kind: str, id: str) -> str:
        return id

    async def converge(self, key: str) -> float | None:
        if self._store.get(DiscardedKeyspace, key) is None:
            return None
        await empty_keyspace(self._engine, int(key))
        with self._store.transaction() as tx:
            tx.delete(DiscardedKeyspace, key)
        return None


class ChangeLogReconciler:
    """Deletes stream records after a day, and recovery log entries after the recovery period."""

    name = "dynamodb-logs"
    kinds: Sequence[type[Record]] = (TableRecord,)

    def __init__(self, engine: DynamoEngine) -> None:
        self._engine = engine

    def key_of(self, kind: str, id: str) -> str:
        return id

    async def converge(self, key: str) -> float | None:
        record = self._engine.store.get(TableRecord, key)
        if record is None or not (record.streams or record.recovery):
            return None
        now = self._engine.now()
        for stream in record.streams:
            await self._drop(*streams.record_range(stream, now - STREAM_RETENTION))
        if record.recovery is not None:
            await self._drop(*streams.older_undo_range(record.recovery, now - timedelta(days=record.recovery.days)))
        self._forget_streams(key, now - STREAM_RETENTION)
        return TRIM_SECONDS

    def _forget_streams(self, name: str, before: datetime) -> None:
        record = self._engine.store.get(TableRecord, name)
        over = [] if record is None else [stream for stream in record.streams if stream.closed_at is not None and stream.closed_at < before]
        if not over or record is None:
            return
        with self._engine.store.transaction() as tx:
            for stream in over:
                tx.put(DiscardedKeyspace(id=str(stream.keyspace)))
            tx.put(replace(record, streams=tuple(stream for stream in record.streams if stream not in over)))

    async def _drop(self, low: bytes, high: bytes) -> None:
        while found := [key for key, _ in islice(self._engine.storage.range(low, high), STEP_ITEMS * 5)]:
            await self._engine.storage.submit(dict.fromkeys(found))


async def empty_keyspace(engine: DynamoEngine, keyspace: int) -> None:
    """Delete all items of a keyspace, step by step."""
    low = keyspace_prefix(keyspace)
    while found := [key for key, _ in islice(engine.storage.range(low, keys.after(low)), STEP_ITEMS * 5)]:
        await engine.storage.submit(dict.fromkeys(found))
    await engine.writer.forget_count(keyspace)
