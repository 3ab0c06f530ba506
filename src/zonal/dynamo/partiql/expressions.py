"""Parser of the values, paths and operands in statements, and the check of parameters.

Parameters are checked before the statement is parsed: AWS reports an invalid parameter before any error of the statement, with its older
messages, and reads numbers as Java's BigDecimal does. An invalid number in the statement is reported with its path in the value
("under root").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zonal.dynamo.expressions import ast
from zonal.dynamo.expressions.ast import Operand, Path, PathStep
from zonal.dynamo.expressions.updates import IfNotExists, ListAppend
from zonal.dynamo.items import Value, kind_and_body, settle, validation
from zonal.dynamo.partiql.tokens import NOT_WELL_FORMED, StatementTokens, is_readable_number
from zonal.dynamo.recursion import Steps, run
from zonal.dynamo.token_reader import END
from zonal.foundation.errors import AwsError

_NUMBER_FAULTS = ("Number overflow", "Number underflow", "Attempting to store more than")
_OPERATORS = ("AND", "BETWEEN", "IN", "IS", "LIKE", "OR")
_KEYWORDS = frozenset(
    [
        "AS",
        "BY",
        "CROSS",
        "DELETE",
        "FROM",
        "FULL",
        "GROUP",
        "HAVING",
        "INNER",
        "INSERT",
        "INTO",
        "JOIN",
        "LEFT",
        "ORDER",
        "OUTER",
        "RIGHT",
        "SELECT",
        "SET",
        "UPDATE",
        "WHERE",
    ]
)
_NO_MEMBERS = _KEYWORDS | {"SIZE"}
"""Words that must be quoted after a dot."""


def check_parameters(parameters: Sequence[Value] | None) -> None:
    """Settle parameters. Raises `ValidationException` for the first invalid one."""
    for parameter in parameters or ():
        try:
            settle(parameter)
        except AwsError as error:
            unreadable = _unreadable(parameter) if error.message.startswith(_NUMBER_FAULTS) else None
            if unreadable is not None:
                raise validation(f"The parameter cannot be converted to a numeric value: {unreadable}") from None
            raise


def _unreadable(value: Value) -> str | None:
    """The first number in a value whose exponent AWS cannot read."""
    kind, body = kind_and_body(value)
    if kind in ("N", "NS"):
        return next((text for text in ([body] if kind == "N" else body) if not is_readable_number(text)), None)
    inner: list[Value] = list(body.values()) if kind == "M" else body if kind == "L" else []
    return next((found for each in inner if (found := _unreadable(each)) is not None), None)


class ExpressionReader:
    """Parses operands from a statement's tokens."""

    def __init__(self, text: str, parameters: list[Value]) -> None:
        self.tokens = StatementTokens(text)
        self.parameters = parameters
        self.used = 0

    def _operand(self) -> Steps[Operand]:
        tokens = self.tokens
        if tokens.next.kind == "name" and tokens.following.text == "(":
            return (yield self._function())  # type: ignore[no-any-return]
        is_literal = tokens.next.kind in ("text", "number") or tokens.next.text in ("?", "{", "[", "<<", "-", "+")
        if is_literal or tokens.is_keyword("TRUE", "FALSE", "NULL"):
            return ast.Literal(self._literal())
        self._check_term()
        return self._path()

    def _right_hand(self) -> Steps[Operand]:
        """The operand after a sign."""
        self._check_right_hand()
        return (yield self._operand())  # type: ignore[no-any-return]

    def _check_right_hand(self) -> None:
        if self.tokens.next.kind == END:
            raise validation(NOT_WELL_FORMED + "Missing right-hand side expression of infix operator")

    def _check_term(self) -> None:
        """Reject a token that cannot begin an operand."""
        if self.tokens.next.kind == END:
            raise validation(NOT_WELL_FORMED + "Unexpected term")
        if self.tokens.is_keyword(*_OPERATORS):
            raise validation(NOT_WELL_FORMED + "Unexpected operator")
        if self.tokens.is_keyword(*_KEYWORDS):
            raise validation(NOT_WELL_FORMED + "Unexpected keyword")

    def _function(self) -> Steps[Operand]:
        """A function that returns a value."""
        token = self.tokens.take()
        name = token.text.lower()
        if name not in ("size", "if_not_exists", "list_append"):
            raise validation(f"Unrecognized function: {name} at {self.tokens.place(token)}")
        operands = yield self._operands(name, 1 if name == "size" else 2)
        if name == "size":
            return ast.Size(operands[0])
        return (IfNotExists if name == "if_not_exists" else ListAppend)(*operands)

    def _operands(self, function: str, count: int) -> Steps[list[Operand]]:
        operands: list[Operand] = yield self._list_in_parentheses()
        if len(operands) != count:
            raise validation(
                "Incorrect number of operands for operator or function; "
                f"operator or function: {function}, number of operands: {len(operands)}"
            )
        return operands

    def _list_in_parentheses(self) -> Steps[list[Operand]]:
        self.tokens.expect("(")
        operands: list[Operand] = []
        while not self.tokens.takes(")"):
            if operands:
                self.tokens.expect(",")
            operands.append((yield self._operand()))
        return operands

    def _path(self) -> Path:
        steps: list[PathStep] = [self._name()]
        while True:
            if self.tokens.takes("."):
                if self.tokens.is_keyword(*_NO_MEMBERS):
                    raise validation(NOT_WELL_FORMED + "Invalid path dot component")
                steps.append(self._name())
            elif self.tokens.takes("["):
                if self.tokens.next.kind != "number" or not self.tokens.next.text.isdigit():
                    raise self.tokens.error()
                steps.append(int(self.tokens.take().text))
                self.tokens.expect("]")
            else:
                return Path(tuple(steps))

    def _name(self) -> str:
        if self.tokens.next.kind not in ("name", "quoted"):
            raise self.tokens.error()
        return self.tokens.take().text

    def _literal(self) -> Value:
        value = run(self._raw_literal())
        check_written(value)
        return value

    def _raw_literal(self) -> Steps[Value]:
        tokens = self.tokens
        if tokens.next.kind == "text":
            return {"S": tokens.take().text}
        if tokens.next.kind == "number":
            return {"N": tokens.take().text}
        if tokens.next.text in ("-", "+") and tokens.following.kind == "number":
            return {"N": tokens.take().text + tokens.take().text}
        if tokens.takes("?"):
            self.used += 1
            if self.used > len(self.parameters):
                raise validation("Number of parameters in request and statement don't match.")
            return self.parameters[self.used - 1]
        if tokens.is_keyword("TRUE", "FALSE"):
            return {"BOOL": tokens.take().text.upper() == "TRUE"}
        if tokens.takes_keyword("NULL"):
            return {"NULL": True}
        if tokens.takes("["):
            return {"L": (yield self._elements("]"))}
        if tokens.takes("<<"):
            return _set((yield self._elements(">>")))
        if tokens.takes("{"):
            return {"M": (yield self._members())}
        if tokens.next.kind == "name" and tokens.following.text == "(":
            token = tokens.take()
            raise validation(f"Unsupported data type: {token.text.lower()} under key root at {tokens.place(token)}")
        raise tokens.error()

    def _elements(self, closing: str) -> Steps[list[Value]]:
        elements: list[Value] = []
        while not self.tokens.takes(closing):
            if elements:
                self.tokens.expect(",")
            elements.append((yield self._raw_literal()))
        return elements

    def _members(self) -> Steps[dict[str, Value]]:
        members: dict[str, Value] = {}
        while not self.tokens.takes("}"):
            if members:
                self.tokens.expect(",")
            if self.tokens.next.kind not in ("text", "quoted", "name"):
                raise self.tokens.error()
            name = self.tokens.take().text
            self.tokens.expect(":")
            members[name] = yield self._raw_literal()
        return members


def check_written(value: Value) -> None:
    """Settle a literal of the statement; the error for an invalid number contains its path."""
    try:
        settle(value)
    except AwsError as error:
        if error.message.startswith(_NUMBER_FAULTS):
            raise validation(f"{error.message} under root{_place_of_fault(value)}") from None
        raise


def _place_of_fault(value: Value) -> str:
    """The path of the first invalid number in a value."""
    kind, body = kind_and_body(value)
    inner = [(f".{name}", each) for name, each in body.items()] if kind == "M" else []
    inner += [(f"[{at}]", each) for at, each in enumerate(body)] if kind == "L" else []
    for place, each in inner:
        try:
            settle(each)
        except AwsError:
            return place + _place_of_fault(each)
    return ""


def _set(elements: list[Value]) -> Value:
    if not elements:
        raise validation("Empty bags are not supported")
    kinds: set[str] = {kind for element in elements for kind in element}
    if len(kinds) != 1 or not kinds <= {"S", "N", "B"}:
        raise validation("A set holds strings, numbers or binary values, all of one type")
    kind = kinds.pop()
    members: list[Any] = [element[kind] for element in elements]
    return {kind + "S": members}
