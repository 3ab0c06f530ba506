"""Errors of UpdateTable, with the messages of public recordings of DynamoDB from October 2026."""

from typing import Any

import pytest

from tests.unit.services.dynamodb.caller import Caller

INVALID = "One or more parameter values were invalid: "
ONE = {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}


def definitions(*names: str, type: str = "S") -> list[dict[str, str]]:
    return [{"AttributeName": name, "AttributeType": type} for name in names]


def creating(name: str, *keys: str, **more: Any) -> dict[str, Any]:
    schema = [{"AttributeName": key, "KeyType": "RANGE" if at else "HASH"} for at, key in enumerate(keys)]
    return {"Create": {"IndexName": name, "KeySchema": schema, "Projection": {"ProjectionType": "ALL"}, **more}}


def deleting(name: str) -> dict[str, Any]:
    return {"Delete": {"IndexName": name}}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"GlobalSecondaryIndexUpdates": [creating("new", "c")]}, INVALID + "AttributeDefinitions is not specified for index: new"),
        (
            {"AttributeDefinitions": definitions("d"), "GlobalSecondaryIndexUpdates": [creating("new", "c")]},
            INVALID + "Some index key attributes are not defined in AttributeDefinitions. Keys: [c], AttributeDefinitions: [d]",
        ),
        (
            {"AttributeDefinitions": definitions("c", type="N"), "GlobalSecondaryIndexUpdates": [creating("new", "c")]},
            INVALID + "Attributes cannot be redefined. Please check that your attribute has the same type as previously defined."
            " Existing schema: Schema:[SchemaElement: key{c:S:HASH}] New schema: Schema:[SchemaElement: key{c:N:HASH}]",
        ),
        (
            {"AttributeDefinitions": definitions("c"), "GlobalSecondaryIndexUpdates": [creating("by-c", "c")]},
            "Attempting to create an index which already exists",
        ),
        (
            {"AttributeDefinitions": definitions("c"), "GlobalSecondaryIndexUpdates": [creating("new", "c", ProvisionedThroughput=ONE)]},
            INVALID + "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified for index: new"
            " when BillingMode is PAY_PER_REQUEST",
        ),
        (
            {"GlobalSecondaryIndexUpdates": [{"Update": {"IndexName": "by-c", "ProvisionedThroughput": ONE}}]},
            INVALID + "The only Updates for index: by-c when TableThroughputMode is PAY_PER_REQUEST can be to"
            " OnDemandThroughput, WarmThroughput",
        ),
        (
            {"GlobalSecondaryIndexUpdates": [creating("new", "c") | deleting("by-c")]},
            INVALID + "Only one global secondary index action is allowed per GlobalSecondaryIndexUpdate object",
        ),
        ({"GlobalSecondaryIndexUpdates": [deleting("local")]}, "Cannot delete an index that is not a GlobalSecondaryIndex: local"),
        (
            {"GlobalSecondaryIndexUpdates": [], "DeletionProtectionEnabled": True},
            INVALID + "List of GlobalSecondaryIndexUpdates is empty",
        ),
        (
            {"GlobalSecondaryIndexUpdates": [deleting("by-c")], "DeletionProtectionEnabled": True},
            INVALID + "DeletionProtection modification must be the only operation in the request",
        ),
        (
            {"SSESpecification": {"Enabled": True}, "DeletionProtectionEnabled": True},
            INVALID + "Server-Side Encryption modification must be the only operation in the request",
        ),
        (
            {"GlobalSecondaryIndexUpdates": [deleting("by-c")], "ProvisionedThroughput": ONE},
            INVALID + "You cannot create or delete index while updating table IOPS",
        ),
        (
            {"GlobalSecondaryIndexUpdates": [deleting("by-c")], "StreamSpecification": {"StreamEnabled": False}},
            INVALID + "You cannot create or delete index while changing stream status",
        ),
        (
            {"StreamSpecification": {"StreamEnabled": False}, "ProvisionedThroughput": ONE},
            INVALID + "You cannot modify stream status while updating table IOPS",
        ),
        (
            {"OnDemandThroughput": {"MaxReadRequestUnits": 5}, "StreamSpecification": {"StreamEnabled": False}},
            INVALID + "OnDemandThroughput can only be combined with BillingMode in an UpdateTable request",
        ),
        ({"SSESpecification": {"Enabled": False}}, INVALID + "Table is already encrypted by default"),
        ({"StreamSpecification": {"StreamEnabled": True}}, INVALID + "If stream is being enabled then UpdateViewType is required"),
        (
            {"StreamSpecification": {"StreamEnabled": False, "StreamViewType": "NEW_IMAGE"}},
            INVALID + "If stream is being disabled, then UpdateViewType must not be specified",
        ),
        ({"StreamSpecification": {"StreamEnabled": False}}, "Table has no stream to disable: TableName: things"),
    ],
)
async def test_invalid_changes_are_rejected_with_awss_messages(call: Caller, request_: dict[str, Any], message: str) -> None:
    await call.table("things", keys="a:S b:S", indexes={"by-c": "c:S", "local": "a:S b:S LOCAL"})
    assert await call.complaint("UpdateTable", TableName="things", **request_) == message


