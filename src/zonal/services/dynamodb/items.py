"""PutItem, GetItem, UpdateItem, DeleteItem.

A write is checked, decided on the accepted state of its item, and acknowledged when it is durable. A failed condition is reported after
the same wait, because it may depend on a write that is not yet durable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from zonal.dynamo import item_codec, keys
from zonal.dynamo.capacity_units import Cost, read_units
from zonal.dynamo.engine import DynamoEngine
from zonal.dynamo.error_messages import enveloped, with_newer_message
from zonal.dynamo.expressions import legacy
from zonal.dynamo.expressions.ast import Path
from zonal.dynamo.expressions.projections import project
from zonal.dynamo.expressions.request import NONE, Expressions
from zonal.dynamo.expressions.statement_size import least_size, statement_size
from zonal.dynamo.expressions.updates import Update
from zonal.dynamo.items import MAX_ITEM_SIZE, Item, settle_item, validation
from zonal.dynamo.keys import KEYSPACE_LENGTH, PARTITION_LENGTH
from zonal.dynamo.table import Table
from zonal.dynamo.table_writer import WriteBatch
from zonal.foundation.errors import AwsError
from zonal.services.dynamodb import large_requests
from zonal.services.dynamodb.parameters import (
    Guard,
    ItemChange,
    check_mixture,
    check_nested,
    check_operator,
    guard,
    projection,
    read_expressions,
    settle_key,
)
from zonal.services.dynamodb.requests import is_deep
from zonal.services.operation import Call, Parameters, operation

PARTITION_KEY_LENGTH = KEYSPACE_LENGTH + PARTITION_LENGTH
_TOO_LARGE = "Item size has exceeded the maximum allowed size"
_TOO_LARGE_UPDATE = "Item size to update has exceeded the maximum allowed size"


class ParsedWrite(NamedTuple):
    """A write, checked without its table: what it changes (None: a put, delete or condition check), and under which condition.

    `size` is the size of a put's item in bytes. `statement_size` and `least_size` are an update's: what its statement counts for, and what
    its values add at least to the item.
    """

    expressions: Expressions
    guard: Guard
    size: int = 0
    change: ItemChange | None = None
    statement_size: int = 0
    least_size: int = 0


class Write(NamedTuple):
    """A checked write: what it does to the item under `key`, and under which condition."""

    table: Table
    key: bytes
    guard: Guard
    change: ItemChange | None
    item: Item | None
    size: int
    expressions: Expressions
    key_item: Item
    least_size: int = 0

    def after(self, before: Item | None) -> tuple[Item | None, int]:
        """The item after the write (None: there is none), and its size. Raises `ValidationException` where the update does not fit it."""
        if self.change is None:
            return self.item, self.size
        return updated(self, before)


class Items:
    """Operations on single items."""

    def __init__(self, engine: DynamoEngine) -> None:
        self._engine = engine

    @operation("GetItem")
    async def get(self, call: Call, request: Parameters) -> bytes | dict[str, Any]:
        expressions, wanted = await large_requests.check(call, lambda: read_get(request))
        table = self._engine.table(request["TableName"])
        keys.check_key(request["Key"], table.schema)
        check_nested(expressions, table)
        key = table.schema.key(request["Key"])
        consistent = request.get("ConsistentRead", False)
        self._engine.limiter.admit(table, "Read", key[:PARTITION_KEY_LENGTH])
        found = self._engine.view(table, consistent=consistent).get(key)
        cost = Cost(read_units(item_codec.size_of(found), consistent=consistent))
        self._engine.limiter.consume(table, "Read", cost, key[:PARTITION_KEY_LENGTH])
        consumed = cost.consumed_capacity(table.name, request.get("ReturnConsumedCapacity"))
        if found is None:
            return {"ConsumedCapacity": consumed} if consumed else b"{}"
        json = item_codec.json_of(found) if wanted is None else msgspec.json.encode(project(wanted, item_codec.item_of(found)))
        capacity = b',"ConsumedCapacity":' + msgspec.json.encode(consumed) if consumed else b""
        return b'{"Item":' + json + capacity + b"}"

    @operation("PutItem")
    async def put(self, call: Call, request: Parameters) -> dict[str, Any]:
        parsed = await large_requests.check(call, lambda: _read_alone(read_put, request))
        write = fit_put(self._engine, request, parsed)
        return await self.make(call, request, write)

    @operation("DeleteItem")
    async def delete(self, call: Call, request: Parameters) -> dict[str, Any]:
        parsed = await large_requests.check(call, lambda: _read_alone(read_delete, request))
        write = fit_keyed(self._engine, request, parsed)
        return await self.make(call, request, write)

    @operation("UpdateItem")
    async def update(self, call: Call, request: Parameters) -> dict[str, Any]:
        parsed = await large_requests.check(call, lambda: _read_alone(read_update, request))
        write = fit_keyed(self._engine, request, parsed)
        if parsed.statement_size > MAX_ITEM_SIZE:
            raise Bare("ValidationException", _TOO_LARGE_UPDATE)
        return await self.make(call, request, write)

    async def make(self, call: Call, request: Parameters, write: Write) -> dict[str, Any]:
        """Make a checked write. Returns the response that the request asks for."""
        engine, table = self._engine, write.table
        reject_conflict(engine, write.key)
        before = engine.storage.latest(write.key)
        returns = request.get("ReturnValues") or "NONE"
        try:
            old = None
            if before is not None and (write.guard.reads_item or write.change is not None or returns != "NONE"):
                old = item_codec.item_of(before)
            write.guard.check(old)
            after, size = write.after(old)
        except AwsError as error:
            await self._failed(write, before, error)
            raise
        batch = WriteBatch()
        cost = engine.writer.change(batch, table, write.key, before, after, size, now=call.now)
        engine.limiter.admit_write(table, write.key[:PARTITION_KEY_LENGTH], cost)
        engine.limiter.consume(table, "Write", cost, write.key[:PARTITION_KEY_LENGTH])
        await engine.submit(batch)
        answer: dict[str, Any] = {}
        if returns != "NONE" and (attributes := _returned(returns, write, old, after)):
            answer["Attributes"] = attributes
        return add_write_costs(answer, request, write, cost)

    async def _failed(self, write: Write, before: bytes | None, error: AwsError) -> None:
        """Charge a failed write for its check of the item, and wait until the state that it depends on is durable."""
        engine = self._engine
        cost = Cost(float(-(-item_codec.size_of(before) // 1024) or 1))
        engine.limiter.consume(write.table, "Write", cost, write.key[:PARTITION_KEY_LENGTH])
        await engine.settled()


def reject_conflict(engine: DynamoEngine, key: bytes) -> None:
    """Raise `TransactionConflictException` if a transaction on the item is in flight."""
    if key in engine.in_transaction:
        raise AwsError("TransactionConflictException", "Transaction is ongoing for the item")


class Bare(AwsError):
    """An error that no operation puts into an envelope: an item is too large, or a deeply nested request is invalid."""


def read_get(request: Parameters) -> tuple[Expressions, tuple[Path, ...] | None]:
    """Check a GetItem without its table. Returns its expressions, and the paths to return (None: the whole item)."""
    if len(request) > 2:
        check_mixture(request, ("ProjectionExpression",), ("AttributesToGet",))
    try:
        settle_key(request["Key"])
    except AwsError as error:
        raise with_newer_message(error) from None
    if len(request) <= 2:
        return NONE, None
    wanted = projection(request, NONE)
    expressions = read_expressions(request)
    return expressions, expressions.projection or wanted


def _read_alone(read: Callable[..., ParsedWrite], request: Parameters) -> ParsedWrite:
    """Check a write that is a request of its own, not part of a transaction: its errors have an envelope."""
    try:
        return read(request, whole_request=True)
    except Bare:
        raise
    except AwsError as error:
        raise enveloped(error) from None


def read_put(request: Parameters, *, whole_request: bool = False) -> ParsedWrite:
    """Check a put without its table, in AWS's order. `whole_request`: it is not part of a transaction."""
    if whole_request:
        check_mixture(request, ("ConditionExpression",), ("Expected", "ConditionalOperator"))
    size = settle_item(request["Item"])
    if size > MAX_ITEM_SIZE:
        raise Bare("ValidationException", _TOO_LARGE)
    expressions = _checked_conditions(request) if len(request) > 2 else NONE
    return ParsedWrite(expressions, guard(request, expressions), size)


