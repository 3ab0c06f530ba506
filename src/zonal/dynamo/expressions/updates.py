"""Update expressions (`SET`, `REMOVE`, `ADD`, `DELETE`) and their application to an item.

Every value is computed from the item before the update. Then sets, adds and deletes are applied, and removals last, list elements from
the end, so that indexes refer to the list before the update.
(Developer Guide, "Using update expressions in DynamoDB".)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from zonal.dynamo import numbers
from zonal.dynamo.expressions import ast
from zonal.dynamo.expressions.ast import AttributeValues, Path, PathStep
from zonal.dynamo.expressions.operands import AttributeNames, RawFunction, RawOperand, RawPath, RawValue, overlap, read_path
from zonal.dynamo.expressions.tokens import ExpressionError, ExpressionTokens
from zonal.dynamo.items import Item, Value, kind_and_body, set_difference, set_union, validation
from zonal.dynamo.recursion import Steps, run
from zonal.dynamo.token_reader import END

SECTIONS = ("SET", "REMOVE", "ADD", "DELETE")
FUNCTIONS = ("if_not_exists", "list_append", "+", "-")
_TYPE_NAMES = {"S": "STRING", "N": "NUMBER", "B": "BINARY", "NULL": "NULL", "BOOL": "BOOLEAN", "L": "LIST", "M": "MAP"}
_BAD_PATH = "The document path provided in the update expression is invalid for update"
_BAD_TYPE = "An operand in the update expression has an incorrect data type"
_MISSING = "The provided expression refers to an attribute that does not exist in the item"


class UpdateAction(NamedTuple):
    """One change: `section` is SET, REMOVE, ADD or DELETE; `value` the operand of the new value (None for REMOVE).

    `type` is the type of the value if it does not depend on the item.
    """

    section: str
    path: Path
    value: ast.Operand | None
    type: str | None = None


class Update(NamedTuple):
    """All changes of an update expression."""

    actions: tuple[UpdateAction, ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(action.path for action in self.actions)

    def apply(self, item: Item, values: AttributeValues) -> Item:
        """The item after the update; `item` itself is not changed. Raises `ValidationException`."""
        computed = [(action, _compute(action, item, values)) for action in self.actions]
        after: Item = dict(item)
        copies: dict[int, Value] = {}
        for action, value in sorted(computed, key=_turn):
            parent, last = _parent(after, action.path, copies)
            if action.section == "REMOVE":
                _remove(parent, last)
            elif action.section == "SET":
                assert value is not None
                _put(parent, last, value)
            else:
                assert value is not None
                _combine(action.section, parent, last, value)
        return after


@dataclass
class RawAction:
    section: str
    path: RawPath
    value: RawOperand | None


@dataclass
class ParsedUpdate:
    """A parsed update before names are resolved, with the errors that do not depend on them."""

    actions: list[RawAction] = field(default_factory=list)
    reserved: str | None = None
    unknown: str | None = None
    repeated: str | None = None

    def raise_first_error(self) -> None:
        if self.reserved is not None:
            raise ExpressionError(f"Attribute name is a reserved keyword; reserved keyword: {self.reserved}")
        if self.unknown is not None:
            raise ExpressionError(f"Invalid function name; function: {self.unknown}")
        if self.repeated is not None:
            raise ExpressionError(f'The "{self.repeated}" section can only be used once in an update expression;')


def parse(text: str) -> ParsedUpdate:
    """Parse an update expression. Raises `ExpressionError` for a syntax error; other errors are kept in the result."""
    return _UpdateParser(text).draft


def bind(draft: ParsedUpdate, names: AttributeNames) -> Update:
    """The update with these names and values. Raises `ExpressionError` with AWS's first error."""
    draft.raise_first_error()
    for raw in draft.actions:
        names.path(raw.path)
        _each_path(raw.value, names)
    for raw in draft.actions:
        _each_value(raw.value, names)
    clash = overlap([names.path(raw.path) for raw in draft.actions])
    if clash is not None:
        raise ExpressionError(clash)
    for raw in draft.actions:
        _check_operand_type(raw, names)
    for raw in draft.actions:
        _check_functions(raw.value, names)
    return Update(tuple(_action(raw, names) for raw in draft.actions))


