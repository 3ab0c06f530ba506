"""What the layers above need of hosts and monitoring hosts: two protocols and one error.

`fabric.hosts.LinuxHost` and `fabric.monitors.MonitorHosts` implement them on Linux namespaces. Engines, control and services are written
against the protocols, so that importing them loads neither `fabric.linux` nor `ctypes`, and tests replace them by simulations.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Protocol, TypeVar

from zonal.fabric.plan import Completed, ProcessSpec
from zonal.foundation.errors import ZonalError

T = TypeVar("T")


class HostUnreachable(ZonalError):
    """The host cannot be controlled: its zone is lost, or it is powered off."""


class Host(Protocol):
    """The computer that a node runs on. Every method raises `HostUnreachable` while the host cannot be controlled."""

    name: str
    zone: str
    directory: Path
    management_address: str

    @property
    def is_reachable(self) -> bool:
        """Whether the host can be controlled: its zone is not lost. It does not depend on power and is not a measure of health."""

    async def power_on(self) -> None:
        """Create its namespaces and connect its interfaces. Does nothing while the host is on."""

    async def power_off(self) -> None:
        """Kill every process on it at once, as pulling the plug does."""

    async def start(self, process: ProcessSpec) -> None:
        """Start a program and leave it running. Does nothing while one of that name runs."""

    async def signal(self, process: str, number: int) -> None:
        """Send a signal to a running program. Does nothing when it does not run."""

    async def is_running(self, process: str) -> bool:
        """Whether the program runs. For starting and stopping it; not a measure of health."""

    async def wait_until_gone(self, process: str, within: timedelta) -> bool:
        """Wait until a program has ended. Returns False when it still runs after `within`."""

    async def run(
        self, argv: tuple[str, ...], *, within: timedelta, environment: tuple[tuple[str, str], ...] = (), input: bytes = b""
    ) -> Completed:
        """Run a program to its end, as the same ordinary user as `start`. It is killed after `within` (returncode -9)."""


class Monitors(Protocol):
    """The monitoring hosts: one in each zone, on the management network."""

    async def probe(self, zone: str, work: Callable[[], T], *, within: timedelta) -> T:
        """Run `work` in a thread whose sockets belong to the monitoring host in `zone`, and return its result.

        Raises `TimeoutError` after `within` (the thread is abandoned, so `work` must have a bound of its own) and whatever `work` raises.
        """
