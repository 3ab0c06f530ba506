"""A store on a full disk rejects what makes it larger and commits what makes it smaller."""

from __future__ import annotations

from pathlib import Path

import lmdb
import pytest

from zonal.dynamo.storage import writer_process
from zonal.dynamo.storage.writer_process import NO_SPACE, READY, RESERVE_BYTES, Pairs, SpaceReserve, open_environment

LARGE = b"x" * 100_000


def commit(environment: lmdb.Environment, reserve: SpaceReserve, *pairs: tuple[bytes, bytes | None]) -> bytes:
    group: Pairs = list(pairs)
    return writer_process._commit(environment, reserve, group)


@pytest.fixture
def is_full(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the disk is full: set its one element."""
    state, allocate = [False], writer_process.allocate
    monkeypatch.setattr(writer_process, "allocate", lambda path, size_bytes: not state[0] and allocate(path, size_bytes))
    return state


def test_only_groups_that_make_the_store_smaller_are_committed_on_a_full_disk(tmp_path: Path, is_full: list[bool]) -> None:
    environment = open_environment(str(tmp_path))
    reserve = SpaceReserve(environment, str(tmp_path))
    for number in range(100):
        assert commit(environment, reserve, (b"%03d" % number, LARGE), (b"count", b"%03d" % number)) == READY
    file = tmp_path / "data.mdb"
    used_bytes = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    assert file.stat().st_blocks * 512 >= file.stat().st_size >= used_bytes + RESERVE_BYTES

    is_full[0] = True
    size_bytes = file.stat().st_size
    while commit(environment, reserve, (b"more", LARGE * 4), (b"%d" % environment.info()["last_txnid"], LARGE)) == READY:
        pass
    assert commit(environment, reserve, (b"another", LARGE * 20)) == NO_SPACE
    for number in range(99):
        assert commit(environment, reserve, (b"%03d" % number, None), (b"count", b"%03d" % (99 - number))) == READY
    assert commit(environment, reserve, (b"another", LARGE * 20)) == NO_SPACE
    assert commit(environment, reserve, (b"nothing like this", None), (b"another", LARGE * 20)) == NO_SPACE
    assert file.stat().st_size == size_bytes, "all of it went to pages that the file had"
    with environment.begin() as transaction:
        assert transaction.get(b"another") is None and transaction.get(b"098") is None and transaction.get(b"099") == LARGE

    is_full[0] = False
    assert commit(environment, reserve, (b"another", LARGE * 20)) == READY
    environment.close()


def test_a_store_that_is_opened_on_a_full_disk_has_the_reserve_of_its_file(tmp_path: Path, is_full: list[bool]) -> None:
    environment = open_environment(str(tmp_path))
    SpaceReserve(environment, str(tmp_path))
    environment.close()
    is_full[0] = True
    environment = open_environment(str(tmp_path))
    assert commit(environment, SpaceReserve(environment, str(tmp_path)), (b"key", b"value")) == READY
    environment.close()
