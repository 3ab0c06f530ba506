"""The process that `zonal start` leaves behind: `python -m zonal.cli.supervisor STATE DESCRIPTOR…`.

It runs the supervisor of the sandbox (`fabric.sandbox`) on inherited listeners and outlives the command line. It is a program of its own so
that it uses little memory: it imports the sandbox only. The first line on standard output is `ready`, or the reason why no region runs.
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
    listeners = [socket.socket(fileno=int(descriptor)) for descriptor in arguments[1:]]
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
        pass  # The command that started this process has ended.


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
