"""An index from the values of fields to the ids of records.

A `RecordIndex` indexes the fields that a kind declares in `Record.indexed`. It caches each sorted list of ids until the list changes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

_ALL = ("", None)


class RecordIndex:
    """The ids of the records of one kind: all of them, and by the values of the indexed fields. None is not indexed."""

    def __init__(self, fields: Sequence[str]) -> None:
        self._fields = tuple(fields)
        self._ids: defaultdict[tuple[str, Any], set[str]] = defaultdict(set)
        self._ordered: dict[tuple[str, Any], list[str]] = {}

    def ids(self, field: str = "", value: Any = None) -> list[str]:
        """The sorted ids of the records with this value in the field, or of all records. The caller must not change the list."""
        key = (field, value)
        found = self._ordered.get(key)
        if found is None:
            if key not in self._ids:
                return []
            self._ordered[key] = found = sorted(self._ids[key])
        return found

    def replace(self, id: str, before: Any, after: Any) -> None:
        """Update the index for a changed record; `before` is None for a new record, `after` for a deleted one."""
        old, new = self._keys(before), self._keys(after)
        for key in old - new:
            self._ids[key].discard(id)
            if not self._ids[key]:
                del self._ids[key]
            self._ordered.pop(key, None)
        for key in new - old:
            self._ids[key].add(id)
            self._ordered.pop(key, None)

    def _keys(self, record: Any) -> set[tuple[str, Any]]:
        if record is None:
            return set()
        return {_ALL} | {(field, value) for field in self._fields if (value := getattr(record, field)) is not None}
