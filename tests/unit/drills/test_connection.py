"""Against sockets that misbehave as a lost zone does; real servers are in tests/drills."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from zonal.drills.connection import ClientConnection, DatabaseTarget, OutcomeUnknown, WriteRejected


def target(port: int) -> DatabaseTarget:
    return DatabaseTarget("127.0.0.1", port, "somebody", "a 'quoted' \\ password", "orders", patience_seconds=0.05)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_a_server_that_does_not_answer_is_silent_after_the_patience(listener: socket.socket) -> None:
    started = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        ClientConnection(target(listener.getsockname()[1]))
    assert time.monotonic() - started >= 0.05


def test_a_server_that_hangs_up_leaves_open_what_became_of_it(listener: socket.socket) -> None:
    def hang_up() -> None:
        listener.accept()[0].close()

    thread = threading.Thread(target=hang_up)
    thread.start()
    with pytest.raises(OutcomeUnknown):
        ClientConnection(target(listener.getsockname()[1]))
    thread.join()


def test_a_port_where_nothing_listens_refuses(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    listener.close()
    with pytest.raises(WriteRejected):
        ClientConnection(target(port))


class WarningSession:
    """A session whose commits come with a warning, as PostgreSQL's do when the wait for the standby was cancelled."""

    def __init__(self, argv: dict[str, str], *, deadline: float) -> None:
        self.warnings: list[str] = []

    def rows(self, query: str, *, deadline: float) -> list[list[str | None]]:
        if query.startswith("insert"):
            self.warnings = ["canceling wait for synchronous replication due to user request"]
            return []
        return [["10.0.0.1", "1"]]


def test_a_commit_with_a_warning_is_not_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zonal.drills.connection.Session", WarningSession)
    connection = ClientConnection(target(5432))
    assert (connection.server, connection.timeline) == ("10.0.0.1", 1)
    with pytest.raises(OutcomeUnknown, match="canceling wait"):
        connection.insert(1, 1)
