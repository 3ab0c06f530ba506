"""Process 1 of the sandbox: starts the region and restarts it when it dies. The kernel ends the sandbox with it.

It runs as a program without asyncio, so that it stays small. A pipe connects it to the supervisor: when the supervisor ends, the pipe
closes, and init ends. On SIGTERM or SIGINT the region gets SIGTERM and some time to stop its engines cleanly; then init ends, and with it
every process, mount and namespace of the sandbox. A region that exits with status 0 was stopped. Any other exit restarts it, after a pause
that grows while it dies soon after each start. A region whose first start exits with `CANNOT_START` is not restarted: no engine runs yet,
and its caller gets the reason at once.

Because every engine ends with init, init must not raise: a message that cannot be written is dropped, a region that cannot be started is
tried again later, and an unexpected exception is logged before the loop continues.

The region's environment: `ZONAL_LISTENERS` are the descriptors of the host's listeners, `ZONAL_READY` is the descriptor to which the region
writes a line when it serves, and `ZONAL_INIT` is the pid of init on the host.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
import traceback
from pathlib import Path

from zonal.foundation.log_files import bound, write_line
from zonal.foundation.signal_forwarding import wake_on

CANNOT_START = 78
"""The exit status of a region that could not start and has reported the reason (`EX_CONFIG` of sysexits.h)."""
YOUNG_SECONDS = 5.0
LONGEST_PAUSE = 5.0


def main(order: dict[str, object]) -> int:
    """Run process 1 until the region or the supervisor ends. The region inherits the environment.

    `order` comes from the supervisor: `argv`, `lifeline`, `grace_seconds` and, if the region writes one, its `log`.
    """
    lifeline = order["lifeline"]
    assert isinstance(lifeline, int)
    wake_reader, wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    wake_on((signal.SIGCHLD, signal.SIGTERM, signal.SIGINT), wake_writer)
    return Init(order, lifeline, wake_reader).run()


class Init:
    """The loop of process 1."""

    def __init__(self, order: dict[str, object], lifeline: int, wake: int) -> None:
        self._argv = [str(word) for word in _list(order["argv"])]
        self._environment = dict(os.environ)
        self._grace = float(str(order["grace_seconds"]))
        self._log = Path(str(order["log"])) if order.get("log") else None
        self._lifeline = lifeline
        self._wake = wake
        self._region = 0
        self._started = 0.0
        self._starts = 0
        self._pause = 0.1
        self._restart_at: float | None = 0.0

    def run(self) -> int:
        while True:
            try:
                status = self._turn()
            except Exception:  # No exception may end the engines.
                write_line(f"zonal: init goes on after an error:\n{traceback.format_exc()}")
                time.sleep(self._pause)
                continue
            if status is not None:
                return status

    def _turn(self) -> int | None:
        """Start the region when it is due, and wait for the next event. Returns the exit status of init when it must end."""
        if self._restart_at is not None and time.monotonic() >= self._restart_at:
            self._start()
        wait = None if self._restart_at is None else max(0.0, self._restart_at - time.monotonic())
        ready, _, _ = select.select([self._lifeline, self._wake], [], [], wait)
        if self._lifeline in ready:
            return 1  # The supervisor ended or closed its end of the pipe, so the listeners are closed.
        if self._wake in ready and self._request_stop():
            return self._stop()
        status = self._reap()
        if status == 0 or (status == CANNOT_START and self._starts == 1):
            return status
        if status is not None:
            how = f"by signal {-status}" if status < 0 else f"with status {status}"
            self._schedule_restart(f"the region ended {how} after {time.monotonic() - self._started:.1f} s")
        return None

    def _start(self) -> None:
        if self._log is not None:
            bound(self._log)
        self._restart_at, self._started = None, time.monotonic()
        self._starts += 1
        try:
            self._region = os.posix_spawn(self._argv[0], self._argv, self._environment, setsigdef=(signal.SIGPIPE,), setsigmask=())
        except (OSError, MemoryError) as error:
            self._schedule_restart(f"the region cannot be started: {error}")

    def _request_stop(self) -> bool:
        return bool({signal.SIGTERM, signal.SIGINT} & set(os.read(self._wake, 4096)))

    def _reap(self) -> int | None:
        """Collect every child that has ended. Returns the exit status of the region if it was one of them."""
        region: int | None = None
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return region
            if pid == 0:
                return region
            if pid == self._region:
                self._region, region = 0, os.waitstatus_to_exitcode(status)

    def _schedule_restart(self, why: str) -> None:
        lived = time.monotonic() - self._started
        self._pause = 0.1 if lived > YOUNG_SECONDS else min(self._pause * 2, LONGEST_PAUSE)
        self._restart_at = time.monotonic() + self._pause
        write_line(f"zonal: {why}; starting it again in {self._pause:.1f} s")

    def _stop(self) -> int:
        if not self._region:
            return 0
        os.kill(self._region, signal.SIGTERM)
        deadline = time.monotonic() + self._grace
        while self._region and time.monotonic() < deadline:
            ready, _, _ = select.select([self._lifeline, self._wake], [], [], max(0.0, deadline - time.monotonic()))
            if self._lifeline in ready:
                return 1
            if self._wake in ready:
                os.read(self._wake, 4096)
            self._reap()
        return 0


def _list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
