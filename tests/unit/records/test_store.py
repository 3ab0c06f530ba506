"""The store: transactions, durability, generations, indexes, watchers and the journal."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zonal.records.store import NoSuchRecord, Record, StaleRecord, Store, StoreUnavailable


class Lamp(Record, frozen=True, kw_only=True):
    kind: ClassVar[str] = "lamp"
    indexed: ClassVar[tuple[str, ...]] = ("room",)

    lit: bool = False
    room: str = ""


class Key(Record, frozen=True, kw_only=True):
    kind: ClassVar[str] = "key"
    indexed: ClassVar[tuple[str, ...]] = ("room",)

    room: str | None = None


class Door(Record, frozen=True, kw_only=True):
    kind: ClassVar[str] = "door"


class BrightLamp(Record, frozen=True, kw_only=True):
    """A `Lamp` of a later release."""

    kind: ClassVar[str] = "lamp"
    version: ClassVar[int] = 2

    brightness: int

    @classmethod
    def upgrade(cls, body: dict[str, Any], version: int) -> dict[str, Any]:
        return {"id": body["id"], "brightness": 100 if body["lit"] else 0}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "region.sqlite"


def test_committed_records_exist_after_opening_again(path: Path) -> None:
    store = Store(path)
    with store.transaction() as tx:
        tx.put(Lamp(id="lamp-1", lit=True, room="hall"))
        tx.note("lamp.lit", "lamp-1", by="somebody")
    store.close()
    again = Store(path)
    assert again.get(Lamp, "lamp-1") == Lamp(id="lamp-1", lit=True, room="hall")
    assert [(entry.event, entry.subject, entry.fields) for entry in again.journal()] == [("lamp.lit", "lamp-1", {"by": "somebody"})]


def test_a_transaction_that_raises_changes_nothing(path: Path) -> None:
    store = Store(path)
    with pytest.raises(RuntimeError), store.transaction() as tx:
        tx.put(Lamp(id="lamp-1"))
        tx.note("lamp.bought", "lamp-1")
        raise RuntimeError
    assert store.select(Lamp) == []
    assert store.journal() == []


def test_reads_inside_a_transaction_see_its_changes_and_reads_outside_do_not() -> None:
    store = Store(":memory:")
    with store.transaction() as tx:
        tx.put(Lamp(id="lamp-2"))
        tx.put(Lamp(id="lamp-1"))
        assert [lamp.id for lamp in tx.select(Lamp)] == ["lamp-1", "lamp-2"]
        tx.delete(Lamp, "lamp-1")
        assert tx.get(Lamp, "lamp-1") is None
        assert [lamp.id for lamp in tx.select(Lamp)] == ["lamp-2"]
        assert store.select(Lamp) == []
    assert [lamp.id for lamp in store.select(Lamp)] == ["lamp-2"]


def test_a_transaction_inside_another_is_part_of_it() -> None:
    store = Store(":memory:")
    with pytest.raises(RuntimeError), store.transaction() as outer:
        with store.transaction() as inner:
            assert inner is outer
            inner.put(Lamp(id="lamp-1"))
        raise RuntimeError
    assert store.get(Lamp, "lamp-1") is None


def test_generations_count_writes_and_a_stale_write_is_refused() -> None:
    store = Store(":memory:")
    assert store.generation(Lamp, "lamp-1") == 0
    for expected in (1, 2):
        with store.transaction() as tx:
            tx.put(Lamp(id="lamp-1"))
        assert store.generation(Lamp, "lamp-1") == expected
    with pytest.raises(StaleRecord), store.transaction() as tx:
        tx.put(Lamp(id="lamp-1", lit=True), if_generation=1)
    assert store.require(Lamp, "lamp-1").lit is False


def test_a_missing_required_record_is_an_error_that_names_it() -> None:
    with pytest.raises(NoSuchRecord, match="there is no lamp 'lamp-9'"):
        Store(":memory:").require(Lamp, "lamp-9")


def test_watchers_are_called_after_the_commit_for_their_kinds_only() -> None:
    store = Store(":memory:")
    seen: list[tuple[str, str, bool]] = []
    end = store.watch([Lamp], lambda kind, id: seen.append((kind, id, store.get(Lamp, id) is not None)))
    with store.transaction() as tx:
        tx.put(Lamp(id="lamp-1"))
        tx.put(Door(id="door-1"))
        assert seen == []
    assert seen == [("lamp", "lamp-1", True)]
    end()
    with store.transaction() as tx:
        tx.put(Lamp(id="lamp-2"))
    assert len(seen) == 1


def test_the_journal_is_filtered_by_sequence_event_and_subject() -> None:
    store = Store(":memory:")
    with store.transaction() as tx:
        for number, event in enumerate(["zone.cut", "zone.healed", "failover.decided", "zone.cut"]):
            tx.note(event, f"thing-{number % 2}", number=number)
    assert [entry.fields["number"] for entry in store.journal(event="zone.")] == [0, 1, 3]
    assert [entry.fields["number"] for entry in store.journal(subject="thing-1")] == [1, 3]
    assert [entry.fields["number"] for entry in store.journal(limit=2)] == [2, 3]
    assert [entry.fields["number"] for entry in store.journal(after=store.journal()[1].sequence)] == [2, 3]


def test_a_record_of_an_older_version_is_upgraded_on_reading(path: Path) -> None:
    store = Store(path)
    with store.transaction() as tx:
        tx.put(Lamp(id="lamp-1", lit=True))
    store.close()
    assert Store(path).get(BrightLamp, "lamp-1") == BrightLamp(id="lamp-1", brightness=100)


def test_two_types_cannot_share_a_kind() -> None:
    store = Store(":memory:")
    store.select(Lamp)
    with pytest.raises(ValueError, match="two record types have the kind lamp"):
        store.select(BrightLamp)


def test_a_commit_on_a_full_disk_fails_and_succeeds_when_there_is_space(path: Path) -> None:
    store = Store(path)
    with store.transaction() as tx:
        tx.put(Lamp(id="lamp-1"))
    pages = store._database.execute("PRAGMA page_count").fetchone()[0]
    store._database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreUnavailable), store.transaction() as tx:
        tx.put(Lamp(id="lamp-2", room="x" * 100_000))
    assert [lamp.id for lamp in store.select(Lamp)] == ["lamp-1"]
    store._database.execute("PRAGMA max_page_count = 1000000")
    with store.transaction() as tx:
        tx.put(Lamp(id="lamp-2", room="x" * 100_000))
    store.close()
    assert [lamp.id for lamp in Store(path).select(Lamp)] == ["lamp-1", "lamp-2"]


def test_a_file_that_is_not_a_store_is_rejected_with_its_path(path: Path) -> None:
    path.write_bytes(b"not a database, certainly not one that is long enough" * 100)
    with pytest.raises(StoreUnavailable, match=r"region\.sqlite"):
        Store(path)


def test_a_commit_is_on_the_disk_before_it_returns(path: Path) -> None:
    """A kill cannot show it, because written data survives in the kernel, so SQLite's settings are read."""
    opened = Store(path)
    assert opened._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert opened._database.execute("PRAGMA synchronous").fetchone() == (2,), "FULL: the log is synced at every commit"


