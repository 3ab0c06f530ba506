"""Room for texts that nest deeply.

The parsers of expressions and of PartiQL are functions that call each other, a few for each parenthesis and each NOT. A text within
DynamoDB's limits can nest deeper than Python lets calls nest unless told otherwise, and what is wrong with it is known only once it is
read to its end. Calls of Python functions take no room on the C stack, so the limit may be raised while such a text is read.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_UNREMARKABLE = 30
_CALLS_PER_LEVEL = 12


@contextmanager
def room_for(text: str) -> Iterator[None]:
    """Let calls nest as deep as a recursive parser may need for this text."""
    depth = sum(map(text.count, "([{<")) + text.upper().count("NOT")
    if depth <= _UNREMARKABLE:
        yield
        return
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(usual + depth * _CALLS_PER_LEVEL)
    try:
        yield
    finally:
        sys.setrecursionlimit(usual)
