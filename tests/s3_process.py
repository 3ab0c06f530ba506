"""A region with only S3 in a separate process, for tests that kill it.

Each start is a fork of one process that has imported everything, so that a test can restart it hundreds of times.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import uvloop

from tests.s3_endpoint import client, listening, serving

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload([__name__])


class S3Process:
    """Serves from its construction to `kill` or `stop`. `port` 0 chooses a free one."""

    def __init__(self, directory: Path, *, port: int = 0) -> None:
        self._link, theirs = _forks.Pipe()
        self._process = _forks.Process(target=_live, args=(directory, port, theirs), daemon=True)
        self._process.start()
        theirs.close()
        assert self._link.poll(120), "S3 does not begin"
        self.port: int = self._link.recv()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def client(self, **more: Any) -> Any:
        """A boto3 client without retries: an operation without a response stays unknown."""
        return client(self.port, retries={"total_max_attempts": 1}, **more)

    def kill(self) -> None:
        """Send SIGKILL; nothing is flushed."""
        self._process.kill()
        self._process.join()
        self._link.close()

    def stop(self) -> None:
        self._link.send("stop")
        self._process.join()
        self._link.close()


def _live(directory: Path, port: int, link: Connection) -> None:
    async def run() -> None:
        with listening(port) as listener:
            async with serving(directory, listener):
                link.send(listener.getsockname()[1])
                await asyncio.to_thread(link.recv)

    uvloop.run(run())


@contextmanager
def on_small_disk(directory: Path, size: str) -> Iterator[Any]:
    """A client of S3 on a separate disk of this size, which exists only in the mount namespace of its process."""
    with on_reachable_small_disk(directory, size) as (s3, _):
        yield s3


@contextmanager
def on_reachable_small_disk(directory: Path, size: str) -> Iterator[tuple[Any, Path]]:
    """Like `on_small_disk`, and the path under which this process reaches the directory."""
    serve = f'mount -t tmpfs -o size={size} small "$0" && exec "$1" -m tests.s3_process "$0"'
    whose = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", "--mount", *whose, "sh", "-c", serve, str(directory), sys.executable]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            yield client(port, retries={"total_max_attempts": 1}), Path(f"/proc/{process.pid}/root{directory}")
        finally:
            process.kill()


def main() -> None:
    """Serve the store in a directory until stdin ends, and print the port."""

    async def run() -> None:
        with listening() as listener:
            async with serving(Path(sys.argv[1]), listener):
                print(listener.getsockname()[1], flush=True)
                await asyncio.to_thread(sys.stdin.read)

    uvloop.run(run())


if __name__ == "__main__":
    main()
