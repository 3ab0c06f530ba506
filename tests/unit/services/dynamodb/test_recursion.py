"""Expressions, statements and documents of the deepest nesting that DynamoDB accepts are parsed to their end."""

import sys
from typing import Any

import msgspec
import pytest

from tests.unit.services.dynamodb.caller import Caller
from zonal.dynamo.expressions.request import read
from zonal.foundation.errors import AwsError
from zonal.wire.json_bodies import DEPTH_LIMIT


@pytest.fixture(autouse=True)
def no_change_of_the_recursion_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's recursion limit is shared by all threads; a change would affect the others."""

    def refuse(limit: int) -> None:
        raise AssertionError("the recursion limit is the whole process's")

    monkeypatch.setattr(sys, "setrecursionlimit", refuse)


ITEM = {"a": {"N": "1"}, "b": {"N": "2"}}


def condition(text: str) -> Any:
    return read({"ConditionExpression": text}).condition


@pytest.mark.parametrize(
    "text", ["a < b " + "OR (a < b " * 149 + ")" * 149, "NOT " * 298 + "a < b", "NOT (" * 98 + "a < b" + " AND a < b)" * 98]
)
def test_conditions_of_three_hundred_operators_are_answered_however_they_nest(text: str) -> None:
    assert condition(text).holds(ITEM, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(" * 4096, 'Syntax error; token: "<EOF>", near: "("'),
        ("(" * 2046 + "a<b" + ")" * 2046, "The expression has redundant parentheses;"),
        ("a<" + "(" * 2046 + "b" + ")" * 2046, "The expression has redundant parentheses;"),
        ("NOT " * 1000 + "a<b", "The expression contains too many operators; maximum operators: 300, operator count: 1001"),
        ("a<" + "f(" * 1300 + "b" + ")" * 1300, "Invalid function name; function: f"),
    ],
)
def test_deeper_nested_conditions_are_rejected_with_their_error(text: str, message: str) -> None:
    with pytest.raises(AwsError) as caught:
        condition(text)
    assert caught.value.message.endswith(f"Invalid ConditionExpression: {message}")


@pytest.mark.parametrize(
    "text", ["SET a = " + "if_not_exists(b, " * 225 + "b" + ")" * 225, "SET a = " + "(" * 2040, "SET a = " + "f(" * 2040]
)
def test_updates_that_nest_functions_are_read_to_their_end(text: str) -> None:
    try:
        assert read({"UpdateExpression": text}).update is not None
    except AwsError as error:
        assert "Syntax error" in error.message


@pytest.mark.parametrize(("opening", "closing"), [('{"M":{"a":', "}}"), ('{"L":[', "]}"), ("[", "]"), ('{"a":', "}")])
async def test_documents_of_the_deepest_readable_nesting_are_rejected_with_their_error(call: Caller, opening: str, closing: str) -> None:
    await call.table("things")
    levels = (DEPTH_LIMIT - 6) // (opening.count("{") + opening.count("["))
    value = msgspec.json.decode(opening * levels + '{"S":"x"}' + closing * levels)
    requests: list[tuple[str, dict[str, Any]]] = [
        ("PutItem", {"Item": {"id": {"S": "x"}, "a": value}}),
        ("GetItem", {"Key": {"id": value}}),
        ("UpdateItem", {"Key": {"id": {"S": "x"}}, "UpdateExpression": "SET a = :v", "ExpressionAttributeValues": {":v": value}}),
        ("Query", {"KeyConditionExpression": "id = :v", "ExpressionAttributeValues": {":v": value}}),
        ("Scan", {"ScanFilter": {"a": {"ComparisonOperator": "EQ", "AttributeValueList": [value]}}}),
    ]
    for operation, request in requests:
        assert await call.error(operation, TableName="things", **request)
    assert await call.error("BatchWriteItem", RequestItems={"things": [{"PutRequest": {"Item": {"id": value}}}]})
    assert await call.error("TransactWriteItems", TransactItems=[{"Put": {"TableName": "things", "Item": {"id": value}}}])
    assert await call.error("ExecuteStatement", Statement="SELECT * FROM things WHERE a = ?", Parameters=[value])


def test_updates_may_wrap_a_value_in_as_many_parentheses_as_fit() -> None:
    expressions = read({"UpdateExpression": "SET a = " + "(" * 2000 + "b" + ")" * 2000})
    assert expressions.update is not None
    assert expressions.update.apply(ITEM, {}) == {"a": {"N": "2"}, "b": {"N": "2"}}


async def test_statements_nested_too_deep_are_rejected(call: Caller) -> None:
    await call.table("things")
    for opening, closing in (("(", ")"), ("NOT ", ""), ("size(", ")")):
        statement = f"SELECT * FROM things WHERE {opening * 1000}a{closing * 1000} = 'x'"
        assert await call.complaint("ExecuteStatement", Statement=statement) == (
            "The expression contains too many operators; maximum operators: 300, operator count: 1000"
        )
    for opening, closing in (("[", "]"), ("{'a': ", "}"), ("<<", ">>")):
        for end in (closing * 1300, ""):
            statement = f"INSERT INTO things VALUE {{'a': {opening * 1300}1{end}}}"
            assert await call.complaint("ExecuteStatement", Statement=statement)
    answer = await call("ExecuteStatement", Statement="SELECT * FROM things WHERE " + "NOT (" * 150 + "a = 'x'" + ")" * 150)
    assert answer["Items"] == []
