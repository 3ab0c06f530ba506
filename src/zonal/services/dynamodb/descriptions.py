"""Descriptions of tables, as DescribeTable returns them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from zonal.dynamo.table import IndexRecord, KeyElement, OnDemand, TableRecord, Throughput
from zonal.dynamo.table_writer import TableWriter
from zonal.foundation.identifiers import arn

DEFAULT_KEY = "alias/aws/dynamodb"


def table_arn(name: str) -> str:
    """The ARN of a table."""
    return arn("dynamodb", f"table/{name}")


def stream_arn(table: str, label: str) -> str:
    """The ARN of a table's stream."""
    return f"{table_arn(table)}/stream/{label}"


def seconds(moment: datetime) -> float:
    """A timestamp of JSON 1.0: seconds since 1970, to the millisecond."""
    return round(moment.timestamp(), 3)


def describe_table(record: TableRecord, writer: TableWriter) -> dict[str, Any]:
    """A `TableDescription`. Counts are current; AWS's are up to six hours old."""
    count = writer.count(record.keyspace)
    members: dict[str, Any] = {
        "AttributeDefinitions": [{"AttributeName": part.name, "AttributeType": part.type} for part in sorted(record.attributes)],
        "TableName": record.id,
        "KeySchema": _keys(record.keys),
        "TableStatus": record.status,
        "CreationDateTime": seconds(record.created_at),
        "ProvisionedThroughput": _throughput(record.throughput),
        "TableSizeBytes": count.size_bytes,
        "ItemCount": count.items,
        "TableArn": table_arn(record.id),
        "TableId": record.table_id,
        "DeletionProtectionEnabled": record.deletion_protection,
    }
    if record.on_demand_since is not None:
        members["BillingModeSummary"] = {
            "BillingMode": record.billing,
            "LastUpdateToPayPerRequestDateTime": seconds(record.on_demand_since),
        }
    if record.on_demand is not None:
        members["OnDemandThroughput"] = _on_demand(record.on_demand)
    locals_ = [_index(index, record, writer) for index in record.indexes if not index.is_global]
    globals_ = [_index(index, record, writer) for index in record.indexes if index.is_global]
    if locals_:
        members["LocalSecondaryIndexes"] = locals_
    if globals_:
        members["GlobalSecondaryIndexes"] = globals_
    if record.streams:
        latest = record.streams[-1]
        members |= {"LatestStreamLabel": latest.label, "LatestStreamArn": stream_arn(record.id, latest.label)}
        if record.stream is not None:
            members["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": latest.view}
    if record.table_class:
        changed = record.table_class_changed_at
        members["TableClassSummary"] = {"TableClass": record.table_class} | (
            {} if changed is None else {"LastUpdateDateTime": seconds(changed)}
        )
    if record.encryption:
        members["SSEDescription"] = {"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": arn("kms", DEFAULT_KEY)}
    if record.restored is not None:
        members["RestoreSummary"] = {
            "SourceTableArn": record.restored.source_table_arn,
            "RestoreDateTime": seconds(record.restored.at),
            "RestoreInProgress": record.restored.pending,
        } | ({"SourceBackupArn": record.restored.backup_arn} if record.restored.backup_arn else {})
    return members


def _index(index: IndexRecord, record: TableRecord, writer: TableWriter) -> dict[str, Any]:
    count = writer.count(index.keyspace)
    projection: dict[str, Any] = {"ProjectionType": index.projection}
    if index.attributes:
        projection["NonKeyAttributes"] = sorted(index.attributes)
    members: dict[str, Any] = {
        "IndexName": index.name,
        "KeySchema": _keys(index.keys),
        "Projection": projection,
        "IndexSizeBytes": count.size_bytes,
        "ItemCount": count.items,
        "IndexArn": f"{table_arn(record.id)}/index/{index.name}",
    }
    if index.is_global:
        members |= {"IndexStatus": index.status, "ProvisionedThroughput": _throughput(index.throughput)}
        if record.status == "CREATING":
            members["IndexStatus"] = "CREATING"
        if index.status == "CREATING":
            members["Backfilling"] = True
        if index.on_demand is not None:
            members["OnDemandThroughput"] = _on_demand(index.on_demand)
    return members


def _keys(keys: tuple[KeyElement, ...]) -> list[dict[str, str]]:
    return [{"AttributeName": element.name, "KeyType": element.role} for element in keys]


def _throughput(throughput: Throughput) -> dict[str, Any]:
    members: dict[str, Any] = {
        "NumberOfDecreasesToday": throughput.decreases_today,
        "ReadCapacityUnits": throughput.read,
        "WriteCapacityUnits": throughput.write,
    }
    if throughput.increased_at is not None:
        members["LastIncreaseDateTime"] = seconds(throughput.increased_at)
    if throughput.decreased_at is not None:
        members["LastDecreaseDateTime"] = seconds(throughput.decreased_at)
    return members


def _on_demand(maxima: OnDemand) -> dict[str, int]:
    return {"MaxReadRequestUnits": maxima.read, "MaxWriteRequestUnits": maxima.write}
