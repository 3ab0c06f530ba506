"""Copies the items of a table at one time: for a backup the time of the request, for recovery any time since it was enabled.

A copy is read from a snapshot of the store, so writes continue meanwhile. The state at an earlier time is the current state with all later
changes undone: for each changed key, the first entry of the recovery log after that time has the value that it had.
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
    """Copy the items of one keyspace to another, with the values in `undo` in place of the current ones. May be repeated."""
    pairs = state_at(snapshot, source, undo)
    prefix = keyspace_prefix(target)
    while step := {prefix + key[4:]: value for key, value in islice(pairs, STEP_ITEMS)}:
        await engine.storage.submit(step)
        await asyncio.sleep(0)


def changes_since(snapshot: Snapshot, recovery: Recovery, moment: datetime) -> dict[bytes, bytes | None]:
    """For each key that changed after `moment`, its value at `moment` (None: no item)."""
    held: dict[bytes, bytes | None] = {}
    for _, value in snapshot.range(*undo_range(recovery, moment)):
        undo = undo_of(value)
        held.setdefault(undo.key, undo.before)
    return held


def state_at(snapshot: Snapshot, keyspace: int, undo: Mapping[bytes, bytes | None]) -> Iterator[tuple[bytes, bytes]]:
    """Keys and stored items of a keyspace, with the values in `undo` in place of the current ones, at the end."""
    low = keyspace_prefix(keyspace)
    for key, value in snapshot.range(low, keys.after(low)):
        if key not in undo:
            yield key, value
    for key, before in undo.items():
        if before is not None:
            yield key, before
