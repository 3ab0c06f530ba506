"""Condition, filter and key condition expressions: parsed once into a `ParsedCondition`, then bound to a request's names and values.

A `ParsedCondition` holds the errors that do not depend on names and values (redundant parentheses, unknown functions, misplaced functions,
reserved words), and its single conditions in the order of the text, because AWS checks names, operand counts and operand types condition by
condition.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from zonal.dynamo.expressions import ast
from zonal.dynamo.expressions.operands import AttributeNames, RawFunction, RawOperand, RawPath, RawValue, continue_path, read_path
from zonal.dynamo.expressions.tokens import ExpressionError, ExpressionTokens
from zonal.dynamo.items import TYPES, Value, kind_and_body, order
from zonal.dynamo.recursion import Steps, run
from zonal.dynamo.token_reader import END

MAX_OPERATORS = 300
MAX_CHOICES = 100
FUNCTIONS = {"attribute_exists": 1, "attribute_not_exists": 1, "attribute_type": 2, "begins_with": 2, "contains": 2, "size": 1}
_COMPARATORS = ("=", "<>", "<", "<=", ">", ">=")
_KEYWORDS = ("BETWEEN", "IN", "AND", "OR", "NOT")


@dataclass(frozen=True)
class Simple:
    """One condition as written: `operator` is a comparator, BETWEEN, IN or a function's name."""

    operator: str
    operands: tuple[RawOperand, ...]


@dataclass(frozen=True)
class Joined:
    """`AND`, `OR` or `NOT` over conditions."""

    operator: str
    conditions: tuple[ConditionNode, ...]


ConditionNode = Simple | Joined


@dataclass
class ParsedCondition:
    """A parsed condition before names are resolved, with the errors that do not depend on them."""

    root: ConditionNode = field(init=False)
    simple: list[Simple] = field(default_factory=list)
    redundant: bool = False
    unknown: str | None = None
    misused: str | None = None
    reserved: str | None = None
    operators: int = 0

    def raise_first_error(self) -> None:
        """Raise the first error that depends on the text alone, in AWS's order."""
        if self.redundant:
            raise ExpressionError("The expression has redundant parentheses;")
        if self.unknown is not None:
            raise ExpressionError(f"Invalid function name; function: {self.unknown}")
        if self.misused is not None:
            raise ExpressionError(f"The function is not allowed to be used this way in an expression; function: {self.misused}")
        if self.reserved is not None:
            raise ExpressionError(f"Attribute name is a reserved keyword; reserved keyword: {self.reserved}")
        if self.operators > MAX_OPERATORS:
            raise ExpressionError(
                f"The expression contains too many operators; maximum operators: {MAX_OPERATORS}, operator count: {self.operators}"
            )


def parse(text: str) -> ParsedCondition:
    """Parse a condition. Raises `ExpressionError` for a syntax error; other errors are kept in the result."""
    return _ConditionParser(text).draft


def bind(draft: ParsedCondition, names: AttributeNames) -> ast.Condition:
    """The tree of a parsed condition with these names and values. Raises `ExpressionError` with AWS's first error."""
    draft.raise_first_error()
    for condition in draft.simple:
        _check(condition, names)
    return _condition(draft.root, names)


