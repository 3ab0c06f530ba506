"""Lifecycle rules are carried out again after a disk that was full, which they may be what makes room on."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from zonal.buckets.blobs import DiskFull
from zonal.foundation.clock import RegionClock
from zonal.services.s3.lifecycle import LifecycleReconciler


async def test_a_failure_does_not_end_the_lifecycle_rules_for_good() -> None:
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