class _UpdateParser:
    def __init__(self, text: str) -> None:
        self.tokens = ExpressionTokens(text)
        self.draft = ParsedUpdate()
        seen: set[str] = set()
        while True:
            section = self._section()
            if section in seen and self.draft.repeated is None:
                self.draft.repeated = section
            seen.add(section)
            self.draft.actions.append(self._action(section))
            while self.tokens.takes(","):
                self.draft.actions.append(self._action(section))
            if self.tokens.next.kind == END:
                return

    def _section(self) -> str:
        if not self.tokens.is_keyword(*SECTIONS):
            raise self.tokens.error()
        return self.tokens.take().text.upper()

    def _action(self, section: str) -> RawAction:
        path = self._path()
        if section == "REMOVE":
            return RawAction(section, path, None)
        if section == "SET":
            self.tokens.expect("=")
            return RawAction(section, path, run(self._value()))
        if self.tokens.next.kind != "value":
            raise self.tokens.error()
        return RawAction(section, path, RawValue(self.tokens.take().text))

    def _path(self) -> RawPath:
        if self.tokens.is_keyword(*SECTIONS):
            raise self.tokens.error()
        return read_path(self.tokens, self._reserved)

    def _value(self) -> Steps[RawOperand]:
        """An operand, or two with `+` or `-` between, perhaps in parentheses."""
        if self.tokens.next.text == "(" and self.tokens.takes("("):
            inner: RawOperand = yield self._value()
            self.tokens.expect(")")
            if isinstance(inner, RawFunction) and inner.name in "+-":
                return inner
            return (yield self._sum(inner))  # type: ignore[no-any-return]
        return (yield self._sum((yield self._operand())))  # type: ignore[no-any-return]

    def _sum(self, left: RawOperand) -> Steps[RawOperand]:
        for sign in "+-":
            if self.tokens.takes(sign):
                return RawFunction(sign, (left, (yield self._operand())))
        return left

    def _operand(self) -> Steps[RawOperand]:
        tokens = self.tokens
        if tokens.takes("("):
            inner: RawOperand = yield self._operand()
            tokens.expect(")")
            return inner
        if tokens.next.kind == "value":
            return RawValue(tokens.take().text)
        if tokens.next.kind == "name" and tokens.following.text == "(":
            return (yield self._function(tokens.take().text))  # type: ignore[no-any-return]
        return self._path()

    def _function(self, name: str) -> Steps[RawFunction]:
        self.tokens.expect("(")
        operands: list[RawOperand] = [(yield self._operand())]
        while self.tokens.takes(","):
            operands.append((yield self._operand()))
        self.tokens.expect(")")
        if name not in FUNCTIONS and self.draft.unknown is None:
            self.draft.unknown = name
        return RawFunction(name, tuple(operands))

    def _reserved(self, word: str) -> None:
        if self.draft.reserved is None:
            self.draft.reserved = word


def _each_path(operand: RawOperand | None, names: AttributeNames) -> None:
    if isinstance(operand, RawPath):
        names.path(operand)
    elif isinstance(operand, RawFunction):
        for inner in operand.operands:
            _each_path(inner, names)


def _each_value(operand: RawOperand | None, names: AttributeNames) -> None:
    if isinstance(operand, RawValue):
        names.value(operand)
    elif isinstance(operand, RawFunction):
        for inner in operand.operands:
            _each_value(inner, names)


def _check_operand_type(raw: RawAction, names: AttributeNames) -> None:
    if raw.section not in ("ADD", "DELETE") or not isinstance(raw.value, RawValue):
        return
    kind = kind_and_body(names.value(raw.value))[0]
    if kind in _TYPE_NAMES and (raw.section, kind) != ("ADD", "N"):
        raise ExpressionError(
            f"Incorrect operand type for operator or function; operator: {raw.section}, operand type: {_TYPE_NAMES[kind]}"
        )


def _check_functions(operand: RawOperand | None, names: AttributeNames) -> None:
    if not isinstance(operand, RawFunction):
        return
    for inner in operand.operands:
        _check_functions(inner, names)
    name = operand.name
    if len(operand.operands) != 2:
        raise ExpressionError(
            "Incorrect number of operands for operator or function;"
            f" operator or function: {name}, number of operands: {len(operand.operands)}"
        )
    if name == "if_not_exists":
        if not isinstance(operand.operands[0], RawPath):
            raise ExpressionError(f"Operator or function requires a document path; operator or function: {name}")
        return
    if name == "list_append" and any(isinstance(inner, RawFunction) and inner.name == name for inner in operand.operands):
        raise ExpressionError(f"The function is not allowed to be used this way in an expression; function: {name}")
    wanted = "L" if name == "list_append" else "N"
    for inner in operand.operands:
        kind = _known_type(inner, names) if not isinstance(inner, RawFunction) else None
        if kind not in (None, wanted):
            raise ExpressionError(f"Incorrect operand type for operator or function; operator or function: {name}, operand type: {kind}")


def _known_type(operand: RawOperand | None, names: AttributeNames) -> str | None:
    if isinstance(operand, RawValue):
        return kind_and_body(names.value(operand))[0]
    if isinstance(operand, RawFunction):
        if operand.name == "if_not_exists":
            return _known_type(operand.operands[1], names)
        return "L" if operand.name == "list_append" else "N"
    return None


