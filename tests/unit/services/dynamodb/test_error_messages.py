"""The messages of DynamoDB by operation, and the order in which it reports errors, as recorded in October 2026."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.unit.services.dynamodb.caller import Caller
from zonal.foundation.errors import AwsError

ONE = "1 validation error detected: "
INVALID = "One or more parameter values were invalid: "
NOT_NUMERIC = "The parameter cannot be converted to a numeric value"
OVERFLOW = "Number overflow. Attempting to store a number with magnitude larger than supported range"
UNDERFLOW = "Number underflow. Attempting to store a number with magnitude smaller than supported range"
TOO_DEEP = "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"
EMPTY_KEY = (
    "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: a"
)
MISMATCH = "The provided key element does not match the schema"
KEY = {"a": {"S": "1"}}

FAULTS = [
    ({"N": "abc"}, f"{NOT_NUMERIC}: abc", f"{NOT_NUMERIC}: abc"),
    ({"N": ""}, f"{NOT_NUMERIC}: ", NOT_NUMERIC),
    ({"N": "1e126"}, OVERFLOW, OVERFLOW),
    ({"N": "1e2147483647"}, OVERFLOW, UNDERFLOW),
    ({"NS": ["2", "1", "2"]}, f"{INVALID}Input collection contains duplicates.", "Input collection contains duplicates"),
    (
        {"SS": ["b", "a", "b"]},
        f'{INVALID}Input collection ["a", "b", "b"] contains duplicates.',
        f"{INVALID}Input collection [b, a, b] contains duplicates.",
    ),
    (
        {"BS": ["/w==", "AA==", "AA=="]},
        f'{INVALID}Input collection ["AA==","/w==","AA=="]of type BS contains duplicates.',
        f"{INVALID}Input collection [/w==, AA==, AA==]of type BS contains duplicates.",
    ),
]


def deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {"S": "leaf"}
    for _ in range(levels):
        value = {"M": {"n": value}}
    return value


@pytest.mark.parametrize(("value", "newer", "older"), FAULTS)
async def test_an_invalid_value_is_reported_with_the_message_of_its_operation(
    call: Caller, value: dict[str, Any], newer: str, older: str
) -> None:
    await call.table("things")
    condition = {"ConditionExpression": "b = :v", "ExpressionAttributeValues": {":v": value}}
    writes: list[tuple[str, dict[str, Any]]] = [
        ("PutItem", {"Item": KEY | {"b": value}}),
        ("PutItem", {"Item": KEY | {"b": {"L": [value]}}}),
        ("PutItem", {"Item": KEY} | condition),
        ("PutItem", {"Item": KEY, "Expected": {"b": {"Value": value}}}),
        ("UpdateItem", {"Key": {"a": value}}),
        ("UpdateItem", {"Key": KEY, "AttributeUpdates": {"b": {"Value": value}}}),
        ("DeleteItem", {"Key": KEY} | condition),
    ]
    for operation, request in writes:
        assert await call.complaint(operation, TableName="things", **request) == ONE + newer
    assert await call.complaint("GetItem", TableName="things", Key={"a": value}) == newer
    assert await call.complaint("BatchGetItem", RequestItems={"things": {"Keys": [{"a": value}]}}) == newer
    query = {"KeyConditionExpression": "a = :a", "ExpressionAttributeValues": {":a": {"S": "1"}, ":v": value}, "FilterExpression": "b = :v"}
    assert await call.complaint("Query", TableName="things", **query) == newer
    wrapped = f"ExpressionAttributeValues contains invalid value: {older} for key :v"
    scan = {"FilterExpression": "b = :v", "ExpressionAttributeValues": {":v": value}}
    assert await call.complaint("Scan", TableName="things", **scan) == wrapped
    put = {"PutRequest": {"Item": KEY | {"b": value}}}
    assert await call.complaint("BatchWriteItem", RequestItems={"things": [put]}) == older
    delete = {"Delete": {"TableName": "things", "Key": {"a": value}}}
    assert await call.complaint("TransactWriteItems", TransactItems=[delete]) == older
    check = {"ConditionCheck": {"TableName": "things", "Key": KEY} | condition}
    assert await call.complaint("TransactWriteItems", TransactItems=[check]) == wrapped


@pytest.mark.parametrize(
    ("operation", "request_", "message"),
    [
        (
            "PutItem",
            {"Item": KEY, "ExpressionAttributeNames": {"#a": "a"}},
            "ExpressionAttributeNames can only be specified when using expressions",
        ),
        ("DeleteItem", {"Key": KEY, "ConditionExpression": ""}, "Invalid ConditionExpression: The expression can not be empty;"),
        ("DeleteItem", {"Key": KEY, "ReturnValues": "UPDATED_NEW"}, "ReturnValues can only be ALL_OLD or NONE"),
        (
            "UpdateItem",
            {"Key": KEY, "UpdateExpression": "INVALID SYNTAX HERE"},
            'Invalid UpdateExpression: Syntax error; token: "INVALID", near: "INVALID SYNTAX"',
        ),
        (
            "UpdateItem",
            {"Key": KEY, "UpdateExpression": "SET b = :v", "ExpressionAttributeValues": {":v": KEY["a"], ":u": KEY["a"]}},
            "Value provided in ExpressionAttributeValues unused in expressions: keys: {:u}",
        ),
        ("PutItem", {"Item": KEY | {"b": deep(32)}}, TOO_DEEP),
        (
            "PutItem",
            {"TableName": "", "Item": KEY, "ReturnValues": "BAD"},
            "Value at 'TableName' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ),
        (
            "UpdateItem",
            {"Key": KEY, "ReturnValues": "BAD", "ReturnConsumedCapacity": "BAD"},
            "Failed to satisfy constraint: Member must satisfy enum value set: [ALL_OLD, UPDATED_OLD, ALL_NEW, UPDATE_NEW, NONE]",
        ),
        ("Query", {"Limit": 0}, "Value at 'Limit' failed to satisfy constraint: Member must have value greater than or equal to 1"),
        ("Scan", {"Limit": 0}, "Value at 'Limit' failed to satisfy constraint: Member must have value greater than or equal to 1"),
        (
            "Scan",
            {"Segment": -1, "TotalSegments": 4},
            "Value at 'Segment' failed to satisfy constraint: Member must have value greater than or equal to 0",
        ),
    ],
)
async def test_an_error_found_before_the_table_has_an_envelope(
    call: Caller, operation: str, request_: dict[str, Any], message: str
) -> None:
    assert await call.complaint(operation, **({"TableName": "absent"} | request_)) == ONE + message


async def test_several_broken_constraints_are_reported_together_in_awss_order(call: Caller) -> None:
    bad = dict.fromkeys(("ReturnValues", "ReturnConsumedCapacity", "ReturnItemCollectionMetrics"), "BAD")
    assert await call.complaint("PutItem", TableName="things", Item=KEY, **bad) == (
        "3 validation errors detected: Value 'BAD' at 'returnConsumedCapacity' failed to satisfy constraint: Member must satisfy enum value"
        " set: [INDEXES, TOTAL, NONE]; Failed to satisfy constraint: Member must satisfy enum value set: [ALL_OLD, UPDATED_OLD, ALL_NEW,"
        " UPDATE_NEW, NONE]; Value 'BAD' at 'returnItemCollectionMetrics' failed to satisfy constraint: Member must satisfy enum value set:"
        " [SIZE, NONE]"
    )


async def test_requests_are_shown_as_aws_shows_them(call: Caller) -> None:
    bounds = "Member must have length less than or equal to 255, Member must have length greater than or equal to 3"
    keys = f"[{bounds}, Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+]"
    reads = {"bad!name": {"Keys": [KEY]}}
    assert await call.complaint("BatchGetItem", RequestItems=reads) == (
        f"""{ONE}Value '{{"bad!name":{{"Keys":[{{"a":{{"S":"1"}}}}]}}}}' at 'requestItems' failed to satisfy constraint:"""
        f" Map keys must satisfy constraint: {keys}"
    )
    writes = {"bad!name": [{"PutRequest": {"Item": KEY}}]}
    complaint = await call.complaint("BatchWriteItem", RequestItems=writes)
    assert "{bad!name=[WriteRequest(putRequest=PutRequest(item={a=AttributeValue(s=1, n=null, b=null," in complaint
    many = {"things": {"Keys": [{"a": {"S": str(number)}} for number in range(101)]}}
    assert await call.complaint("BatchGetItem", RequestItems=many) == (
        f"{ONE}Value at 'RequestItems.things.member.Keys' failed to satisfy constraint: Member must have length less than or equal to 100"
    )
    assert await call.complaint("BatchGetItem", RequestItems={}) == (
        f"{ONE}Value at 'RequestItems' failed to satisfy constraint: Member must have length greater than or equal to 1"
    )


async def test_a_key_of_the_wrong_type_cancels_a_transaction_and_an_empty_one_rejects_it(call: Caller) -> None:
    await call.table("things")
    wrong = {"Delete": {"TableName": "things", "Key": {"a": {"N": "5"}}}}
    good = {"Put": {"TableName": "things", "Item": KEY}}
    error = await call.error("TransactWriteItems", TransactItems=[good, wrong])
    assert error.code == "TransactionCanceledException"
    assert error.fields["CancellationReasons"] == [{"Code": "None"}, {"Code": "ValidationError", "Message": MISMATCH}]
    error = await call.error("TransactGetItems", TransactItems=[{"Get": {"TableName": "things", "Key": {}}}])
    assert [reason["Code"] for reason in error.fields["CancellationReasons"]] == ["ValidationError"]
    empty = {"Delete": {"TableName": "things", "Key": {"a": {"S": ""}}}}
    assert await call.complaint("TransactWriteItems", TransactItems=[empty]) == EMPTY_KEY
    assert await call.items("things") == []


async def test_every_action_of_a_transaction_is_read_before_a_table_is_missed(call: Caller) -> None:
    missing = {"Put": {"TableName": "absent", "Item": KEY}}
    unclear = {"ConditionCheck": {"TableName": "absent", "Key": KEY, "ConditionExpression": "attribute_not_exists("}}
    complaint = await call.complaint("TransactWriteItems", TransactItems=[missing, unclear])
    assert complaint == 'Invalid ConditionExpression: Syntax error; token: "<EOF>", near: "("'
    nested = {"Put": {"TableName": "absent", "Item": KEY | {"b": deep(32)}}}
    assert await call.complaint("TransactWriteItems", TransactItems=[nested, unclear]) == TOO_DEEP


@pytest.mark.parametrize(
    ("condition", "value", "message"),
    [
        ("begins_with(b, :v)", {"N": "1"}, "operator or function: begins_with, operand type: N"),
        ("b < :v", {"BOOL": True}, "operator or function: <, operand type: BOOL"),
        (":v >= b", {"BOOL": True}, "operator or function: >=, operand type: BOOL"),
        ("b BETWEEN :v AND :v", {"NULL": True}, "operator or function: BETWEEN, operand type: NULL"),
    ],
)
async def test_values_without_an_order_are_not_compared(call: Caller, condition: str, value: dict[str, Any], message: str) -> None:
    """AWS checks the operands before it looks up the table."""
    wrong = "Incorrect operand type for operator or function; " + message
    values = {":v": value}
    query = {"KeyConditionExpression": f"a = :a AND {condition}", "ExpressionAttributeValues": values | {":a": KEY["a"]}}
    assert await call.complaint("Query", TableName="absent", **query) == f"Invalid KeyConditionExpression: {wrong}"
    scan = {"FilterExpression": condition, "ExpressionAttributeValues": values}
    assert await call.complaint("Scan", TableName="absent", **scan) == f"Invalid FilterExpression: {wrong}"


@pytest.mark.parametrize(
    ("number", "message"), [("0e126", OVERFLOW), ("0e-131", UNDERFLOW), ("1e9223372036854775808", f"{NOT_NUMERIC}: 1e9223372036854775808")]
)
async def test_exponents_count_even_where_they_mean_nothing(call: Caller, number: str, message: str) -> None:
    await call.table("things")
    assert await call.complaint("PutItem", TableName="things", Item=KEY | {"n": {"N": number}}) == ONE + message
    await call("PutItem", TableName="things", Item=KEY | {"n": {"N": "0e125"}})
    assert await call.items("things") == [KEY | {"n": {"N": "0"}}]


async def test_three_key_conditions_are_too_many_for_two_key_attributes(call: Caller) -> None:
    await call.table("pairs", keys="a:S b:N")
    values = {":a": {"S": "1"}, ":b": {"N": "1"}}
    query = {"KeyConditionExpression": "a = :a AND b > :b AND c = :b", "ExpressionAttributeValues": values}
    assert await call.complaint("Query", TableName="pairs", **query) == (
        "The number of query conditions (3) exceeds the number of key attributes defined in the schema (2)"
    )


async def test_a_query_rejects_filters_by_attributes_that_its_index_lacks_and_a_scan_finds_nothing(call: Caller) -> None:
    await call.table("things", keys="a:S b:S", indexes={"near": "a:S c:S LOCAL KEYS_ONLY", "far": "c:S KEYS_ONLY"})
    await call("PutItem", TableName="things", Item={name: {"S": name} for name in "abcd"})
    for index, key in (("near", "a"), ("far", "c")):
        values = {":k": {"S": key}, ":d": {"S": "d"}}
        query = {"KeyConditionExpression": f"{key} = :k", "FilterExpression": "d = :d", "ExpressionAttributeValues": values}
        complaint = await call.complaint("Query", TableName="things", IndexName=index, **query)
        assert complaint == f"{INVALID}Secondary index {index} does not project one or more filter attributes: [d]"
        scan = {"FilterExpression": "d = :d", "ExpressionAttributeValues": {":d": {"S": "d"}}}
        assert (await call("Scan", TableName="things", IndexName=index, **scan))["Count"] == 0


async def test_attribute_names_are_neither_empty_nor_endless(call: Caller) -> None:
    await call.table("things")
    for item in ({"": {"S": "x"}}, {"b": {"M": {"": {"S": "x"}}}}):
        assert await call.complaint("PutItem", TableName="things", Item=KEY | item) == ONE + "Empty attribute name"
    put = {"Put": {"TableName": "absent", "Item": KEY | {"": {"S": "x"}}}}
    assert await call.complaint("TransactWriteItems", TransactItems=[put]) == "Empty attribute name"
    await call("PutItem", TableName="things", Item=KEY | {"b" * 65_535: {"S": "x"}})
    complaint = await call.complaint("PutItem", TableName="things", Item=KEY | {"b" * 65_536: {"S": "x"}})
    assert complaint == ONE + "Attribute name is too large, must be less than 65536 bytes"


async def test_an_invalid_starting_key_is_reported_with_the_message_of_each_read(call: Caller) -> None:
    await call.table("things", keys="a:S b:S", indexes={"far": "c:S"})
    bad = "The provided starting key is invalid"
    query = {"KeyConditionExpression": "a = :a", "ExpressionAttributeValues": {":a": {"S": "1"}}}
    assert await call.complaint("Query", TableName="things", **query, ExclusiveStartKey=KEY) == bad
    empty = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
    assert await call.complaint("Query", TableName="things", **query, ExclusiveStartKey={"a": {}}) == f"{bad}: {empty}"
    for start in (KEY, {"a": {"S": "1"}, "b": {"S": "1"}, "c": {"S": "1"}}):
        assert await call.complaint("Scan", TableName="things", ExclusiveStartKey=start) == bad
    assert await call.complaint("Scan", TableName="things", IndexName="far", ExclusiveStartKey=KEY) == bad


async def test_a_mode_without_throughput_is_rejected_before_the_table_is_looked_up(call: Caller) -> None:
    complaint = await call.complaint("UpdateTable", TableName="absent", BillingMode="PROVISIONED")
    assert complaint == INVALID + "ProvisionedThroughput must be specified when BillingMode is PROVISIONED"


OLDER_VALUES = (
    "Value 'BAD' at 'returnValues' failed to satisfy constraint: Member must satisfy enum value set:"
    " [ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NEW]"
)


async def test_a_write_nested_very_deep_is_read_in_the_older_way(call: Caller) -> None:
    expected = {"b": {"Value": deep(100)}, "c": {"Exists": False}}
    complaint = await call.complaint("PutItem", TableName="absent", Item=KEY, Expected=expected, ConditionalOperator="XOR")
    older = "Value 'XOR' at 'conditionalOperator' failed to satisfy constraint: Member must satisfy enum value set: [OR, AND]"
    assert complaint == ONE + older
    assert await call.complaint("DeleteItem", TableName="absent", Key={"a": deep(63)}, ReturnValues="BAD") == ONE + OLDER_VALUES
    request: dict[str, Any] = {"TableName": "absent", "Key": KEY, "ConditionExpression": "b = :b", "ReturnValues": "UPDATED_NEW"}
    for levels, envelope in ((100, ""), (20, ONE)):
        complaint = await call.complaint("DeleteItem", **request, ExpressionAttributeValues={":b": deep(levels)})
        assert complaint == envelope + "ReturnValues can only be ALL_OLD or NONE"


async def test_an_update_without_a_key_reports_all_errors_with_older_messages(call: Caller) -> None:
    bad = {"TableName": "", "ReturnValues": "BAD", "ReturnConsumedCapacity": "BAD"}
    assert await call.complaint("UpdateItem", **bad) == (
        "4 validation errors detected: Value 'BAD' at 'returnConsumedCapacity' failed to satisfy constraint: Member must satisfy enum value"
        " set: [INDEXES, TOTAL, NONE]; Value '' at 'tableName' failed to satisfy constraint: Member must have length greater than or equal"
        f" to 1; {OLDER_VALUES}; Value null at 'key' failed to satisfy constraint: Member must not be null"
    )


async def test_a_token_is_reported_first_and_an_invalid_table_name_of_batched_writes_only_alone(call: Caller) -> None:
    put = {"Put": {"TableName": "absent", "Item": KEY}}
    complaint = await call.complaint("TransactWriteItems", TransactItems=[put], ClientRequestToken="x" * 37, ReturnConsumedCapacity="BAD")
    assert complaint.startswith(f"2 validation errors detected: Value '{'x' * 37}' at 'clientRequestToken' failed")
    writes = {"bad!name": [{"PutRequest": {"Item": KEY}}]}
    complaint = await call.complaint("BatchWriteItem", RequestItems=writes, ReturnConsumedCapacity="BAD")
    assert complaint.startswith(ONE + "Value 'BAD' at 'returnConsumedCapacity' failed")


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ({"Put": {"Item": KEY | {"d": deep(40), "": {"S": "x"}}}}, "Empty attribute name"),
        ({"Put": {"Item": KEY | {"m": {"M": {"": {"S": "x"}}}, "d": deep(40)}}}, TOO_DEEP),
        ({"Put": {"Item": KEY | {"m": {"M": {"": {"S": "x"}}}, "d": deep(20)}}}, "Empty attribute name"),
        (
            {"Delete": {"Key": {"a": deep(40)}, "ConditionExpression": "a = = b"}},
            'Invalid ConditionExpression: Syntax error; token: "=", near: "= = b"',
        ),
        (
            {"Update": {"Key": KEY, "UpdateExpression": "SET " + "b" * 4100}},
            "Invalid UpdateExpression: Expression size has exceeded the maximum allowed size;",
        ),
        (
            {"Delete": {"Key": KEY, "ConditionExpression": "b" * 4100}},
            "Invalid ConditionExpression: Expression size has exceeded the maximum allowed size; expression size: 4100",
        ),
    ],
)
async def test_in_an_action_of_a_transaction_names_are_checked_first_then_depth_and_keys_last(
    call: Caller, action: dict[str, Any], message: str
) -> None:
    named = {kind: body | {"TableName": "absent"} for kind, body in action.items()}
    assert await call.complaint("TransactWriteItems", TransactItems=[named]) == message


async def test_an_empty_key_of_an_index_rejects_a_transaction_as_a_whole(call: Caller) -> None:
    await call.table("things", indexes={"far": "c:S"})
    update = {"Key": KEY, "UpdateExpression": "SET c = :c", "ExpressionAttributeValues": {":c": {"S": ""}}}
    for action in ({"Put": {"TableName": "things", "Item": KEY | {"c": {"S": ""}}}}, {"Update": {"TableName": "things"} | update}):
        complaint = await call.complaint("TransactWriteItems", TransactItems=[action])
        assert "secondary index key is not supported" in complaint and complaint.endswith("IndexName: far, IndexKey: c")
    mistyped = {"Put": {"TableName": "things", "Item": KEY | {"c": {"N": "1"}}}}
    error = await call.error("TransactWriteItems", TransactItems=[mistyped])
    assert error.fields["CancellationReasons"][0]["Code"] == "ValidationError"


@pytest.mark.parametrize("body", [b"7", b'"things"', b"[]", b"null", b"true"])
async def test_a_body_that_is_not_an_object_is_a_serialization_error(call: Caller, body: bytes) -> None:
    handler = call.service.handlers["dynamodb"]["ListTables"]
    with pytest.raises(AwsError) as caught:
        handler(None, msgspec.json.decode(body))  # type: ignore[arg-type]
    assert caught.value.code == "SerializationException"


async def test_not_contains_is_false_for_a_missing_attribute(call: Caller) -> None:
    await call.table("things")
    await call("PutItem", TableName="things", Item={"a": {"S": "1"}, "list": {"L": [{"N": "1"}]}})
    for name, found in (("list", 1), ("absent", 0)):
        filter = {name: {"ComparisonOperator": "NOT_CONTAINS", "AttributeValueList": [{"N": "2"}]}}
        assert (await call("Scan", TableName="things", ScanFilter=filter))["Count"] == found
