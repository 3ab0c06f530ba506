"""Read access to records: committed ones (a store), or with the changes of an open transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from zonal.records.store import Record

R = TypeVar("R", bound=Record)


class RecordView(Protocol):
    """The reading half of `records.store.Store` and `records.store.Transaction`; a function that takes a view cannot write."""

    def get(self, kind: type[R], id: str) -> R | None:
        """The record, or None where there is none."""

    def require(self, kind: type[R], id: str) -> R:
        """The record. Raises `NoSuchRecord`."""

    def select(self, kind: type[R], where: Callable[[R], bool] | None = None) -> list[R]:
        """The records of a kind, sorted by id."""

    def lookup(self, kind: type[R], field: str, value: str) -> list[R]:
        """The records of a kind whose indexed field has this value, sorted by id.

        Raises `ValueError` for a field that is not indexed.
        """
