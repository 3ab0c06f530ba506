"""Statements: SELECT, INSERT, UPDATE, DELETE, and EXISTS in transactions.

Parameters (`?`) are inserted during parsing. The condition of a statement is a tree of `expressions.ast`; `equalities` returns the
attributes that it fixes to a value, from which the caller takes the key.
(Developer Guide, "PartiQL: a SQL-compatible query language for Amazon DynamoDB".)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from zonal.dynamo.expressions import ast
from zonal.dynamo.expressions.ast import Condition, Operand, Path
from zonal.dynamo.expressions.conditions import MAX_OPERATORS
from zonal.dynamo.expressions.operands import overlap
from zonal.dynamo.expressions.updates import Sum, Update, UpdateAction
from zonal.dynamo.items import Item, Value, kind_and_body, validation
from zonal.dynamo.partiql.conditions import ConditionReader
from zonal.dynamo.partiql.expressions import check_written
from zonal.dynamo.partiql.tokens import NOT_WELL_FORMED
from zonal.dynamo.recursion import Steps, run
from zonal.dynamo.token_reader import END, Token

_LEFT_OVER = NOT_WELL_FORMED + "Unexpected token after expression"
_CLAUSES = ("WHERE", "SET", "REMOVE", "ORDER", "RETURNING")


class Select(NamedTuple):
    """A SELECT. `wanted` are its columns, None for `*`; `descending` is true after ORDER BY … DESC.

    `unfit` is AWS's message for invalid columns, reported once the table and the index are found; None for valid ones.
    """

    table: str
    index_name: str | None
    wanted: tuple[Path, ...] | None
    condition: Condition | None
    descending: bool
    unfit: str | None = None


class Insert(NamedTuple):
    table: str
    item: Item


class UpdateOrDelete(NamedTuple):
    """An UPDATE, or a DELETE (`update` is None). `returning` has the values of a request's `ReturnValues`."""

    table: str
    update: Update | None
    condition: Condition | None
    returning: str


class ExistsCheck(NamedTuple):
    """A condition check in a transaction."""

    table: str
    condition: Condition | None


PartiqlStatement = Select | Insert | UpdateOrDelete | ExistsCheck


def parse(text: str, parameters: Sequence[Value] | None) -> PartiqlStatement:
    """Parse a statement. Raises `ValidationException`."""
    parser = _StatementParser(text, list(parameters or ()))
    nesting = parser.tokens.nesting()
    if nesting > MAX_OPERATORS:
        # AWS's message for this is not known; this is the one for expressions.
        raise validation(f"The expression contains too many operators; maximum operators: {MAX_OPERATORS}, operator count: {nesting}")
    return parser.statement()


def conjuncts(condition: Condition | None) -> list[Condition]:
    """The conditions that must all hold."""
    if condition is None:
        return []
    if isinstance(condition, ast.And):
        return [part for each in condition.conditions for part in conjuncts(each)]
    return [condition]


def equalities(condition: Condition | None) -> dict[str, Value]:
    """The top-level attributes that the condition fixes to a value."""
    found: dict[str, Value] = {}
    for part in conjuncts(condition):
        if isinstance(part, ast.Comparison) and part.operator == "=":
            path, literal = part.left, part.right
            if isinstance(literal, Path):
                path, literal = literal, path
            if isinstance(path, Path) and len(path.steps) == 1 and isinstance(literal, ast.Literal):
                found.setdefault(str(path.steps[0]), literal.value)
    return found


def heads(condition: object) -> frozenset[str]:
    """The top-level attributes that a condition refers to."""
    if isinstance(condition, Path):
        return frozenset((str(condition.steps[0]),))
    if isinstance(condition, ast.Literal) or not isinstance(condition, tuple):
        return frozenset()
    return frozenset().union(*map(heads, condition))


