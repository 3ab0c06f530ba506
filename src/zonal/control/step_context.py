"""What the steps of a deployment have in common: access to its records, its nodes, its probes and its announcer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from msgspec.structs import replace

from zonal.control.deployment_records import DeploymentSpec, DeploymentStatus, Member
from zonal.control.health import HealthMonitor
from zonal.control.owners import Owners
from zonal.engines.node import EngineFailed, HostUnreachable, Node, ProbeResult, ProbeStatus
from zonal.engines.options import EngineSecrets
from zonal.records.store import Store, Transaction

RELAX_SECONDS = 10.0


class NodeProvider(Protocol):
    """Builds nodes from members; returns the same object for the same member and revision."""

    def node(self, spec: DeploymentSpec, member: Member) -> Node: ...

    def ordered_settings(self, spec: DeploymentSpec) -> Mapping[str, int]:
        """The settings that must be at least as large on a standby as on its primary, with the values of the spec."""

    def secrets(self, spec: DeploymentSpec) -> EngineSecrets:
        """The deployment's secrets as its engine's own struct."""

    async def forget(self, deployment: str, name: str) -> None:
        """The member was removed: remove its host and its disk."""


class Announcer(Protocol):
    """Points the names of a deployment's owner to its leader."""

    async def announce(self, spec: DeploymentSpec, status: DeploymentStatus) -> None: ...


class DeploymentAccess:
    """One deployment while a step runs. Every property reads the records again; `change` writes them."""

    def __init__(self, store: Store, nodes: NodeProvider, owners: Owners, id: str, again: int) -> None:
        self.id = id
        self.again = again
        self._store = store
        self._nodes = nodes
        self._owners = owners
        status = store.get(DeploymentStatus, id)
        self.was_phase = status.phase if status else None

    @property
    def spec(self) -> DeploymentSpec:
        return self._store.require(DeploymentSpec, self.id)

    @property
    def status(self) -> DeploymentStatus:
        return self._store.require(DeploymentStatus, self.id)

    @property
    def subject(self) -> str:
        """The subject of the deployment's journal entries: its owner's ARN. Raises `UnknownOwner`."""
        return self._owners.arn(self.spec.owner)

    @property
    def title(self) -> str:
        """The deployment as messages name it: its owner's description."""
        return self._owners.describe(self.spec.owner)

    @property
    def secrets(self) -> EngineSecrets:
        return self._nodes.secrets(self.spec)

    @contextmanager
    def change(self) -> Iterator[tuple[Transaction, DeploymentStatus]]:
        """A transaction and the present status."""
        with self._store.transaction() as tx:
            yield tx, tx.require(DeploymentStatus, self.id)

    def revised(self, member: Member) -> Member:
        """The member at the revision of the spec."""
        spec = self.spec
        return replace(
            member,
            engine_version=spec.engine_version,
            revision=spec.revision,
            memory_bytes=spec.memory_bytes,
            settings=spec.settings,
        )

    def note(self, tx: Transaction, event: str, member: Member, **fields: Any) -> None:
        tx.note(event, self.subject, node=member.name, zone=member.place.zone, **fields)

    def note_redundancy(self, tx: Transaction, status: DeploymentStatus, why: str) -> None:
        tx.note(f"redundancy.{status.redundancy}", self.subject, node=status.leader, why=why, epoch=status.epoch)


class StepContext:
    """Base of `LifecycleSteps` and `FailoverSteps`."""

    def __init__(self, store: Store, nodes: NodeProvider, health: HealthMonitor, announcer: Announcer) -> None:
        self.store = store
        self.nodes = nodes
        self.health = health
        self.announcer = announcer

    def node(self, id: str, member: Member) -> Node:
        """The node of a member."""
        spec = self.store.require(DeploymentSpec, id)
        return self.nodes.node(spec, member)

    async def start_if_possible(self, deployment: DeploymentAccess, member: Member) -> bool:
        """Start a node that has its data; False where its host is unreachable or the engine does not start."""
        node = self.node(deployment.id, member)
        try:
            await node.host.power_on()
            self.health.expect(deployment.id, member.name)
            await node.start()
        except (HostUnreachable, EngineFailed):
            self.health.forget(deployment.id, member.name)
            return False
        return True

    async def relax(self, deployment: DeploymentAccess, status: DeploymentStatus) -> None:
        """Make the leader acknowledge without its standby. The record must permit it already."""
        async with asyncio.timeout(RELAX_SECONDS):
            await self.node(deployment.id, status.leading).require(())
        await self.health.probe_now(deployment.id, status.leader)

    def watch_again(self, deployment: DeploymentAccess) -> None:
        """Probe the nodes of the present members: a revised node is another object."""
        spec, status = deployment.spec, deployment.status
        self.health.watch(deployment.id, {member.name: self.nodes.node(spec, member) for member in status.members})


def serving(results: tuple[ProbeResult, ...]) -> ProbeResult | None:
    """The first result of a serving node, or None."""
    return next((result for result in results if result.status is ProbeStatus.SERVING), None)
