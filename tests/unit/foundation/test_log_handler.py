"""The log handler bounds its file and never raises."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from zonal.foundation.log_files import open_log

TALK = """
import logging, sys
from pathlib import Path
from zonal.foundation.log_handler import BoundedHandler
logging.basicConfig(handlers=[BoundedHandler(Path(sys.argv[1]), limit_bytes=10_000)], force=True)
for number in range(10_000):
    logging.warning("message %d", number)
print("done", flush=True)
"""


def test_a_region_with_many_messages_keeps_its_log_bounded_and_the_last_messages(tmp_path: Path) -> None:
    descriptor = open_log(tmp_path / "log")
    subprocess.run([sys.executable, "-c", TALK, str(tmp_path / "log")], stderr=descriptor, check=True, timeout=120)
    os.close(descriptor)
    texts = [(tmp_path / name).read_text() for name in ("log.1", "log")]
    assert all(len(text) <= 10_100 for text in texts)
    assert "".join(texts).splitlines()[-500:] == [f"WARNING:root:message {number}" for number in range(9_500, 10_000)]


def test_only_a_message_that_cannot_be_written_is_lost(tmp_path: Path) -> None:
    with open("/dev/full", "ab") as full:  # noqa: PTH123 (a device)
        done = subprocess.run([sys.executable, "-c", TALK, str(tmp_path / "log")], stdout=subprocess.PIPE, stderr=full, timeout=120)
    assert done.stdout == b"done\n"
