"""Monitoring hosts: one in each zone, on the management network, from which nodes are probed.

A monitoring host is a network namespace with up to `THREADS` threads that never leave it. Work that they run opens its sockets there, and a
connection keeps its namespace, whichever thread uses it later. The monitoring host of a lost zone reaches its own zone only, as a real one
would.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from zonal.fabric.linux import syscalls
from zonal.fabric.linux.threads import handed_over

T = TypeVar("T")

THREADS = 24
"""The maximum of concurrent probes from one zone; a probe that hangs occupies one thread."""


class MonitorHosts:
    """One monitoring host in each zone (the `Monitors` of `fabric.host_interface`)."""

    def __init__(self) -> None:
        self._posts: dict[str, _WorkerPool] = {}

    def add(self, zone: str, namespace: int) -> None:
        self._posts[zone] = _WorkerPool(zone, namespace)

    async def probe(self, zone: str, work: Callable[[], T], *, within: timedelta) -> T:
        """Run `work` in a thread whose sockets belong to the monitoring host in `zone`, and return its result.

        Raises `TimeoutError` after `within` (the thread is abandoned, so `work` must have a bound of its own) and whatever `work` raises.
        """
        async with asyncio.timeout(within.total_seconds()):
            return await self._posts[zone].run(work)

    def close(self) -> None:
        """End the threads; one that hangs ends with its work."""
        for post in self._posts.values():
            post.close()


class _WorkerPool:
    """Threads inside one namespace, started on demand."""

    def __init__(self, zone: str, namespace: int) -> None:
        self._zone = zone
        self._namespace = namespace
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = itertools.count(1)
        self._started = 0
        self._idle = 0
        self._lock = threading.Lock()

    async def run(self, work: Callable[[], T]) -> T:
        done, task = handed_over(work)
        self._work.put(task)
        with self._lock:
            if self._idle < self._work.qsize() and self._started < THREADS:
                self._started += 1
                threading.Thread(target=self._live, name=f"monitor {self._zone} {next(self._threads)}", daemon=True).start()
        return await done

    def close(self) -> None:
        for _ in range(self._started):
            self._work.put(None)

    def _live(self) -> None:
        syscalls.enter(self._namespace, syscalls.NEW_NET)
        while True:
            with self._lock:
                self._idle += 1
            task = self._work.get()
            with self._lock:
                self._idle -= 1
            if task is None:
                return
            task()
