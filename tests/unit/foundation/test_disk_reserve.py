"""The reserve is allocated inside the database's own file, outlives a kill, and is made later if the disk has no space now."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from zonal.buckets.catalog import BucketCatalog
from zonal.foundation import allocation
from zonal.foundation.allocation import allocate
from zonal.foundation.disk_reserve import SPARE_BYTES, WAL_BYTES, WalReserve
from zonal.records.store import Record, Store


class Note(Record, frozen=True, kw_only=True):
    kind = "note"


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(allocation, "LEFT_BYTES", 1 << 62)
        yield


def allocated_bytes(path: Path) -> int:
    return path.stat().st_blocks * 512


async def test_the_catalog_and_the_records_reserve_their_wal(tmp_path: Path) -> None:
    catalog, store = BucketCatalog(tmp_path / "catalog.db", lambda blob: None), Store(tmp_path / "region.sqlite")
    for name in ("catalog.db-wal", "region.sqlite-wal"):
        assert allocated_bytes(tmp_path / name) >= WAL_BYTES
    await catalog.close()
    store.close()


async def test_a_reserve_without_space_is_made_by_the_first_change_that_finds_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with full_disk(monkeypatch):
        catalog, store = BucketCatalog(tmp_path / "catalog.db", lambda blob: None), Store(tmp_path / "region.sqlite")
        await catalog.change(lambda changes: changes.add_small("blob", b"x"))
    wals = [tmp_path / name for name in ("catalog.db-wal", "region.sqlite-wal")]
    assert all(allocated_bytes(wal) < WAL_BYTES for wal in wals)
    await catalog.change(lambda changes: changes.add_small("other", b"x"))
    with store.transaction() as tx:
        tx.put(Note(id="note-1"))
    assert all(allocated_bytes(wal) >= WAL_BYTES for wal in wals)
    await catalog.close()
    store.close()


def test_a_wal_keeps_its_reserve_through_checkpoints_and_loses_no_commit_at_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "database"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE numbers (number INTEGER, content BLOB)")
        assert WalReserve(str(path)).is_complete and allocated_bytes(Path(f"{path}-spare")) >= SPARE_BYTES
        for number in range(2000):
            database.execute("INSERT INTO numbers VALUES (?, ?)", (number, b"x" * 3000))
        wal = Path(f"{path}-wal")
        assert wal.stat().st_size == WAL_BYTES, "SQLite begins the file again and neither extends nor shortens it"
        killed = tmp_path / "killed"  # The files as a kill leaves them: the last connection was not closed.
        killed.write_bytes(path.read_bytes())
        Path(f"{killed}-wal").write_bytes(wal.read_bytes())
    with closing(sqlite3.connect(killed)) as database:
        assert database.execute("SELECT count(*), max(number) FROM numbers").fetchone() == (2000, 1999)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_allocation_keeps_content_and_reports_what_it_cannot_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    assert not allocate(str(path), 10)
    path.write_bytes(b"content")
    with full_disk(monkeypatch):
        assert not allocate(str(path), 1 << 20) and allocate(str(path), 7), "what is there needs no space"
    assert allocate(str(path), 1 << 20) and path.read_bytes()[:8] == b"content\0"

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", fail)
    assert not allocate(str(path), 2 << 20)
