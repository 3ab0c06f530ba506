from typing import Any

import pytest

from tests.unit.services.dynamodb.caller import Caller

ONE = "1 validation error detected: "
INVALID = "One or more parameter values were invalid: "


async def test_an_item_is_returned_as_it_was_put_with_canonical_numbers(call: Caller) -> None:
    await call.table("things")
    item = {"a": {"S": "1"}, "n": {"N": "1.50"}, "b": {"B": "AAEC"}, "m": {"M": {"l": {"L": [{"BOOL": True}, {"NULL": True}]}}}}
    assert await call("PutItem", TableName="things", Item=item) == {}
    assert await call("GetItem", TableName="things", Key={"a": {"S": "1"}}) == {"Item": item | {"n": {"N": "1.5"}}}
    assert await call("GetItem", TableName="things", Key={"a": {"S": "2"}}) == {}


async def test_a_put_returns_the_replaced_item_if_requested(call: Caller) -> None:
    await call.table("things")
    await call("PutItem", TableName="things", Item={"a": {"S": "1"}, "v": {"N": "1"}})
    answer = await call("PutItem", TableName="things", Item={"a": {"S": "1"}}, ReturnValues="ALL_OLD")
    assert answer == {"Attributes": {"a": {"S": "1"}, "v": {"N": "1"}}}


async def test_a_failed_condition_changes_nothing_and_returns_the_item_if_requested(call: Caller) -> None:
    await call.table("things")
    await call("PutItem", TableName="things", Item={"a": {"S": "1"}, "b": {"B": "AAEC"}})
    error = await call.error(
        "PutItem",
        TableName="things",
        Item={"a": {"S": "1"}},
        ConditionExpression="attribute_not_exists(a)",
        ReturnValuesOnConditionCheckFailure="ALL_OLD",
    )
    assert (error.code, error.message) == ("ConditionalCheckFailedException", "The conditional request failed")
    assert error.fields == {"Item": {"a": {"S": "1"}, "b": {"B": b"\x00\x01\x02"}}}
    assert await call.items("things") == [{"a": {"S": "1"}, "b": {"B": "AAEC"}}]


async def test_legacy_expectations_guard_writes(call: Caller) -> None:
    await call.table("things")
    await call("PutItem", TableName="things", Item={"a": {"S": "1"}, "n": {"N": "5"}})
    good = {"n": {"ComparisonOperator": "GT", "AttributeValueList": [{"N": "4"}]}, "z": {"Exists": False}}
    await call("DeleteItem", TableName="things", Key={"a": {"S": "1"}}, Expected=good)
    error = await call.error("DeleteItem", TableName="things", Key={"a": {"S": "1"}}, Expected={"n": {"Value": {"N": "5"}}})
    assert error.code == "ConditionalCheckFailedException"


@pytest.mark.parametrize(
    ("returns", "attributes"),
    [
        ("NONE", None),
        ("ALL_OLD", {"a": {"S": "1"}, "n": {"N": "1"}, "x": {"S": "x"}}),
        ("ALL_NEW", {"a": {"S": "1"}, "n": {"N": "3"}, "x": {"S": "x"}}),
        ("UPDATED_OLD", {"n": {"N": "1"}}),
        ("UPDATED_NEW", {"n": {"N": "3"}}),
    ],
)
async def test_an_update_returns_the_requested_attributes(call: Caller, returns: str, attributes: Any) -> None:
    await call.table("things")
    await call("PutItem", TableName="things", Item={"a": {"S": "1"}, "n": {"N": "1"}, "x": {"S": "x"}})
    answer = await call(
        "UpdateItem",
        TableName="things",
        Key={"a": {"S": "1"}},
        UpdateExpression="SET n = n + :two",
        ExpressionAttributeValues={":two": {"N": "2"}},
        ReturnValues=returns,
    )
    assert answer.get("Attributes") == attributes


