"""Makes the hosts of the fabric match their records: the one way to create, power and remove a host.

`converge` powers a host on when its record says so and its zone is not lost, powers it off, completes an interrupted removal, and removes a
host that its owner's records need no more. Steps that cannot wait for the driver (a deployment's, a command's) call `power_on`, `power_off`
and `remove` directly: each records the wish first and returns when it is met, under the same lock for each host as `converge`.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from zonal.control.host_records import HostPower, HostRecord, host_spec
from zonal.fabric.host_interface import Host
from zonal.fabric.plan import Completed, HostSpec, ProcessSpec
from zonal.foundation.errors import ZonalError
from zonal.records.record_view import RecordView
from zonal.records.store import Record, Store

_log = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 5.0


class FabricHost(Host, Protocol):
    """A host of the fabric (`fabric.hosts.LinuxHost`)."""

    @property
    def is_on(self) -> bool: ...


class FabricHosts(Protocol):
    """The hosts of the fabric (`fabric.hosts.Hosts`)."""

    def host(self, spec: HostSpec, /) -> FabricHost: ...

    def get(self, name: str, /) -> FabricHost | None: ...

    async def remove(self, name: str, /) -> None: ...


class HostOwnerKind(NamedTuple):
    """A kind of owner. `records` are the record types whose change may end the need for a host; their ids are the owners' ids."""

    records: tuple[type[Record], ...]
    is_needed: Callable[[RecordView, HostRecord], bool]


class UnknownHostOwner(ZonalError):
    """No kind of owner is registered under the name in a host's record."""


