"""The process that `zonal start` leaves behind: `python -m zonal.cli.supervisor STATE DESCRIPTOR…`.

It becomes the supervisor of the sandbox (`fabric.sandbox`). It is a program of its own, small because it imports nothing else, and outlives
the command line. The first line it writes to standard output is `ready`, or why there is no region.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from zonal.fabric import sandbox
from zonal.foundation.errors import ZonalError, describe
from zonal.foundation.log_files import REGION_LOG

REGION = ("-m", "zonal.region")


def main(arguments: list[str]) -> int:
    """Hold the listeners and the sandbox until the region ends."""
    state = Path(arguments[0])
    listeners = [socket.socket(fileno=int(word)) for word in arguments[1:]]
    try:
        return sandbox.run(
            state, listeners, (sys.executable, *REGION, str(state)), on_ready=lambda: _print_line("ready"), log=state / REGION_LOG
        )
    except OSError as error:
        _print_line(f"cannot start the region on {state}: {describe(error)}")
        return 1
    except ZonalError as error:
        _print_line(str(error))
        return 1


def _print_line(line: str) -> None:
    try:
        os.write(1, f"{line}\n".encode())
    except OSError:
        pass  # Whoever started us has what it wanted, or is gone.


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