async def test_an_update_of_a_missing_item_creates_it_unless_it_only_removes(call: Caller) -> None:
    await call.table("things")
    await call("UpdateItem", TableName="things", Key={"a": {"S": "1"}})
    await call("UpdateItem", TableName="things", Key={"a": {"S": "2"}}, UpdateExpression="REMOVE b")
    update = {"n": {"Action": "ADD", "Value": {"N": "2"}}, "s": {"Value": {"SS": ["x"]}}}
    await call("UpdateItem", TableName="things", Key={"a": {"S": "3"}}, AttributeUpdates=update)
    items = {item["a"]["S"]: item for item in await call.items("things")}
    assert items == {"1": {"a": {"S": "1"}}, "3": {"a": {"S": "3"}, "n": {"N": "2"}, "s": {"SS": ["x"]}}}


@pytest.mark.parametrize(
    ("operation", "request_", "message"),
    [
        (
            "PutItem",
            {},
            "2 validation errors detected: Value null at 'tableName' failed to satisfy constraint: Member must not be null; "
            "Value null at 'item' failed to satisfy constraint: Member must not be null",
        ),
        (
            "PutItem",
            {"TableName": "abc", "Item": {}, "ReturnValues": "hi"},
            ONE + "Failed to satisfy constraint: Member must satisfy enum value set: [ALL_OLD, UPDATED_OLD, ALL_NEW, UPDATE_NEW, NONE]",
        ),
        ("PutItem", {"TableName": "abc", "Item": {}, "ReturnValues": "ALL_NEW"}, ONE + "ReturnValues can only be ALL_OLD or NONE"),
        (
            "PutItem",
            {"TableName": "abc", "Item": {"a": {}}, "Expected": {"a": {}}, "ConditionExpression": ""},
            ONE + "Can not use both expression and non-expression parameters in the same request: "
            "Non-expression parameters: {Expected} Expression parameters: {ConditionExpression}",
        ),
        (
            "PutItem",
            {"TableName": "abc", "Item": {"a": {}}, "Expected": {"a": {}}, "ExpressionAttributeValues": {}},
            ONE + "ExpressionAttributeValues can only be specified when using expressions",
        ),
        ("PutItem", {"TableName": "abc", "Item": {"a": {"S": "x" * 410_000}}}, "Item size has exceeded the maximum allowed size"),
        (
            "UpdateItem",
            {"TableName": "abc", "Key": {}, "Expected": {"a": {}}, "AttributeUpdates": {"a": {}}},
            ONE + INVALID + "Only DELETE action is allowed when no attribute value is specified",
        ),
        (
            "UpdateItem",
            {"TableName": "abc", "Key": {}, "Expected": {"a": {"Exists": False, "Value": {"S": "a"}}}},
            ONE + INVALID + "Value cannot be used when Exists is false for Attribute: a",
        ),
        ("PutItem", {"TableName": "things", "Item": {"b": {"S": "x"}}}, INVALID + "Missing the key a in the item"),
        (
            "PutItem",
            {"TableName": "things", "Item": {"a": {"N": "1"}}},
            INVALID + "Type mismatch for key a expected: S actual: N",
        ),
        (
            "PutItem",
            {"TableName": "things", "Item": {"a": {"S": "1"}, "c": {"N": "1"}}},
            INVALID + "Type mismatch for Index Key c Expected: S Actual: N IndexName: by-c",
        ),
        (
            "PutItem",
            {"TableName": "things", "Item": {"a": {"S": ""}}},
            "One or more parameter values are not valid."
            " The AttributeValue for a key attribute cannot contain an empty string value. Key: a",
        ),
        (
            "PutItem",
            {"TableName": "things", "Item": {"a": {"S": "x" * 2049}}},
            INVALID + "Size of hashkey has exceeded the maximum size limit of2048 bytes",
        ),
        (
            "GetItem",
            {"TableName": "things", "Key": {"a": {"S": "1"}, "b": {"S": "1"}}},
            "The provided key element does not match the schema",
        ),
        (
            "GetItem",
            {"TableName": "things", "Key": {"a": {"S": "1"}}, "ProjectionExpression": "c.d"},
            "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: IndexKey: c",
        ),
        (
            "UpdateItem",
            {"TableName": "things", "Key": {"a": {"S": "1"}}, "UpdateExpression": "remove a"},
            INVALID + "Cannot update attribute a. This attribute is part of the key",
        ),
    ],
)
async def test_invalid_requests_are_rejected_with_awss_messages(
    call: Caller, operation: str, request_: dict[str, Any], message: str
) -> None:
    await call.table("things", indexes={"by-c": "c:S"})
    assert await call.complaint(operation, **request_) == message


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"TableName": 23}, "NUMBER_VALUE cannot be converted to String"),
        ({"TableName": []}, "Unrecognized collection type class java.lang.String"),
        ({"TableName": {}}, "Start of structure or map found where not expected"),
        ({"Item": "hi"}, "Unexpected field type"),
        ({"Item": []}, "Unrecognized collection type java.util.Map<java.lang.String, com.amazonaws.dynamodb.v20120810.AttributeValue>"),
        ({"Item": {"a": "hi"}}, "Unexpected value type in payload"),
        ({"Item": {"a": []}}, "Unrecognized collection type class com.amazonaws.dynamodb.v20120810.AttributeValue"),
        ({"Item": {"a": {"S": True}}}, "TRUE_VALUE cannot be converted to String"),
        ({"Item": {"a": {"S": 3.5}}}, "DECIMAL_VALUE cannot be converted to String"),
        ({"Item": {"a": {"B": "23456"}}}, "Base64 encoded length is expected a multiple of 4 bytes but found: 5"),
        ({"Item": {"a": {"B": "=+/="}}}, "Invalid last non-pad Base64 character dectected"),
        ({"Item": {"a": {"BOOL": "hm"}}}, "Unexpected token received from parser"),
        ({"Item": {"a": {"SS": "x"}}}, "Unexpected field type"),
        ({"Item": {"a": {"L": [1]}}}, "Unexpected value type in payload"),
        ({"ExpressionAttributeNames": []}, "Unrecognized collection type java.util.Map<java.lang.String, java.lang.String>"),
    ],
)
async def test_malformed_requests_are_named_before_anything_else(call: Caller, request_: dict[str, Any], message: str) -> None:
    error = await call.error("PutItem", **request_)
    assert (error.code, error.message) == ("SerializationException", message)


