"""The console on which tables are printed, with a fixed width where the output is not a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 140
"""Columns. A pipe has no width, and rich would fit tables into 80 columns, which makes them hard to read in a log."""


def console() -> Console:
    """A console on standard output."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
