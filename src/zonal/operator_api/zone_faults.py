"""Pulling zones and putting them back.

A fault is recorded before it is made, so that a region that dies in between makes it true again when it starts. Recovering wakes everything
that waits for the zone: hosts get their power back from whoever wants them on.
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
    """What is wrong with the zone whose name is the id."""

    kind: ClassVar[str] = "zone-fault"

    fault: str
    amount: float = 0.0


class ZoneFabric(Protocol):
    """What is asked of the fabric (`fabric.fabric.Fabric`)."""

    async def fail_zone(self, zone: str, fault: fabric_zones.ZoneFault) -> Zone: ...

    async def recover_zone(self, zone: str) -> Zone: ...


class ZoneFaults:
    """The operator's actions on zones."""

    def __init__(self, store: Store, fabric: ZoneFabric, *, wake: Callable[[], None]) -> None:
        self._store = store
        self._fabric = fabric
        self._wake = wake
        self._one_at_a_time = asyncio.Lock()

    async def resume(self) -> None:
        """Make every recorded fault true again: the last region may have died in the middle of one."""
        for record in self._store.select(RecordedFault):
            await self._fabric.fail_zone(record.id, fabric_zones.ZoneFault(record.fault, record.amount))

    async def fail(self, zone: str, fault: ZoneFaultRequest) -> ZoneStatus:
        """Make a zone fail; in force on return. Raises `UnknownZone`, `BadFault`, and `NoDelay` where the kernel cannot delay."""
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
        """Undo whatever was done to a zone; nothing happens where nothing is wrong. Raises `UnknownZone`."""
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
    """How each zone stands, in their order."""
    return tuple(status(store, zone) for zone in ZONES)


def status(store: Store, zone: Zone) -> ZoneStatus:
    """How a zone stands."""
    record = store.get(RecordedFault, zone.name)
    return ZoneStatus(zone.name, zone.id, "available" if record is None else "impaired", "" if record is None else describe_fault(record))


def recorded_faults(store: Store) -> dict[str, fabric_zones.ZoneFault]:
    """What is wrong with which zone, for the fabric's start."""
    return {record.id: fabric_zones.ZoneFault(record.fault, record.amount) for record in store.select(RecordedFault)}


def describe_fault(record: RecordedFault) -> str:
    """A fault for a person."""
    return {
        "power": "no power",
        "network": "cut off",
        "loss": f"loses {record.amount:g} % of its packets",
        "delay": f"delays its packets by {record.amount:g} ms",
    }[record.fault]
