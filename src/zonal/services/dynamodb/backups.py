"""Backups: on demand, and continuous ones for restores to a point in time.

CreateBackup takes a snapshot of the store at its call; a reconciler copies the items from it. UpdateContinuousBackups starts the recovery
log; RestoreTableToPointInTime creates a table with the items as they were at that time. Time to live, streams, tags
and continuous backups are not restored, as on AWS. (Developer Guide, "Backup and restore for DynamoDB".)
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from zonal.dynamo.engine import DynamoEngine, table_name
from zonal.dynamo.items import validation
from zonal.dynamo.storage.storage import Snapshot
from zonal.dynamo.table import BackupRecord, DiscardedKeyspace, IndexRecord, OnDemand, Recovery, Restored, TableRecord, Throughput
from zonal.dynamo.table_copy import changes_since, copy_keyspace
from zonal.foundation.errors import AwsError
from zonal.records.store import Record, Transaction
from zonal.services.dynamodb.descriptions import describe_table, seconds, table_arn
from zonal.services.dynamodb.tables import encryption_of, existing, new_keyspace
from zonal.services.dynamodb.unsupported import reject_unsupported
from zonal.services.operation import ControlCall, operation

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import (
        CreateBackupInputTypeDef,
        DeleteBackupInputTypeDef,
        DescribeBackupInputTypeDef,
        DescribeContinuousBackupsInputTypeDef,
        ListBackupsInputTypeDef,
        RestoreTableFromBackupInputTypeDef,
        RestoreTableToPointInTimeInputTypeDef,
        UpdateContinuousBackupsInputTypeDef,
    )


class Backups:
    """Operations on backups."""

    def __init__(self, engine: DynamoEngine) -> None:
        self._engine = engine
        self.snapshots: dict[str, Snapshot] = {}

    @operation("CreateBackup")
    def create(self, call: ControlCall, request: CreateBackupInputTypeDef) -> dict[str, Any]:
        record = call.transaction.get(TableRecord, table_name(request["TableName"]))
        if record is None or record.status not in ("ACTIVE", "UPDATING"):
            raise AwsError("TableNotFoundException", f"Table not found: {table_name(request['TableName'])}")
        count = self._engine.writer.count(record.keyspace)
        number = f"{int(call.now.timestamp() * 1000):014d}-{secrets.token_hex(4)}"
        backup = BackupRecord(
            id=f"{table_arn(record.id)}/backup/{number}",
            name=request["BackupName"],
            table=record,
            created_at=call.now,
            keyspace=new_keyspace(call.transaction),
            items=count.items,
            size_bytes=count.size_bytes,
        )
        self.snapshots[backup.id] = self._engine.storage.snapshot()
        call.transaction.put(backup)
        call.transaction.note("dynamodb.backup.created", record.id, backup=backup.name)
        return {"BackupDetails": _details(backup)}

    @operation("DescribeBackup")
    def describe(self, call: ControlCall, request: DescribeBackupInputTypeDef) -> dict[str, Any]:
        return {"BackupDescription": self._description(_backup(call.transaction, request["BackupArn"]))}

    @operation("ListBackups")
    def list(self, call: ControlCall, request: ListBackupsInputTypeDef) -> dict[str, Any]:
        name, start, limit = request.get("TableName"), request.get("ExclusiveStartBackupArn"), request.get("Limit", 100)
        low, high = _moment(request.get("TimeRangeLowerBound")), _moment(request.get("TimeRangeUpperBound"))
        found = [
            backup
            for backup in call.transaction.select(BackupRecord)
            if (name is None or backup.table.id == table_name(name))
            and (start is None or backup.id > start)
            and (low is None or backup.created_at >= low)
            and (high is None or backup.created_at < high)
        ]
        if request.get("BackupType") not in (None, "USER", "ALL"):
            found = []
        answer: dict[str, Any] = {"BackupSummaries": [_summary(backup) for backup in found[:limit]]}
        if len(found) > limit:
            answer["LastEvaluatedBackupArn"] = found[limit - 1].id
        return answer

    @operation("DeleteBackup")
    def delete(self, call: ControlCall, request: DeleteBackupInputTypeDef) -> dict[str, Any]:
        backup = _backup(call.transaction, request["BackupArn"])
        busy = call.transaction.select(
            TableRecord, lambda table: table.restored is not None and table.restored.pending and table.restored.backup_arn == backup.id
        )
        if busy or backup.status == "CREATING":
            raise AwsError("BackupInUseException", f"Backup is in use: {backup.id}")
        call.transaction.delete(BackupRecord, backup.id)
        call.transaction.put(DiscardedKeyspace(id=str(backup.keyspace)))
        return {"BackupDescription": self._description(replace(backup, status="DELETED"))}

    @operation("RestoreTableFromBackup")
    def restore(self, call: ControlCall, request: RestoreTableFromBackupInputTypeDef) -> dict[str, Any]:
        backup = _backup(call.transaction, request["BackupArn"])
        if backup.status != "AVAILABLE":
            raise AwsError("BackupInUseException", f"Backup is in use: {backup.id}")
        restored = Restored(source_table_arn=table_arn(backup.table.id), at=call.now, backup_arn=backup.id, source_keyspace=backup.keyspace)
        reject_unsupported("RestoreTableFromBackup", request)
        return self._restore(call, backup.table, restored, request)

    @operation("UpdateContinuousBackups")
    def update_continuous(self, call: ControlCall, request: UpdateContinuousBackupsInputTypeDef) -> dict[str, Any]:
        record = _table(call.transaction, request["TableName"])
        wanted = request["PointInTimeRecoverySpecification"]
        if wanted["PointInTimeRecoveryEnabled"]:
            days = wanted.get("RecoveryPeriodInDays", 35)
            recovery = record.recovery
            new = Recovery(since=call.now, days=days, keyspace=new_keyspace(call.transaction))
            recovery = new if recovery is None else replace(recovery, days=days)
            record = replace(record, recovery=recovery)
        elif "RecoveryPeriodInDays" in wanted:
            raise validation("Invalid Request: Cannot specify RecoveryPeriodInDays when disabling point-in-time recovery.")
        elif record.recovery is not None:
            call.transaction.put(DiscardedKeyspace(id=str(record.recovery.keyspace)))
            record = replace(record, recovery=None)
        call.transaction.put(record)
        return {"ContinuousBackupsDescription": _continuous(record, call.now)}

    @operation("DescribeContinuousBackups")
    def describe_continuous(self, call: ControlCall, request: DescribeContinuousBackupsInputTypeDef) -> dict[str, Any]:
        return {"ContinuousBackupsDescription": _continuous(_table(call.transaction, request["TableName"]), call.now)}

    @operation("RestoreTableToPointInTime")
    def restore_to_time(self, call: ControlCall, request: RestoreTableToPointInTimeInputTypeDef) -> dict[str, Any]:
        source = _table(call.transaction, request.get("SourceTableName") or request.get("SourceTableArn") or "")
        if source.recovery is None:
            raise AwsError("PointInTimeRecoveryUnavailableException", f"Point in time recovery is not enabled for table '{source.id}'")
        if bool(request.get("UseLatestRestorableTime")) == ("RestoreDateTime" in request):
            raise validation("Invalid Request: Either one of RestoreDateTime or UseLatestRestorableTime must be specified, but not both")
        moment = _moment(request.get("RestoreDateTime")) or call.now
        if not _earliest(source.recovery, call.now) <= moment <= call.now:
            raise AwsError("InvalidRestoreTimeException", "RestoreDateTime is outside of the restorable time range")
        restored = Restored(
            source_table_arn=table_arn(source.id),
            at=moment,
            source_keyspace=new_keyspace(call.transaction),
            is_staged=False,
            source_table=source.id,
            as_of=moment,
        )
        reject_unsupported("RestoreTableToPointInTime", request)
        return self._restore(call, source, restored, request)

    def _restore(self, call: ControlCall, source: TableRecord, restored: Restored, request: Mapping[str, Any]) -> dict[str, Any]:
        name = request["TargetTableName"]
        if call.transaction.get(TableRecord, name) is not None:
            raise AwsError("TableAlreadyExistsException", f"Table already exists: {name}")
        record = _copy(call.transaction, source, name, request, call.now)
        record = replace(record, restored=restored)
        call.transaction.put(record)
        call.transaction.note("dynamodb.table.restoring", name, source=source.id)
        return {"TableDescription": describe_table(record, self._engine.writer)}

    def _description(self, backup: BackupRecord) -> dict[str, Any]:
        table = backup.table
        described = describe_table(table, self._engine.writer)
        source = {
            "TableName": table.id,
            "TableId": table.table_id,
            "TableArn": table_arn(table.id),
            "TableSizeBytes": backup.size_bytes,
            "KeySchema": described["KeySchema"],
            "TableCreationDateTime": seconds(table.created_at),
            "ProvisionedThroughput": {"ReadCapacityUnits": table.throughput.read, "WriteCapacityUnits": table.throughput.write},
            "ItemCount": backup.items,
            "BillingMode": table.billing,
        }
        features: dict[str, Any] = {}
        for kind in ("LocalSecondaryIndexes", "GlobalSecondaryIndexes"):
            if kind in described:
                kept = ("IndexName", "KeySchema", "Projection")
                features[kind] = [{name: index[name] for name in kept} for index in described[kind]]
        if table.stream is not None:
            features["StreamDescription"] = described["StreamSpecification"]
        if table.ttl_attribute:
            features["TimeToLiveDescription"] = {"TimeToLiveStatus": table.ttl_status, "AttributeName": table.ttl_attribute}
        return {"BackupDetails": _details(backup), "SourceTableDetails": source, "SourceTableFeatureDetails": features}


class BackupReconciler:
    """Copies the items of new backups."""

    name = "dynamodb-backups"
    kinds: Sequence[type[Record]] = (BackupRecord,)

    def __init__(self, engine: DynamoEngine, snapshots: dict[str, Snapshot]) -> None:
        self._engine = engine
        self._snapshots = snapshots

    def key_of(self, kind: str, id: str) -> str:
        return id

    async def converge(self, key: str) -> float | None:
        store = self._engine.store
        backup = store.get(BackupRecord, key)
        if backup is None or backup.status != "CREATING":
            return None
        # A snapshot does not survive a restart; the backup is then of the current state.
        snapshot = self._snapshots.pop(key, None) or self._engine.storage.snapshot()
        try:
            await copy_keyspace(self._engine, snapshot, backup.table.keyspace, backup.keyspace, undo={})
        finally:
            snapshot.close()
        with store.transaction() as tx:
            tx.put(replace(backup, status="AVAILABLE"))
            tx.note("dynamodb.backup.available", backup.table.id, backup=backup.name)
        return None


async def stage(engine: DynamoEngine, record: TableRecord) -> None:
    """Copy the items of a point in time to the keyspace that the table is restored from. May be repeated."""
    restored = record.restored
    assert restored is not None and restored.as_of is not None
    source = engine.store.get(TableRecord, restored.source_table)
    if source is not None and source.recovery is not None:
        await engine.settled()
        snapshot = engine.storage.snapshot()
        try:
            undo = changes_since(snapshot, source.recovery, restored.as_of)
            await copy_keyspace(engine, snapshot, source.keyspace, restored.source_keyspace, undo=undo)
        finally:
            snapshot.close()
    with engine.store.transaction() as tx:
        tx.put(replace(tx.require(TableRecord, record.id), restored=replace(restored, is_staged=True)))


def _backup(transaction: Transaction, arn: str) -> BackupRecord:
    backup = transaction.get(BackupRecord, arn)
    if backup is None:
        raise AwsError("BackupNotFoundException", f"Backup not found: {arn}")
    return backup


def _table(transaction: Transaction, name: str) -> TableRecord:
    try:
        return existing(transaction, name)
    except AwsError:
        raise AwsError("TableNotFoundException", f"Table not found: {table_name(name)}") from None


def _copy(transaction: Transaction, source: TableRecord, name: str, request: Mapping[str, Any], now: datetime) -> TableRecord:
    """The record of a new table like `source`, with the request's overrides."""
    billing = request.get("BillingModeOverride") or source.billing
    on_demand = billing == "PAY_PER_REQUEST"
    throughput = _throughput(request.get("ProvisionedThroughputOverride")) or source.throughput
    indexes = [index for index in source.indexes if index.status != "DELETING"]
    for parameter, is_global in (("LocalSecondaryIndexOverride", False), ("GlobalSecondaryIndexOverride", True)):
        if parameter in request:
            wanted = {index["IndexName"] for index in request[parameter]}
            unknown = wanted - {index.name for index in indexes if index.is_global == is_global}
            if unknown:
                raise validation(f"One or more parameter values were invalid: Unknown index in {parameter}: {sorted(unknown)[0]}")
            indexes = [index for index in indexes if index.is_global != is_global or index.name in wanted]
    maxima, sse = request.get("OnDemandThroughputOverride"), request.get("SSESpecificationOverride")
    return TableRecord(
        id=name,
        table_id=str(uuid.uuid4()),
        attributes=source.attributes,
        keys=source.keys,
        keyspace=new_keyspace(transaction),
        indexes=tuple(_index_copy(transaction, index, on_demand) for index in indexes),
        created_at=now,
        billing=billing,
        on_demand_since=now if on_demand else None,
        throughput=Throughput() if on_demand else throughput,
        on_demand=OnDemand(maxima.get("MaxReadRequestUnits", -1), maxima.get("MaxWriteRequestUnits", -1)) if maxima else source.on_demand,
        table_class=source.table_class,
        encryption=source.encryption if sse is None else encryption_of(sse),
    )