class HostReconciler:
    """The reconciler of host records (`control.reconciler.Reconciler`); `state` is the region's state directory."""

    name = "hosts"

    def __init__(self, store: Store, hosts: FabricHosts, owners: Mapping[str, HostOwnerKind], *, state: Path) -> None:
        self._store = store
        self._hosts = hosts
        self._owners = owners
        self._state = state
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def kinds(self) -> Sequence[type[Record]]:
        return (HostRecord, *{kind: None for owner in self._owners.values() for kind in owner.records})

    def key_of(self, kind: str, id: str) -> str | Iterable[str] | None:
        if kind == HostRecord.kind:
            return id
        names = {name for name, owner in self._owners.items() if kind in (record.kind for record in owner.records)}
        return [record.id for record in self._store.lookup(HostRecord, "owner_id", id) if record.owner_kind in names]

    async def converge(self, key: str) -> float | None:
        """Make one host match its record. Raises what the fabric raises, and `UnknownHostOwner`."""
        async with self._locks[key]:
            record = self._store.get(HostRecord, key)
            if record is not None and record.power is not HostPower.REMOVED and not self._is_needed(record):
                record = self._abandon(record)
            await self._apply(record)
        if self._store.get(HostRecord, key) is None:
            self._forget_lock(key)
        return None

    def host(self, id: str) -> Host:
        """The recorded host, as steps act on it. Raises `NoSuchRecord`."""
        return RecordedHost(self, self._hosts.host(host_spec(self._store.require(HostRecord, id), self._state)))

    async def power_on(self, id: str) -> None:
        """Record that the host is to be on, and power it on. In a lost zone this raises `HostUnreachable`, and the reconciler powers the
        host on when the zone is back."""
        self._record_power(id, HostPower.ON)
        async with self._locks[id]:
            await self._hosts.host(host_spec(self._store.require(HostRecord, id), self._state)).power_on()

    async def power_off(self, id: str) -> None:
        """Record that the host is to be off, and power it off. In a lost zone this raises `HostUnreachable` and records nothing."""
        host = self._hosts.host(host_spec(self._store.require(HostRecord, id), self._state))
        if host.is_reachable:
            self._record_power(id, HostPower.OFF)
        async with self._locks[id]:
            await host.power_off()

    async def remove(self, id: str) -> None:
        """Remove the host, its disk and its record, whatever the state of its zone. Does nothing where there is none."""
        self._record_power(id, HostPower.REMOVED)
        async with self._locks[id]:
            await self._remove(id, self._store.get(HostRecord, id))
        self._forget_lock(id)

    async def close(self) -> None:
        """Power off every host that can be reached, because the region stops. The records stay as they are."""
        on = [
            host for record in self._store.select(HostRecord) if (host := self._hosts.get(record.id)) and host.is_reachable and host.is_on
        ]
        try:
            async with asyncio.timeout(SHUTDOWN_SECONDS):
                failures = await asyncio.gather(*(host.power_off() for host in on), return_exceptions=True)
        except TimeoutError:
            _log.warning("not all hosts were powered off within %g s", SHUTDOWN_SECONDS)
            return
        for host, failure in zip(on, failures, strict=True):
            if isinstance(failure, Exception):
                _log.warning("%s was not powered off: %s", host.name, failure)

    async def _apply(self, record: HostRecord | None) -> None:
        if record is None:
            return
        host = self._hosts.get(record.id)
        if record.power is HostPower.REMOVED:
            await self._remove(record.id, record)
        elif record.power is HostPower.ON:
            host = self._hosts.host(host_spec(record, self._state))
            if host.is_reachable and not host.is_on:
                await host.power_on()
        elif host is not None and host.is_reachable and host.is_on:
            await host.power_off()

    def _is_needed(self, record: HostRecord) -> bool:
        owner = self._owners.get(record.owner_kind)
        if owner is None:
            raise UnknownHostOwner(f"the host {record.id} belongs to the unknown kind '{record.owner_kind}'; it is left as it is")
        return owner.is_needed(self._store, record)

    def _abandon(self, record: HostRecord) -> HostRecord | None:
        """Record the removal of a host that its owner needs no more; None while its zone is lost, whose return repeats this."""
        host = self._hosts.get(record.id)
        if host is not None and not host.is_reachable:
            return None
        removed = replace(record, power=HostPower.REMOVED)
        with self._store.transaction() as tx:
            tx.put(removed)
            tx.note("host.abandoned", record.id, zone=record.zone, owner=f"{record.owner_kind} {record.owner_id}")
        return removed

    async def _remove(self, id: str, record: HostRecord | None) -> None:
        await self._hosts.remove(id)
        if record is not None:
            await asyncio.to_thread(shutil.rmtree, self._state / record.root.disk, ignore_errors=True)
            with self._store.transaction() as tx:
                tx.delete(HostRecord, id)

    def _record_power(self, id: str, power: HostPower) -> None:
        """Record the wish, unless it is recorded already or the host is being removed."""
        record = self._store.get(HostRecord, id)
        if record is not None and record.power not in (power, HostPower.REMOVED):
            with self._store.transaction() as tx:
                tx.put(replace(record, power=power))

    def _forget_lock(self, id: str) -> None:
        lock = self._locks.get(id)
        if lock is not None and not lock.locked():
            del self._locks[id]


class RecordedHost:
    """A host of the fabric whose power is changed through its record (the `Host` of `fabric.host_interface`)."""

    def __init__(self, reconciler: HostReconciler, host: Host) -> None:
        self._reconciler = reconciler
        self._host = host
        self.name = host.name
        self.zone = host.zone
        self.directory = host.directory
        self.management_address = host.management_address

    @property
    def is_reachable(self) -> bool:
        return self._host.is_reachable

    async def power_on(self) -> None:
        await self._reconciler.power_on(self.name)

    async def power_off(self) -> None:
        await self._reconciler.power_off(self.name)

    async def start(self, process: ProcessSpec) -> None:
        await self._host.start(process)

    async def signal(self, process: str, number: int) -> None:
        await self._host.signal(process, number)

    async def is_running(self, process: str) -> bool:
        return await self._host.is_running(process)

    async def wait_until_gone(self, process: str, within: timedelta) -> bool:
        return await self._host.wait_until_gone(process, within)

    async def run(
        self, argv: tuple[str, ...], *, within: timedelta, environment: tuple[tuple[str, str], ...] = (), input: bytes = b""
    ) -> Completed:
        return await self._host.run(argv, within=within, environment=environment, input=input)
