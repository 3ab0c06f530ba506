import asyncio

from tests.unit.services.dynamodb.caller import Caller


async def values(call: Caller, table: str) -> dict[str, str]:
    return {item["a"]["S"]: item["v"]["N"] for item in await call.items(table)}


async def put(call: Caller, **items: int) -> None:
    for key, value in items.items():
        await call("PutItem", TableName="things", Item={"a": {"S": key}, "v": {"N": str(value)}, "c": {"S": "x"}})


async def test_a_backup_contains_the_state_at_the_request(call: Caller) -> None:
    await call.table("things", indexes={"by-c": "c:S"})
    await put(call, one=1, two=2)
    arn = (await call("CreateBackup", TableName="things", BackupName="nightly"))["BackupDetails"]["BackupArn"]
    await put(call, two=22, three=3)
    await call.driver.idle()
    described = (await call("DescribeBackup", BackupArn=arn))["BackupDescription"]
    assert described["BackupDetails"]["BackupStatus"] == "AVAILABLE" and described["SourceTableDetails"]["ItemCount"] == 2
    assert len((await call("ListBackups", TableName="things"))["BackupSummaries"]) == 1
    await call("DeleteTable", TableName="things")
    await call.driver.idle()
    await call("RestoreTableFromBackup", BackupArn=arn, TargetTableName="again")
    await call.driver.idle()
    assert await values(call, "again") == {"one": "1", "two": "2"}
    query = {"KeyConditionExpression": "c = :c", "ExpressionAttributeValues": {":c": {"S": "x"}}}
    assert (await call("Query", TableName="again", IndexName="by-c", **query))["Count"] == 2
    table = (await call("DescribeTable", TableName="again"))["Table"]
    assert (table["ItemCount"], table["RestoreSummary"]["RestoreInProgress"]) == (2, False)
    await call("DeleteBackup", BackupArn=arn)
    assert (await call.error("DescribeBackup", BackupArn=arn)).code == "BackupNotFoundException"


async def test_a_table_is_restored_as_it_was_at_that_time(call: Caller) -> None:
    await call.table("things", indexes={"by-c": "c:S"})
    await put(call, before=0)
    on = {"PointInTimeRecoveryEnabled": True}
    await call("UpdateContinuousBackups", TableName="things", PointInTimeRecoverySpecification=on)
    await put(call, one=1, two=2)
    await asyncio.sleep(0.002)
    moment = call.clock.now().timestamp()
    await asyncio.sleep(0.002)
    await put(call, one=11, three=3)
    await put(call, one=111)
    await call("DeleteItem", TableName="things", Key={"a": {"S": "two"}})
    await call("RestoreTableToPointInTime", SourceTableName="things", TargetTableName="then", RestoreDateTime=moment)
    await call("RestoreTableToPointInTime", SourceTableName="things", TargetTableName="now", UseLatestRestorableTime=True)
    await call.driver.idle()
    assert await values(call, "then") == {"before": "0", "one": "1", "two": "2"}
    assert await values(call, "now") == {"before": "0", "one": "111", "three": "3"}


async def test_a_time_before_recovery_was_enabled_cannot_be_restored(call: Caller) -> None:
    await call.table("things")
    request = {"SourceTableName": "things", "TargetTableName": "then", "RestoreDateTime": 1.0}
    assert (await call.error("RestoreTableToPointInTime", **request)).code == "PointInTimeRecoveryUnavailableException"
    on = {"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": 7}
    told = await call("UpdateContinuousBackups", TableName="things", PointInTimeRecoverySpecification=on)
    told = told["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    assert (told["PointInTimeRecoveryStatus"], told["RecoveryPeriodInDays"]) == ("ENABLED", 7)
    assert (await call.error("RestoreTableToPointInTime", **request)).code == "InvalidRestoreTimeException"


async def test_a_restore_takes_either_a_time_or_the_latest_one(call: Caller) -> None:
    await call.table("things")
    off = {"PointInTimeRecoveryEnabled": False, "RecoveryPeriodInDays": 7}
    assert await call.complaint("UpdateContinuousBackups", TableName="things", PointInTimeRecoverySpecification=off) == (
        "Invalid Request: Cannot specify RecoveryPeriodInDays when disabling point-in-time recovery."
    )
    on = {"PointInTimeRecoveryEnabled": True}
    await call("UpdateContinuousBackups", TableName="things", PointInTimeRecoverySpecification=on)
    for times in ({}, {"RestoreDateTime": call.clock.now().timestamp(), "UseLatestRestorableTime": True}):
        assert await call.complaint("RestoreTableToPointInTime", SourceTableName="things", TargetTableName="then", **times) == (
            "Invalid Request: Either one of RestoreDateTime or UseLatestRestorableTime must be specified, but not both"
        )
