"""Recursive descent parsing without Python's call stack.

The parsers of expressions and of PartiQL are methods that call each other, up to eight for each parenthesis and each NOT. A text within
DynamoDB's limits can nest deeper than Python's recursion limit, and its first error is known only at its end. So these methods are
generators: each yields the generator whose result it needs and is sent that result; `run` keeps the waiting generators in a list.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

T = TypeVar("T")
Steps = Generator["Steps[Any]", Any, T]
"""A parsing method in progress, whose result is a T."""


def run(steps: Steps[T]) -> T:
    """Run a parsing method to its end and return its result, or raise its exception."""
    stack: list[Steps[Any]] = [steps]
    result: Any = None
    while stack:
        try:
            needed = stack[-1].send(result)
        except StopIteration as ended:
            stack.pop()
            result = ended.value
        else:
            stack.append(needed)
            result = None
    return result  # type: ignore[no-any-return]
