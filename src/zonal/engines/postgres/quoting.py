"""How names, texts and connection strings are quoted: for SQL, for PostgreSQL's own files, and for libpq."""

from __future__ import annotations

from collections.abc import Mapping


def identifier(name: str) -> str:
    """A name as SQL quotes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL (standard_conforming_strings) and `postgresql.conf` quote it."""
    return "'" + text.replace("'", "''") + "'"


def connection_string(words: Mapping[str, object]) -> str:
    """libpq's keywords and values as one string ("Connection Strings" in the PostgreSQL documentation)."""
    return " ".join(f"{name}={_quoted(str(value))}" for name, value in words.items())


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
