"""Any sequence of operations, with restarts, returns what a simple model does; and a killed process loses no acknowledged write."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.services.dynamodb.caller import Caller, calling
from zonal.foundation.errors import AwsError

KEYS = st.sampled_from(["a", "b", "c"])
SORTS = st.sampled_from(["1", "2", "10"])
COLOURS = st.sampled_from(["red", "blue"])
Operation = tuple[Any, ...]
operations = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, SORTS, st.one_of(st.none(), COLOURS)),
        st.tuples(st.just("delete"), KEYS, SORTS),
        st.tuples(st.just("add"), KEYS, SORTS),
        st.tuples(st.just("guarded"), KEYS, SORTS, COLOURS),
        st.tuples(st.just("both"), KEYS, SORTS, SORTS),
        st.tuples(st.just("restart")),
    ),
    max_size=25,
)
Model = dict[tuple[str, str], dict[str, Any]]


@settings(deadline=None, max_examples=40)
@given(operations)
def test_any_sequence_of_operations_returns_what_the_model_does(
    tmp_path_factory: pytest.TempPathFactory, sequence: list[Operation]
) -> None:
    asyncio.run(_follow(tmp_path_factory.mktemp("region"), sequence))


async def _follow(directory: Path, sequence: list[Operation]) -> None:
    model: Model = {}
    runs: list[list[Operation]] = [[]]
    for operation in sequence:
        if operation[0] == "restart":
            runs.append([])
        else:
            runs[-1].append(operation)
    for number, run in enumerate(runs):
        async with calling(directory, throttles=False) as call:
            if number == 0:
                await call.table("model", keys="p:S s:N", indexes={"by-colour": "c:S s:N", "local": "p:S c:S LOCAL"})
            for operation in run:
                await _do(call, model, operation)
            await _compare(call, model)


async def _do(call: Caller, model: Model, operation: Operation) -> None:
    kind, p, s = operation[0], operation[1], operation[2]
    key = {"p": {"S": p}, "s": {"N": s}}
    if kind == "put":
        colour = {"c": {"S": operation[3]}} if operation[3] else {}
        await call("PutItem", TableName="model", Item=key | colour)
        model[p, s] = key | colour
    elif kind == "delete":
        await call("DeleteItem", TableName="model", Key=key)
        model.pop((p, s), None)
    elif kind == "add":
        one = {":one": {"N": "1"}}
        await call("UpdateItem", TableName="model", Key=key, UpdateExpression="ADD n :one", ExpressionAttributeValues=one)
        before = model.get((p, s), key)
        model[p, s] = before | {"n": {"N": str(int(before.get("n", {"N": "0"})["N"]) + 1)}}
    elif kind == "guarded":
        request = {"ConditionExpression": "attribute_not_exists(c)", "Item": key | {"c": {"S": operation[3]}}}
        try:
            await call("PutItem", TableName="model", **request)
            assert "c" not in model.get((p, s), {})
            model[p, s] = request["Item"]  # type: ignore[assignment]
        except AwsError:
            assert "c" in model[p, s]
    else:
        other = {"p": {"S": p}, "s": {"N": operation[3]}}
        writes = [{"Put": {"TableName": "model", "Item": key}}, {"Delete": {"TableName": "model", "Key": other}}]
        try:
            await call("TransactWriteItems", TransactItems=writes)
            assert s != operation[3]
            model[p, s] = key
            model.pop((p, operation[3]), None)
        except AwsError:
            assert s == operation[3]


async def _compare(call: Caller, model: Model) -> None:
    assert sorted(await call.items("model"), key=str) == sorted(model.values(), key=str)
    for p in ("a", "b", "c"):
        answer = await call("Query", TableName="model", KeyConditionExpression="p = :p", ExpressionAttributeValues={":p": {"S": p}})
        wanted = [model[key] for key in sorted((key for key in model if key[0] == p), key=lambda key: int(key[1]))]
        assert answer["Items"] == wanted
    for colour in ("red", "blue"):
        given = {"KeyConditionExpression": "c = :c", "ExpressionAttributeValues": {":c": {"S": colour}}}
        answer = await call("Query", TableName="model", IndexName="by-colour", **given)
        coloured = [item for item in model.values() if item.get("c") == {"S": colour}]
        assert sorted(answer["Items"], key=str) == sorted(coloured, key=str)
        assert [int(item["s"]["N"]) for item in answer["Items"]] == sorted(int(item["s"]["N"]) for item in coloured)
    table = (await call("DescribeTable", TableName="model"))["Table"]
    assert table["ItemCount"] == len(model)
    assert table["GlobalSecondaryIndexes"][0]["ItemCount"] == sum("c" in item for item in model.values())


KILLS = int(os.environ.get("ZONAL_DYNAMODB_KILLS", "5"))


def test_a_killed_process_loses_no_acknowledged_write_and_leaves_every_index_consistent(tmp_path: Path) -> None:
    """Five kills here; `ZONAL_DYNAMODB_KILLS=300` is the long run."""
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")
    source = random.Random(seed)
    acknowledged: dict[str, int] = {}
    for _ in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.services.dynamodb.writer_child", str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for _ in range(source.randrange(50, 400)):
            key, value = process.stdout.readline().split()
            acknowledged[key] = int(value)
        process.send_signal(signal.SIGKILL)
        for line in process.stdout:
            if line.endswith("\n"):
                key, value = line.split()
                acknowledged[key] = int(value)
        process.wait()
        process.stdout.close()
        asyncio.run(_check_survivors(tmp_path, acknowledged))


async def _check_survivors(directory: Path, acknowledged: dict[str, int]) -> None:
    async with calling(directory, throttles=False) as call:
        items = {item["a"]["S"]: item for item in await call.items("kept")}
        for key, value in acknowledged.items():
            assert int(items[key]["v"]["N"]) >= value
        entries = (await call("Scan", TableName="kept", IndexName="by-v"))["Items"]
        assert sorted(msgspec.json.encode(entry) for entry in entries) == sorted(msgspec.json.encode(item) for item in items.values())
        assert (await call("DescribeTable", TableName="kept"))["Table"]["ItemCount"] == len(items)
