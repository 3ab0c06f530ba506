"""Clients in several zones, each a process inside a subnet with a ledger of its own.

The drill's process only starts and ends them; their results are in their ledgers, which outlive them. Closing a client's standard input
ends it, so that clients never outlive the drill, however it ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple

import msgspec

from zonal.drills.connection import DatabaseTarget
from zonal.drills.ledger import Attempt, Outcome, read
from zonal.drills.region_operator import ClientPlace, DrillFailed, RegionOperator
from zonal.drills.verdict import ReadBackRow

ENDING_SECONDS = 5.0
TABLE_SECONDS = 60.0


class Client(NamedTuple):
    """A client: its number, its zone and its subnet."""

    number: int
    zone: str
    subnet: str


class Workload:
    """The clients of one drill. Leaving the context ends all of them and releases their hosts."""

    def __init__(self, operator: RegionOperator, target: DatabaseTarget, clients: tuple[Client, ...], directory: Path) -> None:
        self.clients = clients
        self._operator = operator
        self._target = target
        self._directory = directory
        self._stack = ExitStack()
        self._places: dict[int, ClientPlace] = {}
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Workload:
        for client in self.clients:
            self._places[client.number] = self._stack.enter_context(self._operator.place(client.subnet))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.stop()
        self._stack.close()

    def create_table(self) -> None:
        """Create the table. Raises `DrillFailed`."""
        self._table("create", self.clients[0])

    def start(self, *, pause_seconds: float) -> None:
        """Start every client."""
        for client in self.clients:
            ledger = str(self.ledger(client))
            extra = ("--client", str(client.number), "--ledger", ledger, "--pause", str(pause_seconds))
            argv = (*self._argv("client"), *extra, "--patience", str(self._target.patience_seconds))
            with Path(f"{ledger}.log").open("wb") as log:
                self._processes[client.number] = self._spawn(client, argv, stdout=log, stderr=log)

    def stop(self) -> None:
        """End every client: by closing its standard input, then by a kill."""
        for process in self._processes.values():
            if process.stdin:
                process.stdin.close()
        for process in self._processes.values():
            try:
                process.wait(ENDING_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def attempts(self) -> list[Attempt]:
        """The attempts in all ledgers."""
        return read(path for path in map(self.ledger, self.clients) if path.exists())

    def acknowledged(self) -> int:
        """The number of acknowledged writes so far."""
        return sum(each.outcome is Outcome.ACKNOWLEDGED for each in self.attempts())

    def have_acknowledged_since(self, moment: float, clients: tuple[Client, ...]) -> bool:
        """Whether each of these clients has an acknowledgement later than `moment`."""
        heard = {each.client for each in self.attempts() if each.outcome is Outcome.ACKNOWLEDGED and each.ended > moment}
        return heard >= {client.number for client in clients}

    def last_output(self) -> str:
        """The last error of each client, for the message of a drill without a verdict."""
        last = {each.client: each.detail for each in self.attempts() if each.detail}
        for client in self.clients:
            printed = Path(f"{self.ledger(client)}.log")
            if client.number not in last and printed.exists():
                last[client.number] = printed.read_text(errors="replace")[-500:].strip()
        return "; ".join(f"client {number}: {detail}" for number, detail in sorted(last.items())) or "they said nothing"

    def read_back(self, client: Client) -> frozenset[ReadBackRow]:
        """Every row of the table, read by a new connection from a client's host. Raises `DrillFailed`."""
        printed = self._table("rows", client)
        return frozenset(ReadBackRow(*msgspec.json.decode(line, type=tuple[int, int])) for line in printed.splitlines())

    def ledger(self, client: Client) -> Path:
        return self._directory / f"client-{client.number}.jsonl"

    def _table(self, what: str, client: Client) -> bytes:
        process = self._spawn(client, (*self._argv("drill_table"), what), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            printed, errors = process.communicate(timeout=TABLE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise DrillFailed(f"the drill's table could not be reached from {client.zone} within {TABLE_SECONDS:g} s") from None
        if process.returncode:
            raise DrillFailed(f"{what} of the drill's table from {client.zone} failed: {errors.decode(errors='replace').strip()[-800:]}")
        return printed

    def _argv(self, module: str) -> tuple[str, ...]:
        target = self._target
        where = ("--host", target.host, "--port", str(target.port), "--user", target.user, "--database", target.database)
        return (sys.executable, "-m", f"zonal.drills.{module}", *where)

    def _spawn(self, client: Client, argv: tuple[str, ...], *, stdout: int | IO[bytes], stderr: int | IO[bytes]) -> subprocess.Popen[bytes]:
        place = self._places[client.number]
        environment = os.environ | dict(place.environment) | {"PGPASSWORD": self._target.password, "RES_OPTIONS": "timeout:1 attempts:2"}
        return subprocess.Popen(
            [*place.prefix, *argv], stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, env=environment, start_new_session=True
        )
