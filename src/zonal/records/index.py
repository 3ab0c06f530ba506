"""Which records of a kind have a certain value in a field, known without looking at each of them.

A `RecordIndex` holds ids, by the fields that the kind declares in `Record.indexed`. The order of the ids that was worked out for one answer
is kept until a record joins or leaves, so that reading again costs no sorting.
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
        """The ids of the records that have this value in the field, in order; without a field, of all. The list must not be changed."""
        key = (field, value)
        found = self._ordered.get(key)
        if found is None:
            if key not in self._ids:
                return []
            self._ordered[key] = found = sorted(self._ids[key])
        return found

    def replace(self, id: str, before: Any, after: Any) -> None:
        """Take note of a record's change; `before` is None for a new one, `after` for one that is gone."""
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
