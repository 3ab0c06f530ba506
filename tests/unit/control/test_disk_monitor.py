"""A full disk is reported at once, once per change in the journal, and as long as it is full."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.unit.operator_api.test_database_view import store as store_with_a_database
from zonal.control import disk_monitor
from zonal.control.deployment_records import DeploymentSpec, DeploymentStatus
from zonal.control.disk_monitor import FULL_BYTES, REGION, ROOM_BYTES, DiskMonitor, DiskSpace, disk_space, is_full
from zonal.control.owners import Owners
from zonal.foundation.clock import RegionClock
from zonal.foundation.journal_sentences import sentence
from zonal.operator_api.database_view import DatabaseView
from zonal.records.store import Store, StoreUnavailable
from zonal.services.rds.deployment_owner import KIND, DbInstanceOwner
from zonal.services.rds.events import kind_of
from zonal.services.rds.model import instance_arn

STATE = Path("/state")
HOST_A, HOST_B = STATE / "hosts" / "host-a", STATE / "hosts" / "host-b"
ROOMY, FULL = DiskSpace(1 << 40, 1000), DiskSpace(FULL_BYTES - 1, 1000)


class Disks:
    """What `statvfs` says of each directory; a directory that is not here does not exist."""

    def __init__(self) -> None:
        self.spaces = dict.fromkeys((STATE, HOST_A, HOST_B), ROOMY)

    def measure(self, directory: Path) -> DiskSpace | None:
        return self.spaces.get(directory)


class SteppedClock(RegionClock):
    """A clock that goes on only when the test lets it."""

    def __init__(self) -> None:
        self._seconds = 1000.0
        super().__init__()

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        return self._seconds

    def step(self, seconds: float) -> datetime:
        self._seconds += seconds
        return self.now()


def monitor(store: Store, disks: Disks) -> DiskMonitor:
    return DiskMonitor(store, Owners({KIND: DbInstanceOwner(store)}), RegionClock(), state=STATE, measure=disks.measure)


def told(store: Store) -> list[tuple[str, str]]:
    return [(entry.event, entry.subject) for entry in store.journal()]


@contextmanager
def without_room(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def fail(*_: object) -> None:
        raise StoreUnavailable("the region's store could not commit: database or disk is full") from sqlite3.OperationalError()

    with monkeypatch.context() as patch:
        patch.setattr(store, "_commit", fail)
        yield


def test_a_disk_is_full_below_the_threshold_and_until_there_is_clearly_room() -> None:
    assert is_full(DiskSpace(FULL_BYTES - 1, None), was_full=False) and not is_full(DiskSpace(FULL_BYTES, None), was_full=False)
    assert is_full(DiskSpace(ROOM_BYTES - 1, None), was_full=True) and not is_full(DiskSpace(ROOM_BYTES, None), was_full=True)
    assert is_full(DiskSpace(1 << 40, 0), was_full=False), "no inode is free"


async def test_a_full_disk_is_journalled_once_per_change_and_warned_of_meanwhile() -> None:
    store, disks = Store(":memory:"), Disks()
    watching = monitor(store, disks)
    await watching.check()
    assert told(store) == [] and watching.warnings() == () and not watching.is_full(REGION)
    for space in (FULL, FULL, DiskSpace(ROOM_BYTES - 1, 1000), ROOMY, ROOMY, FULL):
        disks.spaces[STATE] = space
        await watching.check()
        assert watching.is_full(REGION) == (space is not ROOMY) == bool(watching.warnings())
    assert told(store) == [("disk.full", REGION), ("disk.recovered", REGION), ("disk.full", REGION)]


async def test_a_restarted_region_does_not_journal_the_same_full_disk_again() -> None:
    store, disks = Store(":memory:"), Disks()
    disks.spaces[STATE] = FULL
    await monitor(store, disks).check()
    after = monitor(store, disks)
    assert after.is_full(REGION)
    await after.check()
    disks.spaces[STATE] = ROOMY
    await after.check()
    assert told(store) == [("disk.full", REGION), ("disk.recovered", REGION)]


async def test_what_the_full_disk_itself_keeps_from_being_written_is_written_later(monkeypatch: pytest.MonkeyPatch) -> None:
    store, disks = Store(":memory:"), Disks()
    watching = monitor(store, disks)
    with without_room(store, monkeypatch):
        disks.spaces[STATE] = DiskSpace(0, 1000)
        await watching.check()
        assert "0.0 MiB are left" in watching.warnings()[0] and told(store) == []
        disks.spaces[STATE] = ROOMY
        await watching.check()
        assert watching.warnings() == ()
    await watching.check()
    assert told(store) == [("disk.full", REGION), ("disk.recovered", REGION)]


async def test_what_is_written_later_has_the_time_of_the_change(monkeypatch: pytest.MonkeyPatch) -> None:
    store, disks, clock = Store(":memory:"), Disks(), SteppedClock()
    watching = DiskMonitor(store, Owners({KIND: DbInstanceOwner(store)}), clock, state=STATE, measure=disks.measure)
    await watching.check()
    with without_room(store, monkeypatch):
        became_full = clock.step(100)
        disks.spaces[STATE] = FULL
        await watching.check()
        clock.step(60)
        disks.spaces[STATE] = ROOMY
        await watching.check()
    clock.step(1000)
    await watching.check()
    full, recovered = store.journal()
    assert (full.event, full.fields["since"], full.happened_at) == ("disk.full", became_full.isoformat(), became_full)
    assert recovered.happened_at == became_full + timedelta(seconds=60) and recovered.fields["full_seconds"] == 60
    for shown in (full, recovered):
        assert f"since {shown.fields['since']}" in sentence(shown)


async def test_what_is_written_at_once_happened_at_the_time_of_its_entry() -> None:
    store, disks, clock = Store(":memory:"), Disks(), SteppedClock()
    watching = DiskMonitor(store, Owners({KIND: DbInstanceOwner(store)}), clock, state=STATE, measure=disks.measure)
    await watching.check()
    disks.spaces[STATE] = FULL
    await watching.check()
    [full] = store.journal()
    assert "since" not in full.fields and "how" not in full.fields and full.happened_at == full.at


async def test_a_duration_counts_from_the_change_also_across_a_restart() -> None:
    store, disks, clock = Store(":memory:"), Disks(), SteppedClock()
    before = DiskMonitor(store, Owners({KIND: DbInstanceOwner(store)}), clock, state=STATE, measure=disks.measure)
    await before.check()
    disks.spaces[STATE] = FULL
    await before.check()
    clock.step(500)
    after = DiskMonitor(store, Owners({KIND: DbInstanceOwner(store)}), clock, state=STATE, measure=disks.measure)
    await after.check()
    clock.step(5)
    disks.spaces[STATE] = ROOMY
    await after.check()
    [_, recovered] = store.journal()
    assert recovered.fields["full_seconds"] == 505 and "how" not in recovered.fields


@pytest.mark.parametrize("change", ["killed-before-it-is-written", "another-boot", "room-while-stopped"])
async def test_a_time_that_is_not_known_is_not_given(change: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store, disks, clock = Store(":memory:"), Disks(), SteppedClock()
    before = DiskMonitor(store, Owners({KIND: DbInstanceOwner(store)}), clock, state=STATE, measure=disks.measure)
    await before.check()
    disks.spaces[STATE] = FULL
    if change == "killed-before-it-is-written":
        with without_room(store, monkeypatch):
            await before.check()
    else:
        await before.check()
    clock.step(500)
    if change == "another-boot":
        (tmp_path / "boot_id").write_text("another\n")
        monkeypatch.setattr(disk_monitor, "BOOT_ID", tmp_path / "boot_id")
    after = DiskMonitor(store, Owners({KIND: DbInstanceOwner(store)}), clock, state=STATE, measure=disks.measure)
    if change == "room-while-stopped":
        disks.spaces[STATE] = ROOMY
    await after.check()
    clock.step(5)
    disks.spaces[STATE] = ROOMY
    await after.check()
    full, recovered = store.journal()
    assert (full.event, recovered.event) == ("disk.full", "disk.recovered")
    assert full.fields.get("how") == ("found at the first check" if change == "killed-before-it-is-written" else None)
    assert recovered.fields.get("how") == ("found at the first check" if change == "room-while-stopped" else None)
    assert "full_seconds" not in recovered.fields and "has room again" in sentence(recovered)


@pytest.mark.parametrize("full", [HOST_A, HOST_B], ids=["primary", "standby"])
async def test_a_database_with_a_full_disk_is_storage_full_with_an_event_and_a_reason(full: Path) -> None:
    store, disks = store_with_a_database(), Disks()
    watching = monitor(store, disks)
    desk = DatabaseView(store, is_storage_full=watching.is_full)
    await watching.check()
    assert desk.statuses()[0].state == "available" and desk.statuses()[0].why == ""
    disks.spaces[full] = FULL
    await watching.check()
    assert desk.statuses()[0].state == "storage-full" and "disk is full" in desk.statuses()[0].why
    assert len(watching.warnings()) == 1 and str(full) in watching.warnings()[0]
    assert told(store) == [("database.disk_full", instance_arn("orders"))]
    kinds = [kind_of(entry) for entry in store.journal()]
    assert [(kind.number, kind.category) for kind in kinds if kind] == [(7, "low storage")]
    disks.spaces[full] = ROOMY
    await watching.check()
    assert desk.statuses()[0].state == "available" and watching.warnings() == ()
    assert told(store) == [("database.disk_full", instance_arn("orders")), ("database.disk_recovered", instance_arn("orders"))]


async def test_a_disk_that_everybody_shares_is_warned_of_once() -> None:
    store, disks = store_with_a_database(), Disks()
    disks.spaces = dict.fromkeys(disks.spaces, FULL)
    watching = monitor(store, disks)
    await watching.check()
    assert len(watching.warnings()) == 1 and watching.is_full("db-1")


async def test_a_deleted_database_is_not_full_any_more() -> None:
    store, disks = store_with_a_database(), Disks()
    disks.spaces[HOST_A] = FULL
    watching = monitor(store, disks)
    await watching.check()
    with store.transaction() as tx:
        tx.delete(DeploymentSpec, "db-1")
        tx.delete(DeploymentStatus, "db-1")
    await watching.check()
    assert not watching.is_full("db-1") and not monitor(store, disks).is_full("db-1")


async def test_a_directory_that_does_not_exist_yet_is_ignored(tmp_path: Path) -> None:
    assert disk_space(tmp_path / "not there") is None
    space = disk_space(tmp_path)
    assert space is not None and space.available_bytes > 0
    store, disks = store_with_a_database(), Disks()
    for directory in itertools.islice(list(disks.spaces), 1, None):
        del disks.spaces[directory]
    watching = monitor(store, disks)
    await watching.check()
    assert not watching.is_full("db-1")
