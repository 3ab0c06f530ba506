"""TransactGetItems and TransactWriteItems.

All actions are decided at once on the accepted state and submitted together, so transactions are serialisable. Until the commit, other
writes to the items are rejected with DynamoDB's conflict error. The client token is stored in the same commit for ten minutes, so a
repeated request changes nothing, also after a crash.
(Developer Guide, "Amazon DynamoDB Transactions: How it works"; API Reference, `TransactionCanceledException`.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import msgspec

from zonal.dynamo import item_codec, keys
from zonal.dynamo.capacity_units import Cost, read_units, write_units
from zonal.dynamo.engine import DynamoEngine
from zonal.dynamo.expressions.projections import project
from zonal.dynamo.expressions.request import Expressions
from zonal.dynamo.items import Item, validation
from zonal.dynamo.table import Table
from zonal.dynamo.table_writer import WriteBatch
from zonal.foundation.errors import AwsError
from zonal.services.dynamodb import large_requests
from zonal.services.dynamodb.items import (
    PARTITION_KEY_LENGTH,
    ParsedWrite,
    Write,
    collection_metrics,
    fit_keyed,
    fit_put,
    read_condition,
    read_delete,
    read_put,
    read_update,
)
from zonal.services.dynamodb.parameters import check_nested, read_expressions, settle_key
from zonal.services.operation import Call, Parameters, operation

Fitting = TypeVar("Fitting")
MAX_ITEMS = 100
MAX_BYTES = 4 * 1024 * 1024
TOKEN_SECONDS = 600
_TOKENS = b"\x00\x00\x00\x00token"
_INVALID_ACTION = "The action or operation requested is invalid. Verify that the action is typed correctly."


class ActionKind(NamedTuple):
    """How an action of a transaction is checked: first alone, then against its table."""

    read: Callable[[Parameters], ParsedWrite]
    fit: Callable[[DynamoEngine, Parameters, ParsedWrite], Write]


_ACTIONS = {
    "Put": ActionKind(read_put, fit_put),
    "Delete": ActionKind(read_delete, fit_keyed),
    "Update": ActionKind(read_update, fit_keyed),
    "ConditionCheck": ActionKind(read_condition, fit_keyed),
}


class ParsedAction(NamedTuple):
    """An action of a transaction, checked without its table."""

    kind: str
    request: Parameters
    write: ParsedWrite


class Transactions:
    """Operations on several items, all or none."""

    def __init__(self, engine: DynamoEngine) -> None:
        self._engine = engine

    @operation("TransactWriteItems")
    async def write(self, call: Call, request: Parameters) -> dict[str, Any]:
        actions, digest = await large_requests.check(call, lambda: _read_writes(request))
        writes = _all_fitting([partial(_ACTIONS[each.kind].fit, self._engine, each.request, each.write) for each in actions])
        kinds = [each.kind for each in actions]
        return await self.make(call, request, list(zip(kinds, writes, strict=True)), digest=digest)

    async def make(self, call: Call, request: Parameters, writes: list[tuple[str, Write]], *, digest: bytes) -> dict[str, Any]:
        """Make checked writes, all or none. A repeated request under the same token must have the same `digest` (`digest_of`)."""
        engine = self._engine
        token = request.get("ClientRequestToken")
        if token is not None and self._was_done(token, digest, call):
            return _response(request, [(write, self._reread(write)) for _, write in writes], {}, "Read")
        if len({write.key for _, write in writes}) != len(writes):
            raise validation("Transaction request cannot include multiple operations on one item")
        batch = WriteBatch()
        costs = await self._decide(writes, batch, call)
        for write, cost in costs:
            engine.limiter.admit_write(write.table, write.key[:PARTITION_KEY_LENGTH], cost)
        for write, cost in costs:
            engine.limiter.consume(write.table, "Write", cost, write.key[:PARTITION_KEY_LENGTH])
        if token is not None:
            expiry = int(call.now.timestamp()) + TOKEN_SECONDS
            batch.changes[_TOKENS + token.encode()] = expiry.to_bytes(8, "big") + digest
        held = {write.key for write, _ in costs}
        engine.in_transaction |= held
        try:
            await engine.submit(batch)
        finally:
            engine.in_transaction -= held
        metrics: dict[str, list[Any]] = {}
        if request.get("ReturnItemCollectionMetrics") == "SIZE":
            for write, _ in costs:
                if metric := collection_metrics(write):
                    metrics.setdefault(write.table.name, []).append(metric)
        return _response(request, costs, metrics, "Write")

    @operation("TransactGetItems")
    async def get(self, call: Call, request: Parameters) -> dict[str, Any]:
        engine = self._engine
        asked = [entry["Get"] for entry in request["TransactItems"]]
        expressions = await large_requests.check(call, lambda: [_read_get(ask) for ask in asked])
        reads = _all_fitting([partial(_checked_read, engine, ask, each) for ask, each in zip(asked, expressions, strict=True)])
        if len({key for _, key, _ in reads}) != len(reads):
            raise validation("Transaction request cannot include multiple operations on one item")
        if any(key in engine.in_transaction for _, key, _ in reads):
            busy = _reason("TransactionConflict", "Transaction is ongoing for the item")
            raise cancelled([busy if key in engine.in_transaction else _reason() for _, key, _ in reads])
        answers: list[dict[str, Any]] = []
        costs: dict[str, Cost] = {}
        size = 0
        for table, key, wanted in reads:
            engine.limiter.admit(table, "Read", key[:PARTITION_KEY_LENGTH])
            value = engine.storage.get(key)
            size += item_codec.size_of(value)
            cost = Cost(2 * read_units(item_codec.size_of(value), consistent=True))
            costs.setdefault(table.name, Cost()).add(cost)
            engine.limiter.consume(table, "Read", cost, key[:PARTITION_KEY_LENGTH])
            answers.append(_shown(value, wanted))
        if size > MAX_BYTES:
            raise validation("Aggregated size of items in transaction exceeds the limit of 4 MB")
        answer: dict[str, Any] = {"Responses": answers}
        consumed = [cost.consumed_capacity(name, request.get("ReturnConsumedCapacity"), kind="Read") for name, cost in costs.items()]
        if any(consumed):
            answer["ConsumedCapacity"] = consumed
        return answer

    def _reread(self, write: Write) -> Cost:
        """The cost of a repeated write: that of reading its item."""
        return Cost(2 * read_units(item_codec.size_of(self._engine.storage.latest(write.key)), consistent=True))

    async def _decide(self, writes: list[tuple[str, Write]], batch: WriteBatch, call: Call) -> list[tuple[Write, Cost]]:
        """Add every change to the batch, or raise the cancellation with its reasons."""
        engine = self._engine
        reasons: list[dict[str, Any]] = []
        costs: list[tuple[Write, Cost]] = []
        size = 0
        for kind, write in writes:
            before = engine.storage.latest(write.key)
            old = None if before is None else item_codec.item_of(before)
            try:
                if write.key in engine.in_transaction:
                    raise AwsError("TransactionConflict", "Transaction is ongoing for the item")
                write.guard.check(old)
                if kind == "ConditionCheck":
                    cost = Cost(write_units(item_codec.size_of(before), 0))
                else:
                    after, after_size = write.after(old)
                    size += after_size
                    cost = engine.writer.change(batch, write.table, write.key, before, after, after_size, now=call.now)
                costs.append((write, cost.times(2)))
                reasons.append(_reason())
            except keys.EmptyKey:
                raise
            except AwsError as error:
                reasons.append(_failure(error))
        if size > MAX_BYTES:
            too_large = "Transaction payload size cannot exceed 4MB. Payload Size: "
            raise validation(f"{too_large}: {too_large}{size}")
        if any(reason["Code"] != "None" for reason in reasons):
            await engine.settled()
            raise cancelled(reasons)
        return costs

    def _was_done(self, token: str, digest: bytes, call: Call) -> bool:
        held = self._engine.storage.latest(_TOKENS + token.encode())
        if held is None or int.from_bytes(held[:8], "big") < call.now.timestamp():
            return False
        if held[8:] != digest:
            message = "The Idempotency token is already in use with different request parameters"
            raise AwsError("IdempotentParameterMismatchException", message)
        return True


def _read_get(ask: Parameters) -> Expressions:
    settle_key(ask["Key"])
    return read_expressions(ask)


def _checked_read(engine: DynamoEngine, ask: Parameters, expressions: Expressions) -> tuple[Table, bytes, Any]:
    table = engine.table(ask["TableName"])
    keys.check_key(ask["Key"], table.schema)
    check_nested(expressions, table)
    return table, table.schema.key(ask["Key"]), expressions.projection


def cancelled(reasons: list[dict[str, Any]]) -> AwsError:
    """The error of a cancelled transaction, with the reason for each action."""
    codes = ", ".join(reason["Code"] for reason in reasons)
    return AwsError(
        "TransactionCanceledException",
        f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]",
        fields={"CancellationReasons": reasons},
    )


def _read_writes(request: Parameters) -> tuple[list[ParsedAction], bytes]:
    """Check the actions without their tables. Returns them, and the digest that identifies a repeated request.

    AWS checks all actions before it looks up a table. A mismatch with a table is a reason for cancellation.
    """
    actions: list[ParsedAction] = []
    for entry in request["TransactItems"]:
        kinds = [kind for kind in _ACTIONS if entry.get(kind) is not None]
        if not kinds:
            raise validation(_INVALID_ACTION)
        if len(kinds) > 1:
            raise validation("TransactItems can only contain one of Check, Put, Update or Delete")
        [kind] = kinds
        actions.append(ParsedAction(kind, entry[kind], _ACTIONS[kind].read(entry[kind])))
    return actions, digest_of(request, request["TransactItems"])


def _all_fitting(checks: list[Callable[[], Fitting]]) -> list[Fitting]:
    """The results of the checks. Raises the cancellation, whose only reason is the first failed check, or `EmptyKey`."""
    found: list[Fitting] = []
    reasons: list[dict[str, Any]] = []
    for at, check in enumerate(checks):
        try:
            found.append(check())
            reasons.append(_reason())
        except keys.EmptyKey:
            raise
        except AwsError as error:
            failure = _failure(error)
            reasons.append(failure if len(found) == at else _reason())
    if len(found) < len(checks):
        raise cancelled(reasons)
    return found


def digest_of(request: Parameters, identity: Any) -> bytes:
    """The digest of `identity`, which a repeated request under the same token must equal; empty without a token."""
    if request.get("ClientRequestToken") is None:
        return b""
    return hashlib.sha256(msgspec.json.encode(identity, order="sorted")).digest()


def _reason(code: str = "None", message: str = "") -> dict[str, Any]:
    return {"Code": code, "Message": message} if message else {"Code": code}


def _failure(error: AwsError) -> dict[str, Any]:
    code = {
        "ConditionalCheckFailedException": "ConditionalCheckFailed",
        "ValidationException": "ValidationError",
        "TransactionConflict": "TransactionConflict",
        "DuplicateItemException": "DuplicateItem",
    }.get(error.code)
    if code is None:
        raise error
    return _reason(code, error.message) | dict(error.fields)


def _shown(value: bytes | None, wanted: Any) -> dict[str, Any]:
    if value is None:
        return {}
    item: Item = item_codec.item_of(value)
    return {"Item": item if wanted is None else project(wanted, item)}


def _response(request: Parameters, costs: list[tuple[Write, Cost]], metrics: dict[str, list[Any]], kind: str) -> dict[str, Any]:
    sums: dict[str, Cost] = {}
    for write, cost in costs:
        sums.setdefault(write.table.name, Cost()).add(cost)
    answer: dict[str, Any] = {}
    consumed = [cost.consumed_capacity(name, request.get("ReturnConsumedCapacity"), kind=kind) for name, cost in sums.items()]
    if any(consumed):
        answer["ConsumedCapacity"] = consumed
    if metrics:
        answer["ItemCollectionMetrics"] = metrics
    return answer