def read_delete(request: Parameters, *, whole_request: bool = False) -> ParsedWrite:
    """Check a delete without its table. A transaction checks the key last."""
    if whole_request:
        check_mixture(request, ("ConditionExpression",), ("Expected", "ConditionalOperator"))
        settle_key(request["Key"])
    expressions = _checked_conditions(request) if len(request) > 2 else NONE
    if not whole_request:
        settle_key(request["Key"])
    return ParsedWrite(expressions, guard(request, expressions))


def read_update(request: Parameters, *, whole_request: bool = False) -> ParsedWrite:
    """Check an update without its table. Only an UpdateItem is measured by its statement."""
    if whole_request:
        check_mixture(request, ("UpdateExpression", "ConditionExpression"), ("AttributeUpdates", "Expected", "ConditionalOperator"))
    settle_key(request["Key"])
    updates = legacy.AttributeUpdates(request.get("AttributeUpdates") or {})
    if request.get("Expected"):
        legacy.check_expected(request["Expected"])
    check_operator(request, "Expected")
    expressions = read_expressions(request)
    parsed = ParsedWrite(expressions, guard(request, expressions))
    update, values = expressions.update, expressions.values
    if update is None:
        return parsed._replace(change=updates, least_size=updates.least_size())
    charged = statement_size(update, values) if whole_request else 0
    return parsed._replace(change=update, statement_size=charged, least_size=least_size(update, values))


