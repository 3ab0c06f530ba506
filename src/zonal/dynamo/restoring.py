"""Bringing the items of a backup, or of a moment, into a new table.

A restored table's items lie ready in a space of their own (a backup's, or what was set aside for a moment); they are put into the table one
step after another, through the writer, so that its indexes and counts come out right. Steps may be repeated: an item that is there
already is passed over.
"""

from __future__ import annotations

from itertools import islice

from zonal.dynamo import keys, stored
from zonal.dynamo.engine import Engine
from zonal.dynamo.table import Table, space_bytes
from zonal.dynamo.writing import Batch


async def restore_step(engine: Engine, table: Table, items: int) -> bool:
    """Put the next items into the table; False once all are there."""
    restored = table.record.restored
    assert restored is not None
    source = space_bytes(restored.source_space)
    low, high = source, keys.after(source)
    last = next(iter(engine.storage.range(space_bytes(table.space), keys.after(space_bytes(table.space)), reverse=True)), None)
    if last is not None:
        # Items are brought in the order of their keys, so the last one there tells how far it got.
        low = source + last[0][4:] + b"\x00"
    batch = Batch()
    for key, packed in islice(engine.storage.range(low, high), items):
        own = space_bytes(table.space) + key[4:]
        engine.writer.change(batch, table, own, None, stored.item_of(packed), stored.size_of(packed), now=engine.now())
    if not batch.changes:
        return False
    await engine.submit(batch)
    return True
