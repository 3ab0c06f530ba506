"""BatchGetItem and BatchWriteItem.

The writes of a batch are decided and submitted together, but do not depend on each other: throttled ones are returned as unprocessed.
A batch read stops at 16 MB and returns the remaining keys.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from zonal.dynamo import item_codec, keys
from zonal.dynamo.capacity_units import Cost, read_units
from zonal.dynamo.engine import DynamoEngine
from zonal.dynamo.error_messages import with_newer_message
from zonal.dynamo.expressions.ast import Path
from zonal.dynamo.expressions.projections import project
from zonal.dynamo.expressions.request import NONE, Expressions
from zonal.dynamo.items import MAX_ITEM_SIZE, Item, settle_item, validation
from zonal.dynamo.table import Table
from zonal.dynamo.table_writer import WriteBatch
from zonal.foundation.errors import AwsError
from zonal.services.dynamodb import large_requests
from zonal.services.dynamodb.items import PARTITION_KEY_LENGTH, Write, collection_metrics
from zonal.services.dynamodb.parameters import Guard, check_mixture, check_nested, projection, read_expressions, settle_key
from zonal.services.operation import Call, Parameters, operation

MAX_READ_BYTES = 16 * 1024 * 1024
MAX_KEYS = 100
MAX_WRITES = 25
_THROTTLED = ("ProvisionedThroughputExceededException", "ThrottlingException")


class Batches:
    """Operations on several independent items."""

    def __init__(self, engine: DynamoEngine) -> None:
        self._engine = engine

    @operation("BatchGetItem")
    async def get(self, call: Call, request: Parameters) -> bytes:
        projections = await large_requests.check(call, lambda: _read_keys(request["RequestItems"]))
        reads = _checked_reads(self._engine, request["RequestItems"], projections)
        found: dict[str, list[bytes]] = {}
        unprocessed: dict[str, Any] = {}
        costs: dict[str, Cost] = {}
        left = MAX_READ_BYTES
        for read in reads:
            found[read.name] = []
            cost = costs.setdefault(read.table.name, Cost())
            view = self._engine.view(read.table, consistent=read.consistent)
            for key, item_key in zip(read.keys, read.request["Keys"], strict=True):
                try:
                    self._engine.limiter.admit(read.table, "Read", key[:PARTITION_KEY_LENGTH])
                except AwsError:
                    unprocessed.setdefault(read.name, read.request | {"Keys": []})["Keys"].append(item_key)
                    continue
                value = view.get(key)
                if left < item_codec.size_of(value):
                    unprocessed.setdefault(read.name, read.request | {"Keys": []})["Keys"].append(item_key)
                    continue
                left -= item_codec.size_of(value)
                own = Cost(read_units(item_codec.size_of(value), consistent=read.consistent))
                cost.add(own)
                self._engine.limiter.consume(read.table, "Read", own, key[:PARTITION_KEY_LENGTH])
                if value is not None:
                    found[read.name].append(read.shown(value))
        _check_any_done(unprocessed, costs)
        return _read_response(found, unprocessed, costs, request.get("ReturnConsumedCapacity"))

    @operation("BatchWriteItem")
    async def write(self, call: Call, request: Parameters) -> dict[str, Any]:
        engine = self._engine
        sizes = await large_requests.check(call, lambda: _settled(request["RequestItems"]))
        writes = _checked_writes(engine, request["RequestItems"], sizes)
        batch = WriteBatch()
        unprocessed: dict[str, list[Parameters]] = {}
        costs: dict[str, Cost] = {}
        metrics: dict[str, list[Any]] = {}
        for name, raw, write in writes:
            cost = self._decide(batch, write, call)
            if cost is None:
                unprocessed.setdefault(name, []).append(raw)
                continue
            costs.setdefault(write.table.name, Cost()).add(cost)
            if request.get("ReturnItemCollectionMetrics") == "SIZE" and (metric := collection_metrics(write)):
                metrics.setdefault(name, []).append(metric)
        _check_any_done(unprocessed, costs)
        await engine.submit(batch)
        answer: dict[str, Any] = {"UnprocessedItems": unprocessed}
        consumed = [cost.consumed_capacity(name, request.get("ReturnConsumedCapacity")) for name, cost in costs.items()]
        if any(consumed):
            answer["ConsumedCapacity"] = consumed
        if metrics:
            answer["ItemCollectionMetrics"] = metrics
        return answer

    def _decide(self, batch: WriteBatch, write: Write, call: Call) -> Cost | None:
        """Add one write to the batch; None if it is throttled or a transaction on its item is in flight."""
        engine = self._engine
        if write.key in engine.in_transaction:
            return None
        before = engine.storage.latest(write.key)
        trial = WriteBatch()
        cost = engine.writer.change(trial, write.table, write.key, before, write.item, write.size, now=call.now)
        try:
            engine.limiter.admit_write(write.table, write.key[:PARTITION_KEY_LENGTH], cost)
        except AwsError:
            return None
        engine.limiter.consume(write.table, "Write", cost, write.key[:PARTITION_KEY_LENGTH])
        batch.take(trial)
        return cost


class TableRead(NamedTuple):
    """The keys that a batch reads from one table, under the name in the request."""

    name: str
    table: Table
    keys: list[bytes]
    consistent: bool
    wanted: tuple[Path, ...] | None
    request: Parameters

    def shown(self, value: bytes) -> bytes:
        return item_codec.json_of(value) if self.wanted is None else msgspec.json.encode(project(self.wanted, item_codec.item_of(value)))


def _read_keys(request: dict[str, Parameters]) -> list[Expressions]:
    """Check a batch read as far as possible without its tables, and settle its keys. Returns the expressions for each table."""
    checked = []
    count = 0
    _check_one_language(request)
    for each in request.values():
        check_mixture(each, ("ProjectionExpression",), ("AttributesToGet",))
        projection(each, NONE)
        expressions = read_expressions(each)
        seen: set[bytes] = set()
        for key in each["Keys"]:
            try:
                settle_key(key)
            except AwsError as error:
                raise with_newer_message(error) from None
            identity = msgspec.json.encode(key, order="sorted")
            if identity in seen:
                raise validation("Provided list of item keys contains duplicates")
            seen.add(identity)
            count += 1
            if count > MAX_KEYS:
                raise validation("Too many items requested for the BatchGetItem call")
        checked.append(expressions)
    return checked


def _checked_reads(engine: DynamoEngine, request: dict[str, Parameters], checked: list[Expressions]) -> list[TableRead]:
    reads = []
    for (name, each), expressions in zip(request.items(), checked, strict=True):
        table = engine.table(name)
        for key in each["Keys"]:
            keys.check_key(key, table.schema)
        check_nested(expressions, table)
        places = [table.schema.key(key) for key in each["Keys"]]
        reads.append(TableRead(name, table, places, each.get("ConsistentRead", False), projection(each, expressions), each))
    return reads


def _check_one_language(request: dict[str, Parameters]) -> None:
    """Reject expressions for one table together with legacy parameters for another."""
    if any(each.get("ProjectionExpression") is not None for each in request.values()):
        mixed: Parameters = {}
        for each in request.values():
            mixed |= {name: value for name, value in each.items() if value is not None}
        check_mixture(mixed, ("ProjectionExpression",), ("AttributesToGet",))


def _settled(request: dict[str, list[Parameters]]) -> list[int]:
    """Settle all items and keys of a batch write. Returns the size of each item in bytes, 0 for a deletion."""
    sizes: list[int] = []
    for entries in request.values():
        for entry in entries:
            sizes.append(_settle_entry(entry))
            if len(sizes) > MAX_WRITES:
                raise validation("Too many items requested for the BatchWriteItem call")
    return sizes


def _checked_writes(engine: DynamoEngine, request: dict[str, list[Parameters]], sizes: list[int]) -> list[tuple[str, Parameters, Write]]:
    writes: list[tuple[str, Parameters, Write]] = []
    for name, entries in request.items():
        table = engine.table(name)
        seen: set[bytes] = set()
        for entry in entries:
            write = _write_of(table, entry, sizes[len(writes)])
            if write.key in seen:
                raise validation("Provided list of item keys contains duplicates")
            seen.add(write.key)
            writes.append((name, entry, write))
    return writes


def _settle_entry(entry: Parameters) -> int:
    put, delete = entry.get("PutRequest"), entry.get("DeleteRequest")
    if (put is None) == (delete is None):
        raise validation("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
    if delete is not None:
        settle_key(delete["Key"])
        return 0
    assert put is not None
    size = settle_item(put["Item"])
    if size > MAX_ITEM_SIZE:
        raise validation("Item size has exceeded the maximum allowed size")
    return size


def _write_of(table: Table, entry: Parameters, size: int) -> Write:
    guard = Guard(None, {}, False)
    if "DeleteRequest" in entry:
        key: Item = entry["DeleteRequest"]["Key"]
        keys.check_key(key, table.schema)
        return Write(table, table.schema.key(key), guard, None, None, 0, NONE, key)
    item: Item = entry["PutRequest"]["Item"]
    keys.check_key_of_item(item, table.schema)
    table.check_index_keys(item)
    return Write(table, table.schema.key(item), guard, None, item, size, NONE, item)


def _check_any_done(unprocessed: dict[str, Any], costs: dict[str, Cost]) -> None:
    if unprocessed and not any(cost.total for cost in costs.values()):
        raise AwsError(
            "ProvisionedThroughputExceededException",
            "The level of configured provisioned throughput for one or more global secondary indexes of the table was exceeded."
            " Consider increasing your provisioning level for the under-provisioned global secondary indexes with the UpdateTable API",
        )


def _read_response(found: dict[str, list[bytes]], unprocessed: Parameters, costs: dict[str, Cost], wanted: str | None) -> bytes:
    tables = b",".join(msgspec.json.encode(name) + b":[" + b",".join(items) + b"]" for name, items in found.items())
    parts = [b'{"Responses":{', tables, b'},"UnprocessedKeys":', msgspec.json.encode(unprocessed)]
    consumed = [cost.consumed_capacity(name, wanted) for name, cost in costs.items()]
    if any(consumed):
        parts += [b',"ConsumedCapacity":', msgspec.json.encode(consumed)]
    return b"".join([*parts, b"}"])
