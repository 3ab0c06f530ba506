"""Tables: CreateTable, DescribeTable, ListTables, UpdateTable, DeleteTable, and the account's limits.

An operation checks the request and writes the record; `reconcilers` carry it out (back-fill of a new index, deletion of items). The record
has the new values at once. The response to an update has the old ones with the status UPDATING, as AWS's does.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from zonal.dynamo.engine import DynamoEngine, table_name
from zonal.dynamo.items import validation
from zonal.dynamo.keys import KeyPart
from zonal.dynamo.table import IndexRecord, KeyspaceCounter, OnDemand, Stream, TableRecord, Throughput
from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import REGION
from zonal.records.store import Transaction
from zonal.services.dynamodb import schemas
from zonal.services.dynamodb.descriptions import describe_table
from zonal.services.dynamodb.schema_changes import check_update, new_attributes
from zonal.services.dynamodb.tags import tags_of
from zonal.services.dynamodb.unsupported import reject_unsupported
from zonal.services.operation import ControlCall, operation

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import (
        CreateTableInputTypeDef,
        DeleteTableInputTypeDef,
        DescribeTableInputTypeDef,
        ListTablesInputTypeDef,
        UpdateTableInputTypeDef,
    )

MAX_TABLES = 2500
_FREE_DECREASES = 4
_HOUR = 3600


class Tables:
    """Operations on tables."""

    def __init__(self, engine: DynamoEngine) -> None:
        self._engine = engine

    @operation("CreateTable")
    def create(self, call: ControlCall, request: CreateTableInputTypeDef) -> dict[str, Any]:
        reject_unsupported("CreateTable", request)
        schemas.check_table(request)
        name = request["TableName"]
        if call.transaction.get(TableRecord, name) is not None:
            raise AwsError("ResourceInUseException", f"Table already exists: {name}")
        if len(call.transaction.select(TableRecord)) >= MAX_TABLES:
            raise AwsError("LimitExceededException", "Subscriber limit exceeded: There is a limit of 2500 tables per subscriber")
        record = new_record(call.transaction, name, request, call.now)
        call.transaction.put(record)
        call.transaction.note("dynamodb.table.created", name)
        return {"TableDescription": describe_table(record, self._engine.writer)}

    @operation("DescribeTable")
    def describe(self, call: ControlCall, request: DescribeTableInputTypeDef) -> dict[str, Any]:
        record = existing(call.transaction, request["TableName"])
        return {"Table": describe_table(record, self._engine.writer)}

    @operation("ListTables")
    def list(self, call: ControlCall, request: ListTablesInputTypeDef) -> dict[str, Any]:
        start, limit = request.get("ExclusiveStartTableName"), request.get("Limit", 100)
        names = sorted(record.id for record in call.transaction.select(TableRecord))
        names = [name for name in names if start is None or name > start]
        answer: dict[str, Any] = {"TableNames": names[:limit]}
        if len(names) > limit:
            answer["LastEvaluatedTableName"] = names[limit - 1]
        return answer

    @operation("DeleteTable")
    def delete(self, call: ControlCall, request: DeleteTableInputTypeDef) -> dict[str, Any]:
        record = existing(call.transaction, request["TableName"])
        if record.status == "UPDATING" and any(index.status != "ACTIVE" for index in record.indexes):
            raise AwsError(
                "ResourceInUseException",
                "Attempt to change a resource which is still in use:"
                " Cannot delete table while indexes are being created, updated, or deleted.",
            )
        _check_at_rest(record)
        if record.deletion_protection:
            raise validation("Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.")
        deleting = replace(record, status="DELETING")
        call.transaction.put(deleting)
        call.transaction.note("dynamodb.table.deleting", record.id)
        description = describe_table(deleting, self._engine.writer)
        for absent in ("AttributeDefinitions", "KeySchema", "CreationDateTime", "LocalSecondaryIndexes", "GlobalSecondaryIndexes"):
            description.pop(absent, None)
        return {"TableDescription": description}

    @operation("UpdateTable")
    def update(self, call: ControlCall, request: UpdateTableInputTypeDef) -> dict[str, Any]:
        reject_unsupported("UpdateTable", request)
        check_update(request)
        record = existing(call.transaction, request["TableName"])
        _check_at_rest(record)
        changed = _updated(call.transaction, record, request, call.now)
        changed = replace(changed, status="UPDATING")
        call.transaction.put(changed)
        call.transaction.note("dynamodb.table.updating", record.id)
        description = describe_table(replace(record, status="UPDATING"), self._engine.writer)
        new = describe_table(changed, self._engine.writer)
        for name in ("GlobalSecondaryIndexes", "StreamSpecification", "LatestStreamArn", "LatestStreamLabel", "AttributeDefinitions"):
            if name in new:
                description[name] = new[name]
            else:
                description.pop(name, None)
        return {"TableDescription": description}

    @operation("DescribeLimits")
    def limits(self, call: ControlCall, request: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "AccountMaxReadCapacityUnits": 80_000,
            "AccountMaxWriteCapacityUnits": 80_000,
            "TableMaxReadCapacityUnits": 40_000,
            "TableMaxWriteCapacityUnits": 40_000,
        }

    @operation("DescribeEndpoints")
    def endpoints(self, call: ControlCall, request: Mapping[str, Any]) -> dict[str, Any]:
        host = call.raw.headers.get("host") if call.raw is not None else None
        return {"Endpoints": [{"Address": host or f"dynamodb.{REGION}.amazonaws.com", "CachePeriodInMinutes": 1440}]}


def existing(transaction: Transaction, name: str) -> TableRecord:
    """The record of a table, by name or ARN. Raises `ResourceNotFoundException`."""
    record = transaction.get(TableRecord, table_name(name))
    if record is None:
        raise AwsError("ResourceNotFoundException", f"Requested resource not found: Table: {table_name(name)} not found")
    return record


def new_record(transaction: Transaction, name: str, request: Mapping[str, Any], now: datetime) -> TableRecord:
    """The record of a table as CreateTable's members describe it."""
    billing = request.get("BillingMode") or "PROVISIONED"
    stream = request.get("StreamSpecification")
    streams = (_new_stream(transaction, stream["StreamViewType"], now),) if stream and stream["StreamEnabled"] else ()
    return TableRecord(
        id=name,
        table_id=str(uuid.uuid4()),
        attributes=tuple(KeyPart(each["AttributeName"], each["AttributeType"]) for each in request["AttributeDefinitions"]),
        keys=schemas.key_elements(request["KeySchema"]),
        keyspace=new_keyspace(transaction),
        indexes=(
            *(_new_index(transaction, each, billing, is_global=False) for each in request.get("LocalSecondaryIndexes") or ()),
            *(_new_index(transaction, each, billing, is_global=True) for each in request.get("GlobalSecondaryIndexes") or ()),
        ),
        created_at=now,
        billing=billing,
        on_demand_since=now if billing == "PAY_PER_REQUEST" else None,
        throughput=_throughput(request.get("ProvisionedThroughput")),
        on_demand=_on_demand(request.get("OnDemandThroughput"), billing),
        streams=streams,
        deletion_protection=bool(request.get("DeletionProtectionEnabled")),
        table_class=request.get("TableClass") or "",
        encryption=encryption_of(request.get("SSESpecification")),
        tags=tags_of(request.get("Tags") or ()),
    )


