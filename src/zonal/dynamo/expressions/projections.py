"""Projection expressions: the parts of an item to return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from zonal.dynamo.expressions.ast import Path, PathStep
from zonal.dynamo.expressions.operands import AttributeNames, RawPath, overlap, read_path
from zonal.dynamo.expressions.tokens import ExpressionError, ExpressionTokens
from zonal.dynamo.items import Item, Value
from zonal.dynamo.token_reader import END


@dataclass
class ParsedProjection:
    """A parsed projection before names are resolved."""

    paths: list[RawPath] = field(default_factory=list)
    reserved: str | None = None


def parse(text: str) -> ParsedProjection:
    """Parse a projection expression. Raises `ExpressionError` for a syntax error; a reserved word is kept in the result."""
    tokens, draft = ExpressionTokens(text), ParsedProjection()

    def on_reserved(word: str) -> None:
        draft.reserved = draft.reserved or word

    draft.paths.append(read_path(tokens, on_reserved))
    while tokens.takes(","):
        draft.paths.append(read_path(tokens, on_reserved))
    if tokens.next.kind != END:
        raise tokens.error()
    return draft


def bind(draft: ParsedProjection, names: AttributeNames) -> tuple[Path, ...]:
    """The paths with these names. Raises `ExpressionError` with AWS's first error."""
    if draft.reserved is not None:
        raise ExpressionError(f"Attribute name is a reserved keyword; reserved keyword: {draft.reserved}")
    paths = [names.path(raw) for raw in draft.paths]
    clash = overlap(paths)
    if clash is not None:
        raise ExpressionError(clash)
    return tuple(paths)


def project(paths: Sequence[Path], item: Item) -> Item:
    """The parts of an item at these paths. A list contains only its selected elements."""
    if all(len(path.steps) == 1 for path in paths):
        return {path.steps[0]: item[path.steps[0]] for path in paths if path.steps[0] in item}
    branches: dict[PathStep, Any] = {}
    for path in paths:
        if path.of(item, {}) is not None:
            _plant(branches, path.steps)
    return {name: _part(item[name], branch) for name, branch in branches.items()}  # type: ignore[index, misc]


def _plant(branches: dict[PathStep, Any], steps: tuple[PathStep, ...]) -> None:
    """Add one path to the tree of selected steps; an empty branch selects everything below it."""
    for step in steps:
        branches = branches.setdefault(step, {})


def _part(value: Value, branches: dict[PathStep, Any]) -> Value:
    if not branches:
        return value
    if "L" in value:
        return {"L": [_part(value["L"][step], branches[step]) for step in sorted(branches) if isinstance(step, int)]}
    return {"M": {step: _part(value["M"][step], branch) for step, branch in branches.items()}}
