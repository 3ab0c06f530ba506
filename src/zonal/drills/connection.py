"""A client's connection to a PostgreSQL server that may stop answering at any moment.

Every wait is bounded (`engines.postgres.session`), so no silence is hidden. A write has three outcomes: acknowledged, rejected
(`WriteRejected`: the row was not written), or unknown (`OutcomeUnknown`: the connection broke, the time ran out, or the commit had a
warning).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from zonal.engines.postgres import session
from zonal.engines.postgres.session import Session

T = TypeVar("T")

TABLE = "zonal_drill"

_HELLO = "select host(inet_server_addr()), ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int"


class OutcomeUnknown(Exception):
    """The server did not answer in time, or the connection broke: the row may have been written."""


class WriteRejected(Exception):
    """The server rejected the write or the connection: the row was not written."""


class DatabaseTarget(NamedTuple):
    """The database to write to. `patience_seconds` bounds every connection attempt and every write."""

    host: str
    port: int
    user: str
    password: str
    database: str
    patience_seconds: float


class ClientConnection:
    """A connection to the server to which the name resolves now. The server reports its address (`server`) and its `timeline`.

    Opening raises `WriteRejected` (also for a standby, which admits no customer), `OutcomeUnknown`, or `OSError` where the name cannot be
    resolved.
    """

    def __init__(self, target: DatabaseTarget) -> None:
        self._patience = target.patience_seconds
        self._session = self._asked(lambda: Session(_conninfo(target), deadline=self._deadline()))
        try:
            [[address, timeline]] = self._asked(lambda: self._session.rows(_HELLO, deadline=self._deadline()))
        except BaseException:
            self.close()
            raise
        self.server, self.timeline = address or "", int(timeline or 0)

    def insert(self, client: int, number: int) -> None:
        """Write a row and return once its commit is acknowledged. Raises `WriteRejected` (the row was not written) or `OutcomeUnknown`."""
        query = f"insert into {TABLE} (client, number) values ({client:d}, {number:d})"
        self._asked(lambda: self._session.rows(query, deadline=self._deadline()))
        if self._session.warnings:
            raise OutcomeUnknown(f"committed with a warning: {self._session.warnings[0]}")

    def close(self) -> None:
        self._session.close()

    def _asked(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except session.NoResponse as error:
            raise OutcomeUnknown(str(error)) from error
        except (session.Unreachable, session.ServerNotReady, session.Rejected) as error:
            raise WriteRejected(str(error)) from error

    def _deadline(self) -> float:
        return time.monotonic() + self._patience


def _conninfo(target: DatabaseTarget) -> dict[str, str]:
    """libpq's keywords and values, with the present address: the name is resolved again for each connection."""
    address = socket.getaddrinfo(target.host, target.port, socket.AF_INET, socket.SOCK_STREAM)[0][4][0]
    conninfo = {"host": target.host, "hostaddr": str(address), "port": str(target.port), "user": target.user, "password": target.password}
    return conninfo | {"dbname": target.database, "application_name": "zonal-drill"}
