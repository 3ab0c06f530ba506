"""What the operator's door answers: plain, frozen shapes that travel as JSON."""

from __future__ import annotations

import msgspec


class ZoneStatus(msgspec.Struct, frozen=True):
    """A zone: `name` as customers say it (`us-east-1a`), `id` as AWS does (`use1-az1`), and what is wrong with it, if anything."""

    name: str
    id: str
    state: str
    fault: str = ""


class NodeStatus(msgspec.Struct, frozen=True):
    """One node of a database: where it is, which part it plays, and what it was last seen doing."""

    name: str
    zone: str
    role: str
    state: str
    address: str


class DatabaseStatus(msgspec.Struct, frozen=True):
    """A DB instance with its nodes. `why` says what it waits for, where it waits."""

    identifier: str
    engine: str
    state: str
    endpoint: str
    port: int
    multi_az: bool
    redundancy: str
    epoch: int
    nodes: tuple[NodeStatus, ...]
    why: str = ""


class PublicEndpoint(msgspec.Struct, frozen=True):
    """Something in the region that the internet may reach, and the loopback address under which this machine does."""

    name: str
    public_address: str
    loopback_address: str
    port: int


class Status(msgspec.Struct, frozen=True):
    """The region at a glance. `ready` is False while the fabric is still being built; the API answers before that."""

    region: str
    version: str
    endpoint: str
    state_directory: str
    process: int
    fabric: str
    ready: bool
    zones: tuple[ZoneStatus, ...]
    databases: tuple[DatabaseStatus, ...]
    public_endpoints: tuple[PublicEndpoint, ...]
    vpcs: int
    failures: tuple[str, ...] = ()
    resources: dict[str, dict[str, int]] = {}
    """The number of each service's resources, by the service and a plural noun."""


class ApiAccess(msgspec.Struct, frozen=True):
    """How a customer reaches the API: where it is, with which key it is signed, and the certificate authority of the region's servers."""

    endpoint: str
    access_key: str
    secret_key: str
    ca_bundle: str

    def __repr__(self) -> str:
        return f"Access(endpoint={self.endpoint!r}, …)"


class ZoneFaultRequest(msgspec.Struct, frozen=True):
    """What to do to a zone. `kind` is `power`, `network`, `loss` (`amount` in percent) or `delay` (`amount` in milliseconds)."""

    kind: str
    amount: float = 0.0


class NodeFaultRequest(msgspec.Struct, frozen=True):
    """What to do to one node of a database: `process` (the engine dies, its host lives) or `host` (the plug is pulled)."""

    kind: str


class CommandRequest(msgspec.Struct, frozen=True):
    """Where to run a command of this machine: a subnet's id, a host's name, `internet` or `default`, with these security groups.

    `lease` names the caller's lease (`foundation.leases`): when the caller ends without giving the place back, the command is ended.
    """

    place: str = "default"
    security_groups: tuple[str, ...] = ()
    lease: str = ""


class PreparedCommand(msgspec.Struct, frozen=True):
    """A place that has been prepared. `target` is its process 1, as the sandbox numbers it: `fabric.nsenter` leads there.

    `id` gives the place back when the command has ended; it is empty for a host that was there before, where the caller has no lease. The
    command's processes have `environment` in theirs.
    """

    id: str
    target: int
    environment: tuple[tuple[str, str], ...]
    address: str
    zone: str


class ErrorBody(msgspec.Struct, frozen=True):
    """Why a request was not done, for a person; `kind` is the name of the error."""

    error: str
    kind: str
