"""Unix sockets at paths that are longer than a socket address."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from zonal.foundation import unix_sockets


def test_a_socket_is_reached_by_a_path_of_any_length_and_by_its_owner_only(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 120)
    directory.mkdir()
    path = directory / "door.sock"
    path.write_text("what a dead process left")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as caller:
        unix_sockets.bind(listener, path)
        assert path.stat().st_mode & 0o777 == 0o600
        listener.listen()
        unix_sockets.connect(caller, path)
        accepted, _ = listener.accept()
        with accepted:
            caller.sendall(b"hello")
            assert accepted.recv(5) == b"hello"


def test_a_socket_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as caller, pytest.raises(FileNotFoundError):
        unix_sockets.connect(caller, tmp_path / "absent.sock")
