from pathlib import Path
from typing import Any

import pytest

from tests.unit.services.dynamodb.caller import Caller, calling

INVALID = "One or more parameter values were invalid: "


async def filled(call: Caller) -> None:
    await call.table("things", keys="a:S b:N", indexes={"local": "a:S c:S LOCAL KEYS_ONLY", "global": "c:S b:N", "thin": "d:S KEYS_ONLY"})
    for number in range(10):
        item = {"a": {"S": "x"}, "b": {"N": str(number)}, "c": {"S": f"c{number % 3}"}, "e": {"N": str(-number)}}
        if number % 2:
            item["d"] = {"S": "odd"}
        await call("PutItem", TableName="things", Item=item)


async def found(call: Caller, condition: str, **values: Any) -> list[int]:
    given = {f":{name}": value for name, value in values.items()} | {":a": {"S": "x"}}
    text = f"a = :a AND {condition}" if condition else "a = :a"
    answer = await call("Query", TableName="things", KeyConditionExpression=text, ExpressionAttributeValues=given)
    return [int(item["b"]["N"]) for item in answer["Items"]]


async def test_a_query_finds_a_range_of_the_sort_key_in_order(call: Caller) -> None:
    await filled(call)
    assert await found(call, "") == list(range(10))
    assert await found(call, "b < :three", three={"N": "3"}) == [0, 1, 2]
    assert await found(call, ":three >= b", three={"N": "3"}) == [0, 1, 2, 3]
    assert await found(call, "b > :seven", seven={"N": "7"}) == [8, 9]
    assert await found(call, "b BETWEEN :two AND :four", two={"N": "2"}, four={"N": "4"}) == [2, 3, 4]
    assert await found(call, "b = :two", two={"N": "2.0"}) == [2]


async def test_a_query_returns_all_pages_in_both_directions(call: Caller) -> None:
    await filled(call)
    for forward in (True, False):
        request: dict[str, Any] = {
            "TableName": "things",
            "KeyConditions": {"a": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "x"}]}},
            "Limit": 4,
            "ScanIndexForward": forward,
        }
        seen: list[int] = []
        pages = 0
        while True:
            answer = await call("Query", **request)
            pages += 1
            seen += [int(item["b"]["N"]) for item in answer["Items"]]
            if "LastEvaluatedKey" not in answer:
                break
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
        assert seen == (list(range(10)) if forward else list(range(9, -1, -1)))
        assert pages == 3


async def test_an_index_is_queried_page_by_page_also_where_many_items_have_one_key(call: Caller) -> None:
    await filled(call)
    request: dict[str, Any] = {
        "TableName": "things",
        "IndexName": "thin",
        "KeyConditionExpression": "d = :d",
        "ExpressionAttributeValues": {":d": {"S": "odd"}},
        "Limit": 2,
    }
    seen: list[int] = []
    while True:
        answer = await call("Query", **request)
        assert all(item.keys() == {"a", "b", "d"} for item in answer["Items"])
        seen += [int(item["b"]["N"]) for item in answer["Items"]]
        if "LastEvaluatedKey" not in answer:
            break
        assert answer["LastEvaluatedKey"].keys() == {"a", "b", "d"}
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
    assert sorted(seen) == [1, 3, 5, 7, 9]


async def test_a_local_index_fetches_missing_attributes_and_a_global_one_rejects_them(call: Caller) -> None:
    await filled(call)
    request = {"KeyConditionExpression": "a = :a AND c = :c", "ExpressionAttributeValues": {":a": {"S": "x"}, ":c": {"S": "c0"}}}
    answer = await call(
        "Query", TableName="things", IndexName="local", Select="ALL_ATTRIBUTES", ReturnConsumedCapacity="INDEXES", **request
    )
    assert all("e" in item for item in answer["Items"])
    assert answer["ConsumedCapacity"] == {
        "TableName": "things",
        "CapacityUnits": 2.5,
        "Table": {"CapacityUnits": 2.0},
        "LocalSecondaryIndexes": {"local": {"CapacityUnits": 0.5}},
    }
    refused = {"KeyConditionExpression": "d = :d", "ExpressionAttributeValues": {":d": {"S": "odd"}}}
    assert await call.complaint("Query", TableName="things", IndexName="thin", Select="ALL_ATTRIBUTES", **refused) == (
        INVALID + "Select type ALL_ATTRIBUTES is not supported for global secondary index thin because its projection type is not ALL"
    )


