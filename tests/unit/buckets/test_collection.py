"""The garbage collector may run anywhere, even while the standard library holds a lock: a finaliser that waits then deadlocks."""

from __future__ import annotations

import asyncio
import concurrent.futures.thread
import gc
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from zonal.buckets.store import BucketStore

WITHIN_SECONDS = 120


async def content(size: int) -> AsyncIterator[bytes]:
    yield os.urandom(size)


class CollectsFirst(concurrent.futures.thread._WorkItem):  # type: ignore[name-defined, misc]
    """The object that `ThreadPoolExecutor.submit` creates while it holds its locks; here the collector runs at that moment."""

    def __init__(self, *arguments: Any) -> None:
        gc.collect()
        super().__init__(*arguments)


async def remove_while_a_dead_reader_is_collected_in_submit(directory: Path) -> None:
    store = BucketStore(directory)
    held, other = [(await store.receive(content(20_000), lambda piece: None)).segment for _ in range(2)]
    gc.disable()
    reader: list[Any] = [store.read([held], 0, 20_000)]
    reader.append(reader)  # A cycle: only the collector frees it.
    store.blobs.remove(held.blob)
    await asyncio.to_thread(store._files.threads.submit(lambda: None).result)
    del reader
    concurrent.futures.thread._WorkItem = CollectsFirst  # type: ignore[attr-defined]
    store.blobs.remove(other.blob)
    while any(path.is_file() for path in store._files.kept.rglob("*")):  # noqa: ASYNC110 (there is no event to wait for)
        await asyncio.sleep(0.01)
    await store.close()
    print("removed both", flush=True)


def test_a_garbage_collection_inside_the_pools_submit_does_not_deadlock(tmp_path: Path) -> None:
    command = [sys.executable, "-m", __name__, str(tmp_path / "s3")]  # In another process: a deadlocked thread cannot be ended.
    done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_SECONDS)
    assert done.stdout == "removed both\n", done.stderr


if __name__ == "__main__":
    asyncio.run(remove_while_a_dead_reader_is_collected_in_submit(Path(sys.argv[1])))
