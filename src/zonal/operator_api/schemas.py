"""The bodies of the operator API's requests and responses, encoded as JSON."""

from __future__ import annotations

import msgspec


class ZoneStatus(msgspec.Struct, frozen=True):
    """A zone: its `name` (`us-east-1a`), its `id` (`use1-az1`), and its fault, if it has one."""

    name: str
    id: str
    state: str
    fault: str = ""


class NodeStatus(msgspec.Struct, frozen=True):
    """One node of a database: its place, its role and its last known condition."""

    name: str
    zone: str
    role: str
    state: str
    address: str


class DatabaseStatus(msgspec.Struct, frozen=True):
    """A DB instance with its nodes. `why` is what it waits for, or empty."""

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
    """A public endpoint of the region, and the loopback address at which this machine reaches it."""

    name: str
    public_address: str
    loopback_address: str
    port: int


class Status(msgspec.Struct, frozen=True):
    """The status of the region. `ready` is False until the fabric is built; the API answers before that."""

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
    """What a customer needs for the API: its endpoint, the keys that sign requests, and the file with the region's CA certificate."""

    endpoint: str
    access_key: str
    secret_key: str
    ca_bundle: str

    def __repr__(self) -> str:
        return f"ApiAccess(endpoint={self.endpoint!r}, …)"


class ZoneFaultRequest(msgspec.Struct, frozen=True):
    """The fault of a zone. `kind` is `power`, `network`, `loss` (`amount` in percent) or `delay` (`amount` in milliseconds)."""

    kind: str
    amount: float = 0.0


class NodeFaultRequest(msgspec.Struct, frozen=True):
    """The fault of one node of a database: `process` (its engine is killed, its host stays on) or `host` (its host is powered off)."""

    kind: str


class CommandRequest(msgspec.Struct, frozen=True):
    """Where to run a command of this machine: a subnet's id, a host's name, `internet` or `default`, with these security groups.

    `lease` names the caller's lease (`foundation.leases`): when the caller ends without releasing the host, the command is killed.
    """

    place: str = "default"
    security_groups: tuple[str, ...] = ()
    lease: str = ""


class PreparedCommand(msgspec.Struct, frozen=True):
    """A prepared host. `target` is the pid of its process 1 in the sandbox, which `fabric.nsenter` enters.

    `id` is for the release when the command has ended; it is empty on a host that existed already when the caller has no lease.
    `environment` is to be added to the environment of the command.
    """

    id: str
    target: int
    environment: tuple[tuple[str, str], ...]
    address: str
    zone: str


class ErrorBody(msgspec.Struct, frozen=True):
    """The reason why a request failed, as a sentence; `kind` is the name of the error."""

    error: str
    kind: str
