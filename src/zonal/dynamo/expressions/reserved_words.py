"""The reserved words, which cannot be attribute names in an expression.

They are listed in `reserved_words.txt`, one a line, as AWS lists them (Developer Guide, "Reserved words in DynamoDB").
"""

from __future__ import annotations

from importlib import resources

RESERVED = frozenset(resources.files(__package__).joinpath("reserved_words.txt").read_text().split())


def is_reserved(name: str) -> bool:
    """Whether the name is a reserved word, in upper or lower case."""
    return name.upper() in RESERVED
