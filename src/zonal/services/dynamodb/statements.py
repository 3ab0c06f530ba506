"""ExecuteStatement, BatchExecuteStatement, ExecuteTransaction: PartiQL.

A SELECT whose condition fixes the partition key is a Query, any other a Scan, as on AWS. A write must fix the whole primary key; the rest
of its WHERE clause is its condition.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from zonal.dynamo import item_codec, keys
from zonal.dynamo.capacity_units import Cost, read_units
from zonal.dynamo.engine import DynamoEngine
from zonal.dynamo.expressions import ast
from zonal.dynamo.expressions.ast import Condition, Path
from zonal.dynamo.expressions.key_conditions import KeyCondition
from zonal.dynamo.expressions.request import NONE
from zonal.dynamo.expressions.statement_size import least_size
from zonal.dynamo.item_pages import PageRequest, query_range, read_page, scan_range
from zonal.dynamo.items import MAX_ITEM_SIZE, Item, settle_item, validation
from zonal.dynamo.keys import Schema
from zonal.dynamo.partiql.expressions import check_parameters
from zonal.dynamo.partiql.statements import (
    ExistsCheck,
    Insert,
    PartiqlStatement,
    Select,
    UpdateOrDelete,
    columns,
    conjuncts,
    equalities,
    heads,
    parse,
)
from zonal.dynamo.table import Index, Table
from zonal.foundation.errors import AwsError
from zonal.services.dynamodb import large_requests
from zonal.services.dynamodb.items import Items, Write
from zonal.services.dynamodb.parameters import Guard
from zonal.services.dynamodb.queries import Fetch
from zonal.services.dynamodb.transactions import Transactions, digest_of
from zonal.services.operation import Call, Parameters, operation

_NO_KEY = "Where clause does not contain a mandatory equality on all key attributes"
_INVALID = "One or more parameter values were invalid: "
_KEY_ONLY = " must specify the primary key in the where clause."
_AFTER_RUNNING = ("ConditionalCheckFailedException", "DuplicateItemException")
_OPERATORS = {"<": "LT", "<=": "LE", ">": "GT", ">=": "GE", "=": "EQ"}
_BATCH_CODES = {
    "ConditionalCheckFailedException": "ConditionalCheckFailed",
    "ValidationException": "ValidationError",
    "ResourceNotFoundException": "ResourceNotFound",
    "DuplicateItemException": "DuplicateItem",
    "ProvisionedThroughputExceededException": "ProvisionedThroughputExceeded",
    "ThrottlingException": "ThrottlingError",
    "TransactionConflictException": "TransactionConflict",
}


class Statements:
    """Operations that take PartiQL."""

    def __init__(self, engine: DynamoEngine, items: Items, transactions: Transactions) -> None:
        self._engine = engine
        self._items = items
        self._transactions = transactions

    @operation("ExecuteStatement")
    async def execute(self, call: Call, request: Parameters) -> Any:
        return await self._execute(call, request, await large_requests.check(call, lambda: _read(request)))

    async def _execute(self, call: Call, request: Parameters, parsed: ParsedStatement) -> Any:
        statement = parsed.statement
        if isinstance(statement, Select):
            return self._select(statement, request)
        write = self._write(parsed, request)
        returns = statement.returning if isinstance(statement, UpdateOrDelete) else "NONE"
        answer = await self._items.make(call, request | {"ReturnValues": returns}, write)
        attributes = answer.pop("Attributes", None)
        return answer | {"Items": [attributes] if attributes else []}

    @operation("BatchExecuteStatement")
    async def batch(self, call: Call, request: Parameters) -> dict[str, Any]:
        responses = []
        costs: list[dict[str, Any]] = []
        for entry in request["Statements"]:
            entry = entry | {"ReturnConsumedCapacity": request.get("ReturnConsumedCapacity")}
            responses.append(await self._one_of_batch(call, entry, costs))
        return {"Responses": responses} | ({"ConsumedCapacity": costs} if costs else {})

    async def _one_of_batch(self, call: Call, entry: Parameters, costs: list[dict[str, Any]]) -> dict[str, Any]:
        """The response to one statement. It contains the table's name once the statement is valid."""
        named: dict[str, Any] = {}
        try:
            parsed = await large_requests.check(call, lambda: _read(entry))
            statement = parsed.statement
            table = self._engine.table(statement.table)
            if isinstance(statement, Select):
                index = _index(table, statement)
                if index is not None or not _names_only_key(statement.condition, table.key_names):
                    raise validation("Select statements within BatchExecuteStatement" + _KEY_ONLY)
            answer = await self._execute(call, entry, parsed)
        except AwsError as error:
            if error.code in _AFTER_RUNNING:
                named = {"TableName": table.name}
            code = _BATCH_CODES.get(error.code, "InternalServerError")
            return named | {"Error": {"Code": code, "Message": error.message}}
        if isinstance(answer, bytes):
            answer = msgspec.json.decode(answer)
        if "ConsumedCapacity" in answer:
            costs.append(answer["ConsumedCapacity"])
        return {"TableName": table.name} | ({"Item": answer["Items"][0]} if answer.get("Items") else {})

    @operation("ExecuteTransaction")
    async def transaction(self, call: Call, request: Parameters) -> dict[str, Any]:
        outcomes, digest = await large_requests.check(call, lambda: _read_transaction(request))
        checked = [self._one_of_transaction(at, outcome) for at, outcome in enumerate(outcomes)]
        statements = [parsed.statement for parsed in checked]
        reads = [statement for statement in statements if isinstance(statement, Select)]
        if reads and len(reads) != len(statements):
            raise validation("Transaction statements must be all reads or all writes")
        if reads:
            gets = [{"Get": {"TableName": read.table, "Key": _key(self._engine.table(read.table), read.condition)}} for read in reads]
            answer = await self._transactions.get(call, request | {"TransactItems": gets})
            for read, response in zip(reads, answer["Responses"], strict=True):
                if read.wanted is not None and "Item" in response:
                    response["Item"] = columns(read.wanted, response["Item"])
            return answer
        writes = [
            (_kind(parsed.statement), self._write(parsed, entry))
            for parsed, entry in zip(checked, request["TransactStatements"], strict=True)
        ]
        answer = await self._transactions.make(call, request, writes, digest=digest)
        return answer | {"Responses": []}

    def _one_of_transaction(self, at: int, outcome: ParsedStatement | AwsError) -> ParsedStatement:
        """The statement. Raises `ValidationException` for one that cannot be part of a transaction."""
        try:
            if isinstance(outcome, AwsError):
                raise outcome
            self._check_fit(outcome.statement)
        except AwsError as error:
            if error.code != "ValidationException":
                raise
            raise validation(f"Validation failed in TransactStatements[{at}]: {error.message}") from None
        return outcome

    def _check_fit(self, statement: PartiqlStatement) -> None:
        if isinstance(statement, UpdateOrDelete) and statement.returning != "NONE":
            raise validation("RETURNING clause is not supported in ExecuteTransaction.")
        if isinstance(statement, Select) and statement.index_name is not None:
            raise validation("Reads on indices are not supported within transactions.")
        if isinstance(statement, Select | ExistsCheck):
            names_only_key = _names_only_key(statement.condition, self._engine.table(statement.table).key_names)
            if isinstance(statement, ExistsCheck) and names_only_key:
                raise validation("EXISTS() must contain a single item read with additional condition")
            if isinstance(statement, Select) and not names_only_key:
                raise validation("Select statements within ExecuteTransaction" + _KEY_ONLY)

    def _write(self, parsed: ParsedStatement, request: Parameters) -> Write:
        statement = parsed.statement
        table = self._engine.table(statement.table)
        shows = request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
        if isinstance(statement, Insert):
            item = statement.item
            if parsed.fault is not None:
                raise parsed.fault
            keys.check_item(item, table.schema)
            table.check_index_keys(item)
            return Write(table, table.schema.key(item), _Absent(None, {}, shows), None, item, parsed.size, NONE, item)
        assert isinstance(statement, UpdateOrDelete | ExistsCheck)
        key = _key(table, statement.condition)
        update = statement.update if isinstance(statement, UpdateOrDelete) else None
        guard = Guard(statement.condition, {}, shows)
        if isinstance(statement, UpdateOrDelete) and update is None:
            guard = _IfThere(_beyond_key(statement.condition, table.key_names), {}, shows)
        if update is not None:
            for name in table.key_names:
                if any(path.steps[0] == name for path in update.paths):
                    raise validation(
                        f"One or more parameter values were invalid: Cannot update attribute {name}. This attribute is part of the key"
                    )
        return Write(table, table.schema.key(key), guard, update, None, 0, NONE, key, parsed.least_size)

    def _select(self, select: Select, request: Parameters) -> bytes:
        engine, table = self._engine, self._engine.table(select.table)
        index = _index(table, select)
        if select.unfit is not None:
            raise validation(select.unfit)
        consistent = request.get("ConsistentRead", False)
        if index is not None and index.is_global and consistent:
            raise validation("Strongly consistent read is not supported on Global Secondary Indexes")
        fetch = None if index is None else self._fetch(select, table, index, consistent=consistent)
        schema = table.schema if index is None else index.schema
        _check_overlap(schema, select.condition)
        low, high = _range(schema, select.condition)
        low, high = _behind(request.get("NextToken"), table, index, low, high, select.descending)
        engine.limiter.admit(table, "Read", index=index.name if index is not None and index.is_global else None)
        pairs = engine.view(table, consistent=consistent).range(low, high, reverse=select.descending)
        page = read_page(pairs, PageRequest(request.get("Limit"), select.condition, {}, select.wanted, fetch=fetch, shape=columns))
        units = read_units(page.size, consistent=consistent)
        cost = Cost(units if index is None else 0.0)
        if index is not None:
            cost = Cost(page.fetched_units if consistent else page.fetched_units / 2)
            cost.add_index(index.name, units, is_global=index.is_global)
        engine.limiter.consume(table, "Read", cost)
        parts = [b'{"Items":[', b",".join(page.items), b"]"]
        if page.last is not None:
            item = item_codec.item_of(page.last)
            names = table.key_names if index is None else index.key_names
            last = msgspec.json.encode({name: item[name] for name in names})
            token = base64.b64encode(msgspec.json.encode([select.index_name, last.decode()]))
            parts += [b',"LastEvaluatedKey":', last, b',"NextToken":"', token, b'"']
        if consumed := cost.consumed_capacity(table.name, request.get("ReturnConsumedCapacity")):
            parts += [b',"ConsumedCapacity":', msgspec.json.encode(consumed)]
        return b"".join([*parts, b"}"])

    def _fetch(self, select: Select, table: Table, index: Index, *, consistent: bool) -> Fetch | None:
        """The fetch of attributes that a local index lacks; None if there are none. Raises if a global index lacks some."""
        if index.projects_all:
            return None
        if _chooses(select.condition, [part.name for part in index.schema.partition]) and (
            beyond := heads(select.condition) - index.attributes
        ):
            raise validation(
                f"{_INVALID}Secondary index {index.name} does not project one or more filter attributes: [{', '.join(sorted(beyond))}]"
            )
        wanted = dict.fromkeys(str(path.steps[0]) for path in select.wanted or ())
        lacking = [name for name in wanted if name not in index.attributes]
        if lacking and index.is_global:
            raise validation(f"{_INVALID}Global secondary index {index.name} does not project [{', '.join(lacking)}]")
        return Fetch(table, self._engine.view(table, consistent=consistent).get) if lacking else None


