"""A client of the drill's database: `python -m zonal.drills.client`.

It runs inside the VPC, in a subnet of its zone. Every few milliseconds it inserts one numbered row in a transaction of its own and
records the outcome in its ledger. After any error it closes the connection, resolves the name again, and connects again, as AWS advises for
Multi-AZ databases. It never repeats a row: the next attempt has the next number.

It ends when its standard input ends, or on SIGTERM, after recording the attempt in progress.
"""

from __future__ import annotations

import argparse
import os
import select
import sys
import time
from pathlib import Path

from zonal.drills.connection import ClientConnection, DatabaseTarget, OutcomeUnknown, WriteRejected
from zonal.drills.ledger import Attempt, Ledger, Outcome
from zonal.foundation.signal_forwarding import StopRequest

REST_SECONDS = 0.02
"""The pause after a failed connection attempt."""


def write_rows(target: DatabaseTarget, ledger: Ledger, stop: Stop, *, client: int, pause_seconds: float) -> None:
    """Write rows until `stop` is requested, connecting again after any error."""
    connection: ClientConnection | None = None
    number = 0
    while not stop.is_asked(pause_seconds):
        number += 1
        begun = time.monotonic()
        try:
            connection = connection or ClientConnection(target)
        except (WriteRejected, OutcomeUnknown, OSError) as error:
            ledger.write(Attempt(client, number, begun, time.monotonic(), Outcome.FAILED, detail=f"no connection: {error}"))
            stop.is_asked(REST_SECONDS)
            continue
        ledger.write(Attempt(client, number, begun, begun, Outcome.UNKNOWN, connection.server, connection.timeline, "in hand"))
        outcome, detail = write_row(connection, client=client, number=number)
        ledger.write(Attempt(client, number, begun, time.monotonic(), outcome, connection.server, connection.timeline, detail))
        if outcome is not Outcome.ACKNOWLEDGED:
            connection.close()
            connection = None
    if connection:
        connection.close()


def write_row(connection: ClientConnection, *, client: int, number: int) -> tuple[Outcome, str]:
    """Write one row; returns the outcome, and the reason where it was not acknowledged."""
    try:
        connection.insert(client, number)
    except WriteRejected as error:
        return Outcome.FAILED, str(error)
    except OutcomeUnknown as error:
        return Outcome.UNKNOWN, str(error)
    return Outcome.ACKNOWLEDGED, ""


class Stop:
    """Whether the drill has requested the client's end: standard input ended, or SIGTERM was received."""

    def __init__(self) -> None:
        self._input_ended = False
        self._request = StopRequest()
        self._poll = select.poll()
        self._poll.register(sys.stdin.fileno(), select.POLLIN | select.POLLHUP)

    def is_asked(self, seconds: float) -> bool:
        """Wait up to `seconds` for the request; returns whether it was made."""
        if not self._request.is_received and self._poll.poll(seconds * 1000):
            self._input_ended = not os.read(sys.stdin.fileno(), 4096)
        return self._input_ended or self._request.is_received


def main() -> None:
    parser = argparse.ArgumentParser(prog="zonal.drills.client", description="Write numbered rows and keep a ledger.")
    for name in ("host", "user", "database", "ledger"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--port", type=int, default=5432)
    parser.add_argument("--client", type=int, required=True, help="Number of this client.")
    parser.add_argument("--pause", type=float, default=0.005, help="Seconds between two rows.")
    parser.add_argument("--patience", type=float, default=0.5, help="Seconds to wait for a connection or an answer.")
    given = parser.parse_args()
    target = DatabaseTarget(given.host, given.port, given.user, os.environ["PGPASSWORD"], given.database, given.patience)
    with Ledger(Path(given.ledger)) as ledger:
        write_rows(target, ledger, Stop(), client=given.client, pause_seconds=given.pause)


if __name__ == "__main__":
    main()
