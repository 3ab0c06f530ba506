"""Recursive descent with a stack of its own.

The parsers of expressions and of PartiQL are methods that call each other, up to eight for each parenthesis and each NOT. A text within
DynamoDB's limits can nest deeper than Python lets calls nest, and what is wrong with it is known only once it is read to its end. So those
methods are generators: each yields the generator of what it needs and is sent its result, and `run` keeps the waiting ones in a list.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

T = TypeVar("T")
Steps = Generator["Steps[Any]", Any, T]
"""A parsing method in progress, whose result is a T."""


def run(steps: Steps[T]) -> T:
    """The result of a parsing method, carried to its end. What it raises is raised."""
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
