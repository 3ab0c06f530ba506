"""Records to read, wherever they are read from: the store (what is committed) or a transaction (with its own changes)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from zonal.records.store import Record

R = TypeVar("R", bound=Record)


class RecordView(Protocol):
    """What `records.store.Store` and `records.store.Transaction` have in common; a function that takes one cannot write."""

    def get(self, kind: type[R], id: str) -> R | None:
        """The record, or None where there is none."""

    def require(self, kind: type[R], id: str) -> R:
        """The record. Raises `NoSuchRecord`."""

    def select(self, kind: type[R], where: Callable[[R], bool] | None = None) -> list[R]:
        """Records of a kind in the order of their ids."""

    def lookup(self, kind: type[R], field: str, value: str) -> list[R]:
        """Records of a kind whose indexed field has this value, in the order of their ids.

        Raises `ValueError` for a field that is not indexed.
        """
