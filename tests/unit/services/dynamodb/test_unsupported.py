"""Parameters that zonal rejects, because it does not do what they ask for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.services.dynamodb.caller import Caller
from zonal.foundation.errors import AwsError
from zonal.services.dynamodb.unsupported import TABLE, UnsupportedParameter, reject_unsupported
from zonal.wire import service_models

ROWS = pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.operation}-{row.path}")
WARM = {"WarmThroughput": {"ReadUnitsPerSecond": 12_000, "WriteUnitsPerSecond": 4_000}}
OWN_KEY = {"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": "alias/own"}
INDEX = {"IndexName": "by-a", "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}], "Projection": {"ProjectionType": "ALL"}}
NEW = {
    "TableName": "new",
    "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
    "BillingMode": "PAY_PER_REQUEST",
}


@ROWS
def test_an_unsupported_parameter_is_one_of_the_operations_model(row: UnsupportedParameter) -> None:
    found = service_models.service("dynamodb").operation(row.operation)
    assert found is not None and found.input is not None
    shape = found.input
    for step in row.path.split("."):
        shape = shape.members[step.removesuffix("[]")]
        if step.endswith("[]"):
            shape = shape.member
    assert set(row.values) <= set(shape.definition.enum or ())


@ROWS
def test_an_unsupported_parameter_is_rejected_where_it_is_set(row: UnsupportedParameter) -> None:
    request: Any = row.values[0] if row.values else "x"
    empty: Any = None
    for step in reversed(row.path.split(".")):
        name = step.removesuffix("[]")
        request, empty = ({name: [request]}, {name: [empty]}) if step.endswith("[]") else ({name: request}, {name: empty})
    reject_unsupported(row.operation, empty)
    with pytest.raises(AwsError, match=r"is not available in this region: zonal ") as caught:
        reject_unsupported(row.operation, request)
    assert (caught.value.code, caught.value.message.split()[0]) == ("ValidationException", row.path)


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("CreateTable", NEW | {"GlobalSecondaryIndexes": [INDEX | WARM]}),
        ("CreateTable", NEW | {"SSESpecification": OWN_KEY}),
        ("UpdateTable", {"TableName": "things", "GlobalSecondaryIndexUpdates": [{"Create": INDEX | WARM}]}),
        ("RestoreTableFromBackup", {"TargetTableName": "new", "GlobalSecondaryIndexOverride": [INDEX | WARM]}),
        ("RestoreTableFromBackup", {"TargetTableName": "new", "SSESpecificationOverride": OWN_KEY}),
        ("RestoreTableToPointInTime", {"TargetTableName": "new", "SourceTableName": "things", "SSESpecificationOverride": OWN_KEY}),
    ],
)
async def test_an_operation_rejects_its_unsupported_parameters(call: Caller, operation: str, request_: dict[str, Any]) -> None:
    await call.table("things")
    if operation == "RestoreTableFromBackup":
        request_ = request_ | {"BackupArn": await backup(call)}
    if operation == "RestoreTableToPointInTime":
        recovery = {"PointInTimeRecoveryEnabled": True}
        await call("UpdateContinuousBackups", TableName="things", PointInTimeRecoverySpecification=recovery)
        request_ = request_ | {"UseLatestRestorableTime": True}
    assert "is not available in this region" in await call.complaint(operation, **request_)


async def test_a_restored_table_has_the_encryption_that_was_asked_for(call: Caller) -> None:
    await call.table("things")
    encrypted = {"Enabled": True, "SSEType": "KMS"}
    restore = {"BackupArn": await backup(call), "TargetTableName": "again", "SSESpecificationOverride": encrypted}
    await call("RestoreTableFromBackup", **restore)
    assert (await call("DescribeTable", TableName="again"))["Table"]["SSEDescription"]["SSEType"] == "KMS"


async def backup(call: Caller) -> str:
    arn: str = (await call("CreateBackup", TableName="things", BackupName="nightly"))["BackupDetails"]["BackupArn"]
    await call.driver.idle()
    return arn
