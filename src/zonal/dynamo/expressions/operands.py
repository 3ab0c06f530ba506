"""Operands as written, before names are resolved, and the parser of paths; shared by the three expression languages.

A raw path still has its `#` references. `AttributeNames` resolves them, records which were used, and raises AWS's error for a missing one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from zonal.dynamo.expressions.ast import Path, PathStep
from zonal.dynamo.expressions.reserved_words import is_reserved
from zonal.dynamo.expressions.tokens import ExpressionError, ExpressionTokens
from zonal.dynamo.items import Value

MAX_DEPTH = 32


class RawPath(NamedTuple):
    """A document path as written; a step that begins with `#` is a reference."""

    steps: tuple[PathStep, ...]


class RawValue(NamedTuple):
    """`:name`."""

    name: str


class RawFunction(NamedTuple):
    """`name(operand, …)`; in updates also `+` and `-`."""

    name: str
    operands: tuple[RawOperand, ...]


RawOperand = RawPath | RawValue | RawFunction


class AttributeNames:
    """The request's expression attribute names and values, and which of them were used."""

    def __init__(self, names: Mapping[str, str] | None, values: Mapping[str, Value] | None) -> None:
        self.names = names or {}
        self.values = values or {}
        self.used_names: set[str] = set()
        self.used_values: set[str] = set()

    def path(self, raw: RawPath) -> Path:
        """The path with references resolved. Raises `ExpressionError`."""
        return Path(tuple(self._name(step) if isinstance(step, str) and step[0] == "#" else step for step in raw.steps))

    def value(self, raw: RawValue) -> Value:
        """The value of a reference. Raises `ExpressionError`."""
        if raw.name not in self.values:
            raise ExpressionError(f"An expression attribute value used in expression is not defined; attribute value: {raw.name}")
        self.used_values.add(raw.name)
        return self.values[raw.name]

    def _name(self, reference: str) -> str:
        if reference not in self.names:
            raise ExpressionError(f"An expression attribute name used in the document path is not defined; attribute name: {reference}")
        self.used_names.add(reference)
        return self.names[reference]


def read_path(tokens: ExpressionTokens, on_reserved: Callable[[str], None]) -> RawPath:
    """Read a document path: names and references with `.name` and `[index]`. Calls `on_reserved` with each reserved word."""
    return continue_path(tokens, RawPath((_read_name(tokens, on_reserved),)), on_reserved)


def continue_path(tokens: ExpressionTokens, head: RawPath, on_reserved: Callable[[str], None]) -> RawPath:
    """Read the rest of a path, after its first step."""
    steps = list(head.steps)
    while True:
        if tokens.takes("."):
            steps.append(_read_name(tokens, on_reserved))
        elif tokens.takes("["):
            if tokens.next.kind != "index":
                raise tokens.error()
            steps.append(int(tokens.take().text))
            tokens.expect("]")
        else:
            break
    if len(steps) > MAX_DEPTH:
        raise ExpressionError(f"The document path has too many nesting elements; nesting levels: {len(steps)}")
    return RawPath(tuple(steps))


def _read_name(tokens: ExpressionTokens, on_reserved: Callable[[str], None]) -> str:
    token = tokens.next
    if token.kind == "reference":
        return tokens.take().text
    if token.kind != "name":
        raise tokens.error()
    if is_reserved(token.text):
        on_reserved(token.text)
    return tokens.take().text


def overlap(paths: list[Path]) -> str | None:
    """AWS's message for two paths of which one contains the other, or that use one step as list and as map; None for no clash."""
    conflict = None
    for at, second in enumerate(paths):
        for first in paths[:at]:
            for a, b in zip(first.steps, second.steps, strict=False):
                if isinstance(a, int) != isinstance(b, int):
                    conflict = conflict or _clash("conflict", first, second)
                    break
                if a != b:
                    break
            else:
                return _clash("overlap", first, second)
    return conflict


def _clash(word: str, first: Path, second: Path) -> str:
    return f"Two document paths {word} with each other; must remove or rewrite one of these paths; path one: {first}, path two: {second}"
