"""Statements: SELECT, INSERT, UPDATE, DELETE, and EXISTS in transactions.

Parameters (`?`) are put in while parsing, so a statement comes out whole. Its condition is a tree as expressions have it; `equalities`
are those attributes that every item found must equal, from which the caller finds the key.
(Developer Guide, "PartiQL: a SQL-compatible query language for Amazon DynamoDB".)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from zonal.dynamo.expressions import tree
from zonal.dynamo.expressions.syntax import overlap
from zonal.dynamo.expressions.tree import Condition, Operand, Path, Step
from zonal.dynamo.expressions.updates import Action, IfNotExists, ListAppend, Sum, Update
from zonal.dynamo.items import Item, Value, kind_and_body, settle, validation
from zonal.dynamo.partiql.tokens import NOT_WELL_FORMED, Tokens
from zonal.dynamo.tokens import END
from zonal.foundation.errors import AwsError

_COMPARATORS = ("=", "<>", "!=", "<", "<=", ">", ">=")
_LEFT_OVER = NOT_WELL_FORMED + "Unexpected token after expression"
_CLAUSES = ("WHERE", "SET", "REMOVE", "ORDER", "RETURNING")
_TYPE_NAMES = {"NULL": "NULL", "BOOL": "BOOL", "STRING": "S"}
_NUMBER_FAULTS = ("Number overflow", "Number underflow", "Attempting to store more than")


class Select(NamedTuple):
    """`wanted` is None for `*`; `descending` only where an ORDER BY says so."""

    table: str
    index_name: str | None
    wanted: tuple[Path, ...] | None
    condition: Condition | None
    descending: bool


class Insert(NamedTuple):
    table: str
    item: Item


class Change(NamedTuple):
    """An UPDATE (`update` says what) or a DELETE (`update` is None). `returning` is like a request's `ReturnValues`."""

    table: str
    update: Update | None
    condition: Condition | None
    returning: str


class Exists(NamedTuple):
    """A condition check in a transaction."""

    table: str
    condition: Condition | None


Statement = Select | Insert | Change | Exists


def parse(text: str, parameters: Sequence[Value] | None) -> Statement:
    """Read a statement. Raises `ValidationException`."""
    return _Parser(text, list(parameters or ())).statement()


def conjuncts(condition: Condition | None) -> list[Condition]:
    """The conditions that must all hold."""
    if condition is None:
        return []
    if isinstance(condition, tree.And):
        return [part for each in condition.conditions for part in conjuncts(each)]
    return [condition]


def equalities(condition: Condition | None) -> dict[str, Value]:
    """The top-level attributes that the condition fixes to a value."""
    found: dict[str, Value] = {}
    for part in conjuncts(condition):
        if isinstance(part, tree.Comparison) and part.operator == "=":
            path, literal = part.left, part.right
            if isinstance(literal, Path):
                path, literal = literal, path
            if isinstance(path, Path) and len(path.steps) == 1 and isinstance(literal, tree.Literal):
                found.setdefault(str(path.steps[0]), literal.value)
    return found


def heads(condition: object) -> frozenset[str]:
    """The top-level attributes that a condition looks at."""
    if isinstance(condition, Path):
        return frozenset((str(condition.steps[0]),))
    if isinstance(condition, tree.Literal) or not isinstance(condition, tuple):
        return frozenset()
    return frozenset().union(*map(heads, condition))


