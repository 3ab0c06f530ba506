"""Ordered listing with prefixes, delimiters and markers; its cost is proportional to the number of results.

Rows are read lazily. If a key contains the delimiter after the prefix, the key up to there is a common prefix: the listing records it and
continues with the first key after it, so a million keys under one common prefix cost one look-up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, TypeVar

R = TypeVar("R")


class ListingPage(NamedTuple, Generic[R]):
    """A page of a listing. `last` is its last key or common prefix if more follow, else None."""

    rows: list[R]
    prefixes: list[str]
    last: str | None


Walk = Callable[[bytes, bytes | None], Iterator[R]]
"""Returns the rows with `start <= key < end` in order."""


def page(
    walk: Walk[R], key_of: Callable[[R], bytes], *, start: bytes, prefix: str, delimiter: str, after: str, limit: int
) -> ListingPage[R]:
    """The rows with this prefix from `start` on; at most `limit` rows and common prefixes in total.

    Common prefixes that are not greater than `after` are omitted, as on S3 (ListObjectsV2, "CommonPrefixes"). If `after` is a common prefix
    itself, the last one of the previous page, all keys under it are skipped.
    """
    beginning, cut, end = prefix.encode(), delimiter.encode(), first_key_after(prefix.encode())
    rows: list[R] = []
    prefixes: list[str] = []
    last = ""
    start = max(start, beginning)
    if delimiter and after.startswith(prefix) and after[len(prefix) :].endswith(delimiter):
        start = max(start, first_key_after(after.encode()) or start)
    while True:
        skip = None
        for row in walk(start, end):
            key = key_of(row)
            at = key.find(cut, len(beginning)) if cut else -1
            common = key[: at + len(cut)] if at >= 0 else b""
            skip = first_key_after(common) if common else None
            if common and common <= after.encode():
                break
            if len(rows) + len(prefixes) >= limit:
                return ListingPage(rows, prefixes, last)
            if common:
                last = common.decode()
                prefixes.append(last)
                break
            rows.append(row)
            last = key.decode()
        if skip is None:
            return ListingPage(rows, prefixes, None)
        start = skip


def first_key_after(prefix: bytes) -> bytes | None:
    """The least key that is greater than all keys with this prefix; None if there is none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None
