"""Availability Zones and their faults.

The links of a zone connect its namespaces with the cores of all networks, including the management network. When a zone is lost, every core
gets a rule that drops all packets on these links without an answer: one transaction for each core, microseconds each, before any process
is killed. With `power` the hosts in the zone are killed then; with `network` they keep running, cut off. With `loss` and `delay` the zone
stays reachable. Recorded faults are passed in again when the fabric starts, and apply to networks that are created later as well.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from zonal.foundation.errors import ZonalError


class Zone(NamedTuple):
    """`name` differs between accounts, `id` is the same for all ("Availability Zone IDs")."""

    name: str
    id: str


ZONES = (Zone("us-east-1a", "use1-az1"), Zone("us-east-1b", "use1-az2"), Zone("us-east-1c", "use1-az3"))
"""The zones of the region."""

KINDS = ("power", "network", "loss", "delay")


class ZoneFault(msgspec.Struct, frozen=True):
    """The fault of a zone: `power`, `network`, `loss` (`amount` in percent) or `delay` (`amount` in milliseconds)."""

    kind: str
    amount: float = 0.0

    @property
    def is_loss_of_zone(self) -> bool:
        """Whether the fault cuts the zone's links."""
        return self.kind in ("power", "network")


class UnknownZone(ZonalError):
    """The region has no such zone."""


class BadFault(ZonalError):
    """The fault has an unknown kind or an invalid amount."""


class Zones:
    """The present faults by zone name. Only `Fabric` changes them."""

    def __init__(self) -> None:
        self.faults: dict[str, ZoneFault] = {}

    def find(self, name_or_id: str) -> Zone:
        """A zone by its name or its id. Raises `UnknownZone`."""
        for zone in ZONES:
            if name_or_id in zone:
                return zone
        raise UnknownZone(f"there is no zone '{name_or_id}'; there are {', '.join(zone.name for zone in ZONES)}")

    def fault(self, name: str) -> ZoneFault | None:
        """The fault of a zone, or None."""
        return self.faults.get(name)

    def is_lost(self, name: str) -> bool:
        """Whether the zone's links are cut."""
        fault = self.faults.get(name)
        return fault is not None and fault.is_loss_of_zone


def check(fault: ZoneFault) -> None:
    """Raise `BadFault` for a fault that is not valid."""
    if fault.kind not in KINDS:
        raise BadFault(f"there is no fault '{fault.kind}'; there are {', '.join(KINDS)}")
    if fault.kind == "loss" and not 0 < fault.amount <= 100:
        raise BadFault(f"{fault.amount:g} is not a valid loss; give a percentage of the packets above 0 and up to 100")
    if fault.kind == "delay" and not 0 < fault.amount <= 60_000:
        raise BadFault(f"{fault.amount:g} is not a valid delay; give milliseconds above 0 and up to 60000")
