"""Computes the capacity units of reads and writes, and the `ConsumedCapacity` of a response.

A read costs one unit for each 4 KB, half of it when eventually consistent. A write costs one unit for each KB of the larger of the item
before and after, and the same for each index entry that it changes. A transaction costs double.
(Developer Guide, "DynamoDB read and write operations: capacity unit consumption".)
"""

from __future__ import annotations

from typing import Any

Units = float


def read_units(size: int, *, consistent: bool) -> Units:
    """The cost of reading `size` bytes; reading a missing item costs as much as the smallest."""
    units = -(-size // 4096) or 1
    return float(units) if consistent else units / 2


def write_units(before: int, after: int) -> Units:
    """The cost of replacing an item of `before` bytes by one of `after` bytes (0: no item)."""
    return float(-(-max(before, after) // 1024) or 1)


class Cost:
    """The units that one request consumed of one table and of each of its indexes."""

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
        """The cost multiplied by `factor`."""
        scaled = Cost(self.table * factor)
        for name, units in (self.locals or {}).items():
            scaled.add_index(name, units * factor, is_global=False)
        for name, units in (self.globals or {}).items():
            scaled.add_index(name, units * factor, is_global=True)
        return scaled

    def consumed_capacity(self, table: str, wanted: str | None, *, kind: str = "") -> dict[str, Any] | None:
        """The `ConsumedCapacity` for a request's `ReturnConsumedCapacity` (`wanted`): TOTAL, INDEXES, or None for no such member.

        `kind` is Read or Write in transactions, whose responses have a second sum under that name.
        """
        if wanted not in ("TOTAL", "INDEXES"):
            return None
        members: dict[str, Any] = {"TableName": table, "CapacityUnits": self.total} | _by_kind(self.total, kind)
        if wanted == "INDEXES":
            members["Table"] = {"CapacityUnits": self.table} | _by_kind(self.table, kind)
            for name, indexes in (("LocalSecondaryIndexes", self.locals), ("GlobalSecondaryIndexes", self.globals)):
                if indexes:
                    members[name] = {index: {"CapacityUnits": units} | _by_kind(units, kind) for index, units in indexes.items()}
        return members


def _by_kind(units: Units, kind: str) -> dict[str, Units]:
    return {f"{kind}CapacityUnits": units} if kind else {}
