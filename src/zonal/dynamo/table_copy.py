"""Copies of a table as it was at one moment: for a backup the moment it was asked for, for recovery any moment since it is on.

A copy is read from a snapshot of the store, so writes go on while it is made. The state at an earlier moment is the state of now with every
change since then taken back: of each key that changed, the recovery log's first entry after the moment says what it held.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice

from zonal.dynamo import keys
from zonal.dynamo.engine import DynamoEngine
from zonal.dynamo.storage.storage import Snapshot
from zonal.dynamo.streams import undo_of, undo_range
from zonal.dynamo.table import Recovery, keyspace_prefix

STEP_ITEMS = 500


async def copy_keyspace(engine: DynamoEngine, snapshot: Snapshot, source: int, target: int, *, undo: Mapping[bytes, bytes | None]) -> None:
    """Copy the items of a space into another, those in `undo` as they were before. May be repeated."""
    pairs = state_at(snapshot, source, undo)
    prefix = keyspace_prefix(target)
    while step := {prefix + key[4:]: value for key, value in islice(pairs, STEP_ITEMS)}:
        await engine.storage.submit(step)
        await asyncio.sleep(0)


def changes_since(snapshot: Snapshot, recovery: Recovery, moment: datetime) -> dict[bytes, bytes | None]:
    """What every key that has changed since a moment held at it."""
    held: dict[bytes, bytes | None] = {}
    for _, value in snapshot.range(*undo_range(recovery, moment)):
        undo = undo_of(value)
        held.setdefault(undo.key, undo.before)
    return held


def state_at(snapshot: Snapshot, keyspace: int, undo: Mapping[bytes, bytes | None]) -> Iterator[tuple[bytes, bytes]]:
    """Keys and stored items of a space, those in `undo` as they were before; the latter come last."""
    low = keyspace_prefix(keyspace)
    for key, value in snapshot.range(low, keys.after(low)):
        if key not in undo:
            yield key, value
    for key, before in undo.items():
        if before is not None:
            yield key, before
