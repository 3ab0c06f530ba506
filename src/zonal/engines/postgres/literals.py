"""Quotes names, texts and connection strings for SQL, for PostgreSQL's own files, and for libpq."""

from __future__ import annotations

from collections.abc import Mapping


def identifier(name: str) -> str:
    """A name as SQL quotes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL quotes it (standard_conforming_strings)."""
    return "'" + text.replace("'", "''") + "'"


def setting(value: str) -> str:
    """A value as `postgresql.conf` quotes it, where a backslash escapes too (`GUC_scanstr`)."""
    return literal(value.replace("\\", "\\\\"))


def setting_value(quoted: str) -> str:
    """The value that `setting` quoted."""
    return quoted[1:-1].replace("''", "'").replace("\\\\", "\\")


def connection_string(conninfo: Mapping[str, object]) -> str:
    """libpq's keywords and values as one string ("Connection Strings" in the PostgreSQL documentation)."""
    return " ".join(f"{name}={_quoted(str(value))}" for name, value in conninfo.items())


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
