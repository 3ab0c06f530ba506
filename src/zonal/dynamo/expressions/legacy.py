"""Translates the parameters that are older than expressions into the same trees.

`Expected`, `QueryFilter` and `ScanFilter` become conditions, `KeyConditions` key conditions, `AttributeUpdates` an update,
`AttributesToGet` a projection. They have checks and messages of their own. (API Reference: "Legacy conditional parameters".)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zonal.dynamo import numbers
from zonal.dynamo.expressions import ast
from zonal.dynamo.expressions.ast import Path
from zonal.dynamo.expressions.key_conditions import KeyCondition
from zonal.dynamo.items import Item, Value, kind_and_body, order, set_difference, set_union, settle, size, validation

_INVALID = "One or more parameter values were invalid: "
_COUNTS = {"NULL": (0, 0), "NOT_NULL": (0, 0), "IN": (1, 100), "BETWEEN": (2, 2)}
_SCALARS = ("S", "N", "B")
_TYPES = dict.fromkeys(("LE", "LT", "GE", "GT", "IN", "BETWEEN"), _SCALARS) | {
    "CONTAINS": (*_SCALARS, "BOOL", "NULL"),
    "NOT_CONTAINS": (*_SCALARS, "BOOL", "NULL"),
    "BEGINS_WITH": ("S", "B"),
}
_MAKE: dict[str, Callable[[Path, list[ast.Operand]], ast.Condition]] = {
    "EQ": lambda path, values: ast.Comparison("=", path, values[0]),
    "NE": lambda path, values: ast.Comparison("<>", path, values[0]),
    "LT": lambda path, values: ast.Comparison("<", path, values[0]),
    "LE": lambda path, values: ast.Comparison("<=", path, values[0]),
    "GT": lambda path, values: ast.Comparison(">", path, values[0]),
    "GE": lambda path, values: ast.Comparison(">=", path, values[0]),
    "NULL": lambda path, values: ast.Not(ast.Exists(path)),
    "NOT_NULL": lambda path, values: ast.Exists(path),
    "CONTAINS": lambda path, values: ast.Contains(path, values[0]),
    # Unlike NE it is false for a missing attribute.
    "NOT_CONTAINS": lambda path, values: ast.And((ast.Exists(path), ast.Not(ast.Contains(path, values[0])))),
    "BEGINS_WITH": lambda path, values: ast.BeginsWith(path, values[0]),
    "IN": lambda path, values: ast.In(path, tuple(values)),
    "BETWEEN": lambda path, values: ast.Between(path, values[0], values[1]),
}


def condition_of_filter(conditions: Mapping[str, Any], operator: str | None) -> ast.Condition | None:
    """The condition of a `QueryFilter` or `ScanFilter`, joined by `ConditionalOperator`. Raises `ValidationException`."""
    check_conditions(conditions)
    return _join([_MAKE[entry["ComparisonOperator"]](Path((name,)), _literals(entry)) for name, entry in conditions.items()], operator)


def key_conditions(conditions: Mapping[str, Any]) -> dict[str, KeyCondition]:
    """The key conditions of `KeyConditions`. Raises `ValidationException`."""
    check_conditions(conditions)
    return {
        name: KeyCondition(entry["ComparisonOperator"], tuple(entry.get("AttributeValueList") or ())) for name, entry in conditions.items()
    }


def check_conditions(conditions: Mapping[str, Any]) -> None:
    """Require that each condition has values of the right number and types. Raises `ValidationException`."""
    for entry in conditions.values():
        values = entry.get("AttributeValueList") or []
        for value in values:
            settle(value)
        _check_values(entry["ComparisonOperator"], values)


def condition_of_expected(expected: Mapping[str, Any], operator: str | None) -> ast.Condition | None:
    """The condition of `Expected`, joined by `ConditionalOperator`. Raises `ValidationException`."""
    return _join([_expectation(name, entry) for name, entry in expected.items()], operator)


def check_expected(expected: Mapping[str, Any]) -> None:
    """Require that every entry of `Expected` is one valid condition. Raises `ValidationException`."""
    for name, entry in expected.items():
        _expectation(name, entry)


def _expectation(name: str, entry: Mapping[str, Any]) -> ast.Condition:
    given, listed = entry.get("Value"), entry.get("AttributeValueList")
    comparison, exists = entry.get("ComparisonOperator"), entry.get("Exists")
    for value in [*(listed or []), *([given] if given is not None else [])]:
        settle(value)
    if listed is not None and given is not None:
        raise validation(f"{_INVALID}Value and AttributeValueList cannot be used together for Attribute: {name}")
    if comparison is not None:
        if exists is not None:
            raise validation(f"{_INVALID}Exists and ComparisonOperator cannot be used together for Attribute: {name}")
        if comparison not in ("NULL", "NOT_NULL") and listed is None and given is None:
            raise validation(
                f"{_INVALID}Value or AttributeValueList must be used with ComparisonOperator: {comparison} for Attribute: {name}"
            )
        values = listed if listed is not None else [given] if given is not None else []
        _check_values(comparison, values)
        return _MAKE[comparison](Path((name,)), [ast.Literal(value) for value in values])
    if listed is not None:
        raise validation(f"{_INVALID}AttributeValueList can only be used with a ComparisonOperator for Attribute: {name}")
    if exists is not False and given is None:
        word = "null" if exists is None else "true"
        raise validation(f"{_INVALID}Value must be provided when Exists is {word} for Attribute: {name}")
    if exists is False and given is not None:
        raise validation(f"{_INVALID}Value cannot be used when Exists is false for Attribute: {name}")
    if given is None:
        return ast.Not(ast.Exists(Path((name,))))
    return ast.Comparison("=", Path((name,)), ast.Literal(given))


def _check_values(operator: str, values: Sequence[Value]) -> None:
    fewest, most = _COUNTS.get(operator, (1, 1))
    if not fewest <= len(values) <= most:
        raise validation(f"{_INVALID}Invalid number of argument(s) for the {operator} ComparisonOperator")
    kinds = [kind_and_body(value)[0] for value in values]
    if len(set(kinds)) > 1:
        raise validation(_INVALID + "AttributeValues inside AttributeValueList must be of same type")
    for kind in kinds:
        if kind not in _TYPES.get(operator, kinds):
            raise validation(f"{_INVALID}ComparisonOperator {operator} is not valid for {kind} AttributeValue type")
    if operator == "BETWEEN" and (order(values[0], values[1]) or 0) > 0:
        raise validation("The BETWEEN condition was provided a range where the lower bound is greater than the upper bound")


def _literals(entry: Mapping[str, Any]) -> list[ast.Operand]:
    return [ast.Literal(value) for value in entry.get("AttributeValueList") or []]


def _join(conditions: list[ast.Condition], operator: str | None) -> ast.Condition | None:
    if not conditions:
        return None
    if len(conditions) == 1:
        return conditions[0]
    return ast.Or(tuple(conditions)) if operator == "OR" else ast.And(tuple(conditions))


class AttributeUpdates:
    """The update of `AttributeUpdates`: whole attributes put, added to or deleted from. The constructor raises `ValidationException`."""

    def __init__(self, updates: Mapping[str, Any]) -> None:
        self._updates = {name: (entry.get("Action") or "PUT", entry.get("Value")) for name, entry in updates.items()}
        for action, value in self._updates.values():
            _check_update(action, value)

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(Path((name,)) for name in self._updates)

    @property
    def only_deletes(self) -> bool:
        """Whether there are updates, and all of them delete."""
        return bool(self._updates) and all(action == "DELETE" for action, _ in self._updates.values())

    @property
    def types(self) -> dict[str, str]:
        """The types that attributes have after the update, as far as the update determines them."""
        return {
            name: kind_and_body(value)[0] for name, (action, value) in self._updates.items() if value is not None and action != "DELETE"
        }

    def least_size(self) -> int:
        """The least size of the finished item in bytes: that of the values written, except numbers (a sum may be shorter)."""
        written = [value for action, value in self._updates.values() if action != "DELETE" and value is not None]
        return sum(size(value) for value in written if "N" not in value)

    def apply(self, item: Item, values: ast.AttributeValues) -> Item:
        """The item after the update. Raises `ValidationException`."""
        after = dict(item)
        for name, (action, value) in self._updates.items():
            if value is None:
                after.pop(name, None)
            elif action == "PUT":
                after[name] = value
            else:
                _combine(after, name, action, value)
        return after


def _check_update(action: str, value: Value | None) -> None:
    if value is None:
        if action != "DELETE":
            raise validation(_INVALID + "Only DELETE action is allowed when no attribute value is specified")
        return
    settle(value)
    kind = kind_and_body(value)[0]
    if action == "DELETE" and kind not in ("SS", "NS", "BS"):
        raise validation(f"{_INVALID}DELETE action with value is not supported for the type {kind}")
    if action == "ADD" and kind not in ("N", "SS", "NS", "BS", "L"):
        raise validation(f"{_INVALID}ADD action is not supported for the type {kind}")


def _combine(item: Item, name: str, action: str, value: Value) -> None:
    kind, body = kind_and_body(value)
    existing = item.get(name)
    if existing is None:
        if action == "ADD":
            item[name] = value
        return
    if kind not in existing:
        raise validation("Type mismatch for attribute to update")
    if kind == "N":
        item[name] = {"N": numbers.add(existing["N"], body)}
    elif kind == "L":
        item[name] = {"L": existing["L"] + body}
    elif action == "ADD":
        item[name] = {kind: set_union(existing[kind], body)}
    else:
        left = set_difference(existing[kind], body)
        if left:
            item[name] = {kind: left}
        else:
            del item[name]


def attributes_to_get(names: Sequence[str]) -> tuple[Path, ...]:
    """The projection of `AttributesToGet`. Raises `ValidationException` for a name given twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise validation(f"{_INVALID}Duplicate value in attribute name: {name}")
        seen.add(name)
    return tuple(Path((name,)) for name in names)
