"""Listings of large buckets: a page out of 100,000 keys, and what a delimiter costs where a million keys lie under one prefix."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.s3_client import Connection, signed
from tests.s3_process import S3Process
from zonal.buckets.catalog import CatalogChanges
from zonal.buckets.records import Checksum, ObjectVersion
from zonal.buckets.store import BucketStore

TIMES = 20
CHECKSUM = Checksum("CRC64NVME", "AAAAAAAAAAA=")


def keys() -> dict[str, Iterator[str]]:
    """The buckets, by what is in them."""
    return {
        "flat": (f"{number:08d}" for number in range(100_000)),
        "deep": (f"{prefix}/{number:07d}" for prefix in ("a", "b", "c") for number in range(1_000_000 if prefix == "b" else 1)),
        "wide": (f"{directory:04d}/{number:04d}" for directory in range(1000) for number in range(1000)),
    }


QUESTIONS = {
    "1,000 keys out of 100,000": ("flat", "list-type=2&start-after=00050000"),
    "1,000 keys out of 100,000, first generation": ("flat", "marker=00050000"),
    "3 prefixes, a million keys under one": ("deep", "delimiter=%2F&list-type=2"),
    "1,000 prefixes, a thousand keys under each": ("wide", "delimiter=%2F&list-type=2"),
}


def listings(add: Callable[[str, str, float], None], runs: int, scratch: Path) -> None:
    """Measure them, to the last byte."""
    scratch.mkdir()
    process = S3Process(scratch)
    maker = Connection(process.port)
    for bucket in keys():
        maker.ask(signed(process.port, "PUT", f"/{bucket}"))
    maker.close()
    process.stop()
    asyncio.run(_fill(scratch / "s3"))
    process = S3Process(scratch)
    connection = Connection(process.port)
    try:
        for _ in range(runs):
            for name, (bucket, query) in QUESTIONS.items():
                seconds = connection.seconds([signed(process.port, "GET", f"/{bucket}", query=query)] * TIMES)
                add(f"list of {name}", "ms", seconds * 1000)
    finally:
        connection.close()
        process.kill()


async def _fill(directory: Path) -> None:
    """Entries as a PUT of an empty object writes them, made in the catalog itself."""
    store = BucketStore(directory)
    for name, found in keys().items():
        bucket = store.catalog.view.bucket(name)
        assert bucket is not None

        def put(changes: CatalogChanges, number: int = bucket.number, owner: str = bucket.owner, found: Iterator[str] = found) -> None:
            for key in found:
                headers = {"content-type": "binary/octet-stream"}
                entry = ObjectVersion(key=key, version="null", modified=1.0, owner=owner, etag="0" * 32, checksum=CHECKSUM, headers=headers)
                changes.put(number, entry)

        await store.catalog.change(put)
    await store.close()
