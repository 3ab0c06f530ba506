"""Detects that the disk under the region's state, or under a database's nodes, is full.

Once a second `statvfs` measures the state directory and the directory of each node. A disk with less than `FULL_BYTES` available is full:
that is one WAL segment of PostgreSQL, which a primary creates before it continues to write, and what S3 reserves for its catalog
(`buckets.file_writer.RESERVE_BYTES`). The disk is recovered at `ROOM_BYTES`; the difference keeps a disk near the limit from filling the
journal. A disk without a free inode is full too. A limit that `statvfs` does not report (a quota) is not detected.

Each change is journalled once, also across restarts of the region: `disk.full` and `disk.recovered` about the region,
`database.disk_full` and `database.disk_recovered` about a database, whose RDS status is `storage-full` meanwhile. What cannot be written
because the disk is full is written when there is room again, with the time of the change in `since`. A change that took place before the
first check (while the region was not running) has no known time: `how` says so, and a recovery has no `full_seconds` then.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import ClassVar, NamedTuple

from zonal.control.deployment_records import DeploymentSpec, DeploymentStatus
from zonal.control.owners import Owners
from zonal.foundation.clock import Clock
from zonal.foundation.errors import ZonalError
from zonal.foundation.periodic import repeat
from zonal.records.store import Record, Store, Transaction

FULL_BYTES = 16 * 1024 * 1024
ROOM_BYTES = 24 * 1024 * 1024
PAUSE_SECONDS = 1.0
HOSTS = "hosts"
"""The directory of the state in which each host has its own."""
REGION = "region"
"""The key and the subject of the region's own state directory."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class FullDisk(Record, frozen=True, kw_only=True):
    """The journal says that the disk of this deployment (or of `REGION`) is full."""

    kind: ClassVar[str] = "full-disk"

    subject: str
    directory: str
    title: str = ""
    """The subject as messages name it; empty in records of earlier versions."""
    boot: str = ""
    """The boot of the machine whose stopwatch `monotonic` is a reading of."""
    monotonic: float | None = None
    """When the disk became full; None if that is not known."""


class DiskSpace(NamedTuple):
    """The space available on a disk. `inodes` is None where the file system does not limit them."""

    available_bytes: int
    inodes: int | None


class DiskUse(NamedTuple):
    """What uses a directory: `key` is a deployment's id or `REGION`, `subject` the journal's subject (an owner's ARN or `REGION`), `title`
    the subject as messages name it."""

    key: str
    subject: str
    title: str
    directory: Path


class DiskChange(NamedTuple):
    """A change that is not journalled yet: a disk became full or recovered."""

    use: DiskUse
    is_full: bool
    at: datetime
    fields: dict[str, object]
    began: float | None