class ParsedStatement(NamedTuple):
    """A statement, checked without its table.

    `size` is the size of an INSERT's item in bytes, and `fault` its error, which AWS reports after it has found the table. `least_size` is
    what the values of an UPDATE add at least to its item.
    """

    statement: PartiqlStatement
    size: int = 0
    fault: AwsError | None = None
    least_size: int = 0


def _read(entry: Parameters) -> ParsedStatement:
    """Check the parameters of a statement, and parse it. Raises `ValidationException`."""
    check_parameters(entry.get("Parameters"))
    return _parsed(entry)


def _parsed(entry: Parameters) -> ParsedStatement:
    statement = parse(entry["Statement"], entry.get("Parameters"))
    if isinstance(statement, UpdateOrDelete) and statement.update is not None:
        return ParsedStatement(statement, least_size=least_size(statement.update, {}))
    if not isinstance(statement, Insert):
        return ParsedStatement(statement)
    try:
        size = settle_item(statement.item)
    except AwsError as error:
        return ParsedStatement(statement, fault=error)
    fault = validation("Item size has exceeded the maximum allowed size") if size > MAX_ITEM_SIZE else None
    return ParsedStatement(statement, size, fault)


def _read_transaction(request: Parameters) -> tuple[list[ParsedStatement | AwsError], bytes]:
    """Check all parameters, then parse each statement; the statements or their errors, and the digest of the transaction."""
    entries = request["TransactStatements"]
    for entry in entries:
        check_parameters(entry.get("Parameters"))
    outcomes: list[ParsedStatement | AwsError] = []
    for entry in entries:
        try:
            outcomes.append(_parsed(entry))
        except AwsError as error:
            outcomes.append(error)
    return outcomes, digest_of(request, entries)