class _ConditionParser:
    """Recursive descent (see `recursion`). Each method returns a node, and whether the node was in parentheses of its own."""

    def __init__(self, text: str) -> None:
        self.tokens = ExpressionTokens(text)
        self.draft = ParsedCondition()
        root, _ = run(self._or())
        if self.tokens.next.kind != END:
            raise self.tokens.error()
        self.draft.root = self._truth(root)

    def _or(self) -> Steps[_Read]:
        return self._joined("OR", self._and)

    def _and(self) -> Steps[_Read]:
        return self._joined("AND", self._not)

    def _joined(self, word: str, read: Callable[[], Steps[_Read]]) -> Steps[_Read]:
        first, grouped = yield read()
        if not self.tokens.is_keyword(word):
            return first, grouped
        conditions = [self._truth(first)]
        while self.tokens.takes_keyword(word):
            self.draft.operators += 1
            conditions.append(self._truth((yield read())[0]))
        return Joined(word, tuple(conditions)), False

    def _not(self) -> Steps[_Read]:
        if self.tokens.takes_keyword("NOT"):
            self.draft.operators += 1
            inner, _ = yield self._not()
            return Joined("NOT", (self._truth(inner),)), False
        return (yield self._condition())  # type: ignore[no-any-return]

    def _condition(self) -> Steps[_Read]:
        """A comparison, a function, or a group in parentheses that may be the left side of a comparison."""
        if self.tokens.takes("("):
            left, grouped = yield self._grouped(self._or)
        else:
            left, grouped = (yield self._plain_operand()), False
        tokens = self.tokens
        if isinstance(left, Simple | Joined):
            return left, grouped
        if tokens.next.kind == "sign" and tokens.next.text in _COMPARATORS:
            sign = tokens.take().text
            return self._simple(sign, left, (yield self._operand())), False
        if tokens.takes_keyword("BETWEEN"):
            low = yield self._operand()
            if not tokens.takes_keyword("AND"):
                raise tokens.error()
            return self._simple("BETWEEN", left, low, (yield self._operand())), False
        if tokens.takes_keyword("IN"):
            tokens.expect("(")
            return self._simple("IN", left, *(yield self._operands())), False
        return left, grouped

    def _grouped(self, read: Callable[[], Steps[_Read]]) -> Steps[_Read]:
        """The content of the parentheses that were just opened."""
        inner, grouped = yield read()
        self.tokens.expect(")")
        self.draft.redundant |= grouped
        if isinstance(inner, RawPath):
            path = continue_path(self.tokens, inner, self._reserved)
            return path, path == inner
        return inner, True

    def _operand(self) -> Steps[RawOperand]:
        return (yield self._operand_or_group())[0]  # type: ignore[no-any-return]

    def _operand_or_group(self) -> Steps[_Read]:
        if self.tokens.takes("("):
            return (yield self._grouped(self._operand_or_group))  # type: ignore[no-any-return]
        return (yield self._plain_operand()), False

    def _plain_operand(self) -> Steps[RawOperand]:
        tokens = self.tokens
        if tokens.next.kind == "value":
            return RawValue(tokens.take().text)
        if tokens.is_keyword(*_KEYWORDS):
            raise tokens.error()
        if tokens.next.kind == "name" and tokens.following.text == "(":
            name = tokens.take().text
            tokens.take()
            return self._function(name, (yield self._operands()))
        return read_path(tokens, self._reserved)

    def _operands(self) -> Steps[tuple[RawOperand, ...]]:
        operands: list[RawOperand] = [(yield self._operand())]
        while self.tokens.takes(","):
            operands.append((yield self._operand()))
        self.tokens.expect(")")
        return tuple(operands)

    def _function(self, name: str, operands: tuple[RawOperand, ...]) -> RawFunction:
        self._check_misuse(operands)
        if name not in FUNCTIONS and self.draft.unknown is None:
            self.draft.unknown = name
        self.draft.operators += 1
        return RawFunction(name, operands)

    def _simple(self, operator: str, *operands: RawOperand) -> Simple:
        self._check_misuse(operands)
        self.draft.operators += 1
        condition = Simple(operator, operands)
        self.draft.simple.append(condition)
        return condition

    def _truth(self, node: ConditionNode | RawOperand) -> ConditionNode:
        """The node as a condition: a function can be one, a path or a value alone cannot."""
        if isinstance(node, RawFunction):
            if node.name == "size" and self.draft.misused is None:
                self.draft.misused = node.name
            condition = Simple(node.name, node.operands)
            self.draft.simple.append(condition)
            return condition
        if isinstance(node, RawPath | RawValue):
            raise self.tokens.error()
        return node

    def _check_misuse(self, operands: tuple[RawOperand, ...]) -> None:
        for operand in operands:
            if isinstance(operand, RawFunction) and operand.name != "size" and self.draft.misused is None:
                self.draft.misused = operand.name

    def _reserved(self, word: str) -> None:
        if self.draft.reserved is None:
            self.draft.reserved = word


_Read = tuple[ConditionNode | RawOperand, bool]


class _ConditionErrors:
    """The errors of one condition. AWS reports the first of: operand count, equal operands, operand type."""

    count: str | None = None
    distinct: str | None = None
    type: str | None = None

    def raise_first(self) -> None:
        for message in (self.count, self.distinct, self.type):
            if message is not None:
                raise ExpressionError(message)


def _check(condition: Simple, names: AttributeNames) -> None:
    for operand in condition.operands:
        _resolve(operand, names)
    errors = _ConditionErrors()
    for operand in condition.operands:
        _check_operand(operand, names, errors)
    if condition.operator in FUNCTIONS:
        _check_function(condition.operator, condition.operands, names, errors)
    elif condition.operator == "BETWEEN":
        errors.type = errors.type or _order_error("BETWEEN", condition.operands, names)
        errors.type = errors.type or _between_error(condition.operands[1:], names)
    elif condition.operator == "IN":
        if len(condition.operands) - 1 > MAX_CHOICES:
            errors.count = _count_error("IN", len(condition.operands) - 1)
    else:
        _check_distinct(condition.operator, condition.operands, names, errors)
        if condition.operator not in ("=", "<>"):
            errors.type = errors.type or _order_error(condition.operator, condition.operands, names)
    errors.raise_first()


def _resolve(operand: RawOperand, names: AttributeNames) -> None:
    if isinstance(operand, RawPath):
        names.path(operand)
    elif isinstance(operand, RawValue):
        names.value(operand)
    else:
        for inner in operand.operands:
            _resolve(inner, names)


def _check_operand(operand: RawOperand, names: AttributeNames, errors: _ConditionErrors) -> None:
    if isinstance(operand, RawFunction):
        for inner in operand.operands:
            _check_operand(inner, names, errors)
        _check_function(operand.name, operand.operands, names, errors)


