"""The size of an update expression as DynamoDB counts it against the 400 KB of an item.

UpdateItem measures twice: the finished item, as every write does, and before it the statement alone, whatever the item and the condition
are. Each clause counts a fixed number of bytes and those of its path and operands. The value that a path refers to is not counted; an
expression attribute value is counted at every use. So an update cannot fill an item with a short key quite as far as a put.
(Measured to the byte by the public conformance recordings of DynamoDB, October 2026; in none of AWS's documents.)
"""

from __future__ import annotations

from zonal.dynamo.expressions import ast
from zonal.dynamo.expressions.ast import AttributeValues, Operand, Path
from zonal.dynamo.expressions.updates import IfNotExists, ListAppend, Sum, Update, UpdateAction
from zonal.dynamo.items import size

_STATEMENT = 3
_WRITING = 19
_REMOVING = 1
_TARGET_STEP = 4
_OPERAND = 1
_OPERAND_STEP = 14
_SUM = {"+": 34, "-": 37}
_IF_NOT_EXISTS = 39
_LIST_APPEND = 37


def statement_size(update: Update, values: AttributeValues) -> int:
    """The size of an update's statement in bytes."""
    return _STATEMENT + sum(_clause(action, values) for action in update.actions)


def least_size(update: Update, values: AttributeValues) -> int:
    """The least size of the finished item in bytes, whatever the item was: that of the values that the update writes."""
    return sum(_least_size(action.value, values) for action in update.actions if action.section in ("SET", "ADD"))


def _least_size(operand: Operand | None, values: AttributeValues) -> int:
    if isinstance(operand, ListAppend):
        return _least_size(operand.first, values) + _least_size(operand.second, values)
    if not isinstance(operand, ast.ValueReference | ast.Literal):
        return 0
    value = values[operand.name] if isinstance(operand, ast.ValueReference) else operand.value
    return 0 if "N" in value else size(value)  # A sum may be shorter than its operands.


def _clause(action: UpdateAction, values: AttributeValues) -> int:
    first, *rest = action.path.steps
    target = _length(first) + sum(_TARGET_STEP + _length(step) for step in rest)
    if action.value is None or action.section == "DELETE":
        return _REMOVING + target
    return _WRITING + target + _operand(action.value, values)


def _operand(operand: Operand, values: AttributeValues) -> int:
    if isinstance(operand, ast.ValueReference):
        return size(values[operand.name])
    if isinstance(operand, Path):
        return _OPERAND + sum(_OPERAND_STEP + _length(step) for step in operand.steps)
    if isinstance(operand, IfNotExists):
        return _IF_NOT_EXISTS + _operand(operand.path, values) + _operand(operand.otherwise, values)
    if isinstance(operand, ListAppend):
        return _LIST_APPEND + _operand(operand.first, values) + _operand(operand.second, values)
    assert isinstance(operand, Sum), operand
    return _SUM[operand.sign] + _operand(operand.left, values) + _operand(operand.right, values)


def _length(step: ast.PathStep) -> int:
    return len(str(step).encode())
