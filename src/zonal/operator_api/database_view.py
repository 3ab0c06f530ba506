"""The operator's view of databases: each node with its role, the redundancy, and what the deployment waits for.

Customers see an endpoint and a status only. The operator may also kill a node's engine or cut the power of its host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from zonal.control.deployment_records import DeploymentSpec, DeploymentStatus, Member
from zonal.control.failover import NodeCondition
from zonal.engines.node import Node
from zonal.foundation.errors import ZonalError
from zonal.operator_api.errors import RegionNotReady
from zonal.operator_api.schemas import DatabaseStatus, NodeStatus, PublicEndpoint
from zonal.records.record_view import RecordView
from zonal.records.store import Store
from zonal.services.ec2.model import NetworkInterface
from zonal.services.rds.db_instance_description import shown_status
from zonal.services.rds.model import DbInstance

PRIMARY, STANDBY, OLD_PRIMARY = "primary", "standby", "old primary"
DISK_FULL = "its disk is full: writes fail until there is room"
ROLES = (PRIMARY, STANDBY)
KINDS = ("process", "host")
"""The faults of a node: its engine is killed, or its host loses power."""


class NoSuchNode(ZonalError):
    """There is no such database, or no such node in it."""


class NodeAccess(Protocol):
    """Returns the node of a member (`control.engine_nodes.EngineNodes`)."""

    def node(self, spec: DeploymentSpec, member: Member) -> Node: ...


class NodeConditions(Protocol):
    """The last condition of each node, and what its deployment waits for (`control.deployment_reconciler.DeploymentReconciler`)."""

    def condition(self, id: str, node: str) -> NodeCondition: ...

    def why(self, id: str) -> str: ...


class ExposedAddresses(Protocol):
    """The loopback addresses of public endpoints (`fabric.exposure.Exposure`)."""

    def address(self, public_address: str) -> str: ...


class DatabaseRuntime(NamedTuple):
    """What exists once the region has built its networks."""

    deployments: NodeConditions
    nodes: NodeAccess
    exposure: ExposedAddresses


class DatabaseView:
    """The operator's view of, and faults of, databases. Without `database_runtime` it returns what is recorded, and no conditions."""

    def __init__(self, store: Store, *, is_storage_full: Callable[[str], bool] = lambda id: False) -> None:
        self._store = store
        self._is_storage_full = is_storage_full
        self.database_runtime: DatabaseRuntime | None = None

    def statuses(self) -> tuple[DatabaseStatus, ...]:
        """Every DB instance, ordered by identifier."""
        return tuple(self._status(each) for each in sorted(self._store.select(DbInstance), key=lambda each: each.identifier))

    def public_endpoints(self) -> tuple[PublicEndpoint, ...]:
        """The endpoints that this machine reaches without `zonal exec`, ordered by name."""
        found: list[PublicEndpoint] = []
        for instance in self._store.select(DbInstance) if self.database_runtime else ():
            deployment_status = self._store.get(DeploymentStatus, instance.id)
            address = public_address(self._store, instance, deployment_status.leader) if deployment_status else None
            if address and self.database_runtime:
                found.append(PublicEndpoint(instance.identifier, address, self.database_runtime.exposure.address(address), instance.port))
        return tuple(sorted(found, key=lambda each: (each.name, each.port)))

    async def fail(self, database: str, node: str, kind: str) -> None:
        """Kill a node's engine (`process`) or power its host off (`host`). `node` is its name, or `primary` or `standby`.

        Raises `NoSuchNode`, `RegionNotReady`, and `HostUnreachable` where its zone is lost.
        """
        if kind not in KINDS:
            raise NoSuchNode(f"a node's fault is {' or '.join(KINDS)}, not '{kind}'")
        if self.database_runtime is None:
            raise RegionNotReady
        instance = next((each for each in self._store.select(DbInstance) if each.identifier == database), None)
        deployment_status = self._store.get(DeploymentStatus, instance.id) if instance else None
        if instance is None or deployment_status is None:
            raise NoSuchNode(f"there is no database '{database}' with nodes; `zonal status` shows which there are")
        member = next((each for each in deployment_status.members if node in (each.name, _named(deployment_status, each))), None)
        if member is None:
            raise NoSuchNode(f"{database} has no node '{node}'; it has {', '.join(each.name for each in deployment_status.members)}")
        found = self.database_runtime.nodes.node(self._store.require(DeploymentSpec, instance.id), member)
        with self._store.transaction() as tx:
            tx.note("node.failed", instance.arn, node=member.name, zone=member.place.zone, fault=kind)
        if kind == "process":
            await found.kill()
        else:
            await found.host.power_off()

    def _status(self, instance: DbInstance) -> DatabaseStatus:
        deployment_status = self._store.get(DeploymentStatus, instance.id)
        is_full = self._is_storage_full(instance.id)
        return DatabaseStatus(
            identifier=instance.identifier,
            engine=f"{instance.engine} {instance.engine_version}",
            state=shown_status(instance, is_storage_full=is_full),
            endpoint=instance.endpoint,
            port=instance.port,
            multi_az=instance.multi_az,
            redundancy=str(deployment_status.redundancy) if deployment_status else "",
            epoch=deployment_status.epoch if deployment_status else 0,
            nodes=tuple(self._node(instance, deployment_status, member) for member in deployment_status.members)
            if deployment_status
            else (),
            why="; ".join(self._reasons(instance, deployment_status, is_full)),
        )

    def _reasons(self, instance: DbInstance, deployment_status: DeploymentStatus | None, is_full: bool) -> list[str]:
        """What a database waits for, and its faults."""
        reasons = [DISK_FULL] if is_full else []
        waits = self.database_runtime.deployments.why(instance.id) if self.database_runtime else ""
        reasons += [waits] if waits else []
        return reasons + (_unfenced(deployment_status) if deployment_status else [])

    def _node(self, instance: DbInstance, deployment_status: DeploymentStatus, member: Member) -> NodeStatus:
        seen = (
            "off"
            if not member.is_on
            else str(self.database_runtime.deployments.condition(instance.id, member.name))
            if self.database_runtime
            else "unseen"
        )
        return NodeStatus(member.name, member.place.zone, role(deployment_status, member), seen, member.place.address)


def role(deployment_status: DeploymentStatus, member: Member) -> str:
    """The role of a member, as it is displayed."""
    if member.name == deployment_status.leader:
        return PRIMARY
    return OLD_PRIMARY if member.unfenced else STANDBY


def _named(deployment_status: DeploymentStatus, member: Member) -> str:
    """The role by which an operator may name a member."""
    return PRIMARY if member.name == deployment_status.leader else STANDBY


def _unfenced(deployment_status: DeploymentStatus) -> list[str]:
    """A sentence for each former primary that may still answer clients."""
    return [
        f"{member.name} led before and is not fenced yet: it acknowledges no write, but clients in {member.place.zone} may still read"
        " from it; it is fenced as soon as its host can be reached"
        for member in deployment_status.members
        if member.unfenced and member.name != deployment_status.leader
    ]


def public_address(view: RecordView, instance: DbInstance, node: str) -> str | None:
    """The public address of an instance's node, if it has one."""
    for each in instance.interfaces:
        interface = view.get(NetworkInterface, each.interface_id)
        if each.node == node and interface is not None:
            return interface.public_address
    return None