def _index(table: Table, select: Select) -> Index | None:
    """The index that a SELECT reads; None: the table. Raises `ValidationException` for one that PartiQL cannot read."""
    if select.index_name is None:
        return None
    index = table.by_name.get(select.index_name)
    if index is None:
        raise validation("The table does not have the specified index")
    if len(index.schema.partition) > 1 or (index.is_global and len(index.schema.sort) > 1):
        raise validation("PartiQL statements cannot be executed on tables with multi-attribute HASH keys or multi-attribute RANGE keys.")
    return index


class _Absent(Guard):
    """The condition of an INSERT: the item must not exist."""

    def check(self, item: Item | None) -> None:
        if item is not None:
            raise AwsError("DuplicateItemException", "Duplicate primary key exists in table")

    @property
    def reads_item(self) -> bool:
        return True


class _IfThere(Guard):
    """The condition of a DELETE: a missing item fulfils it."""

    def check(self, item: Item | None) -> None:
        if item is not None:
            super().check(item)


def _kind(statement: PartiqlStatement) -> str:
    return "ConditionCheck" if isinstance(statement, ExistsCheck) else "Write"


def _fixes(condition: Condition | None, names: Sequence[str]) -> bool:
    return equalities(condition).keys() >= set(names)


def _chooses(condition: Condition | None, names: Sequence[str]) -> bool:
    """Whether a condition fixes each of these attributes to a value or to a list of values."""
    listed = {
        str(part.operand.steps[0])
        for part in conjuncts(condition)
        if isinstance(part, ast.In) and isinstance(part.operand, Path) and len(part.operand.steps) == 1
    }
    return equalities(condition).keys() | listed >= set(names)