class DiskMonitor:
    """Watches the disks of one region whose state is in `state`."""

    def __init__(
        self, store: Store, owners: Owners, clock: Clock, *, state: Path, measure: Callable[[Path], DiskSpace | None] | None = None
    ) -> None:
        self._store = store
        self._owners = owners
        self._clock = clock
        self._state = state
        self._hosts = state / HOSTS
        self._measure = measure or disk_space
        self._boot = BOOT_ID.read_text().strip()
        self._full = {
            record.id: (
                DiskUse(record.id, record.subject, record.title or record.subject, Path(record.directory)),
                record.monotonic if record.boot == self._boot else None,
            )
            for record in store.select(FullDisk)
        }
        """The full disks by key, each with the stopwatch's reading when it became full, if that is known."""
        self._checked: set[str] = set()
        """The keys that this monitor has checked before, so that it has seen a change of them."""
        self._available: dict[str, int] = {}
        self._unwritten: list[DiskChange] = []
        self._is_late = False
        """Whether a commit of the unwritten changes has failed."""

    def is_full(self, key: str) -> bool:
        """Whether the disk of a deployment, by its id, or of `REGION` is full."""
        return key in self._full

    def warnings(self) -> tuple[str, ...]:
        """The warnings for the operator. A full disk that the region and its databases share is reported once."""
        if self.is_full(REGION):
            left = f"{self._available.get(REGION, 0) / (1 << 20):.1f} MiB are left"
            return (f"the disk of {self._state} is full ({left}): writes to databases, tables and buckets fail until there is room",)
        return tuple(
            f"{use.title}: the disk of {use.directory} is full: its writes fail until there is room" for use, _ in self._full.values()
        )

    async def run(self) -> None:
        """Check until cancelled."""
        await repeat(self.check, what="watching the disk", pause_seconds=PAUSE_SECONDS)

    async def check(self) -> None:
        """Measure each disk once, and journal the changes as far as the disk permits."""
        uses = list(self._uses())
        spaces = await asyncio.to_thread(lambda: {use.directory: self._measure(use.directory) for use in uses})
        for key in {use.key for use in uses}:
            mine = [(use, space) for use in uses if use.key == key and (space := spaces[use.directory]) is not None]
            if mine:
                self._judge(*min(mine, key=lambda pair: pair[1]))
        gone = self._full.keys() - {use.key for use in uses}
        for key in gone:
            del self._full[key]
        self._checked &= {use.key for use in uses}
        self._journal(gone)

    def _uses(self) -> Iterator[DiskUse]:
        yield DiskUse(REGION, REGION, REGION, self._state)
        for spec in self._store.select(DeploymentSpec):
            status = self._store.get(DeploymentStatus, spec.id)
            for member in status.members if status else ():
                subject, title = self._owners.arn(spec.owner), self._owners.describe(spec.owner)
                yield DiskUse(spec.id, subject, title, self._hosts / member.place.host)

    def _judge(self, use: DiskUse, space: DiskSpace) -> None:
        was_full, was_checked = self.is_full(use.key), use.key in self._checked
        full = is_full(space, was_full=was_full)
        self._checked.add(use.key)
        self._available[use.key] = space.available_bytes
        if full == was_full:
            return
        now = self._clock.monotonic()
        fields: dict[str, object] = {"directory": str(use.directory), "available_bytes": space.available_bytes}
        if not was_checked:
            fields["how"] = "found at the first check"
        if full:
            began = now if was_checked else None
            self._full[use.key] = use, began
        else:
            _, began = self._full.pop(use.key)
            if began is not None and was_checked:
                fields["full_seconds"] = round(now - began, 1)
        self._unwritten.append(DiskChange(use, full, self._clock.now(), fields, began))

    def _journal(self, gone: set[str]) -> None:
        if not self._unwritten and not gone:
            return
        try:
            with self._store.transaction() as tx:
                for key in gone:
                    tx.delete(FullDisk, key)
                for change in self._unwritten:
                    self._note(tx, change)
        except ZonalError:
            self._is_late = True
            return  # There is no room for it; the next check tries again.
        self._unwritten.clear()
        self._is_late = False

    def _note(self, tx: Transaction, change: DiskChange) -> None:
        use, full = change.use, change.is_full
        fields = change.fields | ({"since": change.at.isoformat()} if self._is_late else {})
        if use.key == REGION:
            tx.note("disk.full" if full else "disk.recovered", use.subject, **fields)
        else:
            tx.note("database.disk_full" if full else "database.disk_recovered", use.subject, **fields)
        if full:
            directory = str(use.directory)
            tx.put(FullDisk(id=use.key, subject=use.subject, directory=directory, title=use.title, boot=self._boot, monotonic=change.began))
        else:
            tx.delete(FullDisk, use.key)


def is_full(space: DiskSpace, *, was_full: bool) -> bool:
    """Whether a disk is full, given whether it was so before."""
    return space.available_bytes < (ROOM_BYTES if was_full else FULL_BYTES) or space.inodes == 0


def disk_space(directory: Path) -> DiskSpace | None:
    """The space available on a directory's disk; None where the directory does not exist. Blocking."""
    try:
        disk = os.statvfs(directory)
    except OSError:
        return None
    return DiskSpace(disk.f_bavail * disk.f_frsize, disk.f_favail if disk.f_files else None)