def read_condition(request: Parameters) -> ParsedWrite:
    """Check a transaction's condition check without its table."""
    settle_key(request["Key"])
    expressions = read_expressions(request)
    return ParsedWrite(expressions, guard(request, expressions))


def fit_put(engine: DynamoEngine, request: Parameters, parsed: ParsedWrite) -> Write:
    """Check a put against its table."""
    item, expressions = request["Item"], parsed.expressions
    table = engine.table(request["TableName"])
    keys.check_item(item, table.schema)
    if table.indexes:
        table.check_index_keys(item)
    check_nested(expressions, table)
    return Write(table, table.schema.key(item), parsed.guard, None, item, parsed.size, expressions, item)


def fit_keyed(engine: DynamoEngine, request: Parameters, parsed: ParsedWrite) -> Write:
    """Check a delete, an update or a condition check against its table."""
    key, expressions = request["Key"], parsed.expressions
    table = engine.table(request["TableName"])
    keys.check_key(key, table.schema)
    if parsed.change is not None:
        _check_change(parsed.change, table)
    check_nested(expressions, table)
    return Write(table, table.schema.key(key), parsed.guard, parsed.change, None, 0, expressions, key, parsed.least_size)


def _checked_conditions(request: Parameters) -> Expressions:
    if request.get("ReturnValues") not in (None, "ALL_OLD", "NONE"):
        raise (Bare if is_deep(request) else AwsError)("ValidationException", "ReturnValues can only be ALL_OLD or NONE")
    if request.get("Expected"):
        legacy.check_expected(request["Expected"])
    check_operator(request, "Expected")
    return read_expressions(request)


def _check_change(change: ItemChange, table: Table) -> None:
    heads = {path.steps[0] for path in change.paths}
    for name in table.key_names:
        if name in heads:
            raise validation(
                f"One or more parameter values were invalid: Cannot update attribute {name}. This attribute is part of the key"
            )
    if not table.indexes:
        return
    types = _known_types(change)
    for index in table.indexes:
        for part in index.schema.parts:
            actual = types.get(part.name)
            if actual is not None and actual != part.type:
                raise validation(
                    f"One or more parameter values were invalid: Type mismatch for Index Key {part.name}"
                    f" Expected: {part.type} Actual: {actual} IndexName: {index.name}"
                )


def _known_types(change: ItemChange) -> dict[str, str]:
    """The types of whole attributes after the update, as far as they do not depend on the item."""
    if isinstance(change, Update):
        whole = [action for action in change.actions if len(action.path.steps) == 1 and action.section in ("SET", "ADD")]
        return {str(action.path.steps[0]): action.type for action in whole if action.type is not None}
    return change.types if isinstance(change, legacy.AttributeUpdates) else {}


def updated(write: Write, before: Item | None) -> tuple[Item | None, int]:
    """The item after an update, and its size. A missing item is created from its key, unless the update only removes."""
    assert write.change is not None
    if before is None and _only_removes(write.change):
        return None, 0
    if write.least_size > MAX_ITEM_SIZE:
        raise validation(_TOO_LARGE_UPDATE)
    after = write.change.apply(write.key_item if before is None else before, write.expressions.values)
    size = settle_item(after)
    if size > MAX_ITEM_SIZE:
        raise validation(_TOO_LARGE_UPDATE)
    for index in write.table.indexes:
        for part in index.schema.parts:
            found = after.get(part.name)
            if found is not None and part.type not in found:
                raise validation("The update expression attempted to update the secondary index key to unsupported type")
    if write.table.indexes:
        write.table.check_index_keys(after)
    return after, size


def _only_removes(change: ItemChange) -> bool:
    if isinstance(change, Update):
        return bool(change.actions) and all(action.section in ("REMOVE", "DELETE") for action in change.actions)
    return isinstance(change, legacy.AttributeUpdates) and change.only_deletes


def _returned(returns: str, write: Write, old: Item | None, after: Item | None) -> Item | None:
    if returns == "ALL_OLD":
        return old
    if returns == "ALL_NEW":
        return after
    item = old if returns == "UPDATED_OLD" else after
    return None if item is None or write.change is None else project(write.change.paths, item)


def add_write_costs(answer: dict[str, Any], request: Parameters, write: Write, cost: Cost) -> dict[str, Any]:
    """Add the consumed capacity and item collection metrics that the request asks for to a write's response."""
    if consumed := cost.consumed_capacity(write.table.name, request.get("ReturnConsumedCapacity")):
        answer["ConsumedCapacity"] = consumed
    if request.get("ReturnItemCollectionMetrics") == "SIZE" and (metrics := collection_metrics(write)):
        answer["ItemCollectionMetrics"] = metrics
    return answer


def collection_metrics(write: Write) -> dict[str, Any] | None:
    """The item collection metrics of a write; None for a table without local indexes."""
    if not write.table.has_local:
        return None
    name = write.table.key_names[0]
    return {"ItemCollectionKey": {name: write.key_item[name]}, "SizeEstimateRangeGB": [0.0, 1.0]}
