"""Lifecycle rules run again after an error such as a full disk, which their deletions may relieve."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from zonal.buckets.blobs import DiskFull
from zonal.foundation.clock import RegionClock
from zonal.services.s3.lifecycle import LifecycleReconciler


async def test_lifecycle_rules_continue_after_a_failure() -> None:
    looks = 0
    again = asyncio.Event()

    def buckets() -> list[object]:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise DiskFull("the disk is full")
        again.set()
        return []

    s3_context = SimpleNamespace(catalog=SimpleNamespace(view=SimpleNamespace(buckets=buckets)))
    task = asyncio.create_task(LifecycleReconciler(s3_context, RegionClock(speed=1e6)).run())  # type: ignore[arg-type]
    async with asyncio.timeout(120):
        await again.wait()
    task.cancel()
    await asyncio.wait([task])
