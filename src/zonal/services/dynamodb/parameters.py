"""Parameters shared by reads and writes: expressions or their legacy forms, and which of them exclude each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from zonal.dynamo.error_messages import TwoMessages
from zonal.dynamo.expressions import legacy, request
from zonal.dynamo.expressions.ast import AttributeValues, Condition, Path
from zonal.dynamo.expressions.request import Expressions
from zonal.dynamo.items import Item, settle, validation
from zonal.dynamo.table import Table
from zonal.foundation.errors import AwsError


class ItemChange(Protocol):
    """The change of an UpdateItem, from an expression or from `AttributeUpdates`."""

    @property
    def paths(self) -> tuple[Path, ...]: ...

    def apply(self, item: Item, values: AttributeValues) -> Item: ...


class Guard(NamedTuple):
    """The condition of a write (None: unconditional), and whether its failure returns the item."""

    condition: Condition | None
    values: AttributeValues
    shows_item: bool

    @property
    def reads_item(self) -> bool:
        """Whether the condition needs the item."""
        return self.condition is not None

    def check(self, item: Item | None) -> None:
        """Raise `ConditionalCheckFailedException` unless the condition is true for the item."""
        if self.condition is None or self.condition.holds(item or {}, self.values):
            return
        fields = {"Item": item} if self.shows_item and item else {}
        raise AwsError("ConditionalCheckFailedException", "The conditional request failed", fields=fields)


def check_mixture(given: Mapping[str, Any], expressions: Sequence[str], others: Sequence[str]) -> None:
    """Reject a mixture of expressions and legacy parameters, and names or values without an expression."""
    used = [name for name in expressions if given.get(name) is not None]
    if used:
        strays = [name for name in others if given.get(name) is not None]
        if "KeyConditions" in strays and given.get("KeyConditionExpression") is None:
            strays.remove("KeyConditions")
        if strays:
            raise validation(
                "Can not use both expression and non-expression parameters in the same request: "
                f"Non-expression parameters: {{{', '.join(strays)}}} Expression parameters: {{{', '.join(used)}}}"
            )
    elif given.get("ExpressionAttributeNames") is not None:
        raise validation("ExpressionAttributeNames can only be specified when using expressions")
    if given.get("ExpressionAttributeValues") is None:
        return
    takers = [name for name in expressions if name != "ProjectionExpression"]
    if takers and all(name == "ProjectionExpression" for name in used):
        verb = "are" if len(takers) > 1 else "is"
        message = "ExpressionAttributeValues can only be specified when using expressions"
        raise TwoMessages(f"{message}: {' and '.join(takers)} {verb} null", message)


def settle_key(key: Item) -> None:
    """Check and settle the values of a `Key`."""
    for value in key.values():
        settle(value)


def guard(given: Mapping[str, Any], expressions: Expressions) -> Guard:
    """The condition of a write, from its condition expression or from `Expected`."""
    condition = expressions.condition
    if condition is None and given.get("Expected"):
        condition = legacy.condition_of_expected(given["Expected"], given.get("ConditionalOperator"))
    return Guard(condition, expressions.values, given.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD")


def check_operator(given: Mapping[str, Any], *filters: str) -> None:
    """Reject a `ConditionalOperator` with fewer than two conditions."""
    if given.get("ConditionalOperator") is None:
        return
    conditions = [given[name] for name in filters if given.get(name)]
    if not conditions:
        raise validation("ConditionalOperator cannot be used without Filter or Expected")
    if len(conditions[0]) < 2:
        raise validation("ConditionalOperator can only be used when Filter or Expected has two or more elements")


def projection(given: Mapping[str, Any], expressions: Expressions) -> tuple[Path, ...] | None:
    """The paths to return of an item; None: the whole item."""
    if expressions.projection is not None:
        return expressions.projection
    names = given.get("AttributesToGet")
    return None if names is None else legacy.attributes_to_get(names)


def check_nested(expressions: Expressions, table: Table) -> None:
    """Reject expressions that use a key attribute as a list or map."""
    if not expressions.nested:
        return
    for name in table.key_names:
        if name in expressions.nested:
            raise _scalar_keys("Key", name)
    for index in table.indexes:
        for part in index.schema.parts:
            if part.name in expressions.nested:
                raise _scalar_keys("IndexKey", part.name)


def _scalar_keys(what: str, name: str) -> AwsError:
    return validation(f"Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: {what}: {name}")


read_expressions = request.read
