"""Imports: fills a new table from files in a bucket.

The table is CREATING during the import. An interrupted import starts again and puts the same items. Invalid items fail the import; the
others stay in the table. If nothing could be read, the table is removed. (Developer Guide, "DynamoDB data import".)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from zonal.dynamo import keys
from zonal.dynamo.engine import DynamoEngine
from zonal.dynamo.items import Item, validation
from zonal.dynamo.table import DiscardedKeyspace, Table, TableRecord
from zonal.dynamo.table_writer import WriteBatch
from zonal.dynamo.transfers import BucketLocation, ImportRecord
from zonal.foundation.errors import AwsError
from zonal.records.store import Record, Store
from zonal.services.dynamodb import schemas, transfers
from zonal.services.dynamodb.descriptions import seconds, table_arn
from zonal.services.dynamodb.import_files import Found, documents, rows
from zonal.services.dynamodb.tables import new_record
from zonal.services.dynamodb.unsupported import reject_unsupported
from zonal.services.object_storage import ObjectStorage
from zonal.services.operation import ControlCall, operation

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import (
        DescribeImportInputTypeDef,
        ImportTableInputTypeDef,
        ListImportsInputTypeDef,
    )

STEP_ITEMS = 100
_INVALID = "Some of the items failed validation checks and were not imported. Please check CloudWatch error logs for more details."


class Imports:
    """Operations on imports."""

    @operation("ImportTable")
    def create(self, call: ControlCall, request: ImportTableInputTypeDef) -> dict[str, Any]:
        wanted = request["TableCreationParameters"]
        name = wanted["TableName"]
        there = call.transaction.get(TableRecord, name)
        if there is not None and not there.import_arn:
            raise AwsError("ResourceInUseException", f"Table already exists: {name}")
        if (known := _same(call, request)) is not None:
            return {"ImportTableDescription": _description(known)}
        if request["InputFormat"] != "CSV" and request.get("InputFormatOptions"):
            raise validation("InputFormatOptions can only be specified for InputFormat CSV")
        reject_unsupported("ImportTable", request)
        schemas.check_table(wanted)
        if there is not None:
            raise AwsError("ResourceInUseException", f"Table already exists: {name}")
        arn = f"{table_arn(name)}/import/{transfers.new_number(call)}"
        table = replace(new_record(call.transaction, name, wanted, call.now), import_arn=arn)
        source = request["S3BucketSource"]
        record = ImportRecord(
            id=arn,
            table=name,
            table_id=table.table_id,
            account=call.account,
            source=BucketLocation(bucket=source["S3Bucket"], prefix=source.get("S3KeyPrefix") or ""),
            started_at=call.now,
            client_token=request.get("ClientToken") or "",
            asked=dict(request),
        )
        call.transaction.put(table)
        call.transaction.put(record)
        call.transaction.note("dynamodb.import.started", name, bucket=record.source.bucket)
        return {"ImportTableDescription": _description(record)}

    @operation("DescribeImport")
    def describe(self, call: ControlCall, request: DescribeImportInputTypeDef) -> dict[str, Any]:
        return {"ImportTableDescription": _description(transfers.known(call, ImportRecord, request["ImportArn"], "Import"))}

    @operation("ListImports")
    def list(self, call: ControlCall, request: ListImportsInputTypeDef) -> dict[str, Any]:
        page = transfers.page(call, ImportRecord, request, "PageSize")
        return page.of(map(_summary, page.items)).members("ImportSummaryList", "NextToken")


class ImportReconciler:
    """Carries out imports."""

    name = "dynamodb-imports"
    kinds: Sequence[type[Record]] = (ImportRecord,)

    def __init__(self, engine: DynamoEngine, objects: ObjectStorage) -> None:
        self._engine = engine
        self._objects = objects

    def key_of(self, kind: str, id: str) -> str:
        return id

    async def converge(self, key: str) -> float | None:
        record = self._engine.store.get(ImportRecord, key)
        if record is None or record.status != "IN_PROGRESS":
            return None
        table = self._engine.any_table(record.table)
        if table is None or table.record.import_arn != record.id:
            return None
        try:
            ended = await ImportAttempt(self._engine, self._objects, record, table).all()
        except AwsError as error:
            ended = transfers.failed(record, error)
        _end(
            self._engine.store, replace(ended, ended_at=self._engine.now()), keeps_table=ended.processed > 0 or ended.status == "COMPLETED"
        )
        return None


class ImportAttempt:
    """One attempt at an import."""

    def __init__(self, engine: DynamoEngine, objects: ObjectStorage, record: ImportRecord, table: Table) -> None:
        self._engine = engine
        self._objects = objects
        self._record = record
        self._table = table
        self._sizes: list[int] = []
        self._processed = self._imported = self._errors = 0

    async def all(self) -> ImportRecord:
        """Import all files. Returns the record of the ended import. Raises `AwsError`."""
        source = self._record.source
        batch, waiting = WriteBatch(), 0
        for key in self._objects.keys(self._record.account, source.bucket, source.prefix):
            try:
                async for found in self._found(key):
                    self._processed += 1
                    waiting += self._take(batch, found)
                    if waiting >= STEP_ITEMS:
                        await self._engine.submit(batch)
                        batch, waiting = WriteBatch(), 0
                        await asyncio.sleep(0)
            except ValueError:
                self._processed += 1
                self._errors += 1
        if waiting:
            await self._engine.submit(batch)
        failed = self._errors > 0
        return replace(
            self._record,
            status="FAILED" if failed else "COMPLETED",
            failure=("ItemValidationError", _INVALID) if failed else ("", ""),
            size_bytes=sum(self._sizes),
            processed=self._processed,
            imported=self._imported,
            errors=self._errors,
        )

    def _found(self, key: str) -> AsyncIterator[Found]:
        asked, source = self._record.asked, self._record.source
        pieces = self._objects.read(self._record.account, source.bucket, key)
        is_compressed = asked.get("InputCompressionType") == "GZIP"
        if asked["InputFormat"] == "CSV":
            options = (asked.get("InputFormatOptions") or {}).get("Csv") or {}
            return rows(pieces, self._sizes, is_compressed=is_compressed, types=self._table.types, options=options)
        return documents(pieces, self._sizes, is_compressed=is_compressed)

    def _take(self, batch: WriteBatch, found: Found) -> bool:
        """Add an item to the batch; False for an invalid one."""
        if isinstance(found, str) or found.error:
            self._errors += 1
            return False
        try:
            self._put(batch, found.item, found.size)
        except AwsError:
            self._errors += 1
            return False
        self._imported += 1
        return True

    def _put(self, batch: WriteBatch, item: Item, size: int) -> None:
        table, engine = self._table, self._engine
        keys.check_item(item, table.schema)
        table.check_index_keys(item)
        key = table.schema.key(item)
        before = batch.changes[key] if key in batch.changes else engine.storage.latest(key)
        engine.writer.change(batch, table, key, before, item, size, now=engine.now())


def _end(store: Store, record: ImportRecord, *, keeps_table: bool) -> None:
    """Record the end of an import; its table becomes active, or is removed if nothing could be read."""
    with store.transaction() as tx:
        tx.put(record)
        table = tx.get(TableRecord, record.table)
        if table is not None and table.import_arn == record.id:
            if keeps_table:
                tx.put(replace(table, import_arn=""))
            else:
                tx.delete(TableRecord, table.id)
                tx.put(DiscardedKeyspace(id=str(table.keyspace)))
        tx.note(f"dynamodb.import.{record.status.lower()}", record.table, bucket=record.source.bucket)


def _same(call: ControlCall, request: Mapping[str, Any]) -> ImportRecord | None:
    """The earlier import with this token. Raises `ImportConflictException` for another table name; AWS compares nothing else."""
    known = transfers.asked_before(call, ImportRecord, request)
    if known is not None and known.table != request["TableCreationParameters"]["TableName"]:
        raise AwsError("ImportConflictException", transfers.CONFLICT)
    return known


def _summary(record: ImportRecord) -> dict[str, Any]:
    members = {
        "ImportArn": record.id,
        "ImportStatus": record.status,
        "TableArn": table_arn(record.table),
        "S3BucketSource": record.asked["S3BucketSource"],
        "InputFormat": record.asked["InputFormat"],
        "StartTime": seconds(record.started_at),
    }
    return members | ({"EndTime": seconds(record.ended_at)} if record.ended_at is not None else {})


def _description(record: ImportRecord) -> dict[str, Any]:
    members: dict[str, Any] = _summary(record) | {
        "TableId": record.table_id,
        "ClientToken": record.client_token or record.id.rpartition("/")[2],
        "InputCompressionType": record.asked.get("InputCompressionType") or "NONE",
        "TableCreationParameters": record.asked["TableCreationParameters"],
        "ErrorCount": record.errors,
        "ProcessedItemCount": record.processed,
        "ImportedItemCount": record.imported,
    }
    if record.size_bytes:
        members["ProcessedSizeBytes"] = record.size_bytes
    if "InputFormatOptions" in record.asked:
        members["InputFormatOptions"] = record.asked["InputFormatOptions"]
    if record.status == "FAILED":
        members |= {"FailureCode": record.failure[0], "FailureMessage": record.failure[1]}
    return members
