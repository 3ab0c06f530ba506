"""The protocols between control, an engine and its host.

A *node* is one engine with its data on one host, in one zone. Every method may be repeated: after a crash in the middle the same call is
made again and has the same result. Actions go through the host and raise `HostUnreachable` while its zone is lost. Probes go over the
network, from a monitoring host in another zone, and never raise: silence is a result too.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from zonal.engines.options import EngineOptions, EngineSecrets
from zonal.fabric.host_interface import Host as Host
from zonal.fabric.host_interface import HostUnreachable as HostUnreachable
from zonal.fabric.host_interface import Monitors as Monitors
from zonal.foundation.errors import ZonalError


class EngineFailed(ZonalError):
    """An engine's program failed; the message has the end of its output."""


class ProbeStatus(StrEnum):
    """The result of a probe."""

    SERVING = "serving"
    """The engine answered a query."""
    STARTING = "starting"
    """The engine accepts connections but no queries: it is starting, recovering or shutting down."""
    REFUSED = "refused"
    """The host refused the connection: the engine is dead, the host is up."""
    SILENT = "silent"
    """No answer in time: the host, zone or network is lost, or the engine hangs."""


class ProbeResult(msgspec.Struct, frozen=True):
    """One probe of one node from one zone. `monotonic` is the stopwatch at its end. The fields after `status` are known only when serving.

    `position` is the end of the node's durable log (written and flushed), in the engine's own monotonic unit (bytes of WAL).
    `writable` is True for a leader, False for a replica. `required` are the names of the replicas that must confirm a write before the
    leader acknowledges it; `synchronous` are those of them that are connected and confirm now; `streaming` are all connected ones.
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
    """How a former leader became a copy of the new one: `rewound`, or `cloned` with `why` it could not be rewound."""

    how: str
    why: str = ""


class NodeSpec(msgspec.Struct, frozen=True):
    """The desired configuration of a node. `name` is its replication name (`[a-z0-9_]`). `installation` is the engine's home directory.

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
        """Create an empty database with its accounts; nothing happens where that was completed before."""

    async def clone(self, origin: Origin, secrets: EngineSecrets) -> None:
        """Replace the data by a copy of the origin, which follows the origin when started. Starts over after a crash."""

    async def rejoin(self, origin: Origin, secrets: EngineSecrets) -> Rejoined:
        """Make a former leader follow the origin: rewind it where that is possible, else clone."""

    async def start(self) -> None:
        """Start the engine; returns once its process runs. `probe` reports whether it answers.

        A replica holds the ordered settings at least as large as its origin's, whatever its spec says.
        """

    async def stop(self, *, within: timedelta) -> None:
        """Shut down cleanly, disconnecting clients; after `within`, kill."""

    async def kill(self) -> None:
        """End the engine at once, as a crash does; the host stays on."""

    async def promote(self) -> None:
        """Make a running replica the leader; returns once it takes writes. Nothing happens where it already does."""

    async def require(self, replicas: tuple[str, ...]) -> None:
        """Make the leader require these replicas to confirm each write (none: acknowledge alone). In force on return."""

    async def release_log(self) -> None:
        """Stop keeping log for an absent replica, because the deployment has no replica any more."""

    async def follow(self, origin: Origin, secrets: EngineSecrets) -> None:
        """Point a replica at another origin (after a failover); nothing happens where it follows it already."""

    async def change_password(self, secrets: EngineSecrets) -> None:
        """Put the customer's password of these secrets into force on the leader."""

    async def probe(self, monitors: Monitors, zone: str, *, within: timedelta) -> ProbeResult:
        """Probe the node over the network from the monitoring host in `zone`. Never raises; silence is a result."""

    async def is_running(self) -> bool:
        """Whether the engine's process runs. Used for actions (start, stop), never to judge health."""

    async def failure(self) -> str:
        """The last line that the engine printed about why it ended."""

    async def logs(self) -> list[LogFile]:
        """The engine's log files, oldest first."""

    async def destroy(self) -> None:
        """End the engine and remove its data."""


class LogFile(msgspec.Struct, frozen=True):
    """A log file of an engine. `name` is as RDS lists it (`error/postgresql.log.2026-11-23-07`)."""

    name: str
    path: str
    size_bytes: int
    written: datetime
