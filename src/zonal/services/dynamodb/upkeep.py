"""What tables need done after their records say so: becoming active, filling new indexes, emptying what was deleted.

Each convergence may be repeated and may be cut off anywhere: how far an index has been filled is noted with the entries themselves, and
emptying a space begins again where items are left. Work goes in small steps between which requests are served.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import islice

from msgspec.structs import replace

from zonal.dynamo import keys
from zonal.dynamo.engine import Engine
from zonal.dynamo.restoring import restore_step
from zonal.dynamo.table import Index, Refuse, Table, TableRecord, space_bytes
from zonal.dynamo.writing import Batch, fill_entry, forget_count, note_fill
from zonal.records.store import Record, Store
from zonal.services.dynamodb.schemas import without_idle_attributes

STEP_ITEMS = 200
_STEP_PAUSE_SECONDS = 0.0


class TableUpkeep:
    """Brings tables to the state that their records ask for."""

    name = "dynamodb-tables"
    kinds: Sequence[type[Record]] = (TableRecord,)

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._store = engine.store

    def key_of(self, kind: str, id: str) -> str:
        return id

    async def converge(self, key: str) -> float | None:
        record = self._store.get(TableRecord, key)
        if record is None or record.status == "ACTIVE":
            return None
        if record.status == "DELETING":
            self._bury(record)
            return None
        if record.status == "CREATING" and record.restored is not None and record.restored.pending:
            await self._restore(key)
        for index in record.indexes:
            if index.status == "CREATING":
                await self._fill(key, index.name)
        self._finish(key)
        return None

    def _bury(self, record: TableRecord) -> None:
        with self._store.transaction() as tx:
            spaces = [record.space, *(index.space for index in record.indexes), *(stream.space for stream in record.streams)]
            if record.recovery is not None:
                spaces.append(record.recovery.space)
            for space in spaces:
                tx.put(Refuse(id=str(space)))
            tx.delete(TableRecord, record.id)
            tx.note("dynamodb.table.deleted", record.id)

    async def _restore(self, name: str) -> None:
        while True:
            table = self._engine.any_table(name)
            if table is None or table.record.status != "CREATING":
                return
            if not await restore_step(self._engine, table, STEP_ITEMS):
                return
            await asyncio.sleep(_STEP_PAUSE_SECONDS)

    async def _fill(self, name: str, index_name: str) -> None:
        while True:
            table = self._engine.any_table(name)
            index = None if table is None else next((each for each in table.indexes if each.name == index_name), None)
            if table is None or index is None or index.fill is None:
                return
            if not await self._fill_step(table, index):
                return
            await asyncio.sleep(_STEP_PAUSE_SECONDS)

    async def _fill_step(self, table: Table, index: Index) -> bool:
        """Fill the next items into an index; False once there is none left."""
        assert index.fill is not None
        storage = self._engine.storage
        low = index.fill.cursor + b"\x00" if index.fill.cursor else space_bytes(table.space)
        found = [key for key, _ in islice(storage.range(low, keys.after(space_bytes(table.space))), STEP_ITEMS)]
        if not found:
            return await self._fill_last(table, index, low)
        batch = Batch()
        for key in found:
            packed = storage.latest(key)
            if packed is not None:
                fill_entry(batch, index, key, packed)
        index.fill.cursor = found[-1]
        note_fill(batch, index, found[-1])
        await self._engine.submit(batch)
        return True

    async def _fill_last(self, table: Table, index: Index, low: bytes) -> bool:
        """Close the gap between the last step and the writes that came meanwhile: from here on every write keeps the index itself."""
        assert index.fill is not None
        high = index.fill.cursor = keys.after(space_bytes(table.space))
        await self._engine.settled()
        batch = Batch()
        for key, packed in self._engine.storage.range(low, high):
            fill_entry(batch, index, key, packed, unless_in=self._engine.storage)
        if batch.changes:
            await self._engine.submit(batch)
        return False

    def _finish(self, name: str) -> None:
        with self._store.transaction() as tx:
            record = tx.get(TableRecord, name)
            if record is None or record.status not in ("CREATING", "UPDATING"):
                return
            gone = [index for index in record.indexes if index.status == "DELETING"]
            for index in gone:
                tx.put(Refuse(id=str(index.space)))
            kept = tuple(replace(index, status="ACTIVE") for index in record.indexes if index not in gone)
            restored = None if record.restored is None else replace(record.restored, pending=False)
            tx.put(without_idle_attributes(replace(record, status="ACTIVE", indexes=kept, restored=restored)))
            tx.note("dynamodb.table.active", name)


class RefuseUpkeep:
    """Empties spaces that nobody needs any more."""

    name = "dynamodb-refuse"
    kinds: Sequence[type[Record]] = (Refuse,)

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._store: Store = engine.store

    def key_of(self, kind: str, id: str) -> str:
        return id

    async def converge(self, key: str) -> float | None:
        if self._store.get(Refuse, key) is None:
            return None
        space = space_bytes(int(key))
        while batch := list(islice(self._keys(space), STEP_ITEMS * 5)):
            await self._engine.storage.submit(dict.fromkeys(batch))
        changes: dict[bytes, bytes | None] = {}
        forget_count(changes, int(key))
        await self._engine.storage.submit(changes)
        with self._store.transaction() as tx:
            tx.delete(Refuse, key)
        return None

    def _keys(self, space: bytes) -> Iterator[bytes]:
        return (key for key, _ in self._engine.storage.range(space, keys.after(space)))
