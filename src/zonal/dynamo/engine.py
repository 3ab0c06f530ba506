"""The engine: the items of all tables of a region.

It owns the store of items, the tables derived from the region's records, the table writer, the throughput limiter and the replaced values
for stale reads. Writes are decided on the event loop, one at a time, on the accepted state; so they need no locks, and a transaction is one
decision. Only commits happen elsewhere, in the writer process.
"""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime
from pathlib import Path

from zonal.dynamo.capacity import ThroughputLimiter
from zonal.dynamo.item_pages import ReadView
from zonal.dynamo.stale_reads import StaleReads
from zonal.dynamo.storage.lmdb_storage import LmdbStorage
from zonal.dynamo.storage.storage import Storage
from zonal.dynamo.streams import ChangeLog
from zonal.dynamo.table import Backfill, Table, TableRecord
from zonal.dynamo.table_writer import TableWriter, WriteBatch
from zonal.foundation.clock import Clock
from zonal.foundation.errors import AwsError
from zonal.records.store import Store

READABLE = ("ACTIVE", "UPDATING")


class DynamoEngine:
    """Items of all tables of a region. To be used on the event loop only."""

    def __init__(
        self, storage: Storage, store: Store, clock: Clock, *, throttles: bool = True, lag_seconds: float = 0.0, seed: int = 0
    ) -> None:
        self.storage = storage
        self.store = store
        self.clock = clock
        self.log = ChangeLog(storage)
        self.writer = TableWriter(storage, self.log)
        self.limiter = ThroughputLimiter(self.seconds, throttles=throttles)
        self.in_transaction: set[bytes] = set()
        self._stale_reads = StaleReads(storage, self.seconds, seed)
        self._lag_seconds = lag_seconds
        self._tables: dict[str, Table] = {}
        self._fills: dict[int, Backfill] = {}
        for record in store.select(TableRecord):
            self._tables[record.id] = self._ready(record)
        self._set_staleness_limit()
        self._unwatch = store.watch([TableRecord], self._changed)

    def now(self) -> datetime:
        return self.clock.now()

    def seconds(self) -> float:
        """Region time in seconds."""
        return self.clock.now().timestamp()

    def table(self, name: str) -> Table:
        """An ACTIVE or UPDATING table, by name or ARN. Raises `ResourceNotFoundException`."""
        table = self._tables.get(name)
        if table is None and name.startswith("arn:"):
            table = self._tables.get(table_name(name))
        if table is None or table.record.status not in READABLE:
            raise AwsError("ResourceNotFoundException", "Requested resource not found")
        return table

    def any_table(self, name: str) -> Table | None:
        """A table in any status, by name or ARN; None if there is none."""
        return self._tables.get(table_name(name))

    def tables(self) -> list[Table]:
        """All tables, in any status."""
        return list(self._tables.values())

    def view(self, table: Table, *, consistent: bool) -> ReadView:
        """The state that a read returns: the current one or, with a lag, a stale one."""
        stale_reads = self._lag_seconds if table.record.lag_seconds is None else table.record.lag_seconds
        return self.storage if consistent or stale_reads <= 0 else self._stale_reads.view(stale_reads)

    def submit(self, batch: WriteBatch) -> Awaitable[None]:
        """Accept a batch; the awaitable is done when it is durable. Raises `StorageFailed`."""
        if self._stale_reads.limit <= 0:
            return self.writer.submit(batch)
        return self._submit_seen(batch)

    async def settled(self) -> None:
        """Wait until all accepted changes are durable, before a response that may depend on them."""
        await self.storage.settled()

    async def close(self) -> None:
        self._unwatch()
        await self.storage.close()

    async def _submit_seen(self, batch: WriteBatch) -> None:
        replaced = self._stale_reads.before_commit(batch.changes)
        await self.writer.submit(batch)
        self._stale_reads.committed(replaced)

    def _changed(self, kind: str, id: str) -> None:
        record = self.store.get(TableRecord, id)
        if record is not None:
            self._tables[id] = self._ready(record)
        elif (table := self._tables.pop(id, None)) is not None:
            self.limiter.forget(table)
        self._set_staleness_limit()

    def _ready(self, record: TableRecord) -> Table:
        table = Table(record)
        for index in table.indexes:
            if index.record.status == "CREATING":
                index.backfill = self._fills.setdefault(index.record.keyspace, Backfill())
        return table

    def _set_staleness_limit(self) -> None:
        own = [table.record.lag_seconds or 0.0 for table in self._tables.values()]
        self._stale_reads.limit = max([self._lag_seconds, *own])


def open_engine(
    directory: Path, store: Store, clock: Clock, *, durable: bool = True, throttles: bool = True, lag_seconds: float = 0.0, seed: int = 0
) -> DynamoEngine:
    """The engine over the store in `directory`."""
    storage = LmdbStorage(directory, durable=durable)
    return DynamoEngine(storage, store, clock, throttles=throttles, lag_seconds=lag_seconds, seed=seed)


def table_name(arn: str) -> str:
    """The table's name in its ARN or in that of its index, stream or backup; a text that is not an ARN is returned unchanged."""
    if not arn.startswith("arn:"):
        return arn
    resource = arn.split(":", 5)[-1]
    return resource.split("/")[1] if resource.startswith("table/") else arn
