"""Hands a SIGTERM on to a child.

A signal handler runs between any two instructions of the main thread, inside the standard library's locks too (`Popen.wait` holds one while
it waits), so it must not take a lock, do I/O or submit work. `Popen.terminate` takes `Popen`'s lock; `pidfd_send_signal` is one system call
without one, and never reaches another process that was given the child's number.

This is the only module that registers a signal handler of its own; `tests/test_house.py` verifies it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable


def forward_to(pid: int, *, signals: Iterable[signal.Signals] = (signal.SIGTERM,)) -> None:
    """From now on each of these signals to this process is a SIGTERM to the child `pid`, which was not waited for yet."""
    descriptor = os.pidfd_open(pid)  # Open until this process ends: the handler may run at any time.

    def forward(*_: object) -> None:
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        except OSError:
            pass  # It has ended.

    for number in signals:
        signal.signal(number, forward)


def wake_on(signals: Iterable[signal.Signals], descriptor: int) -> None:
    """From now on each of these signals writes its number to the non-blocking descriptor, from C, and does nothing else."""
    for number in signals:
        signal.signal(number, _do_nothing)
    signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)


class StopRequest:
    """Whether this process was sent a SIGTERM."""

    def __init__(self) -> None:
        self.is_received = False
        signal.signal(signal.SIGTERM, self._receive)

    def _receive(self, *_: object) -> None:
        self.is_received = True


def _do_nothing(*_: object) -> None:
    """A handler, so that the signal is not ignored and interrupts what waits."""
