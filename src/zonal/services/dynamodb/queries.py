"""Query and Scan: check a request in AWS's order, and return one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from zonal.dynamo import item_codec, keys
from zonal.dynamo.capacity_units import Cost, read_units
from zonal.dynamo.engine import DynamoEngine
from zonal.dynamo.error_messages import TwoMessages, enveloped, with_newer_message
from zonal.dynamo.expressions import legacy
from zonal.dynamo.expressions.ast import Condition, Path, compares
from zonal.dynamo.expressions.key_conditions import KeyCondition
from zonal.dynamo.expressions.request import Expressions
from zonal.dynamo.item_pages import ItemPage, PageRequest, query_range, read_page, scan_range
from zonal.dynamo.items import Item, equal, settle, validation
from zonal.dynamo.keys import Schema
from zonal.dynamo.table import Index, Table
from zonal.foundation.errors import AwsError
from zonal.services.dynamodb import large_requests
from zonal.services.dynamodb.parameters import (
    check_mixture,
    check_nested,
    check_operator,
    projection,
    read_expressions,
)
from zonal.services.operation import Call, Parameters, operation

_BAD_START = "The provided starting key is invalid"
_INVALID = "One or more parameter values were invalid: "


class Queries:
    """Operations that read many items of one table or index."""

    def __init__(self, engine: DynamoEngine) -> None:
        self._engine = engine

    @operation("Query")
    async def query(self, call: Call, request: Parameters) -> bytes:
        expressions, filter, conditions = await large_requests.check(call, lambda: _read_query(request))
        table, index, schema = self._target(request)
        if len(conditions) not in (1, 2) and len(schema.parts) <= 2:
            if expressions.key_conditions is not None:
                raise validation(
                    f"The number of query conditions ({len(conditions)}) exceeds the number of key attributes"
                    f" defined in the schema ({len(schema.parts)})"
                )
            raise validation("Conditions can be of length 1 or 2 only")
        start = request.get("ExclusiveStartKey")
        _check_start_shape(start, table, index)
        partition, sort = _checked_conditions(conditions, schema, start)
        _check_start_place(start, table, schema, partition, sort)
        names = expressions.filter_paths if request.get("QueryFilter") is None else frozenset(request["QueryFilter"])
        what = "Filter Expression" if request.get("QueryFilter") is None else "QueryFilter"
        for part in schema.parts:
            if part.name in names:
                raise validation(f"{what} can only contain non-primary key attributes: Primary key attribute: {part.name}")
        if index is not None and (beyond := sorted(names - index.attributes)) and not index.projects_all:
            raise validation(
                f"{_INVALID}Secondary index {index.name} does not project one or more filter attributes: [{', '.join(beyond)}]"
            )
        check_nested(expressions, table)
        low, high = query_range(schema, partition, sort)
        reverse = request.get("ScanIndexForward") is False
        low, high = _behind_start(start, table, index, low, high, reverse)
        page_request = self._page_request(request, table, index, expressions, filter)
        return self._page(request, table, index, schema, page_request, low, high, reverse, partition=schema.partition_prefix(partition))

    @operation("Scan")
    async def scan(self, call: Call, request: Parameters) -> bytes:
        expressions, filter = await large_requests.check(call, lambda: _read_scan(request))
        segment, segments = _segment(request)
        table, index, schema = self._target(request)
        start = request.get("ExclusiveStartKey")
        if start is not None:
            if index is not None:
                _check_start_shape(start, table, index)
            _check_start_types(start, table, index)
        check_nested(expressions, table)
        low, high = scan_range(schema.keyspace, segment, segments)
        if start is not None:
            place = _place(start, table, index)
            if not low <= place < high:
                raise validation(
                    f"{_BAD_START}: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment."
                    f" TotalSegments: {segments} Segment: {segment}"
                )
            low = place + b"\x00"
        page_request = self._page_request(request, table, index, expressions, filter)
        return self._page(request, table, index, schema, page_request, low, high, reverse=False)

    def _target(self, request: Parameters) -> tuple[Table, Index | None, Schema]:
        table = self._engine.table(request["TableName"])
        name = request.get("IndexName")
        if name is None:
            return table, None, table.schema
        index = table.by_name.get(name)
        if index is None:
            if any(each.name == name for each in table.indexes):
                raise validation(f"Cannot read from backfilling global secondary index: {name}")
            raise validation(f"The table does not have the specified index: {name}")
        if index.is_global and request.get("ConsistentRead"):
            raise validation("Consistent reads are not supported on global secondary indexes")
        return table, index, index.schema

    def _page_request(
        self, request: Parameters, table: Table, index: Index | None, expressions: Expressions, filter: Condition | None
    ) -> PageRequest:
        select = request.get("Select")
        wanted = projection(request, expressions)
        fetch = None
        if index is not None and not index.projects_all:
            needed = _heads(wanted)
            beyond = select == "ALL_ATTRIBUTES" or (select != "COUNT" and not needed <= index.attributes)
            if beyond and index.is_global:
                _reject_fetch(index, select, needed)
            if beyond:
                view = self._engine.view(table, consistent=request.get("ConsistentRead", False))
                fetch = Fetch(table, view.get)
        return PageRequest(request.get("Limit"), filter, expressions.values, wanted, select == "COUNT", fetch)

    def _page(
        self,
        request: Parameters,
        table: Table,
        index: Index | None,
        schema: Schema,
        page_request: PageRequest,
        low: bytes,
        high: bytes,
        reverse: bool,
        partition: bytes | None = None,
    ) -> bytes:
        engine = self._engine
        consistent = request.get("ConsistentRead", False)
        index_name = index.name if index is not None and index.is_global else None
        engine.limiter.admit(table, "Read", partition, index_name)
        pairs = engine.view(table, consistent=consistent).range(low, high, reverse=reverse)
        page = read_page(pairs, page_request)
        cost = _cost(page, index, consistent)
        engine.limiter.consume(table, "Read", cost, partition)
        return _response(page, request, table, index, cost)


def _read_query(request: Parameters) -> tuple[Expressions, Condition | None, dict[str, KeyCondition]]:
    """Check a Query without its table. Returns its expressions, its filter and its key conditions."""
    check_mixture(
        request,
        ("ProjectionExpression", "FilterExpression", "KeyConditionExpression"),
        ("AttributesToGet", "QueryFilter", "ConditionalOperator", "KeyConditions"),
    )
    try:
        filter = _legacy_filter(request, "QueryFilter")
        projection(request, read_expressions({}))
        _settle_start(request)
        if request.get("KeyConditions") is None and request.get("KeyConditionExpression") is None:
            raise validation("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
        expressions = read_expressions(request)
        conditions = expressions.key_conditions
        if conditions is None:
            conditions = legacy.key_conditions(request["KeyConditions"])
    except AwsError as error:
        raise with_newer_message(error) from None
    _check_select(request, expressions)
    return expressions, expressions.filter or filter, conditions


def _read_scan(request: Parameters) -> tuple[Expressions, Condition | None]:
    """Check a Scan without its table. Returns its expressions and its filter."""
    check_mixture(request, ("ProjectionExpression", "FilterExpression"), ("AttributesToGet", "ScanFilter", "ConditionalOperator"))
    projection(request, read_expressions({}))
    filter = _legacy_filter(request, "ScanFilter")
    _settle_start(request)
    _segment(request)
    expressions = read_expressions(request)
    _check_select(request, expressions)
    return expressions, expressions.filter or filter


class Fetch:
    """Fetches the table's item of an index entry."""

    def __init__(self, table: Table, get: Any) -> None:
        self._table = table
        self._get = get

    def __call__(self, entry: Item) -> bytes | None:
        found: bytes | None = self._get(self._table.schema.key(entry))
        return found