def columns(wanted: Sequence[Path], item: Item) -> Item:
    """The columns of an item in a SELECT's row: each under its last name, an element of a list under its position in the row."""
    row: Item = {}
    for at, path in enumerate(wanted, 1):
        value = path.of(item, {})
        if value is not None:
            last = path.steps[-1]
            row[last if isinstance(last, str) else f"_{at}"] = value
    return row


class _StatementParser(ConditionReader):
    def statement(self) -> PartiqlStatement:
        tokens = self.tokens
        if tokens.takes_keyword("SELECT"):
            statement: PartiqlStatement = self._select()
        elif tokens.takes_keyword("INSERT"):
            statement = self._insert()
        elif tokens.takes_keyword("UPDATE"):
            statement = self._update()
        elif tokens.takes_keyword("DELETE"):
            statement = self._delete()
        elif tokens.takes_keyword("FROM"):
            statement = self._from_first()
        elif tokens.takes_keyword("EXISTS"):
            statement = self._exists()
        else:
            self._reject_expression()
        if tokens.next.kind != END:
            raise validation(_LEFT_OVER)
        if self.used != len(self.parameters):
            raise validation("Number of parameters in request and statement don't match.")
        return statement

    def _reject_expression(self) -> NoReturn:
        """Reject an expression in place of a statement; AWS has another message for a type test."""
        if self.tokens.next.kind == "name" and self.tokens.following.text.upper() == "IS":
            run(self._condition())
        raise validation(NOT_WELL_FORMED + "Expected data manipulation")

    def _select(self) -> Select:
        wanted: list[Path] | None = None
        unfit = None
        if not self.tokens.takes("*"):
            wanted = []
            while not wanted or self.tokens.takes(","):
                if self.tokens.following.text == "(":
                    unfit = unfit or f"Unexpected path component at {self.tokens.place(self.tokens.next)}"
                    self._skip_call()
                    wanted.append(Path(("",)))
                else:
                    wanted.append(self._path())
            if unfit is None and (clash := overlap(wanted)) is not None:
                raise validation(clash)
        self.tokens.expect_keyword("FROM")
        self._check_term()
        table, index = self._source()
        condition = self._where()
        return Select(table, index, None if wanted is None else tuple(wanted), condition, self._order(), unfit)

    def _skip_call(self) -> None:
        """Skip a function in the place of a column."""
        self.tokens.take()
        self.tokens.expect("(")
        while not self.tokens.takes(")"):
            if self.tokens.take().kind == END:
                raise self.tokens.error()

    def _order(self) -> bool:
        if not self.tokens.takes_keyword("ORDER"):
            return False
        self.tokens.expect_keyword("BY")
        self._path()
        descending = False
        while self.tokens.is_keyword("ASC", "DESC"):
            descending = self.tokens.take().text.upper() == "DESC"
        return descending

    def _insert(self) -> Insert:
        self.tokens.expect_keyword("INTO")
        table = self._name()
        if self.tokens.next.text == ".":
            raise validation("FROM clause may only contain a single table name")
        if not self.tokens.is_keyword("VALUE") and self.tokens.next.kind in ("name", "quoted"):
            raise validation(_LEFT_OVER)
        self.tokens.expect_keyword("VALUE")
        value = run(self._raw_literal())
        if "M" not in value:
            raise validation(NOT_WELL_FORMED + "VALUE must be a tuple")
        for attribute in value["M"].values():
            check_written(attribute)
        return Insert(table, value["M"])

    def _update(self) -> UpdateOrDelete:
        table = self._target()
        update = self._changes()
        condition = self._where()
        return UpdateOrDelete(table, update, condition, self._returning())

    def _from_first(self) -> UpdateOrDelete:
        """An update whose WHERE clause is before its changes."""
        table = self._target()
        condition = self._where()
        return UpdateOrDelete(table, self._changes(), condition, self._returning())

    def _source(self) -> tuple[str, str | None]:
        """The table and the index of a FROM clause."""
        names = [self._name()]
        while self.tokens.takes("."):
            names.append(self._name())
        if not all(names):
            raise validation("Path component cannot be an empty string")
        if len(names) > 2:
            raise validation("A path may contain at most 2 components in the FROM clause")
        if self.tokens.next.kind in ("name", "quoted") and not self.tokens.is_keyword(*_CLAUSES):
            raise validation("Aliasing is not supported")
        return names[0], names[1] if len(names) > 1 else None

    def _target(self) -> str:
        """The table of a write."""
        table, index = self._source()
        if index is not None:
            raise validation("This operation is not supported on an index")
        return table

    def _changes(self) -> Update:
        actions: list[UpdateAction] = []
        while self.tokens.is_keyword("SET", "REMOVE"):
            section = self.tokens.take().text.upper()
            actions.append(self._action(section))
            while self.tokens.takes(","):
                actions.append(self._action(section))
        if not actions:
            raise self.tokens.error()
        if (clash := overlap([action.path for action in actions])) is not None:
            raise validation(clash)
        return Update(tuple(actions))

    def _action(self, section: str) -> UpdateAction:
        path = self._path()
        if section == "REMOVE":
            return UpdateAction(section, path, None)
        self.tokens.expect("=")
        for word, combined in (("SET_ADD", "ADD"), ("SET_DELETE", "DELETE")):
            if self.tokens.is_keyword(word) and self.tokens.following.text == "(":
                return UpdateAction(combined, path, ast.Literal(self._combined_set(word, path)))
        return UpdateAction(section, path, run(self._sum()))

    def _combined_set(self, function: str, path: Path) -> Value:
        """The set that SET_ADD or SET_DELETE combines with the one at `path`."""
        tokens = self.tokens
        name = tokens.take()
        first: Token = tokens.following
        operands = run(self._list_in_parentheses())
        if len(operands) != 2:
            raise validation(f"{function} must have exactly two arguments at {tokens.place(name)}")
        if operands[0] != path:
            raise validation(f"The first argument to {function} must equal the assignment value at {tokens.place(name)}")
        second = operands[1]
        if not isinstance(second, ast.Literal) or kind_and_body(second.value)[0] not in ("SS", "NS", "BS"):
            raise validation(f"The second argument to {function} must be a value with type SET at {tokens.place(first)}")
        return second.value

    def _sum(self) -> Steps[Operand]:
        left: Operand = yield self._operand()
        for sign in "+-":
            if self.tokens.takes(sign):
                return Sum(sign, left, (yield self._right_hand()))
        return left

    def _delete(self) -> UpdateOrDelete:
        self.tokens.expect_keyword("FROM")
        if self.tokens.next.kind == END or self.tokens.is_keyword(*_CLAUSES):
            raise validation(NOT_WELL_FORMED + "Expected identifier for simple path")
        table = self._target()
        condition = self._where()
        returning = self._returning()
        if returning not in ("NONE", "ALL_OLD"):
            which = returning.replace("UPDATED", "MODIFIED").replace("_", " ")
            raise validation(f"Invalid returning clause: RETURNING {which} *. Only RETURNING ALL OLD * is allowed in DELETE statements.")
        return UpdateOrDelete(table, None, condition, returning)

    def _exists(self) -> ExistsCheck:
        self.tokens.expect("(")
        self.tokens.expect_keyword("SELECT")
        select = self._select()
        self.tokens.expect(")")
        return ExistsCheck(select.table, select.condition)

    def _returning(self) -> str:
        if not self.tokens.takes_keyword("RETURNING"):
            return "NONE"
        which, when = self.tokens.take().text.upper(), self.tokens.take().text.upper()
        self.tokens.expect("*")
        returns = {"ALL": "ALL", "MODIFIED": "UPDATED"}.get(which)
        if returns is None or when not in ("OLD", "NEW"):
            raise self.tokens.error()
        return f"{returns}_{when}"
