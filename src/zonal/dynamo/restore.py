"""Bringing the items of a backup, or of a moment, into a new table.

A restored table's items lie ready in a space of their own (a backup's, or what was set aside for a moment); they are put into the table one
step after another, through the writer, so that its indexes and counts come out right. Steps may be repeated: an item that is there
already is passed over.
"""

from __future__ import annotations

from itertools import islice

from zonal.dynamo import item_codec, keys
from zonal.dynamo.engine import DynamoEngine
from zonal.dynamo.table import Table, keyspace_prefix
from zonal.dynamo.table_writer import WriteBatch


async def restore_step(engine: DynamoEngine, table: Table, items: int) -> bool:
    """Put the next items into the table; False once all are there."""
    restored = table.record.restored
    assert restored is not None
    source = keyspace_prefix(restored.source_keyspace)
    low, high = source, keys.after(source)
    last = next(
        iter(engine.storage.range(keyspace_prefix(table.keyspace), keys.after(keyspace_prefix(table.keyspace)), reverse=True)), None
    )
    if last is not None:
        # Items are brought in the order of their keys, so the last one there tells how far it got.
        low = source + last[0][4:] + b"\x00"
    batch = WriteBatch()
    for key, packed in islice(engine.storage.range(low, high), items):
        own = keyspace_prefix(table.keyspace) + key[4:]
        engine.writer.change(batch, table, own, None, item_codec.item_of(packed), item_codec.size_of(packed), now=engine.now())
    if not batch.changes:
        return False
    await engine.submit(batch)
    return True