def _cost(page: ItemPage, index: Index | None, consistent: bool) -> Cost:
    units = read_units(page.size, consistent=consistent)
    if index is None:
        return Cost(units)
    cost = Cost(page.fetched_units if consistent else page.fetched_units / 2)
    cost.add_index(index.name, units, is_global=index.is_global)
    return cost


def _response(page: ItemPage, request: Parameters, table: Table, index: Index | None, cost: Cost) -> bytes:
    parts = [b'{"Count":%d,"ScannedCount":%d' % (page.matched, page.scanned)]
    if request.get("Select") != "COUNT":
        parts += [b',"Items":[', b",".join(page.items), b"]"]
    if page.last is not None:
        item = item_codec.item_of(page.last)
        names = table.key_names if index is None else index.key_names
        parts += [b',"LastEvaluatedKey":', msgspec.json.encode({name: item[name] for name in names})]
    if consumed := cost.consumed_capacity(table.name, request.get("ReturnConsumedCapacity")):
        parts += [b',"ConsumedCapacity":', msgspec.json.encode(consumed)]
    parts.append(b"}")
    return b"".join(parts)


def _legacy_filter(request: Parameters, name: str) -> Condition | None:
    conditions = request.get(name)
    found = legacy.condition_of_filter(conditions, request.get("ConditionalOperator")) if conditions else None
    check_operator(request, name)
    return found


