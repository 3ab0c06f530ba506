"""Injects zone faults into the kernel: rules in the cores that drop packets, and delays on the links of zones.

The rules of all faults are one small table in every core, replaced in one transaction. Its sockets are opened when the network is created
and used for nothing else, so that cutting a zone never waits.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Mapping

from zonal.fabric.linux import netlink
from zonal.fabric.linux.netlink import KernelRefused, NetlinkBatch
from zonal.fabric.network_state import Router
from zonal.fabric.ruleset import Chain, Chance, Match, PacketRule, Ruleset, StartsWith, Verdict
from zonal.fabric.zones import ZoneFault
from zonal.foundation.errors import ZonalError

TABLE = "faults"


class NoDelay(ZonalError):
    """The kernel cannot delay packets."""


def ruleset(faults: Mapping[str, ZoneFault]) -> Ruleset:
    """The rules of a core for these faults, by zone. Pure.

    The name of each device of a core that leads into a zone begins with the zone's name.
    """
    rules = []
    for zone, fault in sorted(faults.items()):
        chance: tuple[Match, ...] = (Chance(round(fault.amount * 100)),) if fault.kind == "loss" else ()
        if fault.kind != "delay":
            rules += [PacketRule(Verdict("drop"), (StartsWith(key, zone), *chance)) for key in ("iifname", "oifname")]
    return Ruleset(TABLE, (Chain("links", tuple(rules), "forward", -400),))


class Impairments:
    """The cores of all networks, and the faults that are applied to them."""

    def __init__(self) -> None:
        self._cores: dict[str, Router] = {}
        self._lock = threading.Lock()

    def add(self, network: str, namespace: int, faults: Mapping[str, ZoneFault]) -> None:
        """Apply the present faults to the core of a new network."""
        with self._lock:
            if network not in self._cores:
                self._cores[network] = Router(namespace)
            self._cores[network].rules.apply(ruleset(faults))
            self._delay(self._cores[network], faults)

    def forget(self, network: str) -> None:
        with self._lock:
            if network in self._cores:
                self._cores.pop(network).close()

    def apply(self, faults: Mapping[str, ZoneFault]) -> None:
        """Apply exactly these faults to every core. Raises `NoDelay` when the kernel lacks netem."""
        with self._lock:
            for router in self._cores.values():
                router.rules.apply(ruleset(faults))
            for router in self._cores.values():
                self._delay(router, faults)

    def close(self) -> None:
        while self._cores:
            self._cores.popitem()[1].close()

    def _delay(self, router: Router, faults: Mapping[str, ZoneFault]) -> None:
        """Delay the packets into a zone in the queues of its links. One direction suffices to delay every exchange."""
        zones = {zone: fault.amount for zone, fault in faults.items() if fault.kind == "delay"}
        if not zones and not router.delayed:
            return
        devices = router.netlink.devices()
        delays = {name: amount for name in devices for zone, amount in zones.items() if name.startswith(zone)}
        for name in router.delayed | delays.keys():
            if name not in devices:
                continue
            device, amount = devices[name], delays.get(name)
            batch = NetlinkBatch()
            netlink.delay(batch, device.number, amount)
            try:
                router.netlink.run(batch, forgive=() if amount else (errno.ENOENT, errno.EINVAL))
            except KernelRefused as error:
                if error.number == errno.ENOENT:
                    raise NoDelay("this kernel cannot delay packets: it lacks netem (CONFIG_NET_SCH_NETEM, module sch_netem)") from error
                raise
        router.delayed = set(delays)
