"""The ledger of a client: a file with the outcome of each of its writes, which survives a kill of the client.

A client numbers its rows. Before it sends row *n* it appends "row n: unknown", and after the answer the row's outcome: acknowledged,
failed, or still unknown. The last line about a row is its outcome. So the ledger of a client that was killed in the middle of
a write is correct: the row may or may not exist. Each line is one `write` and survives the death of the process; it is not flushed to the
disk, because a drill does not fail the machine.

There are three outcomes, as in Jepsen, because a database that does not answer may have committed or not:

- *acknowledged*: the commit was answered without a warning. This row must exist from then on.
- *failed*: the server rejected the row, or it was never sent. This row must never exist.
- *unknown*: the connection broke, the time ran out, or the commit had a warning (a cancelled wait for the standby). Both are correct.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from types import TracebackType

import msgspec


class Outcome(StrEnum):
    """The outcome of a write, as far as the client can know."""

    ACKNOWLEDGED = "acknowledged"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Attempt(msgspec.Struct, frozen=True):
    """One write of one row. `begun` and `ended` are stopwatch readings in seconds (the same stopwatch as `JournalEntry.monotonic`).

    `server` is the address of the server and `timeline` its timeline; both are empty where there was no connection.
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
    """The ledger of one client, open for writing."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, attempt: Attempt) -> None:
        """Append a line; the last line about a row counts."""
        os.write(self._descriptor, msgspec.json.encode(attempt) + b"\n")

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()


def read(paths: Iterable[Path]) -> list[Attempt]:
    """The attempts in these ledgers, by client and number. A last line that a kill truncated is ignored: its row has an earlier one."""
    decoder = msgspec.json.Decoder(Attempt)
    rows: dict[tuple[int, int], Attempt] = {}
    for path in paths:
        for line in path.read_bytes().split(b"\n")[:-1]:
            attempt = decoder.decode(line)
            rows[attempt.client, attempt.number] = attempt
    return [rows[key] for key in sorted(rows)]