def _settle_start(request: Parameters) -> None:
    for value in (request.get("ExclusiveStartKey") or {}).values():
        try:
            settle(value)
        except AwsError as error:
            # Recordings show AWS naming the starting key for some malformed values and not for others.
            bare = ("cannot be converted", "significant digits", "Number ", "duplicates", "An number set")
            prefix = "" if any(word in error.message for word in bare) else f"{_BAD_START}: "
            raise TwoMessages(prefix + error.message, prefix + with_newer_message(error).message) from None


def _segment(request: Parameters) -> tuple[int, int]:
    segment, segments = request.get("Segment"), request.get("TotalSegments")
    if segment is not None and segments is None:
        raise validation("The TotalSegments parameter is required but was not present in the request when Segment parameter is present")
    if segments is None:
        return 0, 1
    if segment is None:
        raise validation("The Segment parameter is required but was not present in the request when parameter TotalSegments is present")
    if segment >= segments:
        raise validation("The Segment parameter is zero-based and must be less than parameter TotalSegments")
    return segment, segments


def _check_select(request: Parameters, expressions: Expressions) -> None:
    if (message := _select_error(request, expressions)) is not None:
        raise enveloped(validation(message))


def _select_error(request: Parameters, expressions: Expressions) -> str | None:
    select = request.get("Select")
    named = expressions.projection is not None or request.get("AttributesToGet") is not None
    if select == "SPECIFIC_ATTRIBUTES" and not named:
        return "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES"
    if named and select not in (None, "SPECIFIC_ATTRIBUTES"):
        which = "ProjectionExpression" if expressions.projection is not None else "AttributesToGet"
        if select == "COUNT":
            return f"Cannot specify the {which} when choosing to get only the Count"
        return f"Cannot specify the {which} when choosing to get {select}"
    if select == "ALL_PROJECTED_ATTRIBUTES" and request.get("IndexName") is None:
        return "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName"
    return None


def _reject_fetch(index: Index, select: str | None, needed: frozenset[str]) -> None:
    if select == "ALL_ATTRIBUTES":
        raise validation(
            f"{_INVALID}Select type ALL_ATTRIBUTES is not supported for global secondary index {index.name}"
            " because its projection type is not ALL"
        )
    absent = sorted(needed - index.attributes)
    raise validation(f"{_INVALID}Global secondary index {index.name} does not project [{', '.join(absent)}]")


def _heads(paths: Sequence[Path] | None) -> frozenset[str]:
    return frozenset(str(path.steps[0]) for path in paths or ())


def _check_start_shape(start: Item | None, table: Table, index: Index | None) -> None:
    if start is None:
        return
    names = table.key_names if index is None else index.key_names
    if len(start) != len(names) or any(name not in start for name in names):
        raise validation(_BAD_START)


def _check_start_types(start: Item, table: Table, index: Index | None) -> None:
    try:
        if index is None:
            keys.check_key(start, table.schema)
        else:
            keys.check_key_of_item(start, index.schema)
            keys.check_key_of_item(start, table.schema)
    except keys.EmptyKey as error:
        raise validation(f"{_BAD_START}: {error.message}") from None
    except AwsError:
        raise validation(_BAD_START) from None


