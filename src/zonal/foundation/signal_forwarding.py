"""Forwards SIGTERM to a child process, and other signal handlers that are safe.

A signal handler runs between any two instructions of the main thread, inside the standard library's locks too (`Popen.wait` holds one while
it waits), so it must not take a lock, do I/O or submit work. `Popen.terminate` takes `Popen`'s lock; `pidfd_send_signal` is one system call
without a lock, and never reaches another process that has reused the child's process id.

This is the only module that registers a signal handler of its own; `tests/test_house.py` verifies it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable


def forward_to(pid: int, *, signals: Iterable[signal.Signals] = (signal.SIGTERM,)) -> None:
    """Forward each of these signals as a SIGTERM to the child `pid`, which must not have been waited for."""
    descriptor = os.pidfd_open(pid)  # Open until this process ends: the handler may run at any time.

    def forward(*_: object) -> None:
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        except OSError:
            pass  # It has ended.

    for number in signals:
        signal.signal(number, forward)


def wake_on(signals: Iterable[signal.Signals], descriptor: int) -> None:
    """Write the number of each of these signals to the non-blocking descriptor when it arrives (in C, without Python code)."""
    for number in signals:
        signal.signal(number, _do_nothing)
    signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)


class StopRequest:
    """Records whether this process has received SIGTERM."""

    def __init__(self) -> None:
        self.is_received = False
        signal.signal(signal.SIGTERM, self._receive)

    def _receive(self, *_: object) -> None:
        self.is_received = True


def _do_nothing(*_: object) -> None:
    """A handler, so that the signal is not ignored and interrupts waiting system calls."""
