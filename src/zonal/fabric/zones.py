"""Availability Zones, and what is wrong with them.

A zone's links are those between its namespaces and the cores of all networks, the management network included. Losing a zone loads a rule
into every core that drops, in silence, whatever would pass them: a transaction for each core, microseconds each, before anything is
killed. `power` means that the hosts in the zone are killed then; `network` that they live on, alone. With `loss` and `delay` the
zone stays reachable. Who recorded the fault hands it in again when the fabric starts, and a network made meanwhile is cut as well.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from zonal.foundation.errors import ZonalError


class Zone(NamedTuple):
    """`name` is what customers say, `id` what is the same for all accounts ("Availability Zone IDs")."""

    name: str
    id: str


ZONES = (Zone("us-east-1a", "use1-az1"), Zone("us-east-1b", "use1-az2"), Zone("us-east-1c", "use1-az3"))
"""The zones of the region."""

KINDS = ("power", "network", "loss", "delay")


class ZoneFault(msgspec.Struct, frozen=True):
    """What is wrong with a zone: `power`, `network`, `loss` (`amount` in percent) or `delay` (`amount` in milliseconds)."""

    kind: str
    amount: float = 0.0

    @property
    def is_loss_of_zone(self) -> bool:
        """Whether nothing passes the zone's links."""
        return self.kind in ("power", "network")


class UnknownZone(ZonalError):
    """The region has no such zone."""


class BadFault(ZonalError):
    """There is no such fault, or not of that size."""


class Zones:
    """What is wrong with which zone, as the rest of the fabric asks for it. `Fabric` changes it."""

    def __init__(self) -> None:
        self.faults: dict[str, ZoneFault] = {}

    def find(self, name_or_id: str) -> Zone:
        """A zone by its name or its id. Raises `UnknownZone`."""
        for zone in ZONES:
            if name_or_id in zone:
                return zone
        raise UnknownZone(f"there is no zone '{name_or_id}'; there are {', '.join(zone.name for zone in ZONES)}")

    def fault(self, name: str) -> ZoneFault | None:
        """What is wrong with a zone, or None while nothing is."""
        return self.faults.get(name)

    def is_lost(self, name: str) -> bool:
        """Whether the zone's links are cut."""
        fault = self.faults.get(name)
        return fault is not None and fault.is_loss_of_zone


def check(fault: ZoneFault) -> None:
    """Raises `BadFault` for one that is none."""
    if fault.kind not in KINDS:
        raise BadFault(f"there is no fault '{fault.kind}'; there are {', '.join(KINDS)}")
    if fault.kind == "loss" and not 0 < fault.amount <= 100:
        raise BadFault(f"a loss is a part of the packets, more than 0 and at most 100 percent, not {fault.amount:g}")
    if fault.kind == "delay" and not 0 < fault.amount <= 60_000:
        raise BadFault(f"a delay is more than 0 and at most 60000 milliseconds, not {fault.amount:g}")
