"""DynamoDB as the region knows it: an engine, the handlers of its operations, and what keeps tables in shape.

>>> service = DynamoDb(engine)
>>> gateway = Gateway(settings, store, clock, service.handlers, frontends=service.frontends)
>>> driver = Driver(store, service.reconcilers, clock=clock)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from zonal.dynamo.capacity_comparison import CapacityComparison, compare
from zonal.dynamo.engine import DynamoEngine, open_engine
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

NAMES = ("dynamodb", "dynamodbstreams")


class DynamoDb:
    """The services `dynamodb` and `dynamodbstreams` over one engine.

    The gateway must take both with `ServiceOptions(documents=True)`; the driver must run `reconcilers`. `objects` are the buckets that
    tables are exported to and imported from; without them exports and imports are not offered.
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

    def capacity(self, table: str) -> CapacityComparison | None:
        """Both capacity modes on a table's recorded traffic; None where there is no such table."""
        found = self.engine.any_table(table)
        if found is None:
            return None
        throughput = found.record.throughput
        return compare(found.name, self.engine.limiter.minutes(found.name), read_units=throughput.read, write_units=throughput.write)


def open_dynamodb(directory: Path, store: Store, clock: Clock, settings: Settings, objects: ObjectStorage | None = None) -> DynamoDb:
    """DynamoDB over the items in `directory`, as the settings say. Close its engine at the end."""
    engine = open_engine(
        directory,
        store,
        clock,
        durable=settings.dynamodb_durability == "durable",
        throttles=settings.dynamodb_throttling,
        lag_seconds=settings.dynamodb_lag_seconds,
    )
    return DynamoDb(engine, objects)