def _names_only_key(condition: Condition | None, names: Sequence[str]) -> bool:
    """Whether a condition fixes the primary key and has no other part."""
    return _fixes(condition, names) and len(conjuncts(condition)) == len(names)


def _key(table: Table, condition: Condition | None) -> Item:
    fixed = equalities(condition)
    if any(name not in fixed for name in table.key_names):
        raise validation(_NO_KEY)
    key = {name: fixed[name] for name in table.key_names}
    keys.check_key(key, table.schema)
    return key


def _beyond_key(condition: Condition | None, names: Sequence[str]) -> Condition | None:
    """The parts of the condition besides the key."""
    rest = [part for part in conjuncts(condition) if not (equalities(part).keys() & set(names))]
    return ast.And(tuple(rest)) if rest else None


def _range(schema: Schema, condition: Condition | None) -> tuple[bytes, bytes]:
    """The keys to read: a partition or part of it if the condition fixes one, otherwise the whole keyspace."""
    fixed = equalities(condition)
    parts = schema.partition
    if any(part.name not in fixed or part.type not in fixed[part.name] for part in parts):
        return scan_range(schema.keyspace)
    partition = [fixed[part.name] for part in parts]
    sort: list[KeyCondition] = []
    for part in schema.sort:
        found = _sort_condition(condition, part.name, part.type)
        if found is None:
            break
        sort.append(found)
        if found.operator != "EQ":
            break
    return query_range(schema, partition, sort)


def _check_overlap(schema: Schema, condition: Condition | None) -> None:
    """Reject a condition with two branches that may find the same item of a partition, unless one excludes a sort key."""
    if not isinstance(condition, ast.Or) or not schema.sort:
        return
    name = schema.sort[0].name
    branches = [branch for branch in condition.conditions if not any(_excludes(part) and name in heads(part) for part in conjuncts(branch))]
    for at, second in enumerate(branches):
        for first in branches[:at]:
            (low, high), (other_low, other_high) = _range(schema, first), _range(schema, second)
            narrowed = any(_sort_condition(branch, name, schema.sort[0].type) for branch in (first, second))
            keyed = all(_fixes(branch, [part.name for part in schema.partition]) for branch in (first, second))
            if narrowed and keyed and max(low, other_low) < min(high, other_high):
                raise validation("Overlapping conditions with range keys are not supported in where clause")


def _excludes(condition: Condition) -> bool:
    return isinstance(condition, ast.Not) or (isinstance(condition, ast.Comparison) and condition.operator == "<>")


def _sort_condition(condition: Condition | None, name: str, type: str) -> KeyCondition | None:
    path = Path((name,))
    for part in conjuncts(condition):
        values: tuple[ast.Operand, ...] = ()
        operator = ""
        if isinstance(part, ast.Comparison) and part.left == path and part.operator in _OPERATORS:
            operator, values = _OPERATORS[part.operator], (part.right,)
        elif isinstance(part, ast.Between) and part.operand == path:
            operator, values = "BETWEEN", (part.low, part.high)
        elif isinstance(part, ast.BeginsWith) and part.operand == path:
            operator, values = "BEGINS_WITH", (part.beginning,)
        literals = [value.value for value in values if isinstance(value, ast.Literal)]
        if operator and len(literals) == len(values) and all(type in literal for literal in literals):
            return KeyCondition(operator, tuple(literals))
    return None


def _behind(token: str | None, table: Table, index: Index | None, low: bytes, high: bytes, descending: bool) -> tuple[bytes, bytes]:
    if token is None:
        return low, high
    try:
        name, key = msgspec.json.decode(base64.b64decode(token, validate=True))
        if name != (None if index is None else index.name):
            raise ValueError
        last: Item = msgspec.json.decode(key)
        place = table.schema.key(last) if index is None else index.entry(last)
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError):
        raise validation("Invalid NextToken") from None
    return (low, min(high, place)) if descending else (max(low, place + b"\x00"), high)
