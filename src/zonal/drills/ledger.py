"""What a client knows about each of its writes, kept so that no kill can make it forget.

A client numbers its rows. Before it sends row *n* it writes down "row n: unknown", and when it knows more it writes the row's end behind
that: acknowledged, failed, or still unknown. The last line about a row is the truth. So a client that dies in the middle of a write
leaves an honest ledger: the row may or may not be there. Lines go out with one `write` each and survive the death of the process; they
are not flushed to the disk, because the machine itself is not what a drill breaks.

There are three outcomes, as in Jepsen, because a database that falls silent has neither said yes nor no:

- *acknowledged*: the commit's answer arrived, without a warning. This row must be there for ever.
- *failed*: the server refused the row, or it was never sent. This row must never appear.
- *unknown*: the connection broke, the time ran out, or the commit came with a warning (a cancelled wait for the standby). Either is right.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from types import TracebackType

import msgspec


class Outcome(StrEnum):
    """What the client may conclude about a write."""

    ACKNOWLEDGED = "acknowledged"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Attempt(msgspec.Struct, frozen=True):
    """One write of one row. `begun` and `ended` are stopwatch readings in seconds (`Entry.monotonic` of the journal is the same watch).

    `server` is the address of the server that was asked and `timeline` the timeline it wrote on; both are empty where no connection stood.
    `detail` is the reason where the row was not acknowledged.
    """

    client: int
    number: int
    begun: float
    ended: float
    outcome: Outcome
    server: str = ""
    timeline: int = 0
    detail: str = ""


class Ledger:
    """One client's file of attempts, being written."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, attempt: Attempt) -> None:
        """Add a line; the last line about a row is what counts."""
        os.write(self._descriptor, msgspec.json.encode(attempt) + b"\n")

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()


def read(paths: Iterable[Path]) -> list[Attempt]:
    """The attempts in these ledgers, by client and number. A last line that a kill cut short is left out: its row has an earlier one."""
    decoder = msgspec.json.Decoder(Attempt)
    rows: dict[tuple[int, int], Attempt] = {}
    for path in paths:
        for line in path.read_bytes().split(b"\n")[:-1]:
            attempt = decoder.decode(line)
            rows[attempt.client, attempt.number] = attempt
    return [rows[key] for key in sorted(rows)]
