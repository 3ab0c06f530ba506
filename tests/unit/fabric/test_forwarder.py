"""The forwarder goes on when it can write neither its status nor a message."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def handles_reloads(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process has its handler for SIGHUP, without which the signal would end it."""
    [caught] = [line.split()[1] for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if line.startswith("SigCgt")]
    return bool(int(caught, 16) >> (signal.SIGHUP - 1) & 1)


def test_a_status_that_cannot_be_written_is_written_when_it_can(tmp_path: Path) -> None:
    table, status = tmp_path / "table.json", tmp_path / "run" / "status.json"
    table.write_text("{}")
    command = [sys.executable, "-m", "zonal.fabric.forwarder", str(table), str(tmp_path / "broker.sock"), str(status)]
    with open("/dev/full", "ab") as full, subprocess.Popen(command, stderr=full) as process:  # noqa: PTH123 (a device)
        try:
            until(lambda: handles_reloads(process))
            time.sleep(0.2)
            process.send_signal(signal.SIGHUP)
            time.sleep(0.2)
            assert process.poll() is None
            status.parent.mkdir()
            until(lambda: process.send_signal(signal.SIGHUP) is None and status.exists() and process.poll() is None)
            assert json.loads(status.read_text()) == {}
        finally:
            process.kill()
