"""Key conditions: the partition, and the part of it, that a Query reads.

A key condition expression is parsed as a condition, and must then have a form that a Query can answer from the order of keys; AWS has an
error message for each other form. The result is one `KeyCondition` for each attribute, as from the legacy `KeyConditions`.
"""

from __future__ import annotations

from typing import NamedTuple

from zonal.dynamo.expressions.conditions import ConditionNode, Joined, Simple
from zonal.dynamo.expressions.operands import AttributeNames, RawFunction, RawPath, RawValue
from zonal.dynamo.items import Value, validation

_OPERATORS = {"=": "EQ", "<": "LT", "<=": "LE", ">": "GT", ">=": "GE", "BETWEEN": "BETWEEN", "begins_with": "BEGINS_WITH"}
_MIRRORED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_CONDITION = "Invalid condition in KeyConditionExpression: "


class KeyCondition(NamedTuple):
    """A condition on one key attribute: the legacy operator's name (EQ, LT, … BETWEEN, BEGINS_WITH) and its values."""

    operator: str
    values: tuple[Value, ...]


def key_conditions(root: ConditionNode, names: AttributeNames) -> dict[str, KeyCondition]:
    """The conditions by attribute. Raises `ValidationException` for an expression that a Query cannot answer."""
    found: dict[str, KeyCondition] = {}
    _collect(root, names, found)
    return found


def _collect(node: ConditionNode, names: AttributeNames, found: dict[str, KeyCondition]) -> None:
    if isinstance(node, Joined):
        if node.operator != "AND":
            raise validation(f"Invalid operator used in KeyConditionExpression: {node.operator}")
        for condition in node.conditions:
            _collect(condition, names, found)
        return
    _check_operator(node)
    attribute = _attribute(node, names)
    if attribute in found:
        raise validation("Invalid KeyConditionExpression: KeyConditionExpressions must only contain one condition per key")
    operator, operands = node.operator, node.operands
    if not isinstance(operands[0], RawPath):
        operator, operands = _MIRRORED[operator], (operands[1], operands[0])
    values = tuple(names.value(operand) for operand in operands[1:] if isinstance(operand, RawValue))
    found[attribute] = KeyCondition(_OPERATORS[operator], values)


def _check_operator(node: Simple) -> None:
    if node.operator in ("IN", "<>", "attribute_exists", "attribute_not_exists", "attribute_type", "contains"):
        raise validation(f"Invalid operator used in KeyConditionExpression: {node.operator}")
    if node.operator == "size":
        raise validation("KeyConditionExpressions cannot contain nested operations")
    if node.operator in ("BETWEEN", "begins_with") and not isinstance(node.operands[0], RawPath):
        raise validation(f"{_CONDITION}{node.operator} operator must have the key attribute as its first operand")


def _attribute(node: Simple, names: AttributeNames) -> str:
    attribute = ""
    for operand in node.operands:
        if isinstance(operand, RawPath):
            if attribute:
                raise validation(f"{_CONDITION}Multiple attribute names used in one condition")
            if len(operand.steps) > 1:
                raise validation("KeyConditionExpressions cannot have conditions on nested attributes")
            attribute = str(names.path(operand).steps[0])
        elif isinstance(operand, RawFunction):
            raise validation("KeyConditionExpressions cannot contain nested operations")
    if not attribute:
        raise validation(f"{_CONDITION}No key attribute specified")
    return attribute
