"""Reads one page of a Query or Scan from a range of keys.

A page ends with the item that reaches `Limit` or takes the bytes read past 1 MB. Filters and projections are applied after the read, so
they do not change a page's cost. Without them, an item's JSON is copied from the store to the response undecoded.
(Developer Guide, "Paginating table query results", "Filter expressions for the Query operation".)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

import msgspec

from zonal.dynamo import item_codec, keys
from zonal.dynamo.capacity_units import read_units
from zonal.dynamo.expressions.ast import AttributeValues, Condition, Path
from zonal.dynamo.expressions.key_conditions import KeyCondition
from zonal.dynamo.expressions.projections import project
from zonal.dynamo.items import Item, Value
from zonal.dynamo.keys import Schema

PAGE_BYTES = 1024 * 1024
_SEGMENT_GRAIN = 4096


class ReadView(Protocol):
    """A committed state: the current one or, for a stale read, an earlier one."""

    def get(self, key: bytes) -> bytes | None: ...

    def range(self, low: bytes, high: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]: ...


class PageRequest(NamedTuple):
    """What a page contains.

    `fetch` returns the table's stored item of an index entry, for attributes that the index lacks. `shape` applies the projection.
    """

    limit: int | None = None
    filter: Condition | None = None
    values: AttributeValues = MappingProxyType({})
    projection: Sequence[Path] | None = None
    counts_only: bool = False
    fetch: Callable[[Item], bytes | None] | None = None
    shape: Callable[[Sequence[Path], Item], Item] = project


class ItemPage(NamedTuple):
    """The items of a page as JSON. `last` is the stored entry at which the page ended, None at the end of the range.

    `size` is the number of bytes read from the table or index, `fetched_units` the cost of fetches from the table by consistent reads.
    """

    items: list[bytes]
    matched: int
    scanned: int
    size: int
    last: bytes | None
    fetched_units: float = 0.0


def read_page(pairs: Iterator[tuple[bytes, bytes]], page_request: PageRequest) -> ItemPage:
    """Read until the page is full or the range ends."""
    if page_request.filter is None and page_request.projection is None and page_request.fetch is None:
        return _plain_page(pairs, page_request)
    items: list[bytes] = []
    count = scanned = size = 0
    fetched = 0.0
    for _, value in pairs:
        scanned += 1
        size += item_codec.size_of(value)
        whole: bytes | None = value
        if page_request.fetch is not None:
            whole = page_request.fetch(item_codec.item_of(value))
            fetched += read_units(item_codec.size_of(whole), consistent=True)
        if whole is not None and (found := _seen(whole, page_request)) is not None:
            count += 1
            if not page_request.counts_only:
                items.append(found)
        if scanned == page_request.limit or size >= PAGE_BYTES:
            return ItemPage(items, count, scanned, size, value, fetched)
    return ItemPage(items, count, scanned, size, None, fetched)


def _plain_page(pairs: Iterator[tuple[bytes, bytes]], page_request: PageRequest) -> ItemPage:
    items: list[bytes] = []
    append, from_bytes = items.append, int.from_bytes
    scanned = size = 0
    limit = page_request.limit or -1
    for _, value in pairs:
        scanned += 1
        size += from_bytes(value[:4], "big")
        append(value[4:])
        if scanned == limit or size >= PAGE_BYTES:
            return ItemPage([] if page_request.counts_only else items, scanned, scanned, size, value)
    return ItemPage([] if page_request.counts_only else items, scanned, scanned, size, None)


def _seen(value: bytes, page_request: PageRequest) -> bytes | None:
    if page_request.filter is None and page_request.projection is None:
        return item_codec.json_of(value)
    item = item_codec.item_of(value)
    if page_request.filter is not None and not page_request.filter.holds(item, page_request.values):
        return None
    if page_request.projection is None or page_request.counts_only:
        return item_codec.json_of(value)
    return msgspec.json.encode(page_request.shape(page_request.projection, item))


def query_range(schema: Schema, partition: Sequence[Value], conditions: Sequence[KeyCondition]) -> tuple[bytes, bytes]:
    """The keys that a Query reads: a partition, narrowed by conditions on the sort key attributes from the left."""
    prefix = schema.partition_prefix(partition)
    for condition in conditions[:-1]:
        prefix += keys.encode(condition.values[0])
    if not conditions:
        return prefix, keys.after(prefix)
    return _narrowed(prefix, conditions[-1])


def _narrowed(prefix: bytes, condition: KeyCondition) -> tuple[bytes, bytes]:
    low, high = prefix, keys.after(prefix)
    operator, values = condition.operator, condition.values
    if operator == "BEGINS_WITH":
        beginning = prefix + keys.encode_beginning(values[0])
        return (low, high) if beginning == prefix else (beginning, keys.after(beginning))
    first = prefix + keys.encode(values[0])
    if operator == "EQ":
        return first, keys.after(first)
    if operator == "LT":
        return low, first
    if operator == "LE":
        return low, keys.after(first)
    if operator == "GT":
        return keys.after(first), high
    if operator == "GE":
        return first, high
    return first, keys.after(prefix + keys.encode(values[1]))


def scan_range(keyspace: bytes, segment: int = 0, segments: int = 1) -> tuple[bytes, bytes]:
    """The keys of a segment of a keyspace: an equal share of the hash order of partitions."""
    grain = max(_SEGMENT_GRAIN, 1 << (segments - 1).bit_length())
    bits = grain.bit_length() - 1
    return keyspace + _boundary(segment, segments, grain, bits), (
        keys.after(keyspace) if segment == segments - 1 else keyspace + _boundary(segment + 1, segments, grain, bits)
    )


def _boundary(segment: int, segments: int, grain: int, bits: int) -> bytes:
    return (-(-grain * segment // segments) << (64 - bits)).to_bytes(8, "big")
