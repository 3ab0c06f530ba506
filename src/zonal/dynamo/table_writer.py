"""Writes an item's change together with its index entries, counts and log entries.

A `WriteBatch` collects changes that are committed together: items, their index entries, the table's counts, and the entries of its stream
and recovery log. Because the store commits a batch as a whole, a crash cannot separate an index from its table, or a stream from an
acknowledged change.
"""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime
from typing import NamedTuple

from zonal.dynamo import item_codec
from zonal.dynamo.capacity_units import Cost, write_units
from zonal.dynamo.items import Item, item_size
from zonal.dynamo.storage.storage import Storage, StorageFailed
from zonal.dynamo.streams import ChangeLog
from zonal.dynamo.table import Index, Table, keyspace_prefix

_COUNTS = b"\x00\x00\x00\x00counts"


class Count(NamedTuple):
    """The number of items in a table or index, and their total size."""

    items: int
    size_bytes: int


class WriteBatch:
    """Changes to be submitted to the store together."""

    def __init__(self) -> None:
        self.changes: dict[bytes, bytes | None] = {}
        self.counted: dict[int, tuple[int, int]] = {}

    def count(self, keyspace: int, before: bytes | None, after: bytes | None) -> None:
        items, size = self.counted.get(keyspace, (0, 0))
        items += (after is not None) - (before is not None)
        self.counted[keyspace] = (items, size + item_codec.size_of(after) - item_codec.size_of(before))

    def take(self, other: WriteBatch) -> None:
        """Add the changes of another batch."""
        self.changes |= other.changes
        for keyspace, (items, size) in other.counted.items():
            held_items, held_size = self.counted.get(keyspace, (0, 0))
            self.counted[keyspace] = (held_items + items, held_size + size)


class TableWriter:
    """Adds changes of items to batches, and submits batches to the store."""

    def __init__(self, storage: Storage, log: ChangeLog) -> None:
        self._storage = storage
        self._log = log
        self._counts: dict[int, Count] = {}

    def change(
        self,
        batch: WriteBatch,
        table: Table,
        key: bytes,
        before: bytes | None,
        after: Item | None,
        size: int,
        *,
        now: datetime,
        by_ttl: bool = False,
    ) -> Cost:
        """Replace the stored item `before` by `after` (settled, of `size` bytes; None deletes). Returns the cost."""
        packed = None if after is None else item_codec.pack(after, size)
        cost = Cost(write_units(item_codec.size_of(before), size))
        batch.changes[key] = packed
        batch.count(table.keyspace, before, packed)
        if table.needs_before:
            old = None if before is None else item_codec.item_of(before)
            for index in table.indexes:
                self._change_entry(batch, index, key, old, after, cost)
            if table.is_watched and before != packed and old != after:  # Another order of attributes is not a change.
                self._log.note(batch.changes, table, key, before, old, packed, after, now=now, by_ttl=by_ttl)
        return cost

    def submit(self, batch: WriteBatch) -> Awaitable[None]:
        """Accept the batch; the awaitable is done when it is durable. Raises `StorageFailed`."""
        for keyspace, (items, size) in batch.counted.items():
            held = self.count(keyspace)
            count = self._counts[keyspace] = Count(held.items + items, held.size_bytes + size)
            batch.changes[_COUNTS + keyspace_prefix(keyspace)] = count.items.to_bytes(8, "big", signed=True) + count.size_bytes.to_bytes(
                8, "big", signed=True
            )
        return self._submitted(self._storage.submit(batch.changes))

    def count(self, keyspace: int) -> Count:
        """The count of a table or index, with all accepted changes."""
        count = self._counts.get(keyspace)
        if count is None:
            held = self._storage.latest(_COUNTS + keyspace_prefix(keyspace)) or bytes(16)
            count = self._counts[keyspace] = Count(
                int.from_bytes(held[:8], "big", signed=True), int.from_bytes(held[8:], "big", signed=True)
            )
        return count

    def _change_entry(self, batch: WriteBatch, index: Index, key: bytes, old: Item | None, new: Item | None, cost: Cost) -> None:
        if index.backfill is not None and key > index.backfill.cursor:
            return
        before = index.entry(old) if old is not None and index.schema.covers(old) else None
        after = index.entry(new) if new is not None and index.schema.covers(new) else None
        old_entry = None if before is None or old is None else index.project(old)
        new_entry = None if after is None or new is None else index.project(new)
        if index.backfill is not None and before is not None and self._storage.latest(before) is None:
            before = old_entry = None
        if before == after and old_entry == new_entry:
            return
        old_packed = None if old_entry is None else item_codec.pack(old_entry, item_size(old_entry))
        new_packed = None if new_entry is None else item_codec.pack(new_entry, item_size(new_entry))
        batch.count(index.record.keyspace, old_packed, new_packed)
        old_size, new_size = item_codec.size_of(old_packed), item_codec.size_of(new_packed)
        if before is not None and before != after:
            batch.changes[before] = None
            cost.add_index(index.name, write_units(old_size, 0), is_global=index.is_global)
            old_size = 0
        if after is not None:
            batch.changes[after] = new_packed
            cost.add_index(index.name, write_units(old_size, new_size), is_global=index.is_global)

    async def forget_count(self, keyspace: int) -> None:
        """Drop the count of an emptied keyspace."""
        self._counts.pop(keyspace, None)
        await self._storage.submit({_COUNTS + keyspace_prefix(keyspace): None})

    async def _submitted(self, ticket: Awaitable[None]) -> None:
        try:
            await ticket
        except StorageFailed:
            # The cached counts include changes that were not made.
            self._counts.clear()
            raise


def backfill_entry(batch: WriteBatch, index: Index, packed: bytes, storage: Storage) -> None:
    """Add the entry of an item that is older than the index, unless a later write has added it."""
    item = item_codec.item_of(packed)
    if not index.schema.covers(item) or any(not item[part.name][part.type] for part in index.schema.parts):
        return
    entry_key = index.entry(item)
    if storage.latest(entry_key) is not None:
        return
    projected = index.project(item)
    entry = item_codec.pack(projected, item_size(projected))
    batch.changes[entry_key] = entry
    batch.count(index.record.keyspace, None, entry)
