"""What reads and writes cost, in capacity units, and how an answer tells it.

A read costs one unit for each 4 KB, half of it when eventually consistent; a write one unit for each KB of the larger of the item before
and after, and so does each entry it changes in an index; in a transaction everything costs double.
(Developer Guide, "DynamoDB read and write operations: capacity unit consumption".)
"""

from __future__ import annotations

from typing import Any

Units = float


def read_units(size: int, *, consistent: bool) -> Units:
    """The cost of reading so many bytes (nothing there costs as much as a little)."""
    units = -(-size // 4096) or 1
    return float(units) if consistent else units / 2


def write_units(before: int, after: int) -> Units:
    """The cost of turning an item of `before` bytes into one of `after` bytes (0: not there)."""
    return float(-(-max(before, after) // 1024) or 1)


class Cost:
    """What one request (or its part for one table) consumed, of the table and of each index."""

    __slots__ = ("globals", "locals", "table")

    def __init__(self, table: Units = 0.0) -> None:
        self.table = table
        self.locals: dict[str, Units] | None = None
        self.globals: dict[str, Units] | None = None

    @property
    def total(self) -> Units:
        total = self.table
        if self.locals:
            total += sum(self.locals.values())
        if self.globals:
            total += sum(self.globals.values())
        return total

    def add_index(self, name: str, units: Units, *, is_global: bool) -> None:
        if is_global:
            self.globals = self.globals or {}
            self.globals[name] = self.globals.get(name, 0.0) + units
        else:
            self.locals = self.locals or {}
            self.locals[name] = self.locals.get(name, 0.0) + units

    def add(self, other: Cost) -> None:
        self.table += other.table
        for name, units in (other.locals or {}).items():
            self.add_index(name, units, is_global=False)
        for name, units in (other.globals or {}).items():
            self.add_index(name, units, is_global=True)

    def times(self, factor: int) -> Cost:
        """The same, so many times over."""
        scaled = Cost(self.table * factor)
        for name, units in (self.locals or {}).items():
            scaled.add_index(name, units * factor, is_global=False)
        for name, units in (self.globals or {}).items():
            scaled.add_index(name, units * factor, is_global=True)
        return scaled

    def told(self, table: str, wanted: str | None, *, kind: str = "") -> dict[str, Any] | None:
        """The `ConsumedCapacity` that a request wants: TOTAL, INDEXES or (None) nothing.

        `kind` is Read or Write in transactions, which tell both sums.
        """
        if wanted not in ("TOTAL", "INDEXES"):
            return None
        told: dict[str, Any] = {"TableName": table, "CapacityUnits": self.total} | _by_kind(self.total, kind)
        if wanted == "INDEXES":
            told["Table"] = {"CapacityUnits": self.table} | _by_kind(self.table, kind)
            for name, indexes in (("LocalSecondaryIndexes", self.locals), ("GlobalSecondaryIndexes", self.globals)):
                if indexes:
                    told[name] = {index: {"CapacityUnits": units} | _by_kind(units, kind) for index, units in indexes.items()}
        return told


def _by_kind(units: Units, kind: str) -> dict[str, Units]:
    return {f"{kind}CapacityUnits": units} if kind else {}
