"""Large requests are checked in a thread, and sets are combined in linear time."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.unit.services.dynamodb.caller import Caller
from zonal.dynamo import numbers
from zonal.dynamo.items import set_difference, set_union
from zonal.foundation.errors import AwsError

SIZES = pytest.mark.parametrize("length", [5, 20_000])
KEY = {"a": {"S": "1"}}


def value(length: int) -> dict[str, Any]:
    """A list of `length` numbers."""
    return {"L": [{"N": "1"}] * length}


def large_value(length: int, kind: str) -> dict[str, Any]:
    """The parameters of a request whose expression compares with a long value."""
    return {kind: "v = :v", "ExpressionAttributeValues": {":v": value(length)}}


def requests(length: int) -> list[tuple[str, dict[str, Any]]]:
    """Each operation with a value of `length` numbers. No write changes an item, because the new item is checked on the event loop."""
    condition = large_value(length, "ConditionExpression")
    expected = {"Expected": {"v": {"ComparisonOperator": "EQ", "AttributeValueList": [value(length)]}}}
    actions = [
        {"Put": {"TableName": "things", "Item": KEY | {"v": value(length)}, "ConditionExpression": "attribute_exists(a)"}},
        {"Delete": {"TableName": "things", "Key": {"a": {"S": "2"}}} | condition},
        {"ConditionCheck": {"TableName": "things", "Key": {"a": {"S": "3"}}} | condition},
        {"Update": {"TableName": "things", "Key": {"a": {"S": "4"}}, "UpdateExpression": "SET v = :v"} | condition},
    ]
    statement = {"Statement": "DELETE FROM things WHERE a = '1' AND v = ?", "Parameters": [value(length)]}
    insert = {"Statement": "INSERT INTO things VALUE {'a': '1', 'v': ?}", "Parameters": [value(length)]}
    scanned = {"Segment": 0, "TotalSegments": 1}
    return [
        ("PutItem", {"TableName": "things", "Item": KEY | {"v": value(length)}}),
        ("PutItem", {"TableName": "things", "Item": KEY, **condition}),
        ("UpdateItem", {"TableName": "things", "Key": KEY, "UpdateExpression": "SET v = :v", **condition}),
        ("UpdateItem", {"TableName": "things", "Key": KEY, "AttributeUpdates": {"v": {"Value": value(length)}}, **expected}),
        ("DeleteItem", {"TableName": "things", "Key": KEY, **condition}),
        ("Query", {"TableName": "things", "KeyConditionExpression": "a = :k", **_with_key(large_value(length, "FilterExpression"))}),
        ("Scan", {"TableName": "things", **scanned, **large_value(length, "FilterExpression")}),
        ("BatchWriteItem", {"RequestItems": {"things": [{"PutRequest": {"Item": KEY | {"v": value(length)}}}]}}),
        *(("TransactWriteItems", {"TransactItems": [action]}) for action in actions),
        ("ExecuteStatement", statement),
        ("ExecuteStatement", insert),
        ("BatchExecuteStatement", {"Statements": [statement]}),
        ("ExecuteTransaction", {"TransactStatements": [statement]}),
    ]


def _with_key(request: dict[str, Any]) -> dict[str, Any]:
    request["ExpressionAttributeValues"][":k"] = {"S": "1"}
    return request


@SIZES
@pytest.mark.parametrize("at", range(len(requests(1))))
async def test_the_values_of_a_large_request_are_checked_in_a_thread(
    call: Caller, monkeypatch: pytest.MonkeyPatch, length: int, at: int
) -> None:
    await call.table("things")
    on_loop = record_threads(monkeypatch)
    operation, request = requests(length)[at]
    try:
        await call(operation, **request)
    except AwsError as error:
        assert error.code in ("ConditionalCheckFailedException", "TransactionCanceledException")
    assert on_loop and set(on_loop) == {length == 5}


def record_threads(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Records for each number that is checked whether that is in the thread of the event loop."""
    on_loop: list[bool] = []
    canonical = numbers.canonical

    def recorded(text: str) -> str:
        on_loop.append(threading.current_thread() is threading.main_thread())
        return canonical(text)

    monkeypatch.setattr(numbers, "canonical", recorded)
    return on_loop


@pytest.mark.parametrize("operation", ["PutItem", "TransactWriteItems"])
async def test_the_reason_of_a_rejected_large_request_is_found_in_a_thread(
    call: Caller, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    from zonal.services.dynamodb import requests as checks

    await call.table("things")
    on_loop: list[bool] = []
    explain = checks.explain

    def recorded(*arguments: Any) -> Any:
        on_loop.append(threading.current_thread() is threading.main_thread())
        return explain(*arguments)

    monkeypatch.setattr(checks, "explain", recorded)
    put = {"TableName": "things", "Item": KEY | {"v": {"L": [*value(20_000)["L"], {"N": "x"}]}}}
    error = await call.error(operation, **(put if operation == "PutItem" else {"TransactItems": [{"Put": put}]}))
    assert "The parameter cannot be converted to a numeric value: x" in error.message
    assert on_loop and not any(on_loop)


@pytest.mark.parametrize("action", ["SET v = :v", "SET v = list_append(:v, :v)"])
async def test_an_update_whose_values_alone_are_too_large_is_rejected_before_it_is_made(
    call: Caller, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    await call.table("things")
    on_loop = record_threads(monkeypatch)
    update = {"TableName": "things", "Key": KEY, "UpdateExpression": action, "ExpressionAttributeValues": {":v": value(150_000)}}
    error = await call.error("TransactWriteItems", TransactItems=[{"Update": update}])
    assert "Item size to update has exceeded the maximum allowed size" in str(error.fields)
    assert on_loop and not any(on_loop)
    legacy = {"AttributeUpdates": {"v": {"Value": value(150_000)}}}
    assert "Item size to update has exceeded" in await call.complaint("UpdateItem", TableName="things", Key=KEY, **legacy)
    assert not any(on_loop)


class Member(str):
    """A member of a set that counts how often it is compared."""

    comparisons = 0

    def __eq__(self, other: object) -> bool:
        Member.comparisons += 1
        return super().__eq__(other)

    __hash__ = str.__hash__


def test_sets_are_combined_with_a_few_comparisons_for_each_member() -> None:
    first, second = [Member(number) for number in range(2000)], [Member(number) for number in range(1000, 3000)]
    Member.comparisons = 0
    assert set_union(first, second) == [str(number) for number in range(3000)]
    assert set_difference(first, second) == [str(number) for number in range(1000)]
    assert Member.comparisons < 10 * 4000
