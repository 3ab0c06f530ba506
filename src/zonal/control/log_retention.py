"""Keeps the log files of the hosts and of the forwarder bounded.

An engine's log files are kept for three days, as in RDS (`rds.log_retention_period`: 4,320 minutes), and up to `ENGINE_LOG_BYTES` for one
node; the oldest are removed first. A file that grows beyond `ENGINE_FILE_BYTES` starts over (`foundation.log_files.bound`). The file that
the engine writes is never removed, because the engine would keep writing to the removed file.

The region's own log is bounded by its handler (`foundation.log_handler`), and by init while no region runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

from zonal.foundation.log_files import FORWARDER_LOG, bound
from zonal.foundation.periodic import repeat

PAUSE_SECONDS = 5.0
KEPT_SECONDS = 3 * 24 * 3600.0
ENGINE_FILE_BYTES = 32 * 1024 * 1024
ENGINE_LOG_BYTES = 128 * 1024 * 1024
CONSOLE_LOG, LOG_DIRECTORY = "console.log", "log"
"""In a host's directory: the output of its engine before the log was open, and the directory of its log files."""


class LogRetention:
    """The logs of one region. `hosts` is the directory in which each host has its own."""

    def __init__(self, state: Path, hosts: Path) -> None:
        self._state = state
        self._hosts = hosts

    async def run(self) -> None:
        """Enforce the limits until cancelled."""

        async def enforce() -> None:
            await asyncio.to_thread(self.enforce, time.time())

        await repeat(enforce, what="bounding the logs", pause_seconds=PAUSE_SECONDS)

    def enforce(self, now: float) -> None:
        """Enforce the limits once. `now` is the time of the machine's files. Blocking."""
        bound(self._state / FORWARDER_LOG)
        with contextlib.suppress(FileNotFoundError):
            for host in self._hosts.iterdir():
                bound(host / CONSOLE_LOG)
                prune(host / LOG_DIRECTORY, now)


def prune(directory: Path, now: float) -> None:
    """Bound the log files of one engine."""
    found: list[tuple[float, int, Path]] = []
    with contextlib.suppress(OSError):
        for path in directory.iterdir():
            with contextlib.suppress(OSError):  # It has been removed meanwhile.
                stat = path.stat()
                found.append((stat.st_mtime, stat.st_size, path))
    found.sort(reverse=True)
    current = next((path for _, _, path in found if path.suffix != ".1"), None)
    kept_bytes = 0
    for written, size, path in found:
        kept_bytes += size
        if path == current:
            bound(path, limit_bytes=ENGINE_FILE_BYTES)
        elif written < now - KEPT_SECONDS or kept_bytes > ENGINE_LOG_BYTES:
            with contextlib.suppress(OSError):
                path.unlink()
