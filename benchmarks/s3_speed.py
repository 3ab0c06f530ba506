"""S3's speed beside the disk's and a listing's, in one run: `python -m benchmarks.s3_speed`.

Prints medians: PUT and GET of 1 KiB, 1 MiB and 64 MiB, signed, by one client over loopback; `dd conv=fsync` of 1 MiB beside them; a list
of 1,000 keys out of 100,000.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.s3_endpoint import Endpoint
from zonal.buckets.catalog import Changes
from zonal.buckets.entries import Entry
from zonal.buckets.store import BucketStore

SIZES = {"1 KiB": (1024, 200), "1 MiB": (1024**2, 30), "64 MiB": (64 * 1024**2, 5)}
KEYS = 100_000


def median_ms(work: Callable[[], Any], times: int) -> float:
    """The median of so many runs, in milliseconds."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def fill(directory: Path) -> None:
    """A bucket `many` with as many keys as a listing is measured on, made directly in the catalog."""

    async def run() -> None:
        store = BucketStore(directory / "s3")
        bucket = store.catalog.view.bucket("many")
        assert bucket is not None

        def put(changes: Changes) -> None:
            for number in range(KEYS):
                changes.put(bucket.number, Entry(key=f"{number:08d}", version="null", modified=1.0, owner=bucket.owner, etag="0" * 32))

        await store.catalog.change(put)
        await store.close()

    asyncio.run(run())


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        endpoint = Endpoint(Path(directory))
        endpoint.client().create_bucket(Bucket="many")
        endpoint.close()
        fill(Path(directory))
        endpoint = Endpoint(Path(directory))
        try:
            measure(endpoint.client(), Path(directory))
        finally:
            endpoint.close()


def measure(client: Any, directory: Path) -> None:
    for name, (size, times) in SIZES.items():
        content = os.urandom(size)
        put = median_ms(lambda content=content: client.put_object(Bucket="many", Key="z", Body=content), times)
        get = median_ms(lambda: client.get_object(Bucket="many", Key="z")["Body"].read(), times)
        print(f"{name:>7}: put {put:8.2f} ms   get {get:8.2f} ms")
    command = ["dd", "if=/dev/zero", f"of={directory}/dd", "bs=1M", "count=1", "conv=fsync", "status=none"]
    print(f"dd of 1 MiB with fsync {median_ms(lambda: subprocess.run(command, check=True), 30):.2f} ms")
    print(f"list of 1,000 out of {KEYS}: {median_ms(lambda: client.list_objects_v2(Bucket='many', StartAfter='00050000'), 20):.2f} ms")


if __name__ == "__main__":
    main()
