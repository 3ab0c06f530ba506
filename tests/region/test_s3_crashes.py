"""S3 killed at random times under a mixed load over HTTP: no acknowledged write is lost, no torn content is visible, orphans are removed.

`ZONAL_S3_KILLS` sets the number of kills (a few by default; docs/s3.md has the result of a long run), `ZONAL_S3_SEED` the seed.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

from tests.running_region import eventually
from tests.s3_load import Reader, Writer, prepare, settle, working
from tests.s3_process import S3Process
from zonal.buckets.catalog import CatalogView, decode
from zonal.buckets.records import Segment
from zonal.buckets.store import BucketStore

KILLS = int(os.environ.get("ZONAL_S3_KILLS", "6"))
SEED = int(os.environ.get("ZONAL_S3_SEED", "20261123"))
WRITERS = 4


def test_acknowledged_writes_survive_kills_during_a_mixed_load(tmp_path: Path) -> None:
    source = random.Random(SEED)
    writers = [Writer(f"writer-{number}", source.getrandbits(60)) for number in range(WRITERS)]
    reader = Reader()
    orphans, port = 0, 0
    for life in range(KILLS + 1):
        server = S3Process(tmp_path, port=port)
        port = server.port
        client = server.client(max_pool_connections=WRITERS + 1)
        if life == 0:
            prepare(client)
        try:
            settle(client, writers)
            if life == KILLS:
                break
            enough = acknowledged(writers) + source.randint(11, 150)
            with working(client, writers, reader):
                try:
                    eventually(lambda: acknowledged(writers) >= enough and reader.read > life, within=300, every=0.001)  # noqa: B023
                    time.sleep(source.random() * 0.05)
                finally:
                    server.kill()
        finally:
            server.kill()
        assert not reader.torn
        orphans += asyncio.run(check_content(tmp_path / "s3"))
    print(f"seed {SEED}: {KILLS} kills, {acknowledged(writers)} acts acknowledged, {reader.read} reads, {orphans} orphans swept")
    assert acknowledged(writers) > 10 * KILLS and reader.read >= KILLS
    assert asyncio.run(check_content(tmp_path / "s3", sweep=True)) == 0


def acknowledged(writers: list[Writer]) -> int:
    return sum(writer.acknowledged for writer in writers)


async def check_content(directory: Path, *, sweep: bool = False) -> int:
    """Assert that all referenced content is complete and the indexes agree; returns the number of unreferenced files."""
    store = BucketStore(directory)
    view = store.catalog.view
    if sweep:
        await store.sweep()
    referred = set()
    for segment in segments(view):
        if segment.small:
            assert len(view.small(segment.blob) or b"") == segment.size, f"small content {segment.blob} is not there"
        else:
            assert view.refers_to(segment.blob), f"a sweep would remove {segment.blob}"
            referred.add(segment.blob)
            assert store._files.path(segment.blob).stat().st_size == segment.size, f"{segment.blob} is torn"
    assert view._database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    kept = {path.name for path in store._files.kept.rglob("*") if path.is_file()}
    arriving = list(store._files.arriving.iterdir())
    await store.close()
    return len(kept - referred) + len(arriving)


def segments(view: CatalogView) -> Iterator[Segment]:
    """The content that any version or part refers to."""
    for bucket in view.buckets():
        for row in view.walk_versions(bucket.number, b"", None):
            yield from decode(row).segments
        for _, upload in view.walk_uploads(bucket.number, b"", None):
            yield from (part.segment for part in view.parts(upload.id))
