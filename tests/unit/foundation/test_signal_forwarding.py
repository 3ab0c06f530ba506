"""SIGTERM is forwarded to the child, even while the parent waits for it, and to no other process after its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

PARENT = """
import signal, subprocess, sys
from zonal.foundation.signal_forwarding import forward_to
child = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL)
forward_to(child.pid, signals=(signal.SIGTERM, signal.SIGINT))
print("up", flush=True)
print(child.wait(), flush=True)
signal.raise_signal(signal.SIGTERM)
print("alive", flush=True)
"""


def test_each_forwarded_signal_ends_the_child_and_leaves_the_parent() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout is not None and parent.stdout.readline() == "up\n"
            os.kill(parent.pid, number)
            assert parent.communicate(timeout=120)[0] == f"{-signal.SIGTERM}\nalive\n"
