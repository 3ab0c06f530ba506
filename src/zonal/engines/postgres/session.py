"""One connection to a PostgreSQL server that may stop answering at any moment.

Uses libpq directly, with a deadline for every wait, so that no silence is hidden: no retry inside a driver, no cancel request to a lost
server, no blocking read. Errors are distinguished: the host refuses the connection (`Unreachable`), the server does not take queries yet
(`ServerNotReady`), there is no answer in time or the connection broke (`NoResponse`), the server returned an error (`Rejected`).
"""

from __future__ import annotations

import select
import time

import psycopg
from psycopg import pq
from psycopg.pq.abc import PGconn, PGresult

from zonal.engines.postgres.literals import connection_string
from zonal.foundation.errors import ZonalError


class Unreachable(ZonalError):
    """The host refused the connection: no server listens."""


class ServerNotReady(ZonalError):
    """The server is starting, stopping or recovering."""


class NoResponse(ZonalError):
    """There was no answer in time, or the connection broke."""


class Rejected(ZonalError):
    """The server returned an error."""


class Session:
    """An open connection. Opening raises `Unreachable`, `ServerNotReady`, `NoResponse` or `Rejected`.

    `warnings` are those of the last query; a commit with a warning may not have reached the standby.
    """

    def __init__(self, conninfo: dict[str, str], *, deadline: float) -> None:
        self._handle: PGconn = pq.PGconn.connect_start(connection_string(conninfo).encode())
        self._handle.notice_handler = self._notice
        self.opened = time.monotonic()
        self.warnings: list[str] = []
        try:
            self._finish_opening(deadline)
        except BaseException:
            self.close()
            raise

    def rows(self, query: str, *, deadline: float) -> list[list[str | None]]:
        """The rows of a query's last result, as text. Raises like opening does."""
        self.warnings.clear()
        try:
            self._handle.send_query(query.encode())
            result = self._result(deadline)
        except psycopg.Error as error:
            raise NoResponse(str(error)) from error
        return [[_text(result.get_value(row, column)) for column in range(result.nfields)] for row in range(result.ntuples)]

    def close(self) -> None:
        self._handle.notice_handler = None
        self._handle.finish()

    def _notice(self, result: PGresult) -> None:
        if result.error_field(pq.DiagnosticField.SEVERITY_NONLOCALIZED) == b"WARNING":
            self.warnings.append(_text(result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY)) or "")

    def _finish_opening(self, deadline: float) -> None:
        while (state := self._handle.connect_poll()) != pq.PollingStatus.OK:
            if state == pq.PollingStatus.FAILED:
                raise _connect_failure(self._handle.error_message)
            self._wait(select.POLLIN if state == pq.PollingStatus.READING else select.POLLOUT, deadline)
        self._handle.nonblocking = 1

    def _result(self, deadline: float) -> PGresult:
        last: PGresult | None = None
        while self._handle.flush():
            self._wait(select.POLLOUT, deadline)
        while True:
            self._handle.consume_input()
            while self._handle.is_busy():
                self._wait(select.POLLIN, deadline)
                self._handle.consume_input()
            result = self._handle.get_result()
            if result is None:
                break
            if result.status not in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK):
                raise _query_failure(result)
            last = result
        if last is None:
            raise NoResponse("the connection ended without an answer")
        return last

    def _wait(self, events: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(self._handle.socket, events)
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise NoResponse("no answer in time")


def _connect_failure(message: bytes) -> ZonalError:
    text = message.decode(errors="replace").strip()
    if "Connection refused" in text:
        return Unreachable(text)
    if "the database system is" in text:
        return ServerNotReady(text)
    if "FATAL:" in text:
        return Rejected(text)
    return NoResponse(text)


def _query_failure(result: PGresult) -> ZonalError:
    """An error on a connection that stays open is a rejection. After one that ends the connection, the outcome of the query is unknown."""
    text = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or result.error_message).decode(errors="replace").strip()
    return Rejected(text) if result.error_field(pq.DiagnosticField.SEVERITY_NONLOCALIZED) == b"ERROR" else NoResponse(text)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")
