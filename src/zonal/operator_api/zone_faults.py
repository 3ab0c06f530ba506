"""Faults of zones: injected, recorded and removed.

A fault is recorded before it is injected, so that a region that died in between injects it when it starts. A recovery wakes every
reconciler; the host reconciler then powers on the zone's hosts that are recorded as on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ClassVar, Protocol

from zonal.fabric import zones as fabric_zones
from zonal.fabric.zones import ZONES, Zone
from zonal.foundation.errors import ZonalError
from zonal.operator_api.schemas import ZoneFaultRequest, ZoneStatus
from zonal.records.store import Record, Store


class RecordedFault(Record, frozen=True, kw_only=True):
    """The fault of the zone whose name is the id."""

    kind: ClassVar[str] = "zone-fault"

    fault: str
    amount: float = 0.0


class ZoneFabric(Protocol):
    """The part of the fabric that injects and removes faults (`fabric.fabric.Fabric`)."""

    async def fail_zone(self, zone: str, fault: fabric_zones.ZoneFault) -> Zone: ...

    async def recover_zone(self, zone: str) -> Zone: ...


class ZoneFaults:
    """Injects and removes faults; one at a time."""

    def __init__(self, store: Store, fabric: ZoneFabric, *, wake: Callable[[], None]) -> None:
        self._store = store
        self._fabric = fabric
        self._wake = wake
        self._one_at_a_time = asyncio.Lock()

    async def resume(self) -> None:
        """Inject every recorded fault again, because the last region may have died while it injected one."""
        for record in self._store.select(RecordedFault):
            await self._fabric.fail_zone(record.id, fabric_zones.ZoneFault(record.fault, record.amount))

    async def fail(self, zone: str, fault: ZoneFaultRequest) -> ZoneStatus:
        """Inject a fault; it is in force on return. Raises `UnknownZone`, `BadFault` and `NoDelay` (the kernel cannot delay packets)."""
        wanted = fabric_zones.ZoneFault(fault.kind, fault.amount)
        fabric_zones.check(wanted)
        found = fabric_zones.Zones().find(zone)
        async with self._one_at_a_time:
            before = self._store.get(RecordedFault, found.name)
            with self._store.transaction() as tx:
                tx.put(RecordedFault(id=found.name, fault=fault.kind, amount=fault.amount))
                tx.note("zone.failed", found.name, fault=fault.kind, **({"amount": fault.amount} if fault.amount else {}))
            try:
                await self._fabric.fail_zone(found.name, wanted)
            except ZonalError:
                self._take_back(found.name, before)
                raise
        return status(self._store, found)

    async def recover(self, zone: str) -> ZoneStatus:
        """Remove the fault of a zone. Does nothing when it has none. Raises `UnknownZone`."""
        found = fabric_zones.Zones().find(zone)
        async with self._one_at_a_time:
            if self._store.get(RecordedFault, found.name) is not None:
                await self._fabric.recover_zone(found.name)
                with self._store.transaction() as tx:
                    tx.delete(RecordedFault, found.name)
                    tx.note("zone.recovered", found.name)
                self._wake()
        return status(self._store, found)

    def _take_back(self, zone: str, before: RecordedFault | None) -> None:
        with self._store.transaction() as tx:
            if before is None:
                tx.delete(RecordedFault, zone)
            else:
                tx.put(before)
            tx.note("zone.fault_refused", zone)


def statuses(store: Store) -> tuple[ZoneStatus, ...]:
    """The status of every zone, in the order of their names."""
    return tuple(status(store, zone) for zone in ZONES)


def status(store: Store, zone: Zone) -> ZoneStatus:
    """The status of a zone."""
    record = store.get(RecordedFault, zone.name)
    return ZoneStatus(zone.name, zone.id, "available" if record is None else "impaired", "" if record is None else describe_fault(record))


def recorded_faults(store: Store) -> dict[str, fabric_zones.ZoneFault]:
    """The recorded faults by zone name."""
    return {record.id: fabric_zones.ZoneFault(record.fault, record.amount) for record in store.select(RecordedFault)}


def describe_fault(record: RecordedFault) -> str:
    """A fault as `zonal status` displays it."""
    return {
        "power": "no power",
        "network": "cut off",
        "loss": f"loses {record.amount:g} % of its packets",
        "delay": f"delays its packets by {record.amount:g} ms",
    }[record.fault]
