"""Parser of the conditions after WHERE, into trees of `zonal.dynamo.expressions.ast`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from zonal.dynamo.expressions import ast
from zonal.dynamo.expressions.ast import Condition, Operand, Path
from zonal.dynamo.items import kind_and_body, validation
from zonal.dynamo.partiql.expressions import ExpressionReader
from zonal.dynamo.partiql.tokens import NOT_WELL_FORMED
from zonal.dynamo.recursion import Steps, run

_COMPARATORS = ("=", "<>", "!=", "<", "<=", ">", ">=")
_ORDERING = ("<", "<=", ">", ">=", "BETWEEN")
_TYPE_NAMES = {"NULL": "NULL", "BOOL": "BOOL", "STRING": "S"}
_OTHER_TYPES = frozenset(
    [
        "ANY",
        "BAG",
        "BIGINT",
        "BLOB",
        "BOOLEAN",
        "CHAR",
        "CHARACTER",
        "CLOB",
        "DATE",
        "DEC",
        "DECIMAL",
        "DOUBLE",
        "FLOAT",
        "INT",
        "INT2",
        "INT4",
        "INT8",
        "INTEGER",
        "INTEGER2",
        "INTEGER4",
        "INTEGER8",
        "LIST",
        "NUMERIC",
        "REAL",
        "SEXP",
        "SMALLINT",
        "STRUCT",
        "SYMBOL",
        "TIME",
        "TIMESTAMP",
        "TUPLE",
        "VARCHAR",
    ]
)
"""Types of PartiQL that DynamoDB does not test for."""
_SECOND_KEYWORDS = {"DOUBLE": "PRECISION", "CHARACTER": "VARYING"}


class _Function(NamedTuple):
    """A function that is a condition: its tree, its number of operands, and whether the first must be a path."""

    make: Callable[..., Condition]
    operands: int
    takes_path: bool = False


_FUNCTIONS = {
    "begins_with": _Function(ast.BeginsWith, 2),
    "contains": _Function(ast.Contains, 2),
    "attribute_type": _Function(ast.TypeIs, 2, takes_path=True),
    "attribute_exists": _Function(ast.Exists, 1, takes_path=True),
    "attribute_not_exists": _Function(lambda operand: ast.Not(ast.Exists(operand)), 1, takes_path=True),
}


class ConditionReader(ExpressionReader):
    """Parses conditions from a statement's tokens."""

    def _where(self) -> Condition | None:
        return run(self._or()) if self.tokens.takes_keyword("WHERE") else None

    def _or(self) -> Steps[Condition]:
        conditions: list[Condition] = [(yield self._and())]
        while self.tokens.takes_keyword("OR"):
            self._check_right_hand()
            conditions.append((yield self._and()))
        return conditions[0] if len(conditions) == 1 else ast.Or(tuple(conditions))

    def _and(self) -> Steps[Condition]:
        conditions: list[Condition] = [(yield self._not())]
        while self.tokens.takes_keyword("AND"):
            self._check_right_hand()
            conditions.append((yield self._not()))
        return conditions[0] if len(conditions) == 1 else ast.And(tuple(conditions))

    def _not(self) -> Steps[Condition]:
        if self.tokens.takes_keyword("NOT"):
            return ast.Not((yield self._not()))
        return (yield self._condition())  # type: ignore[no-any-return]

    def _condition(self) -> Steps[Condition]:
        tokens = self.tokens
        if tokens.takes("("):
            inner: Condition = yield self._or()
            tokens.expect(")")
            return inner
        if tokens.next.kind == "name" and tokens.following.text == "(" and tokens.next.text.lower() in _FUNCTIONS:
            return self._compared_with_truth((yield self._function_call()))
        left: Operand = yield self._operand()
        if tokens.next.kind == "sign" and tokens.next.text in _COMPARATORS:
            sign = tokens.take().text
            right = yield self._right_hand()
            _check_order(sign, left, right)
            return ast.Comparison("<>" if sign == "!=" else sign, left, right)
        negated = tokens.takes_keyword("NOT")
        condition: Condition = yield self._worded(left)
        return ast.Not(condition) if negated else condition

    def _function_call(self) -> Steps[Condition]:
        name = self.tokens.take().text.lower()
        function = _FUNCTIONS[name]
        operands = yield self._operands(name, function.operands)
        if function.takes_path and not isinstance(operands[0], Path):
            raise validation(f"Operator or function requires a document path; operator or function: {name}")
        return function.make(*operands)

    def _compared_with_truth(self, condition: Condition) -> Condition:
        """A function's result, which may be compared with TRUE or FALSE."""
        if not (self.tokens.next.text in ("=", "<>", "!=") and self.tokens.following.text.upper() in ("TRUE", "FALSE")):
            return condition
        same = self.tokens.take().text == "="
        return condition if same == (self.tokens.take().text.upper() == "TRUE") else ast.Not(condition)

    def _worded(self, left: Operand) -> Steps[Condition]:
        tokens = self.tokens
        if tokens.takes_keyword("BETWEEN"):
            low = yield self._right_hand()
            tokens.expect_keyword("AND")
            high = yield self._right_hand()
            _check_order("BETWEEN", left, low, high)
            return ast.Between(left, low, high)
        if tokens.takes_keyword("IN"):
            return ast.In(left, (yield self._choices()))
        if tokens.takes_keyword("IS"):
            negated = tokens.takes_keyword("NOT")
            condition = self._type_test(left)
            return ast.Not(condition) if negated else condition
        raise tokens.error()

    def _choices(self) -> Steps[tuple[Operand, ...]]:
        closing = "]" if self.tokens.takes("[") else ")"
        if closing == ")":
            self.tokens.expect("(")
        choices: list[Operand] = [(yield self._operand())]
        while self.tokens.takes(","):
            choices.append((yield self._operand()))
        self.tokens.expect(closing)
        return tuple(choices)

    def _type_test(self, left: Operand) -> Condition:
        """The condition of the type after IS."""
        name = self.tokens.next.text.upper()
        if self.tokens.takes_keyword("MISSING"):
            return ast.Not(ast.Exists(left))
        if not self.tokens.is_keyword(*_TYPE_NAMES, *_OTHER_TYPES):
            raise validation(NOT_WELL_FORMED + "Expected type name")
        self.tokens.take()
        if name in _SECOND_KEYWORDS:
            self.tokens.takes_keyword(_SECOND_KEYWORDS[name])
        if name not in _TYPE_NAMES:
            raise validation("Unsupported operation: IsType")
        return ast.TypeIs(left, ast.Literal({"S": _TYPE_NAMES[name]}))


def _check_order(sign: str, *operands: Operand) -> None:
    for operand in operands:
        if isinstance(operand, ast.Literal) and sign in _ORDERING and not operand.value.keys() & {"S", "N", "B"}:
            kind = kind_and_body(operand.value)[0]
            raise validation(f"Incorrect operand type for operator or function; operator or function: {sign}, operand type: {kind}")