async def test_a_table_that_is_not_there_is_not_found(call: Caller) -> None:
    error = await call.error("GetItem", TableName="nowhere", Key={"a": {"S": "1"}})
    assert (error.code, error.message) == ("ResourceNotFoundException", "Requested resource not found")


async def test_writes_return_the_consumed_capacity_of_table_and_indexes(call: Caller) -> None:
    await call.table("things", keys="a:S b:S", indexes={"local": "a:S c:S LOCAL KEYS_ONLY", "global": "c:S"})
    item = {"a": {"S": "1"}, "b": {"S": "1"}, "c": {"S": "1"}, "fat": {"S": "x" * 1500}}
    answer = await call("PutItem", TableName="things", Item=item, ReturnConsumedCapacity="INDEXES", ReturnItemCollectionMetrics="SIZE")
    assert answer == {
        "ConsumedCapacity": {
            "TableName": "things",
            "CapacityUnits": 5.0,
            "Table": {"CapacityUnits": 2.0},
            "LocalSecondaryIndexes": {"local": {"CapacityUnits": 1.0}},
            "GlobalSecondaryIndexes": {"global": {"CapacityUnits": 2.0}},
        },
        "ItemCollectionMetrics": {"ItemCollectionKey": {"a": {"S": "1"}}, "SizeEstimateRangeGB": [0.0, 1.0]},
    }
    moved = await call("PutItem", TableName="things", Item=item | {"c": {"S": "2"}}, ReturnConsumedCapacity="TOTAL")
    assert moved["ConsumedCapacity"]["CapacityUnits"] == 2 + 1 + 1 + 2 + 2
    same = await call("PutItem", TableName="things", Item=item | {"c": {"S": "2"}}, ReturnConsumedCapacity="TOTAL")
    assert same["ConsumedCapacity"]["CapacityUnits"] == 2


