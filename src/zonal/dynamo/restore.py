"""Copies the items of a backup, or of a point in time, into a new table.

The items are in a keyspace of their own: the backup's, or one that was filled with the state at that time. They are written to the table
step by step through `TableWriter`, which also writes index entries and counts. A repeated step continues after the last item in the table.
"""

from __future__ import annotations

from itertools import islice

from zonal.dynamo import item_codec, keys
from zonal.dynamo.engine import DynamoEngine
from zonal.dynamo.table import Table, keyspace_prefix
from zonal.dynamo.table_writer import WriteBatch


async def restore_step(engine: DynamoEngine, table: Table, items: int) -> bool:
    """Write the next items to the table; False once all are written."""
    restored = table.record.restored
    assert restored is not None
    source = keyspace_prefix(restored.source_keyspace)
    low, high = source, keys.after(source)
    last = next(
        iter(engine.storage.range(keyspace_prefix(table.keyspace), keys.after(keyspace_prefix(table.keyspace)), reverse=True)), None
    )
    if last is not None:
        # Items are written in the order of their keys, so the last one in the table marks the progress.
        low = source + last[0][4:] + b"\x00"
    batch = WriteBatch()
    for key, packed in islice(engine.storage.range(low, high), items):
        own = keyspace_prefix(table.keyspace) + key[4:]
        engine.writer.change(batch, table, own, None, item_codec.item_of(packed), item_codec.size_of(packed), now=engine.now())
    if not batch.changes:
        return False
    await engine.submit(batch)
    return True