class _Parser:
    def __init__(self, text: str, parameters: list[Value]) -> None:
        self.tokens = Tokens(text)
        self.parameters = parameters
        self.used = 0

    def statement(self) -> Statement:
        tokens = self.tokens
        if tokens.takes_word("SELECT"):
            statement: Statement = self._select()
        elif tokens.takes_word("INSERT"):
            statement = self._insert()
        elif tokens.takes_word("UPDATE"):
            statement = self._update()
        elif tokens.takes_word("DELETE"):
            statement = self._delete()
        elif tokens.takes_word("FROM"):
            statement = self._from_first()
        elif tokens.takes_word("EXISTS"):
            statement = self._exists()
        else:
            raise tokens.error()
        if tokens.next.kind != END:
            raise validation(_LEFT_OVER)
        if self.used != len(self.parameters):
            raise validation("Number of parameters in request and statement don't match.")
        return statement

    def _select(self) -> Select:
        wanted: list[Path] | None = None
        if not self.tokens.takes("*"):
            wanted = [self._path()]
            while self.tokens.takes(","):
                wanted.append(self._path())
            if (clash := overlap(wanted)) is not None:
                raise validation(clash)
        self.tokens.expect_word("FROM")
        table, index = self._source()
        condition = self._where()
        return Select(table, index, None if wanted is None else tuple(wanted), condition, self._order())

    def _order(self) -> bool:
        if not self.tokens.takes_word("ORDER"):
            return False
        self.tokens.expect_word("BY")
        self._path()
        descending = False
        while self.tokens.is_word("ASC", "DESC"):
            descending = self.tokens.take().text.upper() == "DESC"
        return descending

    def _insert(self) -> Insert:
        self.tokens.expect_word("INTO")
        table = self._name()
        if not self.tokens.is_word("VALUE") and self.tokens.next.kind in ("name", "quoted"):
            raise validation(_LEFT_OVER)
        self.tokens.expect_word("VALUE")
        value = self._literal()
        if "M" not in value:
            raise validation(NOT_WELL_FORMED + "VALUE must be a tuple")
        return Insert(table, value["M"])

    def _update(self) -> Change:
        table, _ = self._source()
        update = self._changes()
        condition = self._where()
        return Change(table, update, condition, self._returning())

    def _from_first(self) -> Change:
        """An update that names the item before what changes."""
        table, _ = self._source()
        condition = self._where()
        return Change(table, self._changes(), condition, self._returning())

    def _source(self) -> tuple[str, str | None]:
        """The table, and the index behind it."""
        names = [self._name()]
        while self.tokens.takes("."):
            names.append(self._name())
        if not all(names):
            raise validation("Path component cannot be an empty string")
        if len(names) > 2:
            raise validation("A path may contain at most 2 components in the FROM clause")
        if self.tokens.next.kind in ("name", "quoted") and not self.tokens.is_word(*_CLAUSES):
            raise validation("Aliasing is not supported")
        return names[0], names[1] if len(names) > 1 else None

    def _changes(self) -> Update:
        actions: list[Action] = []
        while self.tokens.is_word("SET", "REMOVE"):
            section = self.tokens.take().text.upper()
            actions.append(self._action(section))
            while self.tokens.takes(","):
                actions.append(self._action(section))
        if not actions:
            raise self.tokens.error()
        if (clash := overlap([action.path for action in actions])) is not None:
            raise validation(clash)
        return Update(tuple(actions))

    def _action(self, section: str) -> Action:
        path = self._path()
        if section == "REMOVE":
            return Action(section, path, None)
        self.tokens.expect("=")
        for word, combined in (("SET_ADD", "ADD"), ("SET_DELETE", "DELETE")):
            if self.tokens.takes_word(word):
                self.tokens.expect("(")
                self._path()
                self.tokens.expect(",")
                value = self._literal()
                self.tokens.expect(")")
                return Action(combined, path, tree.Literal(value))
        return Action(section, path, self._sum())

    def _sum(self) -> Operand:
        left = self._operand()
        for sign in "+-":
            if self.tokens.takes(sign):
                return Sum(sign, left, self._operand())
        return left

    def _delete(self) -> Change:
        self.tokens.expect_word("FROM")
        table, _ = self._source()
        condition = self._where()
        returning = self._returning()
        if returning not in ("NONE", "ALL_OLD"):
            which = returning.replace("UPDATED", "MODIFIED").replace("_", " ")
            raise validation(f"Invalid returning clause: RETURNING {which} *. Only RETURNING ALL OLD * is allowed in DELETE statements.")
        return Change(table, None, condition, returning)

    def _exists(self) -> Exists:
        self.tokens.expect("(")
        self.tokens.expect_word("SELECT")
        select = self._select()
        self.tokens.expect(")")
        return Exists(select.table, select.condition)

    def _returning(self) -> str:
        if not self.tokens.takes_word("RETURNING"):
            return "NONE"
        which, when = self.tokens.take().text.upper(), self.tokens.take().text.upper()
        self.tokens.expect("*")
        returns = {"ALL": "ALL", "MODIFIED": "UPDATED"}.get(which)
        if returns is None or when not in ("OLD", "NEW"):
            raise self.tokens.error()
        return f"{returns}_{when}"

    def _where(self) -> Condition | None:
        return self._or() if self.tokens.takes_word("WHERE") else None

    def _or(self) -> Condition:
        conditions = [self._and()]
        while self.tokens.takes_word("OR"):
            conditions.append(self._and())
        return conditions[0] if len(conditions) == 1 else tree.Or(tuple(conditions))

    def _and(self) -> Condition:
        conditions = [self._not()]
        while self.tokens.takes_word("AND"):
            conditions.append(self._not())
        return conditions[0] if len(conditions) == 1 else tree.And(tuple(conditions))

    def _not(self) -> Condition:
        return tree.Not(self._not()) if self.tokens.takes_word("NOT") else self._condition()

    def _condition(self) -> Condition:
        tokens = self.tokens
        if tokens.takes("("):
            inner = self._or()
            tokens.expect(")")
            return inner
        if tokens.next.kind == "name" and tokens.following.text == "(" and tokens.next.text.lower() in _FUNCTIONS:
            make = _FUNCTIONS[tokens.take().text.lower()]
            return self._compared_with_truth(make(*self._operands()))
        left = self._operand()
        if tokens.next.kind == "sign" and tokens.next.text in _COMPARATORS:
            sign = tokens.take().text
            right = self._operand()
            _check_order(sign, left, right)
            return tree.Comparison("<>" if sign == "!=" else sign, left, right)
        negated = tokens.takes_word("NOT")
        condition = self._worded(left)
        return tree.Not(condition) if negated else condition

    def _compared_with_truth(self, condition: Condition) -> Condition:
        """A function's answer, which may be compared with TRUE or FALSE."""
        if not (self.tokens.next.text in ("=", "<>", "!=") and self.tokens.following.text.upper() in ("TRUE", "FALSE")):
            return condition
        same = self.tokens.take().text == "="
        return condition if same == (self.tokens.take().text.upper() == "TRUE") else tree.Not(condition)

    def _worded(self, left: Operand) -> Condition:
        tokens = self.tokens
        if tokens.takes_word("BETWEEN"):
            low = self._operand()
            tokens.expect_word("AND")
            return tree.Between(left, low, self._operand())
        if tokens.takes_word("IN"):
            closing = "]" if tokens.takes("[") else ")"
            if closing == ")":
                tokens.expect("(")
            choices = [self._operand()]
            while tokens.takes(","):
                choices.append(self._operand())
            tokens.expect(closing)
            return tree.In(left, tuple(choices))
        if tokens.takes_word("IS"):
            negated = tokens.takes_word("NOT")
            condition: Condition
            if tokens.takes_word("MISSING"):
                condition = tree.Not(tree.Exists(left))
            else:
                if not tokens.is_word(*_TYPE_NAMES):
                    raise tokens.error()
                condition = tree.TypeIs(left, tree.Literal({"S": _TYPE_NAMES[tokens.take().text.upper()]}))
            return tree.Not(condition) if negated else condition
        raise tokens.error()

    def _operands(self) -> list[Operand]:
        self.tokens.expect("(")
        operands = [self._operand()]
        while self.tokens.takes(","):
            operands.append(self._operand())
        self.tokens.expect(")")
        return operands

    def _operand(self) -> Operand:
        tokens = self.tokens
        if tokens.next.kind == "name" and tokens.following.text == "(":
            name = tokens.take().text.lower()
            operands = self._operands()
            if name == "size" and len(operands) == 1:
                return tree.Size(operands[0])
            if name in ("if_not_exists", "list_append") and len(operands) == 2:
                return (IfNotExists if name == "if_not_exists" else ListAppend)(*operands)
            raise validation(f"{NOT_WELL_FORMED}unknown function {name}")
        is_literal = tokens.next.kind in ("text", "number") or tokens.next.text in ("?", "{", "[", "<<", "-", "+")
        if is_literal or tokens.is_word("TRUE", "FALSE", "NULL"):
            return tree.Literal(self._literal())
        return self._path()

    def _path(self) -> Path:
        steps: list[Step] = [self._name()]
        while True:
            if self.tokens.takes("."):
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
        value = self._raw_literal()
        try:
            settle(value)
        except AwsError as error:
            if error.message.startswith(_NUMBER_FAULTS):
                raise validation(f"{error.message} under root{_place_of_fault(value)}") from None
            raise
        return value

    def _raw_literal(self) -> Value:
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
        if tokens.is_word("TRUE", "FALSE"):
            return {"BOOL": tokens.take().text.upper() == "TRUE"}
        if tokens.takes_word("NULL"):
            return {"NULL": True}
        if tokens.takes("["):
            return {"L": self._elements("]")}
        if tokens.takes("<<"):
            return _set(self._elements(">>"))
        if tokens.takes("{"):
            return {"M": self._members()}
        raise tokens.error()

    def _elements(self, closing: str) -> list[Value]:
        elements: list[Value] = []
        while not self.tokens.takes(closing):
            if elements:
                self.tokens.expect(",")
            elements.append(self._raw_literal())
        return elements

    def _members(self) -> dict[str, Value]:
        members: dict[str, Value] = {}
        while not self.tokens.takes("}"):
            if members:
                self.tokens.expect(",")
            if self.tokens.next.kind not in ("text", "quoted", "name"):
                raise self.tokens.error()
            name = self.tokens.take().text
            self.tokens.expect(":")
            members[name] = self._raw_literal()
        return members


_FUNCTIONS: dict[str, Callable[..., Condition]] = {
    "begins_with": tree.BeginsWith,
    "contains": tree.Contains,
    "attribute_type": tree.TypeIs,
    "attribute_exists": tree.Exists,
    "attribute_not_exists": lambda operand: tree.Not(tree.Exists(operand)),
}


def _check_order(sign: str, *operands: Operand) -> None:
    for operand in operands:
        if isinstance(operand, tree.Literal) and sign in ("<", "<=", ">", ">=") and not operand.value.keys() & {"S", "N", "B"}:
            kind = kind_and_body(operand.value)[0]
            raise validation(f"Incorrect operand type for operator or function; operator or function: {sign}, operand type: {kind}")


def _place_of_fault(value: Value) -> str:
    """Where in a value the first bad number stands, as a path."""
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
    kinds: set[str] = {kind for element in elements for kind in element}
    if len(kinds) != 1 or not kinds <= {"S", "N", "B"}:
        raise validation("A set holds strings, numbers or binary values, all of one type")
    kind = kinds.pop()
    members: list[Any] = [element[kind] for element in elements]
    return {kind + "S": members}
