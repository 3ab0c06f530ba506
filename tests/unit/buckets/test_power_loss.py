"""Power losses at any time: acknowledged writes survive, visible content is complete, and the rest is removed by the sweep.

The store runs on a simulated disk that loses unsynced data (`lossy_disk`); after each power loss the store is opened again and checked.
"""

from __future__ import annotations

import hashlib
import random
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.buckets.lossy_disk import LosingDisk
from zonal.buckets import file_writer
from zonal.buckets.blobs import BlobMissing
from zonal.buckets.catalog import CatalogChanges, decode
from zonal.buckets.records import ObjectVersion
from zonal.buckets.store import SMALL_BYTES, BucketStore

KEYS = ("a", "b", "c")
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""A directory in memory, where real syncs are cheap; `LossyDisk` models their effect."""
SIZES = (10, SMALL_BYTES + 1, 700_000)


class Client:
    """A writer that records the acknowledged digest of each key (None if deleted) and the results that are possible besides."""

    def __init__(self, store: BucketStore, source: random.Random) -> None:
        self._store = store
        self._source = source
        self.acknowledged: dict[str, str | None] = {}
        self.under_way: tuple[str, str | None] = ("", None)

    async def act(self) -> None:
        key = self._source.choice(KEYS)
        if self._source.random() < 0.25:
            self.under_way = (key, None)
            await self._store.catalog.change(lambda changes: changes.delete(1, key, "null"))
            self.acknowledged[key] = None
            return
        whole = self._source.randbytes(self._source.choice(SIZES))
        digest = hashlib.md5(whole).hexdigest()
        self.under_way = (key, digest)
        await self._put(key, whole, digest)
        self.acknowledged[key] = digest

    async def _put(self, key: str, whole: bytes, digest: str) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(whole), 100_000):
                yield whole[start : start + 100_000]

        got = await self._store.receive(pieces(), lambda piece: None)
        entry = ObjectVersion(key=key, version="null", modified=1.0, owner="o", size=len(whole), etag=digest, segments=(got.segment,))

        def put(changes: CatalogChanges) -> None:
            if got.small is not None:
                changes.add_small(got.segment.blob, got.small)
            changes.put(1, entry)

        await self._store.catalog.change(put)


class Losses:
    """Power losses at random times: each is an image of what may be left, with the content that it must have."""

    def __init__(self, directory: Path, source: random.Random, *, of: int) -> None:
        self._directory = directory
        self._source = source
        self._of = of
        self.disk: LosingDisk | None = None
        self.client: Client | None = None
        self.kept: list[tuple[Path, dict[str, str | None], tuple[str, str | None]]] = []

    def perhaps(self) -> None:
        if self.disk is None or self.client is None or self._source.randrange(self._of):
            return
        with self.disk.lock:  # The power loss stops the store's threads and the client at the same time.
            image = self._directory / str(len(self.kept))
            self.disk.image(image, self._source)
            self.kept.append((image, dict(self.client.acknowledged), self.client.under_way))


async def live(directory: Path, patch: pytest.MonkeyPatch, seed: int, *, acts: int = 20) -> Losses:
    source = random.Random(seed)
    root = directory / "region"
    root.mkdir()
    losses = Losses(directory, source, of=6)
    losses.disk = LosingDisk(root, patch, losses.perhaps)
    store = BucketStore(root / "s3")
    losses.client = Client(store, source)
    for _ in range(acts):
        await losses.client.act()
        losses.perhaps()
    await store.close()
    patch.undo()
    return losses


async def check(image: Path, acknowledged: dict[str, str | None], under_way: tuple[str, str | None]) -> None:
    store = BucketStore(image / "s3")
    try:
        for _ in ("before the sweep", "after it"):
            found: dict[str, str | None] = {}
            for row in store.catalog.view.walk_current(1, b"", None):
                entry = decode(row)
                whole = b"".join([each async for each in store.read(entry.segments, 0, entry.size)])
                assert hashlib.md5(whole).hexdigest() == entry.etag, f"{entry.key} is torn"
                found[entry.key] = entry.etag
            for key in KEYS:
                assert found.get(key) in {acknowledged.get(key), under_way[1] if key == under_way[0] else acknowledged.get(key)}
            await store.sweep()
        files = [path for path in (image / "s3" / "content").rglob("*") if path.is_file()]
        assert all(store.catalog.view.refers_to(path.name) for path in files)
    finally:
        await store.close()


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_power_loss_loses_no_acknowledged_write_and_leaves_no_torn_content(seed: int) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory, pytest.MonkeyPatch.context() as patch:
        losses = await live(Path(directory), patch, seed)
        assert len(losses.kept) > 5
        for image, acknowledged, under_way in losses.kept:
            await check(image, acknowledged, under_way)


@pytest.mark.parametrize("left_out", ["sync_directory", "sync_file"])
async def test_a_missing_sync_is_detected_on_the_lossy_disk(left_out: str) -> None:
    def nothing(*_: Any) -> None:
        return None

    failures = 0
    for seed in range(3):
        with tempfile.TemporaryDirectory(dir=MEMORY) as directory, pytest.MonkeyPatch.context() as patch:
            patch.setattr(file_writer, left_out, nothing)
            losses = await live(Path(directory), patch, seed)
            for each in losses.kept:
                try:
                    await check(*each)
                except (AssertionError, BlobMissing):
                    failures += 1
        if failures:
            return
    pytest.fail(f"nobody missed {left_out}")