@pytest.mark.parametrize("request_", [{}, {"GlobalSecondaryIndexUpdates": []}, {"AttributeDefinitions": definitions("a")}])
async def test_an_update_without_a_change_is_rejected(call: Caller, request_: dict[str, Any]) -> None:
    await call.table("things")
    complaint = await call.complaint("UpdateTable", TableName="things", **request_)
    assert complaint.startswith("At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled,")
    assert complaint.endswith("DeletionProtectionEnabled, OnDemandThroughput, WarmThroughput or TableClass is required")


async def test_attribute_definitions_without_a_new_index_are_ignored(call: Caller) -> None:
    await call.table("things", indexes={"by-c": "c:S"})
    stray = definitions("a", type="N") + definitions("z")
    await call("UpdateTable", TableName="things", AttributeDefinitions=stray, DeletionProtectionEnabled=False)
    await call.driver.idle()
    assert (await call("DescribeTable", TableName="things"))["Table"]["AttributeDefinitions"] == definitions("a", "c")
    await call(
        "UpdateTable",
        TableName="things",
        AttributeDefinitions=definitions("z", "b"),
        GlobalSecondaryIndexUpdates=[creating("by-b", "b")],
    )
    await call.driver.idle()
    assert (await call("DescribeTable", TableName="things"))["Table"]["AttributeDefinitions"] == definitions("a", "b", "c")


async def test_a_table_is_not_deleted_while_an_index_changes(call: Caller) -> None:
    await call.table("things")
    updates = [creating("by-c", "c")]
    await call("UpdateTable", TableName="things", AttributeDefinitions=definitions("c"), GlobalSecondaryIndexUpdates=updates)
    error = await call.error("DeleteTable", TableName="things")
    assert (error.code, error.message) == (
        "ResourceInUseException",
        "Attempt to change a resource which is still in use: Cannot delete table while indexes are being created, updated, or deleted.",
    )
    await call.driver.idle()
    await call("DeleteTable", TableName="things")


async def test_an_index_that_is_not_there_is_named(call: Caller) -> None:
    await call.table("things")
    error = await call.error("UpdateTable", TableName="things", GlobalSecondaryIndexUpdates=[deleting("by-c")])
    assert (error.code, error.message) == ("ResourceNotFoundException", "Requested resource not found: Index by-c for table things")


async def test_limits_of_on_demand_tables_go_with_their_billing_mode(call: Caller) -> None:
    await call.table("things", indexes={"by-c": "c:S"}, OnDemandThroughput={"MaxReadRequestUnits": 9})
    index = {"Update": {"IndexName": "by-c", "ProvisionedThroughput": ONE}}
    provisioned = {"TableName": "things", "BillingMode": "PROVISIONED", "ProvisionedThroughput": ONE}
    assert await call.complaint("UpdateTable", **provisioned) == (INVALID + "ProvisionedThroughput must be specified for index: by-c")
    await call("UpdateTable", **provisioned, GlobalSecondaryIndexUpdates=[index])
    await call.driver.idle()
    assert "OnDemandThroughput" not in (await call("DescribeTable", TableName="things"))["Table"]
    assert await call.complaint("UpdateTable", TableName="things", OnDemandThroughput={"MaxWriteRequestUnits": 9}) == (
        INVALID + "MaxWriteRequestUnits for OnDemandThroughput cannot be specified when the table BillingMode is PROVISIONED"
    )
    complaint = await call.complaint("UpdateTable", TableName="things", GlobalSecondaryIndexUpdates=[index])
    assert complaint.startswith("The provisioned throughput for the index by-c will not change.")
    assert "Current ReadCapacityUnits provisioned for index by-c: 1." in complaint


async def test_a_provisioned_table_does_not_accept_on_demand_limits(call: Caller) -> None:
    request = {
        "TableName": "things",
        "AttributeDefinitions": definitions("a"),
        "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
        "ProvisionedThroughput": ONE,
        "OnDemandThroughput": {"MaxReadRequestUnits": 5},
    }
    assert await call.complaint("CreateTable", **request) == (
        INVALID + "MaxReadRequestUnits for OnDemandThroughput cannot be specified when table BillingMode is PROVISIONED."
    )


async def test_time_to_live_is_changed_by_turning_it_off_first(call: Caller) -> None:
    await call.table("things")

    async def complaint(name: str, *, enabled: bool) -> str:
        wanted = {"AttributeName": name, "Enabled": enabled}
        return await call.complaint("UpdateTimeToLive", TableName="things", TimeToLiveSpecification=wanted)

    assert await complaint("ends", enabled=False) == "TimeToLive is already disabled"
    await call("UpdateTimeToLive", TableName="things", TimeToLiveSpecification={"AttributeName": "ends", "Enabled": True})
    assert await complaint("ends", enabled=True) == "TimeToLive is already enabled"
    for enabled in (True, False):
        assert await complaint("dies", enabled=enabled) == (
            "TimeToLive is active on a different AttributeName: current AttributeName is ends"
        )
    assert await complaint("ends", enabled=False) == "Time to live has been modified multiple times within a fixed interval"
