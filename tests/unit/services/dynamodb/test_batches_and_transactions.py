"""Batches, transactions, streams, time to live and throttling."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.services.dynamodb.caller import Caller, calling
from zonal.foundation.clock import wait_for


def put(number: int, table: str = "things") -> dict[str, Any]:
    return {"Put": {"TableName": table, "Item": {"a": {"S": str(number)}}}}


async def test_a_batch_writes_and_reads_in_several_tables(call: Caller) -> None:
    await call.table("one")
    await call.table("two", keys="a:S b:N")
    requests = {
        "one": [{"PutRequest": {"Item": {"a": {"S": "1"}, "v": {"N": "1"}}}}],
        "two": [{"PutRequest": {"Item": {"a": {"S": "1"}, "b": {"N": str(number)}}}} for number in range(3)],
    }
    answer = await call("BatchWriteItem", RequestItems=requests, ReturnConsumedCapacity="TOTAL")
    assert answer["UnprocessedItems"] == {}
    assert answer["ConsumedCapacity"] == [{"TableName": "one", "CapacityUnits": 1.0}, {"TableName": "two", "CapacityUnits": 3.0}]
    await call("BatchWriteItem", RequestItems={"two": [{"DeleteRequest": {"Key": {"a": {"S": "1"}, "b": {"N": "0"}}}}]})
    keys = {
        "one": {"Keys": [{"a": {"S": "1"}}, {"a": {"S": "none"}}], "ProjectionExpression": "v"},
        "two": {"Keys": [{"a": {"S": "1"}, "b": {"N": "1"}}], "ConsistentRead": True},
    }
    answer = await call("BatchGetItem", RequestItems=keys)
    assert answer == {
        "Responses": {"one": [{"v": {"N": "1"}}], "two": [{"a": {"S": "1"}, "b": {"N": "1"}}]},
        "UnprocessedKeys": {},
    }


async def test_a_batch_with_the_same_key_twice_is_rejected(call: Caller) -> None:
    await call.table("things")
    entry = {"PutRequest": {"Item": {"a": {"S": "1"}}}}
    message = "Provided list of item keys contains duplicates"
    assert await call.complaint("BatchWriteItem", RequestItems={"things": [entry, entry]}) == message
    keys = {"Keys": [{"a": {"S": "1"}}, {"a": {"S": "1"}}]}
    assert await call.complaint("BatchGetItem", RequestItems={"things": keys}) == message


async def test_a_transaction_makes_all_of_its_changes_or_none(call: Caller) -> None:
    await call.table("things")
    await call("TransactWriteItems", TransactItems=[put(1), put(2)])
    check = {"TableName": "things", "Key": {"a": {"S": "1"}}, "ConditionExpression": "attribute_not_exists(a)"}
    error = await call.error("TransactWriteItems", TransactItems=[put(3), {"ConditionCheck": check}])
    assert error.code == "TransactionCanceledException"
    assert error.message == ("Transaction cancelled, please refer cancellation reasons for specific reasons [None, ConditionalCheckFailed]")
    assert error.fields["CancellationReasons"] == [
        {"Code": "None"},
        {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"},
    ]
    assert len(await call.items("things")) == 2
    read = {"TableName": "things", "Key": {"a": {"S": "1"}}}
    answer = await call(
        "TransactGetItems", TransactItems=[{"Get": read}, {"Get": read | {"Key": {"a": {"S": "9"}}}}], ReturnConsumedCapacity="TOTAL"
    )
    assert answer["Responses"] == [{"Item": {"a": {"S": "1"}}}, {}]
    assert answer["ConsumedCapacity"] == [{"TableName": "things", "CapacityUnits": 4.0, "ReadCapacityUnits": 4.0}]


async def test_a_token_makes_a_transaction_happen_once(call: Caller) -> None:
    await call.table("things")
    await call("PutItem", TableName="things", Item={"a": {"S": "n"}, "n": {"N": "0"}})
    add = {
        "TableName": "things",
        "Key": {"a": {"S": "n"}},
        "UpdateExpression": "ADD n :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }
    for _ in range(3):
        await call("TransactWriteItems", TransactItems=[{"Update": add}], ClientRequestToken="once")
    assert (await call.items("things"))[0]["n"] == {"N": "1"}
    error = await call.error("TransactWriteItems", TransactItems=[put(1)], ClientRequestToken="once")
    assert error.code == "IdempotentParameterMismatchException"


async def test_items_of_a_transaction_in_flight_reject_other_writes(call: Caller) -> None:
    await call.table("things")
    results = await asyncio.gather(
        call("TransactWriteItems", TransactItems=[put(1), put(2)]),
        call("TransactWriteItems", TransactItems=[put(2), put(3)]),
        call("PutItem", TableName="things", Item={"a": {"S": "1"}}),
        return_exceptions=True,
    )
    assert results[0] == {}
    assert "TransactionConflict" in str(results[1]) and "TransactionConflict" in str(results[2])
    await call("PutItem", TableName="things", Item={"a": {"S": "1"}, "later": {"BOOL": True}})


async def test_one_item_twice_in_a_transaction_is_rejected(call: Caller) -> None:
    await call.table("things")
    assert await call.complaint("TransactWriteItems", TransactItems=[put(1), put(1)]) == (
        "Transaction request cannot include multiple operations on one item"
    )


async def test_a_cancelled_transaction_reports_only_the_first_invalid_entry(call: Caller) -> None:
    await call.table("things")
    unfit = {"Put": {"TableName": "things", "Item": {"a": {"N": "7"}}}}
    unmet = {"Put": {"TableName": "things", "Item": {"a": {"S": "x"}}, "ConditionExpression": "attribute_exists(a)"}}
    error = await call.error("TransactWriteItems", TransactItems=[unfit, unfit, unmet])
    assert [reason["Code"] for reason in error.fields["CancellationReasons"]] == ["ValidationError", "None", "None"]


async def test_a_transaction_that_writes_more_than_four_megabytes_is_rejected(call: Caller) -> None:
    await call.table("things")
    large = {"x": {"S": "x" * 390_000}}
    puts = [{"Put": {"TableName": "things", "Item": {"a": {"S": str(number)}} | large}} for number in range(11)]
    assert "Transaction payload size cannot exceed 4MB" in await call.complaint("TransactWriteItems", TransactItems=puts)
    assert await call.items("things") == []


async def test_a_stream_with_keys_only_contains_keys_only_and_ends_when_closed(call: Caller) -> None:
    await call.table("things", StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"})
    await call("PutItem", TableName="things", Item={"a": {"S": "1"}, "v": {"N": "1"}})
    await call("PutItem", TableName="things", Item={"a": {"S": "1"}, "v": {"N": "1"}})
    arn = (await call("DescribeTable", TableName="things"))["Table"]["LatestStreamArn"]
    shard = (await call("DescribeStream", "dynamodbstreams", StreamArn=arn))["StreamDescription"]["Shards"][0]["ShardId"]
    ask = {"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
    iterator = (await call("GetShardIterator", "dynamodbstreams", **ask))["ShardIterator"]
    answer = await call("GetRecords", "dynamodbstreams", ShardIterator=iterator)
    assert [record["eventName"] for record in answer["Records"]] == ["INSERT"]  # A put that changes nothing has no record.
    assert "NewImage" not in answer["Records"][0]["dynamodb"]
    assert (await call("GetRecords", "dynamodbstreams", ShardIterator=answer["NextShardIterator"]))["Records"] == []
    await call("UpdateTable", TableName="things", StreamSpecification={"StreamEnabled": False})
    await call.driver.idle()
    last = await call("GetRecords", "dynamodbstreams", ShardIterator=answer["NextShardIterator"])
    assert "NextShardIterator" not in last
    again = await call("GetRecords", "dynamodbstreams", ShardIterator=iterator)  # The last records of a closed stream.
    assert len(again["Records"]) == 1 and "NextShardIterator" not in again
    part = await call("GetRecords", "dynamodbstreams", ShardIterator=iterator, Limit=1)
    assert len(part["Records"]) == 1 and "NextShardIterator" in part
    assert (await call("DescribeStream", "dynamodbstreams", StreamArn=arn))["StreamDescription"]["StreamStatus"] == "DISABLED"


async def test_a_write_that_changes_nothing_is_not_in_the_stream(call: Caller) -> None:
    await call.table("things", StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"})
    key, more = {"a": {"S": "1"}}, {"b": {"N": "2"}, "c": {"SS": ["x", "y"]}}
    await call("DeleteItem", TableName="things", Key=key)
    await call("PutItem", TableName="things", Item=key | more)
    await call("PutItem", TableName="things", Item={"c": {"SS": ["y", "x"]}, "b": {"N": "2.0"}} | key)
    await call("UpdateItem", TableName="things", Key=key, UpdateExpression="REMOVE z")
    await call("DeleteItem", TableName="things", Key=key)
    await call("BatchWriteItem", RequestItems={"things": [{"DeleteRequest": {"Key": key}}]})
    arn = (await call("DescribeTable", TableName="things"))["Table"]["LatestStreamArn"]
    shard = (await call("DescribeStream", "dynamodbstreams", StreamArn=arn))["StreamDescription"]["Shards"][0]["ShardId"]
    ask = {"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
    iterator = (await call("GetShardIterator", "dynamodbstreams", **ask))["ShardIterator"]
    records = (await call("GetRecords", "dynamodbstreams", ShardIterator=iterator))["Records"]
    assert [record["eventName"] for record in records] == ["INSERT", "REMOVE"]


async def test_streams_reject_invalid_arns_and_numbers_out_of_range(call: Caller) -> None:
    await call.table("things", StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"})
    arn = (await call("DescribeTable", TableName="things"))["Table"]["LatestStreamArn"]
    [shard] = (await call("DescribeStream", "dynamodbstreams", StreamArn=arn))["StreamDescription"]["Shards"]
    ask = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "LATEST"}
    iterator = (await call("GetShardIterator", "dynamodbstreams", **ask))["ShardIterator"]
    start = shard["SequenceNumberRange"]["StartingSequenceNumber"]
    refused: list[tuple[str, dict[str, Any]]] = [
        ("ListStreams", {"Limit": 101}),
        ("ListStreams", {"ExclusiveStartStreamArn": "x" * 40}),
        ("DescribeStream", {"StreamArn": "x" * 40}),
        ("GetShardIterator", ask | {"StreamArn": "x" * 40}),
        ("GetShardIterator", ask | {"SequenceNumber": start}),
        ("GetShardIterator", ask | {"ShardIteratorType": "AT_TIMESTAMP"}),
        ("GetShardIterator", ask | {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": call.clock.now().timestamp() + 60}),
        ("GetRecords", {"ShardIterator": iterator, "Limit": 1001}),
    ]
    for operation, request in refused:
        assert (await call.error(operation, "dynamodbstreams", **request)).code == "ValidationException", operation


async def test_a_stream_is_read_from_a_time_and_its_only_shard_has_no_children(call: Caller) -> None:
    await call.table("things", StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"})
    arn = (await call("DescribeTable", TableName="things"))["Table"]["LatestStreamArn"]
    await call("PutItem", TableName="things", Item={"a": {"S": "before"}})
    await asyncio.sleep(0.002)
    since = call.clock.now().timestamp()
    await asyncio.sleep(0.002)
    await call("PutItem", TableName="things", Item={"a": {"S": "after"}})
    [shard] = (await call("DescribeStream", "dynamodbstreams", StreamArn=arn))["StreamDescription"]["Shards"]
    place = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "AT_TIMESTAMP", "Timestamp": since}
    iterator = (await call("GetShardIterator", "dynamodbstreams", **place))["ShardIterator"]
    records = (await call("GetRecords", "dynamodbstreams", ShardIterator=iterator))["Records"]
    assert [record["dynamodb"]["Keys"]["a"]["S"] for record in records] == ["after"]
    children = {"Type": "CHILD_SHARDS", "ShardId": shard["ShardId"]}
    described = await call("DescribeStream", "dynamodbstreams", StreamArn=arn, ShardFilter=children)
    assert described["StreamDescription"]["Shards"] == []


async def test_expired_items_are_deleted_and_the_stream_names_the_service(call: Caller) -> None:
    await call.table("things", StreamSpecification={"StreamEnabled": True, "StreamViewType": "OLD_IMAGE"}, indexes={"by-c": "c:S"})
    now = int(call.clock.now().timestamp())
    ends = {"past": now - 10, "future": now + 1000, "ancient": now - 6 * 365 * 86400}
    for name, at in ends.items():
        await call("PutItem", TableName="things", Item={"a": {"S": name}, "c": {"S": "x"}, "ends": {"N": str(at)}})
    await call("PutItem", TableName="things", Item={"a": {"S": "text"}, "ends": {"S": str(now - 10)}})
    await call("UpdateTimeToLive", TableName="things", TimeToLiveSpecification={"AttributeName": "ends", "Enabled": True})
    count = call.service.engine.any_table("things")
    assert count is not None
    await wait_for(lambda: call.service.engine.writer.count(count.keyspace).items == 3, within=timedelta(seconds=5))
    await call.service.engine.settled()
    assert {item["a"]["S"] for item in await call.items("things")} == {"future", "ancient", "text"}
    query = {"KeyConditionExpression": "c = :c", "ExpressionAttributeValues": {":c": {"S": "x"}}}
    assert (await call("Query", TableName="things", IndexName="by-c", **query))["Count"] == 2
    arn = (await call("DescribeTable", TableName="things"))["Table"]["LatestStreamArn"]
    shard = (await call("DescribeStream", "dynamodbstreams", StreamArn=arn))["StreamDescription"]["Shards"][0]["ShardId"]
    ask = {"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
    iterator = (await call("GetShardIterator", "dynamodbstreams", **ask))["ShardIterator"]
    last = (await call("GetRecords", "dynamodbstreams", ShardIterator=iterator))["Records"][-1]
    assert last["eventName"] == "REMOVE"
    assert last["userIdentity"] == {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}


async def test_a_provisioned_table_is_throttled_when_its_burst_is_used_up(call: Caller) -> None:
    one = {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}
    await call(
        "CreateTable",
        TableName="small",
        AttributeDefinitions=[{"AttributeName": "a", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "a", "KeyType": "HASH"}],
        ProvisionedThroughput=one,
    )
    await call.driver.idle()
    fat = {"a": {"S": "1"}, "fat": {"S": "x" * 100_000}}
    written = 0
    with pytest.raises(Exception) as caught:
        while written < 10:
            await call("PutItem", TableName="small", Item=fat)
            written += 1
    assert 3 <= written <= 4
    assert caught.value.code == "ProvisionedThroughputExceededException"  # type: ignore[attr-defined]
    assert caught.value.fields["ThrottlingReasons"] == [  # type: ignore[attr-defined]
        {"reason": "TableWriteProvisionedThroughputExceeded", "resource": "arn:aws:dynamodb:us-east-1:000000000000:table/small"}
    ]
    answer = await call.error("BatchWriteItem", RequestItems={"small": [{"PutRequest": {"Item": fat}}]})
    assert answer.code == "ProvisionedThroughputExceededException"
    await call("GetItem", TableName="small", Key={"a": {"S": "1"}})
    assert call.service.engine.limiter.minutes("small")[-1].throttled >= 1


async def test_throttling_can_be_switched_off(tmp_path: Path) -> None:
    async with calling(tmp_path, throttles=False) as call:
        await call.table("things", BillingMode="PROVISIONED", ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1})
        for _ in range(6):
            await call("PutItem", TableName="things", Item={"a": {"S": "1"}, "fat": {"S": "x" * 100_000}})
