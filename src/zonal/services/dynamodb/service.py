"""The services `dynamodb` and `dynamodbstreams`: one engine, its operations by name, and its reconcilers.

>>> dynamodb = open_dynamodb(directory, store, clock, settings)
>>> gateway = Gateway(settings, Invoker(dynamodb.services, store, clock))
>>> driver = Driver(store, dynamodb.reconcilers, clock=clock)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from zonal.dynamo.capacity_comparison import CapacityComparison, compare
from zonal.dynamo.engine import DynamoEngine, open_engine
from zonal.dynamo.table import TableRecord
from zonal.foundation.clock import Clock
from zonal.foundation.settings import Settings
from zonal.records.store import Store
from zonal.services.dynamodb.backups import BackupReconciler, Backups
from zonal.services.dynamodb.batches import Batches
from zonal.services.dynamodb.documents import vetted
from zonal.services.dynamodb.exports import ExportReconciler, Exports
from zonal.services.dynamodb.imports import ImportReconciler, Imports
from zonal.services.dynamodb.items import Items
from zonal.services.dynamodb.queries import Queries
from zonal.services.dynamodb.reconcilers import ChangeLogReconciler, KeyspaceCollector, TableReconciler
from zonal.services.dynamodb.statements import Statements
from zonal.services.dynamodb.streams import Streams
from zonal.services.dynamodb.tables import Tables
from zonal.services.dynamodb.tags import TableTags
from zonal.services.dynamodb.time_to_live import TimeToLive, TimeToLiveReconciler
from zonal.services.dynamodb.transactions import Transactions
from zonal.services.object_storage import ObjectStorage
from zonal.services.operation import Handler, handlers
from zonal.services.service import Service, ServiceOptions

NAMES = ("dynamodb", "dynamodbstreams")


class DynamoDb:
    """The services `dynamodb` and `dynamodbstreams` over one engine.

    `services` are their descriptors. `objects` are the buckets that tables are exported to and imported from; without them exports and
    imports are not implemented.
    """

    def __init__(self, engine: DynamoEngine, objects: ObjectStorage | None = None) -> None:
        self.engine = engine
        backups, items, transactions = Backups(engine), Items(engine), Transactions(engine)
        transfers = (Exports(), Imports()) if objects is not None else ()
        nouns = (
            Tables(engine),
            items,
            Queries(engine),
            Batches(engine),
            transactions,
            Statements(engine, items, transactions),
            TimeToLive(engine),
            TableTags(engine),
            backups,
            *transfers,
        )
        self.handlers: Mapping[str, Mapping[str, Handler]] = {
            "dynamodb": vetted("dynamodb", handlers(*nouns)),
            "dynamodbstreams": vetted("dynamodbstreams", handlers(Streams(engine))),
        }
        self.reconcilers = (
            TableReconciler(engine),
            KeyspaceCollector(engine),
            TimeToLiveReconciler(engine),
            BackupReconciler(engine, backups.snapshots),
            ChangeLogReconciler(engine),
            *((ExportReconciler(engine, objects), ImportReconciler(engine, objects)) if objects is not None else ()),
        )

        self.services = (
            Service(
                "dynamodb",
                self.handlers["dynamodb"],
                ServiceOptions(documents=True),
                reconcilers=lambda runtime: self.reconcilers,
                running=self._running,
                resources=lambda: {"tables": len(engine.store.select(TableRecord))},
            ),
            Service("dynamodbstreams", self.handlers["dynamodbstreams"], ServiceOptions(documents=True)),
        )

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        """Close the engine at the end."""
        try:
            yield
        finally:
            await self.engine.close()

    def capacity(self, table: str) -> CapacityComparison | None:
        """The cost of a table's recorded traffic in both capacity modes; None if the table does not exist."""
        found = self.engine.any_table(table)
        if found is None:
            return None
        throughput = found.record.throughput
        return compare(found.name, self.engine.limiter.minutes(found.name), read_units=throughput.read, write_units=throughput.write)


def open_dynamodb(directory: Path, store: Store, clock: Clock, settings: Settings, objects: ObjectStorage | None = None) -> DynamoDb:
    """DynamoDB over the items in `directory`. A caller that does not enter `running` of its services closes its engine."""
    engine = open_engine(
        directory,
        store,
        clock,
        durable=settings.dynamodb_durability == "durable",
        throttles=settings.dynamodb_throttling,
        lag_seconds=settings.dynamodb_lag_seconds,
    )
    return DynamoDb(engine, objects)
