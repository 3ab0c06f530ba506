"""One customer's connection to a PostgreSQL server that may fall silent at any moment.

Every wait is bounded (`engines.postgres.session`), so nothing hides a silence. A server's answer is told apart in three: it said yes, it
said no (`WriteRejected`: the row is not there), or nothing can be known (`OutcomeUnknown`: the connection broke, the time ran out, or the
commit came with a warning).
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
    """The server did not answer in time, or the connection broke: nothing is known."""


class WriteRejected(Exception):
    """The server answered, and said no."""


class DatabaseTarget(NamedTuple):
    """Whom to write to. `patience_seconds` bounds every connect and every write."""

    host: str
    port: int
    user: str
    password: str
    database: str
    patience_seconds: float


class ClientConnection:
    """A connection to whichever server the name means now. `server` (its address) and `timeline` are what it said of itself.

    Opening raises `WriteRejected`, `OutcomeUnknown`, or `OSError` where the name cannot be resolved; so it does for a standby, which admits
    nobody.
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
        """Write a row and return once its commit is acknowledged. Raises `WriteRejected` (it is not there) or `OutcomeUnknown` (it may
        be)."""
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
    """libpq's words, with the address that the resolver gives now: the name is asked anew for each connection."""
    address = socket.getaddrinfo(target.host, target.port, socket.AF_INET, socket.SOCK_STREAM)[0][4][0]
    conninfo = {"host": target.host, "hostaddr": str(address), "port": str(target.port), "user": target.user, "password": target.password}
    return conninfo | {"dbname": target.database, "application_name": "zonal-drill"}
