"""How the command line draws for people: wide enough to be read, also in a log."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 140
"""A pipe has no width of its own; tables that are squeezed to a terminal's eighty columns help nobody who reads a log."""


def console() -> Console:
    """A console on standard output."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
