"""The records of a deployment: its spec, its status and its secrets.

A service (RDS, later ElastiCache and others) writes `DeploymentSpec` only. Control writes `DeploymentStatus` only. So neither overwrites
the other's change, and every request is level-triggered: a restart is pending while `DeploymentSpec.restart` is greater than
`DeploymentStatus.restarted`, and there is no message that could get lost.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from zonal.control.failover import Redundancy
from zonal.control.owners import Owner
from zonal.records.store import Record


class Power(StrEnum):
    """Whether a deployment runs, is stopped with its data, or is deleted."""

    ON = "on"
    OFF = "off"
    DELETED = "gone"


class Placement(msgspec.Struct, frozen=True):
    """The place of a node. `name` is its replication name, `host` the fabric's name of its host, `address` its address in the VPC."""

    name: str
    host: str
    zone: str
    address: str
    management_address: str


class DeploymentSpec(Record, frozen=True, kw_only=True):
    """The desired state of a deployment. The first of `places` is where the first leader is created; a second one is a standby.

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
    """What has to happen to a node before it can take its role."""

    NOTHING = ""
    CREATE = "create"
    """The first node, which has no data yet."""
    CLONE = "clone"
    """The node has to become a copy of the leader."""
    REJOIN = "rejoin"
    """A former leader: writes beyond the new leader's history have to be discarded."""


class Member(msgspec.Struct, frozen=True):
    """A node that exists or is being created. `engine_version` and `revision` are those that it runs.

    `is_on` means that the node was started and not stopped since. `unfenced` means that it was replaced as leader, or is being replaced,
    and its engine was not ended through its host yet: it may still answer clients in its zone.
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
    """A new member at this place, by the present spec."""
    return Member(place, needs, spec.engine_version, spec.revision, spec.memory_bytes, settings=spec.settings)


class Phase(StrEnum):
    """The life-cycle phase of a deployment. `creating` and `starting` end when the leader answers. A stopped deployment is not probed."""

    CREATING = "creating"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DELETING = "deleting"
    DELETED = "deleted"
    """Every reachable node is removed; the others are removed when their zones return."""


class DeploymentStatus(Record, frozen=True, kw_only=True):
    """The observed state of a deployment, and the authority on which node leads.

    `epoch` grows with every promotion. `promoting` names the node whose promotion has begun, and is empty otherwise. `announced` names the
    node to which the endpoint's name resolves. `restarted`, `failed_over` and `password` count the requests of `DeploymentSpec` that were
    carried out. `why` is the latest reason to wait that was journalled; `DeploymentReconciler.why` returns the present one.
    `settled_revision` is the last revision whose settings are in force on every node. `failed_revision` is a revision with which a node did
    not start, and `failure` the reason: that node runs its former revision, and the failed one is not tried again.
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
        """Whether the leader is still a member: the nodes of a deleted deployment are removed one by one."""
        return any(member.name == self.leader for member in self.members)

    @property
    def standby(self) -> Member | None:
        """The node that is not the leader, if there is one."""
        return next((member for member in self.members if member.name != self.leader), None)

    @property
    def leader_first(self) -> tuple[Member, ...]:
        """The members in the order in which they are stopped, so that the leader's last WAL reaches the standby."""
        return tuple(sorted(self.members, key=lambda member: member.name != self.leader))

    def with_member(self, member: Member) -> DeploymentStatus:
        members = tuple(member if each.name == member.name else each for each in self.members)
        return msgspec.structs.replace(self, members=members)


class DeploymentSecrets(Record, frozen=True, kw_only=True):
    """The secrets of a deployment's nodes, by the deployment's id: the JSON members of the engine's own secrets (`engines.registry`)."""

    kind: ClassVar[str] = "deployment-secrets"
    version: ClassVar[int] = 2

    members: dict[str, Any]

    @classmethod
    def upgrade(cls, body: dict[str, Any], version: int) -> dict[str, Any]:
        """Version 1 had PostgreSQL's secrets as members of its own."""
        return {"id": body.pop("id"), "members": body}

    def __repr__(self) -> str:
        return f"DeploymentSecrets(id={self.id!r}, …)"