async def test_reads_cost_half_when_they_may_be_stale(call: Caller) -> None:
    await call.table("things")
    await call("PutItem", TableName="things", Item={"a": {"S": "1"}, "fat": {"S": "x" * 5000}})
    key = {"TableName": "things", "Key": {"a": {"S": "1"}}, "ReturnConsumedCapacity": "TOTAL"}
    assert (await call("GetItem", **key))["ConsumedCapacity"] == {"TableName": "things", "CapacityUnits": 1.0}
    assert (await call("GetItem", **key, ConsistentRead=True))["ConsumedCapacity"]["CapacityUnits"] == 2.0


@pytest.mark.parametrize(
    ("clause", "seed", "values", "bytes_charged"),
    [
        ("SET c = :c", {}, {":c": {"S": "y" * 500}}, 20 + 500),
        ("SET c = m.z", {"m": {"M": {"z": {"S": "y"}}}}, {}, 20 + 31),
        ("SET d[0] = :c", {"d": {"L": []}}, {":c": {"S": "y"}}, 19 + 6 + 1),
        ("SET l = list_append(l, :c)", {"l": {"L": []}}, {":c": {"L": [{"S": "y"}]}}, 20 + 37 + 16 + 5),
        ("SET c = if_not_exists(c, :c), d = :c", {"c": {"S": "x"}}, {":c": {"S": "y" * 100}}, 20 + 39 + 16 + 100 + 20 + 100),
        ("SET n = n + :c", {"n": {"N": "12345678"}}, {":c": {"N": "1"}}, 20 + 34 + 16 + 2),
        ("SET n = n - :c", {"n": {"N": "1"}}, {":c": {"N": "1"}}, 20 + 37 + 16 + 2),
        ("ADD tags :c", {"tags": {"SS": ["x"]}}, {":c": {"SS": ["y" * 20]}}, 19 + 4 + 20),
        ("DELETE tags :c", {"tags": {"SS": ["x", "y"]}}, {":c": {"SS": ["y"]}}, 1 + 4),
        ("REMOVE m.z", {"m": {"M": {"z": {"S": "y"}}}}, {}, 1 + 6),
    ],
)
async def test_an_update_is_charged_for_its_statement_to_the_byte(
    call: Caller, clause: str, seed: dict[str, Any], values: dict[str, Any], bytes_charged: int
) -> None:
    await call.table("things")
    room = 409_600 - 3 - 20 - bytes_charged
    expression = clause.replace("SET ", "SET b = :b, ") if clause.startswith("SET") else f"SET b = :b {clause}"
    for length, fits in ((room, True), (room + 1, False)):
        await call("PutItem", TableName="things", Item={"a": {"S": "k"}} | seed)
        request = {
            "TableName": "things",
            "Key": {"a": {"S": "k"}},
            "UpdateExpression": expression,
            "ExpressionAttributeValues": {":b": {"S": "x" * length}} | values,
        }
        if fits:
            await call("UpdateItem", **request)
        else:
            assert await call.complaint("UpdateItem", **request) == "Item size to update has exceeded the maximum allowed size"


async def test_a_too_large_statement_is_reported_before_its_condition_and_by_update_item_only(call: Caller) -> None:
    await call.table("things")
    update = {
        "TableName": "things",
        "Key": {"a": {"S": "k"}},
        "UpdateExpression": "SET b = :b",
        "ExpressionAttributeValues": {":b": {"S": "x" * (409_600 - 3)}},
    }
    complaint = await call.complaint("UpdateItem", **update, ConditionExpression="attribute_exists(b)")
    assert complaint == "Item size to update has exceeded the maximum allowed size"
    await call("TransactWriteItems", TransactItems=[{"Update": update}])
