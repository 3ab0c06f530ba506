"""What the failover brain may ask of any engine, and what an engine may ask of its host.

A *node* is one engine with its data on one host, in one zone. Everything here may be repeated: after a crash in the middle the same
call is made again and ends the same. Acting goes through the host and fails with `HostUnreachable` while its zone is lost;
seeing goes over the network, from a monitoring host in another zone, and never fails: silence is an answer too.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from zonal.engines.options import EngineOptions, EngineSecrets
from zonal.fabric.hosts import HostUnreachable as HostUnreachable
from zonal.fabric.plan import Completed, ProcessSpec
from zonal.foundation.errors import ZonalError

T = TypeVar("T")


class EngineFailed(ZonalError):
    """An engine's program did not do what it was asked; the message carries the end of what it printed."""


class Host(Protocol):
    """The computer a node runs on (`fabric.hosts`). Every method raises `HostUnreachable` while it cannot be acted on."""

    name: str
    zone: str
    directory: Path
    management_address: str

    @property
    def is_reachable(self) -> bool:
        """Whether it can be acted on: its zone is not lost. Says nothing of its power, and is never used to judge health."""

    async def power_on(self) -> None:
        """Make its namespaces and plug in its interfaces; nothing happens where it is on."""

    async def power_off(self) -> None:
        """Kill everything on it at once, as a pulled plug does."""

    async def start(self, process: ProcessSpec) -> None:
        """Start a program and leave it running; nothing happens where one of that name runs."""

    async def signal(self, process: str, number: int) -> None:
        """Send a signal to a running program; nothing happens where it does not run."""

    async def is_running(self, process: str) -> bool:
        """Whether the program runs. For acting (start, stop), never for judging health."""

    async def wait_until_gone(self, process: str, within: timedelta) -> bool:
        """Wait for a program's end; False where it still runs after `within`."""

    async def run(
        self, argv: tuple[str, ...], *, within: timedelta, environment: tuple[tuple[str, str], ...] = (), input: bytes = b""
    ) -> Completed:
        """Run a program to its end, as the same ordinary user as `start`; killed after `within` (returncode -9)."""


class Monitors(Protocol):
    """The monitoring hosts (`fabric.monitors`): one in each zone, on the management network."""

    async def probe(self, zone: str, work: Callable[[], T], *, within: timedelta) -> T:
        """Run `work` in a thread whose sockets are those of the monitoring host in `zone`. Raises `TimeoutError` after `within`
        (the thread is abandoned, so `work` should bound itself too) and whatever `work` raises."""


class ProbeStatus(StrEnum):
    """What a look at a node over the network gave."""

    SERVING = "serving"
    """It answered a query."""
    STARTING = "starting"
    """It is there but does not take queries yet (or is shutting down)."""
    REFUSED = "refused"
    """Its host answered that nothing listens: the engine is dead, the host alive."""
    SILENT = "silent"
    """Nothing came back in time: host, zone or network lost, or the engine hangs."""


class ProbeResult(msgspec.Struct, frozen=True):
    """One look at one node from one zone. `monotonic` is the stopwatch at its end. What follows `status` is known only when serving.

    `position` is how far the node's log is durable (written and flushed), in the engine's own monotonic unit (bytes of WAL).
    `writable` tells a leader from a replica. `required` are the names of the replicas that the leader waits for before it
    acknowledges; `synchronous` those of them that are connected, caught up and confirming now; `streaming` every connected one.
    `ordered_settings` are the values in force of the settings that must be at least as large on a standby as on its primary.
    """

    node: str
    seen_from: str
    monotonic: float
    status: ProbeStatus
    detail: str = ""
    writable: bool | None = None
    position: int | None = None
    timeline: int | None = None
    required: tuple[str, ...] = ()
    synchronous: tuple[str, ...] = ()
    streaming: tuple[str, ...] = ()
    ordered_settings: tuple[tuple[str, int], ...] = ()


class Origin(msgspec.Struct, frozen=True):
    """The node that others copy from and follow."""

    node: str
    address: str
    port: int


class Rejoined(NamedTuple):
    """How a former leader was made a copy of the new one: `rewound`, or `cloned` and `why` it could not be rewound."""

    how: str
    why: str = ""


class NodeSpec(msgspec.Struct, frozen=True):
    """How a node shall be. `name` is its replication name (`[a-z0-9_]`). `installation` is the engine's home (from the catalog).

    `options` are the engine's own. `settings` are engine settings of the deployment, applied on start. `memory_bytes` is the memory of the
    node's instance class; the engine sizes itself for a modest part of it.
    """

    name: str
    installation: Path
    version: str
    port: int
    options: EngineOptions
    listen: tuple[str, ...]
    settings: tuple[tuple[str, str], ...] = ()
    memory_bytes: int = 1 << 30


class Node(Protocol):
    """One engine with its data on one host."""

    spec: NodeSpec
    host: Host

    async def create(self, secrets: EngineSecrets) -> None:
        """Lay out an empty database with its accounts; nothing happens where that was completed before."""

    async def clone(self, origin: Origin, secrets: EngineSecrets) -> None:
        """Replace whatever is here by a copy of the origin that will follow it when started; done again after a crash."""

    async def rejoin(self, origin: Origin, secrets: EngineSecrets) -> Rejoined:
        """Make a former leader follow the origin: rewind where that is possible, else clone."""

    async def start(self) -> None:
        """Start the engine; returns once its process runs (whether it answers is for `probe` to say).

        A replica holds the ordered settings at least as large as its origin's, whatever its spec says.
        """

    async def stop(self, *, within: timedelta) -> None:
        """Shut down cleanly, disconnecting clients; after `within`, kill."""

    async def kill(self) -> None:
        """End the engine at once, as a crash does; the host stays on."""

    async def promote(self) -> None:
        """Make a running replica the leader; returns once it takes writes. Nothing happens where it already does."""

    async def require(self, replicas: tuple[str, ...]) -> None:
        """Make the leader wait for these replicas before it acknowledges a write (none: acknowledge alone). In force on return."""

    async def release_log(self) -> None:
        """Keep no log for a replica that is away: there is not to be one any more."""

    async def follow(self, origin: Origin, secrets: EngineSecrets) -> None:
        """Point a replica at another origin (after a failover); nothing happens where it follows it already."""

    async def change_password(self, secrets: EngineSecrets) -> None:
        """Put the customer's password of these secrets into force on the leader."""

    async def probe(self, monitors: Monitors, zone: str, *, within: timedelta) -> ProbeResult:
        """See the node over the network from the monitoring host in `zone`. Never raises; silence is an answer."""

    async def is_running(self) -> bool:
        """Whether the engine's process runs. For acting (start, stop), never for judging health."""

    async def failure(self) -> str:
        """What the engine printed last of why it ended."""

    async def logs(self) -> list[LogFile]:
        """The engine's log files, oldest first."""

    async def destroy(self) -> None:
        """End the engine and remove its data."""


class LogFile(msgspec.Struct, frozen=True):
    """A log file of an engine. `name` is as RDS shows it (`error/postgresql.log.2026-11-23-07`)."""

    name: str
    path: str
    size_bytes: int
    written: datetime