def new_keyspace(transaction: Transaction) -> int:
    """A new keyspace number; numbers are not reused."""
    keyspaces = transaction.get(KeyspaceCounter, "spaces") or KeyspaceCounter(id="spaces")
    transaction.put(replace(keyspaces, next=keyspaces.next + 1))
    return keyspaces.next


def _new_index(
    transaction: Transaction, request: Mapping[str, Any], billing: str, *, is_global: bool, status: str = "ACTIVE"
) -> IndexRecord:
    projection = request["Projection"]
    return IndexRecord(
        name=request["IndexName"],
        is_global=is_global,
        keys=schemas.key_elements(request["KeySchema"]),
        projection=projection["ProjectionType"],
        attributes=tuple(projection.get("NonKeyAttributes") or ()),
        keyspace=new_keyspace(transaction),
        status=status,
        throughput=_throughput(request.get("ProvisionedThroughput")),
        on_demand=_on_demand(request.get("OnDemandThroughput"), billing, request["IndexName"]),
    )


def _new_stream(transaction: Transaction, view: str, now: datetime) -> Stream:
    label = now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}"
    return Stream(label=label, view=view, keyspace=new_keyspace(transaction), created_at=now)


def _throughput(request: Mapping[str, Any] | None) -> Throughput:
    return Throughput() if request is None else Throughput(read=request["ReadCapacityUnits"], write=request["WriteCapacityUnits"])


