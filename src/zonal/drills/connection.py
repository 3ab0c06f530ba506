"""One connection to a PostgreSQL server that may fall silent at any moment.

Straight on libpq, with every wait bounded by its own stopwatch, so that nothing hides a silence: no retry inside a driver, no cancel
request sent to a server that is gone, no blocking read. A server's answer is told apart in three: it said yes, it said no (`Refused`:
the row is not there), or nothing can be known (`Silent`: the connection broke, the time ran out, or the commit came with a warning).
"""

from __future__ import annotations

import select
import socket
import time
from typing import NamedTuple

import psycopg
from psycopg import pq
from psycopg.pq.abc import PGconn, PGresult

TABLE = "zonal_drill"

_HELLO = b"select host(inet_server_addr()), ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int"
_INSERT = f"insert into {TABLE} (client, number) values ($1, $2)".encode()


class Silent(Exception):
    """The server did not answer in time, or the connection broke: nothing is known."""


class Refused(Exception):
    """The server answered, and said no."""


class Target(NamedTuple):
    """Whom to write to. `patience_seconds` bounds every connect and every write."""

    host: str
    port: int
    user: str
    password: str
    database: str
    patience_seconds: float


class Connection:
    """A connection to whichever server the name means now. `server` (its address) and `timeline` are what it said of itself.

    Opening raises `Refused` or `Silent`; so it does for a standby, which has no timeline to write on.
    """

    def __init__(self, target: Target) -> None:
        self._patience = target.patience_seconds
        self._warnings: list[str] = []
        self._handle = _begin(target)
        self._handle.notice_handler = self._notice
        try:
            self._finish_opening()
            address, timeline = self._row(_HELLO)
            self._handle.send_prepare(b"insert", _INSERT)
            self._results()
        except BaseException:
            self.close()
            raise
        self.server, self.timeline = address, int(timeline)

    def insert(self, client: int, number: int) -> None:
        """Write a row and return once its commit is acknowledged. Raises `Refused` (it is not there) or `Silent` (it may be)."""
        self._warnings.clear()
        try:
            self._handle.send_query_prepared(b"insert", [str(client).encode(), str(number).encode()])
        except psycopg.Error as error:
            raise Silent(str(error)) from error
        self._results()
        if self._warnings:
            raise Silent(f"committed with a warning: {self._warnings[0]}")

    def close(self) -> None:
        self._handle.notice_handler = None
        self._handle.finish()

    def _finish_opening(self) -> None:
        deadline = self._deadline()
        while (state := self._handle.connect_poll()) != pq.PollingStatus.OK:
            if state == pq.PollingStatus.FAILED:
                raise Refused(_text(self._handle.error_message))
            _wait(self._handle, select.POLLIN if state == pq.PollingStatus.READING else select.POLLOUT, deadline)
        self._handle.nonblocking = 1

    def _row(self, query: bytes) -> list[str]:
        self._handle.send_query(query)
        [result] = self._results()
        return [_text(result.get_value(0, column) or b"") for column in range(result.nfields)]

    def _results(self) -> list[PGresult]:
        """All results of what was sent. An error while the server goes on is a refusal; one that ends the connection leaves it open."""
        deadline = self._deadline()
        results: list[PGresult] = []
        while True:
            while self._is_busy():
                _wait(self._handle, select.POLLIN, deadline)
            result = self._handle.get_result()
            if result is None:
                return results
            if result.status not in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK):
                raise _failure(result)
            results.append(result)

    def _is_busy(self) -> bool:
        try:
            self._handle.flush()
            self._handle.consume_input()
            return bool(self._handle.is_busy())
        except psycopg.Error as error:
            raise Silent(str(error)) from error

    def _notice(self, result: PGresult) -> None:
        if result.error_field(pq.DiagnosticField.SEVERITY_NONLOCALIZED) == b"WARNING":
            self._warnings.append(_text(result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b""))

    def _deadline(self) -> float:
        return time.monotonic() + self._patience


def _begin(target: Target) -> PGconn:
    """Ask the resolver for the name, each time anew, and begin to connect."""
    address = socket.getaddrinfo(target.host, target.port, socket.AF_INET, socket.SOCK_STREAM)[0][4][0]
    words = {"host": target.host, "hostaddr": address, "port": target.port, "user": target.user, "password": target.password}
    words |= {"dbname": target.database, "application_name": "zonal-drill"}
    return pq.PGconn.connect_start(" ".join(f"{key}='{_quote(str(value))}'" for key, value in words.items()).encode())


def _wait(handle: PGconn, events: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(handle.socket, events)
    left = deadline - time.monotonic()
    if left <= 0 or not poll.poll(left * 1000):
        raise Silent("no answer in time")


def _failure(result: PGresult) -> Exception:
    severity = result.error_field(pq.DiagnosticField.SEVERITY_NONLOCALIZED)
    message = _text(result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or result.error_message)
    return Refused(message) if severity == b"ERROR" else Silent(message)


def _quote(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _text(value: bytes) -> str:
    return value.decode(errors="replace").strip()
