"""Content: reads by any range, interrupted uploads, holds, and the sweep of unreferenced content."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from zonal.buckets.blob_files import COLLECT_SECONDS
from zonal.buckets.blobs import BlobMissing
from zonal.buckets.records import ObjectVersion
from zonal.buckets.store import SMALL_BYTES, BucketStore


async def pieces(*contents: bytes) -> AsyncIterator[bytes]:
    for content in contents:
        yield content


@pytest.fixture
async def store(tmp_path: Path) -> Any:
    store = BucketStore(tmp_path / "s3")
    yield store
    await store.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.01)


def files(store: BucketStore) -> list[Path]:
    return [path for path in (store._files.kept, store._files.arriving) for path in path.rglob("*") if path.is_file()]


async def test_content_can_be_read_by_any_range(store: BucketStore) -> None:
    content = os.urandom(3_000_000)
    seen: list[bytes] = []
    got = await store.receive(pieces(content[:1_500_001], content[1_500_001:]), seen.append)
    assert got.segment.size == len(content) and b"".join(seen) == content and len(files(store)) == 1
    for offset, size in ((0, len(content)), (1, 5), (1_048_570, 20), (len(content) - 3, 3)):
        assert b"".join([each async for each in store.read([got.segment], offset, size)]) == content[offset : offset + size]


async def test_segments_are_read_as_one(store: BucketStore) -> None:
    contents = [os.urandom(20_000), os.urandom(30_000), os.urandom(10_000)]
    segments = [(await store.receive(pieces(content), lambda piece: None)).segment for content in contents]
    whole = b"".join(contents)
    for offset, size in ((0, 60_000), (19_999, 2), (20_000, 30_000), (10_000, 45_000), (59_999, 1)):
        assert b"".join([each async for each in store.read(segments, offset, size)]) == whole[offset : offset + size]


async def test_small_content_is_stored_without_a_file(store: BucketStore) -> None:
    got = await store.receive(pieces(b"x" * SMALL_BYTES), lambda piece: None)
    assert got.small == b"x" * SMALL_BYTES and files(store) == []


async def test_an_interrupted_body_leaves_no_content(store: BucketStore) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield os.urandom(2_000_000)
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        await store.receive(broken(), lambda piece: None)
    assert files(store) == []


async def test_a_reader_finishes_reading_removed_content_and_the_next_finds_none(store: BucketStore) -> None:
    content = os.urandom(3_000_000)
    segment = (await store.receive(pieces(content), lambda piece: None)).segment
    reading = store.read([segment], 0, len(content))
    first = await anext(reading)
    store._files.path(segment.blob).unlink()
    assert first + b"".join([each async for each in reading]) == content
    with pytest.raises(BlobMissing):
        store.file(segment)


async def test_removed_content_is_unlinked_only_after_its_last_hold(store: BucketStore) -> None:
    segments = [(await store.receive(pieces(os.urandom(20_000)), lambda piece: None)).segment for _ in range(2)]
    begun, never_begun, other = store.read(segments, 0, 40_000), store.read(segments, 0, 1), store.files(segments, 0, 40_000)
    first = await anext(begun)
    for segment in segments:
        store.blobs.remove(segment.blob)
    await asyncio.to_thread(store._files.threads.submit(lambda: None).result)
    assert len(first + b"".join([each async for each in begun])) == 40_000 and len(list(other)) == 2
    await until(lambda: len(files(store)) == 1)
    await asyncio.sleep(3 * COLLECT_SECONDS)
    assert len(files(store)) == 1, "the one that `never_begun` may still ask for"
    del never_begun, other
    await until(lambda: files(store) == [])
    with pytest.raises(BlobMissing):
        store.read(segments, 0, 1)


async def test_a_sweep_removes_only_unreferenced_content(tmp_path: Path) -> None:
    first = BucketStore(tmp_path / "s3")
    kept, orphan = [(await first.receive(pieces(os.urandom(20_000)), lambda piece: None)).segment for _ in range(2)]
    entry = ObjectVersion(key="k", version="null", modified=1.0, owner="o", segments=(kept,))
    await first.catalog.change(lambda changes: changes.put(1, entry))
    (first._files.arriving / "torn").write_bytes(b"half")
    await first.close()
    second = BucketStore(tmp_path / "s3")
    new = (await second.receive(pieces(os.urandom(20_000)), lambda piece: None)).segment
    assert await second.sweep() == 2
    assert {path.name for path in files(second)} == {kept.blob, new.blob} and orphan.blob not in {path.name for path in files(second)}
    await second.close()


async def test_a_sweep_keeps_held_content_until_its_last_hold(tmp_path: Path) -> None:
    first = BucketStore(tmp_path / "s3")
    segment = (await first.receive(pieces(os.urandom(20_000)), lambda piece: None)).segment
    await first.close()
    second = BucketStore(tmp_path / "s3")
    reading = second.read([segment], 0, 20_000)
    await second.sweep()
    assert len(b"".join([each async for each in reading])) == 20_000
    del reading
    await second.close()
    assert files(second) == []