def _on_demand(request: Mapping[str, Any] | None, billing: str, index: str = "") -> OnDemand | None:
    if request is None:
        return None
    if billing == "PROVISIONED":
        member = next((name for name in ("MaxReadRequestUnits", "MaxWriteRequestUnits") if name in request), "MaxReadRequestUnits")
        where = f" for index : {index}" if index else ""
        raise validation(
            f"One or more parameter values were invalid: {member} for OnDemandThroughput{where} cannot be specified"
            " when the table BillingMode is PROVISIONED"
        )
    return OnDemand(request.get("MaxReadRequestUnits", -1), request.get("MaxWriteRequestUnits", -1))


def encryption_of(request: Mapping[str, Any] | None) -> str:
    """The encryption that an `SSESpecification` asks for: KMS, or empty for the default."""
    if request is None or not request.get("Enabled"):
        return ""
    return "KMS"


def _check_at_rest(record: TableRecord) -> None:
    outcomes = {"CREATING": "created", "UPDATING": "updated", "DELETING": "deleted"}
    if record.status in outcomes:
        raise AwsError(
            "ResourceInUseException",
            f"Attempt to change a resource which is still in use: Table is being {outcomes[record.status]}: {record.id}",
        )


def _updated(transaction: Transaction, record: TableRecord, request: Mapping[str, Any], now: datetime) -> TableRecord:
    if "BillingMode" in request:
        record = _billed(record, request, now)
    if "ProvisionedThroughput" in request:
        if record.billing != "PROVISIONED":
            raise validation(schemas.NO_THROUGHPUT)
        record = replace(record, throughput=_changed_throughput(record.throughput, request["ProvisionedThroughput"], now, "table"))
    if "OnDemandThroughput" in request:
        record = replace(record, on_demand=_on_demand(request["OnDemandThroughput"], record.billing))
    for update in request.get("GlobalSecondaryIndexUpdates") or ():
        if create := update.get("Create"):
            attributes = new_attributes(create, record, request.get("AttributeDefinitions"))
            index = _new_index(transaction, create, record.billing, is_global=True, status="CREATING")
            record = replace(record, attributes=attributes, indexes=(*record.indexes, index))
        else:
            record = _index_updated(record, update, now)
    if "StreamSpecification" in request:
        record = _streamed(transaction, record, request["StreamSpecification"], now)
    if "SSESpecification" in request:
        encryption = encryption_of(request["SSESpecification"])
        if not encryption and not record.encryption:
            raise validation("One or more parameter values were invalid: Table is already encrypted by default")
        record = replace(record, encryption=encryption)
    if "DeletionProtectionEnabled" in request:
        record = replace(record, deletion_protection=request["DeletionProtectionEnabled"])
    if "TableClass" in request:
        record = replace(record, table_class=request["TableClass"], table_class_changed_at=now)
    return schemas.without_idle_attributes(record)


def _billed(record: TableRecord, request: Mapping[str, Any], now: datetime) -> TableRecord:
    mode = request["BillingMode"]
    if mode == "PAY_PER_REQUEST":
        if "ProvisionedThroughput" in request:
            raise validation(schemas.NO_THROUGHPUT)
        indexes = tuple(replace(index, throughput=Throughput()) for index in record.indexes)
        since = record.on_demand_since if record.billing == mode else now
        return replace(record, billing=mode, throughput=Throughput(), on_demand_since=since, indexes=indexes)
    if record.billing == "PAY_PER_REQUEST" and "ProvisionedThroughput" not in request:
        raise validation(schemas.BOTH_UNITS)
    given = {update["Update"]["IndexName"] for update in request.get("GlobalSecondaryIndexUpdates") or () if update.get("Update")}
    for index in record.indexes:
        if index.is_global and record.billing != mode and index.name not in given:
            raise validation(f"One or more parameter values were invalid: ProvisionedThroughput must be specified for index: {index.name}")
    indexes = tuple(replace(index, on_demand=None) for index in record.indexes)
    return replace(record, billing=mode, on_demand=None, indexes=indexes)


