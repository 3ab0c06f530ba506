"""The faults of a drill: how each is injected into a Multi-AZ database, and how it is healed.

| fault | what happens | what peers notice |
|---|---|---|
| `reboot` | `RebootDBInstance` with `ForceFailover=true` | a clean end of their connections |
| `process` | the primary's engine is killed; its host stays up | a reset by the kernel |
| `host` | the primary's host loses power | silence |
| `power` | its zone: links cut, then every process in it killed | silence |
| `network` | its zone: links cut, processes keep running | silence, and an old primary that still runs |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from zonal.drills.region_operator import RegionOperator

ZONE_FAULTS = ("power", "network")
"""Faults that take a whole zone and have to be healed."""


class Victim(NamedTuple):
    """The target of a fault. `subject` is the database's ARN; `force_failover` asks AWS's API for a reboot with failover."""

    database: str
    subject: str
    node: str
    zone: str
    force_failover: Callable[[], None]


class Fault(NamedTuple):
    """`strike` returns when the fault is in force, `heal` when it is undone; None where a fault needs no healing."""

    name: str
    strike: Callable[[RegionOperator, Victim], None]
    heal: Callable[[RegionOperator, Victim], None] | None

    @property
    def takes_zone(self) -> bool:
        return self.name in ZONE_FAULTS


def _reboot(_operator: RegionOperator, victim: Victim) -> None:
    victim.force_failover()


def _process(operator: RegionOperator, victim: Victim) -> None:
    operator.fail_node(victim.database, victim.node, "process")


def _host(operator: RegionOperator, victim: Victim) -> None:
    operator.fail_node(victim.database, victim.node, "host")


def _power(operator: RegionOperator, victim: Victim) -> None:
    operator.fail_zone(victim.zone, "power")


def _network(operator: RegionOperator, victim: Victim) -> None:
    operator.fail_zone(victim.zone, "network")


def _recover(operator: RegionOperator, victim: Victim) -> None:
    operator.recover_zone(victim.zone)


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("reboot", _reboot, None),
        Fault("process", _process, None),
        Fault("host", _host, None),
        Fault("power", _power, _recover),
        Fault("network", _network, _recover),
    )
}
"""Every fault by its name."""