async def test_filters_hide_items_but_not_their_cost(call: Caller) -> None:
    await filled(call)
    answer = await call(
        "Query",
        TableName="things",
        KeyConditionExpression="a = :a",
        FilterExpression="e < :e",
        ProjectionExpression="b",
        ExpressionAttributeValues={":a": {"S": "x"}, ":e": {"N": "-7"}},
        ReturnConsumedCapacity="TOTAL",
    )
    assert answer["Items"] == [{"b": {"N": "8"}}, {"b": {"N": "9"}}]
    assert (answer["Count"], answer["ScannedCount"], answer["ConsumedCapacity"]["CapacityUnits"]) == (2, 10, 0.5)


async def test_select_count_returns_no_items(call: Caller) -> None:
    await filled(call)
    answer = await call("Scan", TableName="things", Select="COUNT")
    assert answer == {"Count": 10, "ScannedCount": 10}


async def test_a_scan_stops_after_a_megabyte(call: Caller) -> None:
    await call.table("fat")
    for number in range(6):
        await call("PutItem", TableName="fat", Item={"a": {"S": str(number)}, "b": {"S": "x" * 300_000}})
    first = await call("Scan", TableName="fat", ReturnConsumedCapacity="TOTAL")
    assert first["Count"] == 4 and first["ConsumedCapacity"]["CapacityUnits"] == 146.5
    second = await call("Scan", TableName="fat", ExclusiveStartKey=first["LastEvaluatedKey"])
    assert second["Count"] == 2 and "LastEvaluatedKey" not in second


async def test_segments_of_a_scan_share_the_table_out(call: Caller) -> None:
    await call.table("many")
    for number in range(100):
        await call("PutItem", TableName="many", Item={"a": {"S": str(number)}})
    for total in (1, 2, 7, 5000):
        seen = []
        for segment in range(total):
            if total > 100 and segment % 50:
                continue
            answer = await call("Scan", TableName="many", Segment=segment, TotalSegments=total)
            seen += [item["a"]["S"] for item in answer["Items"]]
        assert len(set(seen)) == len(seen)
        assert total > 100 or len(seen) == 100


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request."),
        ({"KeyConditions": {}}, "Conditions can be of length 1 or 2 only"),
        ({"KeyConditionExpression": "b = :n"}, "Query condition missed key schema element: a"),
        ({"KeyConditionExpression": "a = :n"}, INVALID + "Condition parameter type does not match schema type"),
        ({"KeyConditionExpression": "a > :s"}, "Query key condition not supported"),
        ({"KeyConditionExpression": "a = :s AND zz = :n"}, "Query condition missed key schema element: b"),
        (
            {"KeyConditionExpression": "a = :s", "FilterExpression": "b = :n"},
            "Filter Expression can only contain non-primary key attributes: Primary key attribute: b",
        ),
        ({"KeyConditionExpression": "a = :s", "IndexName": "none"}, "The table does not have the specified index: none"),
        (
            {"KeyConditionExpression": "c = :s", "IndexName": "global", "ConsistentRead": True},
            "Consistent reads are not supported on global secondary indexes",
        ),
        ({"KeyConditionExpression": "a = :s", "ExclusiveStartKey": {"a": {"S": "x"}}}, "The provided starting key is invalid"),
        (
            {"KeyConditionExpression": "a = :s", "ExclusiveStartKey": {"a": {"S": "other"}, "b": {"N": "1"}}},
            "The provided starting key is outside query boundaries based on provided conditions",
        ),
        (
            {"KeyConditionExpression": "a = :s AND b > :n", "ExclusiveStartKey": {"a": {"S": "x"}, "b": {"N": "0"}}},
            "The provided starting key does not match the range key predicate",
        ),
        (
            {
                "KeyConditions": {
                    "a": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "x"}]},
                    "b": {"ComparisonOperator": "NE", "AttributeValueList": [{"N": "1"}]},
                }
            },
            "Attempted conditional constraint is not an indexable operation",
        ),
    ],
)
async def test_invalid_queries_are_rejected_with_awss_messages(call: Caller, request_: dict[str, Any], message: str) -> None:
    await filled(call)
    text = f"{request_.get('KeyConditionExpression')} {request_.get('FilterExpression')}"
    values = {name: value for name, value in {":s": {"S": "x"}, ":n": {"N": "1"}}.items() if name in text}
    more = {"ExpressionAttributeValues": values} if values else {}
    assert await call.complaint("Query", TableName="things", **request_, **more) == message