def _index_copy(transaction: Transaction, index: IndexRecord, on_demand: bool) -> IndexRecord:
    throughput = Throughput() if on_demand else index.throughput
    return replace(index, keyspace=new_keyspace(transaction), status="ACTIVE", throughput=throughput)


def _throughput(request: Mapping[str, Any] | None) -> Throughput | None:
    return None if request is None else Throughput(read=request["ReadCapacityUnits"], write=request["WriteCapacityUnits"])


def _details(backup: BackupRecord) -> dict[str, Any]:
    return {
        "BackupArn": backup.id,
        "BackupName": backup.name,
        "BackupSizeBytes": backup.size_bytes,
        "BackupStatus": backup.status,
        "BackupType": "USER",
        "BackupCreationDateTime": seconds(backup.created_at),
    }


def _summary(backup: BackupRecord) -> dict[str, Any]:
    table = {"TableName": backup.table.id, "TableId": backup.table.table_id, "TableArn": table_arn(backup.table.id)}
    return table | _details(backup)


def _continuous(record: TableRecord, now: datetime) -> dict[str, Any]:
    recovery = record.recovery
    members: dict[str, Any] = {"PointInTimeRecoveryStatus": "DISABLED" if recovery is None else "ENABLED"}
    if recovery is not None:
        members |= {
            "RecoveryPeriodInDays": recovery.days,
            "EarliestRestorableDateTime": seconds(_earliest(recovery, now)),
            "LatestRestorableDateTime": seconds(now),
        }
    return {"ContinuousBackupsStatus": "ENABLED", "PointInTimeRecoveryDescription": members}


def _earliest(recovery: Recovery, now: datetime) -> datetime:
    return max(recovery.since, now - timedelta(days=recovery.days))


def _moment(value: Any) -> datetime | None:
    """A timestamp of the request, which in JSON is seconds since 1970 (boto3's type has a datetime)."""
    return None if value is None else datetime.fromtimestamp(value, UTC)
