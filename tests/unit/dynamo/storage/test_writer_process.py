"""Disk errors in the writer process: it reports them and continues, and exits if the store must be opened again."""

from __future__ import annotations

import marshal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb
import pytest

from zonal.dynamo.storage import writer_process
from zonal.dynamo.storage.writer_process import LENGTH, framed


class Environment:
    """LMDB on a disk that fails the operations in `refuse`."""

    def __init__(self, refuse: Callable[[str], None]) -> None:
        self._refuse = refuse
        self.syncs = 0
        self.is_closed = False

    @contextmanager
    def begin(self, *, write: bool = False) -> Iterator[Any]:
        self._refuse("write" if write else "read")
        yield self

    def put(self, key: bytes, value: bytes) -> None:
        pass

    def stat(self) -> dict[str, int]:
        return {"psize": 4096}

    def info(self) -> dict[str, int]:
        return {"last_pgno": 1}

    def sync(self, force: bool) -> None:
        self.syncs += 1
        self._refuse("sync")

    def close(self) -> None:
        self.is_closed = True


class Region:
    """The client's end of the socket of a writer process that runs in a thread."""

    def __init__(self, environment: Environment, directory: str, *, durable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(writer_process, "open_environment", lambda directory, *, durable: environment)
        Path(directory, "data.mdb").touch()
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(60)
        self._theirs = theirs
        self.thread = threading.Thread(target=writer_process.main, args=(theirs.fileno(), directory, durable), daemon=True)
        self.thread.start()
        assert self.answer() == b""

    def answer(self) -> bytes:
        size = int.from_bytes(self._socket.recv(LENGTH, socket.MSG_WAITALL), "big")
        return self._socket.recv(size, socket.MSG_WAITALL) if size else b""

    def write(self) -> bytes:
        self._socket.sendall(framed(marshal.dumps([(b"key", b"value")])))
        return self.answer()

    def disconnect(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)
        self.thread.join(60)
        assert not self.thread.is_alive()


def test_a_failed_group_is_reported_and_the_next_one_is_committed(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes: list[Exception | None] = [lmdb.DiskError("No space left on device"), OSError("no space"), MemoryError("no memory"), None]

    def refuse(what: str) -> None:
        if what == "write" and (error := outcomes.pop(0)) is not None:
            raise error

    region = Region(environment := Environment(refuse), str(tmp_path), durable=True, monkeypatch=monkeypatch)
    assert [region.write() for _ in range(4)] == [b"No space left on device", b"no space", b"no memory", b""]
    region.disconnect()
    assert environment.is_closed


def test_a_sync_that_fails_is_done_again_and_does_not_end_the_writer(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_process, "RELAXED_SYNC_SECONDS", 0.01)
    again = threading.Event()

    def refuse(what: str) -> None:
        if what == "sync":
            if environment.syncs >= 3:
                again.set()
            raise lmdb.DiskError("No space left on device")

    region = Region(environment := Environment(refuse), str(tmp_path), durable=False, monkeypatch=monkeypatch)
    assert region.write() == b""
    assert again.wait(60)
    assert region.write() == b""
    region.disconnect()
    assert environment.is_closed


def test_an_environment_that_lmdb_gave_up_is_left_to_a_new_writer(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(what: str) -> None:
        raise lmdb.PanicError("MDB_PANIC: Update of meta page failed or environment had fatal error")

    region = Region(environment := Environment(refuse), str(tmp_path), durable=True, monkeypatch=monkeypatch)
    assert b"MDB_PANIC" in region.write()
    region.thread.join(60)
    assert not region.thread.is_alive() and environment.is_closed