def _check_function(name: str, operands: tuple[RawOperand, ...], names: AttributeNames, errors: _ConditionErrors) -> None:
    if errors.count is not None:
        return
    if len(operands) != FUNCTIONS[name]:
        errors.count = _count_error(name, len(operands))
        return
    _check_distinct(name, operands, names, errors)
    errors.type = errors.type or _type_error(name, operands, names)


def _count_error(name: str, count: int) -> str:
    return f"Incorrect number of operands for operator or function; operator or function: {name}, number of operands: {count}"


def _check_distinct(name: str, operands: tuple[RawOperand, ...], names: AttributeNames, errors: _ConditionErrors) -> None:
    if errors.distinct is not None or len(operands) != 2:
        return
    first, second = operands
    if isinstance(first, RawPath) and isinstance(second, RawPath) and names.path(first) == names.path(second):
        errors.distinct = (
            "The first operand must be distinct from the remaining operands for this operator or function;"
            f" operator: {name}, first operand: {names.path(first)}"
        )


def _type_error(name: str, operands: tuple[RawOperand, ...], names: AttributeNames) -> str | None:
    first = operands[0]
    if name in ("attribute_exists", "attribute_not_exists"):
        if not isinstance(first, RawPath):
            return f"Operator or function requires a document path; operator or function: {name}"
    elif name == "begins_with":
        for operand in operands:
            if _type_of(operand, names) not in (None, "S", "B"):
                return _operand_error(name, _type_of(operand, names))
    elif name == "attribute_type":
        if _type_of(operands[1], names) != "S":
            return _operand_error(name, _type_of(operands[1], names) or "{NS,SS,L,BS,N,M,B,BOOL,NULL,S}")
        wanted = names.value(operands[1])["S"]  # type: ignore[arg-type]
        if wanted not in TYPES:
            return f"Invalid attribute type name found; type: {wanted}, valid types: {{B,NULL,SS,BOOL,L,BS,N,NS,S,M}}"
    elif name == "size" and _type_of(first, names) in ("N", "BOOL", "NULL"):
        return _operand_error(name, _type_of(first, names))
    return None


def _order_error(operator: str, operands: tuple[RawOperand, ...], names: AttributeNames) -> str | None:
    for operand in operands:
        if (type := _type_of(operand, names)) not in (None, "S", "N", "B"):
            return _operand_error(operator, type)
    return None


def _operand_error(name: str, type: str | None) -> str:
    return f"Incorrect operand type for operator or function; operator or function: {name}, operand type: {type}"


def _type_of(operand: RawOperand, names: AttributeNames) -> str | None:
    if isinstance(operand, RawValue):
        return kind_and_body(names.value(operand))[0]
    if isinstance(operand, RawFunction):
        return "N" if operand.name == "size" else "BOOL"
    return None


def _between_error(bounds: tuple[RawOperand, ...], names: AttributeNames) -> str | None:
    if not all(isinstance(bound, RawValue) for bound in bounds):
        return None
    low, high = (names.value(bound) for bound in bounds)  # type: ignore[arg-type]
    shown = f"lower bound operand: AttributeValue: {_shown(low)}, upper bound operand: AttributeValue: {_shown(high)}"
    if kind_and_body(low)[0] != kind_and_body(high)[0]:
        return f"The BETWEEN operator requires same data type for lower and upper bounds; {shown}"
    if (order(low, high) or 0) > 0:
        return f"The BETWEEN operator requires upper bound to be greater than or equal to lower bound; {shown}"
    return None


def _shown(value: Value) -> str:
    kind, body = kind_and_body(value)
    return f"{{{kind}:{body}}}"


def _condition(node: ConditionNode, names: AttributeNames) -> ast.Condition:
    if isinstance(node, Joined):
        conditions = tuple(_condition(condition, names) for condition in node.conditions)
        if node.operator == "NOT":
            return ast.Not(conditions[0])
        return ast.And(conditions) if node.operator == "AND" else ast.Or(conditions)
    operands = tuple(_operand(operand, names) for operand in node.operands)
    if node.operator in _COMPARATORS:
        return ast.Comparison(node.operator, *operands)
    return _MADE[node.operator](*operands)


def _operand(operand: RawOperand, names: AttributeNames) -> ast.Operand:
    if isinstance(operand, RawPath):
        return names.path(operand)
    if isinstance(operand, RawValue):
        names.value(operand)
        return ast.ValueReference(operand.name)
    return ast.Size(_operand(operand.operands[0], names))


_MADE: dict[str, Callable[..., ast.Condition]] = {
    "BETWEEN": ast.Between,
    "IN": lambda first, *choices: ast.In(first, choices),
    "attribute_exists": ast.Exists,
    "attribute_not_exists": lambda path: ast.Not(ast.Exists(path)),
    "attribute_type": ast.TypeIs,
    "begins_with": ast.BeginsWith,
    "contains": ast.Contains,
}