def _checked_conditions(conditions: Mapping[str, KeyCondition], schema: Schema, start: Item | None) -> tuple[list[Any], list[KeyCondition]]:
    """Check the conditions against the schema. Returns the partition key's values and the conditions on sort key attributes."""
    partition: list[Any] = []
    sort: list[KeyCondition] = []
    for part in schema.parts:
        if start is not None:
            keys.check_key({part.name: start[part.name]}, Schema(b"", (part,), ()))
        condition = conditions.get(part.name)
        is_partition = part in schema.partition
        if not is_partition and not sort:
            _check_gaps(conditions, schema)
        if not schema.sort and len(conditions) > len(schema.partition):
            raise validation("Query key condition not supported")
        if condition is None:
            if is_partition or len(conditions) > len(partition) + len(sort):
                raise validation(f"Query condition missed key schema element: {part.name}")
            break
        _check_condition(condition, part.type)
        if is_partition:
            if condition.operator != "EQ":
                raise validation("Query key condition not supported")
            partition.append(condition.values[0])
        else:
            sort.append(condition)
    return partition, sort


def _check_gaps(conditions: Mapping[str, KeyCondition], schema: Schema) -> None:
    """In a sort key of several attributes, a condition on one requires equality conditions on all before it."""
    names = [part.name for part in schema.sort]
    if len(names) == 1 or not (given := [name for name in names if name in conditions]):
        return
    before = names[: names.index(given[-1])]
    loose = [name for name in before if name not in conditions or conditions[name].operator != "EQ"]
    if loose:
        raise validation(
            f"RANGE key attributes {', '.join(loose)} must have equality conditions specified in the query"
            f" because a condition is present on key attribute {given[-1]}"
        )


def _check_condition(condition: KeyCondition, type: str) -> None:
    if condition.operator in ("NULL", "NOT_NULL", "NE", "CONTAINS", "NOT_CONTAINS", "IN"):
        raise validation("Attempted conditional constraint is not an indexable operation")
    if any(type not in value for value in condition.values):
        raise validation(_INVALID + "Condition parameter type does not match schema type")
    if condition.operator == "EQ" and type != "N" and not condition.values[0][type]:
        raise validation(
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty"
            f" {'string' if type == 'S' else 'binary'} value."
        )


def _check_start_place(start: Item | None, table: Table, schema: Schema, partition: Sequence[Any], sort: Sequence[KeyCondition]) -> None:
    if start is None:
        return
    for part in table.schema.parts:
        if part.type not in start[part.name]:
            raise validation(f"{_BAD_START}: The provided key element does not match the schema")
    keys.check_lengths(start, table.schema)
    outside = any(not equal(start[part.name], value) for part, value in zip(schema.partition, partition, strict=True))
    if not sort:
        if outside:
            raise validation("The provided starting key is outside query boundaries based on provided conditions")
        return
    for part, condition in zip(schema.sort, sort, strict=False):
        if not _satisfies(start[part.name], condition, part.type):
            raise validation("The provided starting key does not match the range key predicate")
    if outside:
        raise validation("The query can return at most one row and cannot be restarted")


def _satisfies(value: dict[str, Any], condition: KeyCondition, type: str) -> bool:
    first = condition.values[0]
    if condition.operator == "EQ":
        return equal(value, first)
    if condition.operator == "BETWEEN":
        return compares(">=", value, first) and compares("<=", value, condition.values[1])
    if condition.operator == "BEGINS_WITH":
        return keys.encode(value).startswith(keys.encode_beginning(first))
    return compares({"LT": "<", "LE": "<=", "GT": ">", "GE": ">="}[condition.operator], value, first)


def _place(start: Item, table: Table, index: Index | None) -> bytes:
    return table.schema.key(start) if index is None else index.entry(start)


def _behind_start(start: Item | None, table: Table, index: Index | None, low: bytes, high: bytes, reverse: bool) -> tuple[bytes, bytes]:
    if start is None:
        return low, high
    place = _place(start, table, index)
    return (low, min(high, place)) if reverse else (max(low, place + b"\x00"), high)