def test_the_file_is_readable_by_its_owner_only(path: Path) -> None:
    Store(path)
    assert path.stat().st_mode & 0o777 == 0o600


WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from tests.unit.records.test_store import Lamp, Store
store = Store(sys.argv[1])
for number in range(1_000_000):
    with store.transaction() as tx:
        tx.put(Lamp(id=f"lamp-{number:07}"))
        tx.note("lamp.bought", f"lamp-{number:07}")
    print(number, flush=True)
"""


@pytest.mark.parametrize("acknowledged", [1, 7, 40])
def test_nothing_acknowledged_is_lost_when_the_writer_is_killed(path: Path, acknowledged: int) -> None:
    root = str(Path(__file__).parents[3])
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path), root], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    last = [int(writer.stdout.readline()) for _ in range(acknowledged)][-1]
    os.kill(writer.pid, signal.SIGKILL)
    last = max([last, *(int(line) for line in writer.stdout.read().split())])
    writer.wait()
    writer.stdout.close()
    store = Store(path)
    lamps = {lamp.id for lamp in store.select(Lamp)}
    assert {f"lamp-{number:07}" for number in range(last + 1)} <= lamps
    assert lamps == {entry.subject for entry in store.journal()}, "records and journal commit together"


def test_the_store_can_be_read_with_sqlite(path: Path) -> None:
    store = Store(path)
    with store.transaction() as tx:
        tx.put(Lamp(id="lamp-1", room="hall"))
    body = sqlite3.connect(path).execute("SELECT body FROM records WHERE kind = 'lamp'").fetchone()[0]
    assert msgspec.json.decode(body) == {"id": "lamp-1", "lit": False, "room": "hall"}


def test_records_are_found_by_an_indexed_field_in_the_order_of_their_ids_as_they_change(path: Path) -> None:
    store = Store(path)
    with store.transaction() as tx:
        for number in (3, 1, 2):
            tx.put(Lamp(id=f"lamp-{number}", room="hall"))
    assert [each.id for each in store.lookup(Lamp, "room", "hall")] == ["lamp-1", "lamp-2", "lamp-3"]
    with store.transaction() as tx:
        tx.put(Lamp(id="lamp-2", room="attic"))
        tx.put(Lamp(id="lamp-1", room="hall", lit=True))
        tx.delete(Lamp, "lamp-3")
        assert [each.id for each in tx.lookup(Lamp, "room", "hall")] == ["lamp-1"]
        assert [each.id for each in tx.lookup(Lamp, "room", "attic")] == ["lamp-2"]
        assert [each.id for each in store.lookup(Lamp, "room", "hall")] == ["lamp-1", "lamp-2", "lamp-3"]
    store.close()
    for found in (store, Store(path)):
        assert found.lookup(Lamp, "room", "hall") == [Lamp(id="lamp-1", room="hall", lit=True)]
        assert [each.id for each in found.lookup(Lamp, "room", "attic")] == ["lamp-2"]
        assert [each.id for each in found.select(Lamp)] == ["lamp-1", "lamp-2"]
        assert found.lookup(Lamp, "room", "cellar") == []


def test_a_transaction_that_fails_leaves_the_index_as_it_was() -> None:
    store = Store(":memory:")
    with store.transaction() as tx:
        tx.put(Lamp(id="lamp-1", room="hall"))
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        tx.put(Lamp(id="lamp-1", room="attic"))
        raise ZeroDivisionError
    assert len(store.lookup(Lamp, "room", "hall")) == 1 and store.lookup(Lamp, "room", "attic") == []


def test_a_lookup_by_a_field_without_an_index_is_rejected() -> None:
    with pytest.raises(ValueError, match="lamp are not indexed by lit"):
        Store(":memory:").lookup(Lamp, "lit", "yes")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["hall", "attic", None]), st.booleans()), max_size=30))
def test_a_lookup_finds_what_a_scan_finds(changes: list[tuple[str, str | None, bool]]) -> None:
    store = Store(":memory:")
    for id, room, ends in changes:
        with store.transaction() as tx:
            tx.put(Key(id=id, room=room))
            for place in ("hall", "attic"):
                assert tx.lookup(Key, "room", place) == tx.select(Key, lambda key, place=place: key.room == place)
            if ends:
                tx.delete(Key, id)
        for place in ("hall", "attic"):
            assert store.lookup(Key, "room", place) == store.select(Key, lambda key, place=place: key.room == place)
