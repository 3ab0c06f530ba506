"""Init outlives whatever happens to its region and to its own messages. It needs no sandbox: here it is an ordinary process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from zonal.foundation.log_files import LOG_BYTES

DYING_REGION = "import sys; open(sys.argv[1], 'a').write('life\\n'); sys.exit(3)"


@contextmanager
def init(argv: list[str], *, stderr: str = os.devnull, log: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    reader, writer = os.pipe()
    order = {"argv": argv, "lifeline": reader, "grace_seconds": 5.0, "log": str(log or "")}
    with open(stderr, "ab") as said:  # noqa: PTH123 (a device)
        command = [sys.executable, "-m", "zonal.fabric.init", json.dumps(order)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[reader], stderr=said)
    os.close(reader)
    try:
        yield process
    finally:
        os.close(writer)  # The supervisor has gone: init ends.
        process.wait(60)
        assert process.stdin is not None
        process.stdin.close()  # Without a sandbox, what read from it outlives init.


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def lives(path: Path) -> int:
    return path.read_text().count("life") if path.exists() else 0


def test_init_starts_a_dying_region_again_although_its_messages_cannot_be_written(tmp_path: Path) -> None:
    with init([sys.executable, "-c", DYING_REGION, str(tmp_path / "lives")], stderr="/dev/full") as process:
        until(lambda: lives(tmp_path / "lives") >= 4 or process.poll() is not None)
        assert process.poll() is None


def test_init_waits_for_a_region_that_cannot_be_started(tmp_path: Path) -> None:
    program = tmp_path / "region"
    with init([str(program), str(tmp_path / "lives")], stderr="/dev/full") as process:
        time.sleep(0.5)
        assert process.poll() is None
        (tmp_path / "new").write_text(f"#!{sys.executable}\n{DYING_REGION}\n")
        (tmp_path / "new").chmod(0o700)
        (tmp_path / "new").rename(program)
        until(lambda: lives(tmp_path / "lives") >= 1)


def test_init_keeps_the_log_of_a_region_that_dies_again_and_again_bounded(tmp_path: Path) -> None:
    log = tmp_path / "region.log"
    talkative = f"import sys; sys.stderr.write('x' * {LOG_BYTES}); sys.stderr.flush(); {DYING_REGION}"
    with init([sys.executable, "-c", talkative, str(tmp_path / "lives")], stderr=str(log), log=log):
        until(lambda: lives(tmp_path / "lives") >= 4)
    assert log.stat().st_size <= 2 * LOG_BYTES + 1000
    assert (tmp_path / "region.log.1").stat().st_size <= LOG_BYTES + 1000


def test_init_ends_with_the_region_that_ended_in_order_and_with_the_supervisor(tmp_path: Path) -> None:
    with init([sys.executable, "-c", "pass"]) as process:
        assert process.wait(60) == 0
    with init(["/bin/cat"]) as process:
        pass
    assert process.returncode == 1
    with init(["/bin/cat"]) as process:
        until(lambda: bool(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