class Sum(NamedTuple):
    """`left + right` or `left - right`."""

    sign: str
    left: ast.Operand
    right: ast.Operand

    def of(self, item: Item, values: AttributeValues) -> Value | None:
        left, right = _required(self.left, item, values), _required(self.right, item, values)
        if "N" not in left or "N" not in right:
            raise validation(_BAD_TYPE)
        return {"N": (numbers.add if self.sign == "+" else numbers.subtract)(left["N"], right["N"])}


class IfNotExists(NamedTuple):
    path: ast.Operand
    otherwise: ast.Operand

    def of(self, item: Item, values: AttributeValues) -> Value | None:
        found = self.path.of(item, values)
        return self.otherwise.of(item, values) if found is None else found


class ListAppend(NamedTuple):
    first: ast.Operand
    second: ast.Operand

    def of(self, item: Item, values: AttributeValues) -> Value | None:
        first, second = _required(self.first, item, values), _required(self.second, item, values)
        if "L" not in first or "L" not in second:
            raise validation(_BAD_TYPE)
        return {"L": first["L"] + second["L"]}


def _action(raw: RawAction, names: AttributeNames) -> UpdateAction:
    value = None if raw.value is None else _operand(raw.value, names)
    return UpdateAction(raw.section, names.path(raw.path), value, _known_type(raw.value, names))


def _operand(operand: RawOperand, names: AttributeNames) -> ast.Operand:
    if isinstance(operand, RawPath):
        return names.path(operand)
    if isinstance(operand, RawValue):
        return ast.ValueReference(operand.name)
    first, second = (_operand(inner, names) for inner in operand.operands)
    if operand.name == "if_not_exists":
        return IfNotExists(first, second)
    if operand.name == "list_append":
        return ListAppend(first, second)
    return Sum(operand.name, first, second)


def _required(operand: ast.Operand, item: Item, values: AttributeValues) -> Value:
    value = operand.of(item, values)
    if value is None:
        raise validation(_MISSING)
    return value


def _compute(action: UpdateAction, item: Item, values: AttributeValues) -> Value | None:
    return None if action.value is None else _required(action.value, item, values)


def _turn(entry: tuple[UpdateAction, Value | None]) -> tuple[int, int]:
    """Removals last, larger indexes first; appended elements in the order of their indexes."""
    action, _ = entry
    last = action.path.steps[-1]
    index = last if isinstance(last, int) else 0
    return (1, -index) if action.section == "REMOVE" else (0, index)


Parent = dict[str, Value] | list[Value]


def _parent(item: Item, path: Path, copies: dict[int, Value]) -> tuple[Parent, PathStep]:
    """The map or list that holds what `path` names, copied where it is still shared with the item before, and the last step."""
    here: Parent = item
    for step in path.steps[:-1]:
        value = _child(here, step)
        if value is None:
            raise validation(_BAD_PATH)
        if id(value) not in copies:
            value = {kind: body.copy() if isinstance(body, dict | list) else body for kind, body in value.items()}
            copies[id(value)] = value
            here[step] = value  # type: ignore[index]
        kind, body = kind_and_body(value)
        if kind not in ("L", "M"):
            raise validation(_BAD_PATH)
        here = body
    last = path.steps[-1]
    if isinstance(last, int) != isinstance(here, list):
        raise validation(_BAD_PATH)
    return here, last


def _child(parent: Parent, step: PathStep) -> Value | None:
    if isinstance(parent, list):
        return parent[step] if isinstance(step, int) and step < len(parent) else None
    return parent.get(step) if isinstance(step, str) else None


def _put(parent: Parent, last: PathStep, value: Value) -> None:
    if isinstance(parent, list):
        assert isinstance(last, int)
        if last < len(parent):
            parent[last] = value
        else:
            parent.append(value)
    else:
        assert isinstance(last, str)
        parent[last] = value


def _remove(parent: Parent, last: PathStep) -> None:
    if isinstance(parent, list):
        assert isinstance(last, int)
        if last < len(parent):
            del parent[last]
    else:
        parent.pop(last, None)  # type: ignore[arg-type]


def _combine(section: str, parent: Parent, last: PathStep, value: Value) -> None:
    existing = _child(parent, last)
    kind, body = kind_and_body(value)
    if existing is None:
        if section == "ADD":
            _put(parent, last, value)
        return
    if kind not in existing:
        raise validation(_BAD_TYPE)
    if kind == "N":
        _put(parent, last, {"N": numbers.add(existing["N"], body)})
    elif section == "ADD":
        _put(parent, last, {kind: set_union(existing[kind], body)})
    else:
        left = set_difference(existing[kind], body)
        if left:
            _put(parent, last, {kind: left})
        else:
            _remove(parent, last)