async def test_a_key_of_several_attributes_is_queried_from_the_left(call: Caller) -> None:
    await call(
        "CreateTable",
        TableName="multi",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in "apqrs"],
        KeySchema=[{"AttributeName": "a", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        GlobalSecondaryIndexes=[
            {
                "IndexName": "wide",
                "KeySchema": [{"AttributeName": name, "KeyType": "HASH" if name in "pq" else "RANGE"} for name in "pqrs"],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    await call.driver.idle()
    for number in range(8):
        bits = f"{number:03b}"
        item = {"a": {"S": bits}, "p": {"S": "p"}, "q": {"S": bits[0]}, "r": {"S": bits[1]}, "s": {"S": bits[2]}}
        await call("PutItem", TableName="multi", Item=item)
    answer = await call(
        "Query",
        TableName="multi",
        IndexName="wide",
        KeyConditionExpression="p = :p AND q = :one AND r = :one AND s > :zero",
        ExpressionAttributeValues={":p": {"S": "p"}, ":one": {"S": "1"}, ":zero": {"S": "0"}},
    )
    assert [item["a"]["S"] for item in answer["Items"]] == ["111"]
    for condition in ("s = :one", "r > :one AND s = :one"):
        assert await call.complaint(
            "Query",
            TableName="multi",
            IndexName="wide",
            KeyConditionExpression=f"p = :p AND q = :one AND {condition}",
            ExpressionAttributeValues={":p": {"S": "p"}, ":one": {"S": "1"}},
        ) == (
            "RANGE key attributes r must have equality conditions specified in the query because a condition is present on key attribute s"
        )


async def test_stale_reads_show_the_near_past_and_consistent_ones_never(tmp_path: Path) -> None:
    async with calling(tmp_path, lag_seconds=30.0, seed=7) as call:
        await call.table("things", indexes={"by-c": "c:S"})
        await call("PutItem", TableName="things", Item={"a": {"S": "1"}, "c": {"S": "x"}})
        key = {"TableName": "things", "Key": {"a": {"S": "1"}}}
        assert "Item" in await call("GetItem", **key, ConsistentRead=True)
        assert await call("GetItem", **key) == {}
        query = {"KeyConditionExpression": "c = :c", "ExpressionAttributeValues": {":c": {"S": "x"}}}
        assert (await call("Query", TableName="things", IndexName="by-c", **query))["Count"] == 0
        assert (await call("Scan", TableName="things"))["Count"] == 0
        assert (await call("Scan", TableName="things", ConsistentRead=True))["Count"] == 1


async def test_a_table_may_have_a_lag_of_its_own_by_a_tag(call: Caller) -> None:
    await call.table("stale", Tags=[{"Key": "zonal:lag-seconds", "Value": "30"}])
    await call.table("current")
    for name in ("stale", "current"):
        await call("PutItem", TableName=name, Item={"a": {"S": "1"}})
    key = {"a": {"S": "1"}}
    assert await call("GetItem", TableName="stale", Key=key) == {}
    assert "Item" in await call("GetItem", TableName="current", Key=key)
    arn = (await call("DescribeTable", TableName="stale"))["Table"]["TableArn"]
    for value in ("long", "-1", "61", "nan"):
        complaint = await call.complaint("TagResource", ResourceArn=arn, Tags=[{"Key": "zonal:lag-seconds", "Value": value}])
        assert "must be a number of seconds from 0 to 60" in complaint
    await call("TagResource", ResourceArn=arn, Tags=[{"Key": "zonal:lag-seconds", "Value": "0"}])
    assert "Item" in await call("GetItem", TableName="stale", Key=key)
