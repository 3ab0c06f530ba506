"""What is remembered of a deployment: what is wanted of it, how it stands, and its secrets.

A service (RDS, later ElastiCache and others) writes `DeploymentSpec` and never touches the rest. Control writes `DeploymentStatus` and
never touches `DeploymentSpec`. So neither can lose the other's change, and every wish is level-triggered: "restart" is a number that has
grown beyond the one that was done, not a message that could get lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from itertools import islice
from typing import Any, ClassVar

import msgspec

from zonal.control.failover import Redundancy
from zonal.control.owners import Owner
from zonal.foundation.errors import ZonalError
from zonal.records.record_view import RecordView
from zonal.records.store import Record


class Power(StrEnum):
    """Whether a deployment is to run, to rest with its data, or not to be."""

    ON = "on"
    OFF = "off"
    DELETED = "gone"


class Placement(msgspec.Struct, frozen=True):
    """Where a node is to be. `name` is its replication name, `host` the fabric's name of its host, `address` its customers' address."""

    name: str
    host: str
    zone: str
    address: str
    management_address: str


class DeploymentSpec(Record, frozen=True, kw_only=True):
    """What a service wants of a deployment. The first of `places` is where the leader is laid out; a second one is a standby.

    `owner` is the AWS resource that the deployment belongs to. A node that runs an older `revision` is restarted with the present version,
    settings and memory. `restart`, `failover` and `password` count the requests of each. `options` are the JSON members of the
    engine's own options (`engines.registry`).
    """

    kind: ClassVar[str] = "deployment"
    version: ClassVar[int] = 2

    owner: Owner
    engine: str
    engine_version: str
    port: int
    places: tuple[Placement, ...]
    vpc_id: str
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    settings: tuple[tuple[str, str], ...] = ()
    memory_bytes: int = 1 << 30
    power: Power = Power.ON
    revision: int = 1
    restart: int = 0
    failover: int = 0
    password: int = 0

    @classmethod
    def upgrade(cls, body: dict[str, Any], version: int) -> dict[str, Any]:
        """Version 1 had a bare `subject` and PostgreSQL's options as members of its own, and only DB instances had deployments."""
        options = {"master_user": body["master_user"], "database": body.get("database")}
        return body | {"owner": {"kind": "rds:db", "id": body["subject"]}, "options": options}


class Preparation(StrEnum):
    """What a node has to go through before it can play its part."""

    NOTHING = ""
    CREATE = "create"
    """It is the first node and has no data yet."""
    CLONE = "clone"
    """It has to become a copy of the leader."""
    REJOIN = "rejoin"
    """It led before: what it has beyond the new leader's history has to go."""


class Member(msgspec.Struct, frozen=True):
    """A node that exists, or may. `engine_version` and `revision` are what it runs.

    `is_on` means that it was started and not stopped since. `unfenced` means that it was replaced as leader, or is being replaced, and that
    its engine was not ended through its host yet: it may still answer clients in its zone.
    """

    place: Placement
    needs: Preparation
    engine_version: str
    revision: int
    memory_bytes: int
    is_on: bool = False
    unfenced: bool = False
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        return self.place.name


def member_of(spec: DeploymentSpec, place: Placement, needs: Preparation = Preparation.CLONE) -> Member:
    """A new member at this place, as the deployment is wanted now."""
    return Member(place, needs, spec.engine_version, spec.revision, spec.memory_bytes, settings=spec.settings)


class Phase(StrEnum):
    """Where a deployment is in its life. `creating` and `starting` end when the leader answers. Nothing is judged while it is stopped."""

    CREATING = "creating"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DELETING = "deleting"
    DELETED = "deleted"
    """Everything that can be reached is gone; what cannot is removed when its zone returns."""


class DeploymentStatus(Record, frozen=True, kw_only=True):
    """How a deployment stands: the only truth about who leads.

    `epoch` grows with every promotion. `promoting` names the node whose promotion has begun, and is empty otherwise. `announced` names the
    node that the endpoint's name leads to. `restarted`, `failed_over` and `password` are the wishes of `DeploymentSpec` that were done.
    `why` is the reason to wait that the journal was last given; `DeploymentReconciler.why` tells what holds at present. `settled_revision`
    is the last revision whose settings are in force on every node. `failed_revision` is one with which a node did not start, and `failure`
    says why: that node runs what it ran before, and the revision is not tried again.
    """

    kind: ClassVar[str] = "deployment-standing"

    phase: Phase
    leader: str
    members: tuple[Member, ...]
    redundancy: Redundancy
    epoch: int = 1
    promoting: str = ""
    announced: str = ""
    restarted: int = 0
    failed_over: int = 0
    password: int = 0
    why: str = ""
    settled_revision: int = 0
    failed_revision: int = 0
    failure: str = ""

    def member(self, name: str) -> Member:
        return next(member for member in self.members if member.name == name)

    @property
    def leading(self) -> Member:
        return self.member(self.leader)

    @property
    def is_led(self) -> bool:
        """Whether the leader is still there: the nodes of a deployment that is deleted are removed one by one."""
        return any(member.name == self.leader for member in self.members)

    @property
    def standby(self) -> Member | None:
        """The node that is not the leader, if there is one."""
        return next((member for member in self.members if member.name != self.leader), None)

    @property
    def leader_first(self) -> tuple[Member, ...]:
        """The members in the order in which they are stopped, so that the leader's last words reach the standby."""
        return tuple(sorted(self.members, key=lambda member: member.name != self.leader))

    def with_member(self, member: Member) -> DeploymentStatus:
        members = tuple(member if each.name == member.name else each for each in self.members)
        return msgspec.structs.replace(self, members=members)


class DeploymentSecrets(Record, frozen=True, kw_only=True):
    """What only nodes may know, by the deployment's id: the JSON members of the engine's own secrets (`engines.registry`)."""

    kind: ClassVar[str] = "deployment-secrets"
    version: ClassVar[int] = 2

    members: dict[str, Any]

    @classmethod
    def upgrade(cls, body: dict[str, Any], version: int) -> dict[str, Any]:
        """Version 1 had PostgreSQL's secrets as members of its own."""
        return {"id": body.pop("id"), "members": body}

    def __repr__(self) -> str:
        return f"DeploymentSecrets(id={self.id!r}, …)"


class NoManagementAddressLeft(ZonalError):
    """A zone has no management address left."""


def free_management_address(view: RecordView, zone: str, *, taken: Iterable[str] = ()) -> str:
    """An address on the management network in this zone that no deployment's node has."""
    from zonal.fabric.management import FIRST_HOST_PLACE, management_network  # Not needed by a region that only answers yet.

    used = {place.management_address for spec in view.select(DeploymentSpec) for place in spec.places} | set(taken)
    used |= {member.place.management_address for status in view.select(DeploymentStatus) for member in status.members}
    free = (str(address) for address in islice(management_network(zone).hosts(), FIRST_HOST_PLACE, None) if str(address) not in used)
    for address in free:
        return address
    raise NoManagementAddressLeft(f"{zone} has no management address left for another host")
