"""Shared parts of the benchmarks: arguments, a temporary region, and rows with median and spread."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.running_region import RunningRegion


def arguments(description: str, *, runs: int = 10) -> argparse.ArgumentParser:
    """A parser with `--runs`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--runs", type=int, default=runs, help=f"How many runs (default {runs}).")
    return parser


@contextmanager
def region(*, started: bool = True) -> Iterator[RunningRegion]:
    """A temporary region; it is removed on exit."""
    state = Path(tempfile.mkdtemp(prefix="zonal-bench-"))
    running = RunningRegion(state)
    try:
        if started:
            running.start()
        yield running
    finally:
        running.zonal("stop", check=False)
        shutil.rmtree(state)


def tell(name: str, values: Sequence[float], *, unit: str, goal: str) -> None:
    """Print the median with the spread, as a row of docs/performance.md."""
    ordered = sorted(values)
    spread = f"{ordered[0]:.3g} … {ordered[-1]:.3g}"
    print(f"| {name} | {statistics.median(ordered):.3g} {unit} | {spread} {unit} | {len(ordered)} | {goal} |", flush=True)


def machine() -> str:
    """A description of the machine in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    user = "root" if os.geteuid() == 0 else "an ordinary user"
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}, Python {platform.python_version()}, as {user}"
