"""Syntax trees of expressions, and their evaluation on an item.

Operands (`Path`, `ValueReference`, `Literal`, `Size`) return an attribute value or None, conditions true or false. Both take the item
and the request's expression attribute values, so that one tree is used for all requests with the same text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from zonal.dynamo.items import Item, Value, decode_binary, equal, kind_and_body, order

AttributeValues = Mapping[str, Value]
PathStep = str | int
"""An attribute or member name, or a list index."""


class Operand(Protocol):
    def of(self, item: Item, values: AttributeValues) -> Value | None:
        """The operand's value for the item; None if the item has none."""


class Condition(Protocol):
    def holds(self, item: Item, values: AttributeValues) -> bool:
        """Whether the condition is true for the item."""


class Path(NamedTuple):
    """A document path with its `#` names resolved."""

    steps: tuple[PathStep, ...]

    def of(self, item: Item, values: AttributeValues) -> Value | None:
        value = item.get(self.steps[0])  # type: ignore[arg-type]
        for step in self.steps[1:]:
            if value is None:
                return None
            value = _step(value, step)
        return value

    def __str__(self) -> str:
        return "[" + ", ".join(f"[{step}]" if isinstance(step, int) else step for step in self.steps) + "]"


class ValueReference(NamedTuple):
    """An expression attribute value (`:name`)."""

    name: str

    def of(self, item: Item, values: AttributeValues) -> Value | None:
        return values[self.name]


class Literal(NamedTuple):
    """A value in the tree itself, from legacy parameters and PartiQL."""

    value: Value

    def of(self, item: Item, values: AttributeValues) -> Value | None:
        return self.value


class Size(NamedTuple):
    """`size(operand)`."""

    operand: Operand

    def of(self, item: Item, values: AttributeValues) -> Value | None:
        value = self.operand.of(item, values)
        if value is None:
            return None
        kind, body = kind_and_body(value)
        if kind in ("N", "BOOL", "NULL"):
            return None
        return {"N": str(len(decode_binary(body) if kind == "B" else body))}


class Comparison(NamedTuple):
    """`left operator right` with one of `= <> < <= > >=`."""

    operator: str
    left: Operand
    right: Operand

    def holds(self, item: Item, values: AttributeValues) -> bool:
        left, right = self.left.of(item, values), self.right.of(item, values)
        if left is None or right is None:
            return self.operator == "<>"
        if self.operator == "=":
            return equal(left, right)
        if self.operator == "<>":
            return not equal(left, right)
        return compares(self.operator, left, right)


class Between(NamedTuple):
    operand: Operand
    low: Operand
    high: Operand

    def holds(self, item: Item, values: AttributeValues) -> bool:
        value, low, high = self.operand.of(item, values), self.low.of(item, values), self.high.of(item, values)
        if value is None or low is None or high is None:
            return False
        return compares(">=", value, low) and compares("<=", value, high)


class In(NamedTuple):
    operand: Operand
    choices: tuple[Operand, ...]

    def holds(self, item: Item, values: AttributeValues) -> bool:
        value = self.operand.of(item, values)
        if value is None:
            return False
        found = (choice.of(item, values) for choice in self.choices)
        return any(choice is not None and equal(value, choice) for choice in found)


class And(NamedTuple):
    conditions: tuple[Condition, ...]

    def holds(self, item: Item, values: AttributeValues) -> bool:
        return all(condition.holds(item, values) for condition in self.conditions)


class Or(NamedTuple):
    conditions: tuple[Condition, ...]

    def holds(self, item: Item, values: AttributeValues) -> bool:
        return any(condition.holds(item, values) for condition in self.conditions)


class Not(NamedTuple):
    condition: Condition

    def holds(self, item: Item, values: AttributeValues) -> bool:
        return not self.condition.holds(item, values)


class Exists(NamedTuple):
    """`attribute_exists(path)`."""

    operand: Operand

    def holds(self, item: Item, values: AttributeValues) -> bool:
        return self.operand.of(item, values) is not None


class TypeIs(NamedTuple):
    """`attribute_type(path, type)`."""

    operand: Operand
    type: Operand

    def holds(self, item: Item, values: AttributeValues) -> bool:
        value, wanted = self.operand.of(item, values), self.type.of(item, values)
        return value is not None and wanted is not None and kind_and_body(value)[0] == wanted.get("S")


class BeginsWith(NamedTuple):
    operand: Operand
    beginning: Operand

    def holds(self, item: Item, values: AttributeValues) -> bool:
        value, beginning = self.operand.of(item, values), self.beginning.of(item, values)
        if value is None or beginning is None:
            return False
        (kind, body), (other, start) = kind_and_body(value), kind_and_body(beginning)
        if kind != other or kind not in ("S", "B"):
            return False
        return bool(decode_binary(body).startswith(decode_binary(start)) if kind == "B" else body.startswith(start))


class Contains(NamedTuple):
    """`contains(operand, part)`: a substring, a member of a set, or an element of a list."""

    operand: Operand
    part: Operand

    def holds(self, item: Item, values: AttributeValues) -> bool:
        value, part = self.operand.of(item, values), self.part.of(item, values)
        if value is None or part is None:
            return False
        (kind, body), (other, wanted) = kind_and_body(value), kind_and_body(part)
        if kind == "L":
            return any(equal(element, part) for element in body)
        if kind == other == "S":
            return wanted in body
        if kind == other == "B":
            return decode_binary(wanted) in decode_binary(body)
        return kind == other + "S" and wanted in body


def compares(operator: str, left: Value, right: Value) -> bool:
    """Whether `left operator right`; False for values of different or unordered types."""
    result = order(left, right)
    if result is None:
        return False
    if operator == "<":
        return result < 0
    if operator == "<=":
        return result <= 0
    if operator == ">":
        return result > 0
    return result >= 0


def _step(value: Value, step: PathStep) -> Value | None:
    found: Any = None
    if isinstance(step, int):
        elements = value.get("L")
        if elements is not None and step < len(elements):
            found = elements[step]
    else:
        members = value.get("M")
        if members is not None:
            found = members.get(step)
    return found  # type: ignore[no-any-return]