def _changed_throughput(held: Throughput, request: Mapping[str, Any], now: datetime, what: str) -> Throughput:
    read, write = request["ReadCapacityUnits"], request["WriteCapacityUnits"]
    if (read, write) == (held.read, held.write):
        where = "the table" if what == "table" else what
        raise validation(
            f"The provisioned throughput for the {what} will not change. The requested value equals the current value. "
            f"Current ReadCapacityUnits provisioned for {where}: {held.read}. Requested ReadCapacityUnits: {read}. "
            f"Current WriteCapacityUnits provisioned for {where}: {held.write}. Requested WriteCapacityUnits: {write}. "
            "Refer to the Amazon DynamoDB Developer Guide for current limits and how to request higher limits."
        )
    if read > held.read or write > held.write:
        held = replace(held, increased_at=now)
    if read < held.read or write < held.write:
        held = _decreased(held, now)
    return replace(held, read=read, write=write)


def _decreased(held: Throughput, now: datetime) -> Throughput:
    """Count one more decrease today: four at any time, then one an hour."""
    last = held.decreased_at
    today = held.decreases_today if last is not None and last.date() == now.date() else 0
    if today >= _FREE_DECREASES and last is not None and (now - last).total_seconds() < _HOUR:
        raise AwsError(
            "LimitExceededException",
            "Subscriber limit exceeded: Provisioned throughput decreases are limited within a given UTC day. After the first 4 decreases,"
            " each subsequent decrease in the same UTC day can be performed at most once every 3600 seconds."
            f" Number of decreases today: {today}. Last decrease at {last:%A, %B %d, %Y at %I:%M:%S %p} Coordinated Universal Time.",
        )
    return replace(held, decreased_at=now, decreases_today=today + 1)


def _index_updated(record: TableRecord, update: Mapping[str, Any], now: datetime) -> TableRecord:
    change = update.get("Update") or update.get("Delete") or {}
    name = change["IndexName"]
    position = next((at for at, index in enumerate(record.indexes) if index.name == name), None)
    if position is None:
        raise AwsError("ResourceNotFoundException", f"Requested resource not found: Index {name} for table {record.id}")
    held = record.indexes[position]
    if not held.is_global:
        what = "delete" if update.get("Delete") else "update"
        raise validation(f"Cannot {what} an index that is not a GlobalSecondaryIndex: {name}")
    if update.get("Delete"):
        changed = replace(held, status="DELETING")
    else:
        changed = replace(held, status="UPDATING")
        if "ProvisionedThroughput" in change:
            if record.billing == "PAY_PER_REQUEST":
                raise validation(
                    f"One or more parameter values were invalid: The only Updates for index: {name} when TableThroughputMode is"
                    " PAY_PER_REQUEST can be to OnDemandThroughput, WarmThroughput"
                )
            throughput = _changed_throughput(held.throughput, change["ProvisionedThroughput"], now, f"index {name}")
            changed = replace(changed, throughput=throughput)
        if "OnDemandThroughput" in change:
            changed = replace(changed, on_demand=_on_demand(change["OnDemandThroughput"], record.billing, name))
    return replace(record, indexes=(*record.indexes[:position], changed, *record.indexes[position + 1 :]))


def _streamed(transaction: Transaction, record: TableRecord, request: Mapping[str, Any], now: datetime) -> TableRecord:
    if request["StreamEnabled"]:
        if record.stream is not None:
            raise validation(f"Table already has an enabled stream: TableName: {record.id}")
        if "StreamViewType" not in request:
            raise validation("One or more parameter values were invalid: If stream is being enabled then UpdateViewType is required")
        return replace(record, streams=(*record.streams, _new_stream(transaction, request["StreamViewType"], now)))
    if "StreamViewType" in request:
        raise validation(
            "One or more parameter values were invalid: If stream is being disabled, then UpdateViewType must not be specified"
        )
    if record.stream is None:
        raise validation(f"Table has no stream to disable: TableName: {record.id}")
    return replace(record, streams=(*record.streams[:-1], replace(record.streams[-1], closed_at=now)))
