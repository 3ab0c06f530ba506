"""What every step of a deployment has in its hands: its records, read anew each time, its nodes, and who looks at them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from msgspec.structs import replace

from zonal.control.deployment import DeploymentSecrets, Member, Standing, Wanted
from zonal.control.health import Health
from zonal.engines.node import Answer, EngineFailed, HostUnreachable, Node, Secrets, Sighting
from zonal.records.store import Store, Transaction

RELAX_SECONDS = 10.0


class Nodes(Protocol):
    """Gives the node that a member is; the same object for the same member and revision."""

    def node(self, wanted: Wanted, member: Member) -> Node: ...

    def ordered_settings(self, wanted: Wanted) -> Mapping[str, int]:
        """The settings that must be at least as large on a standby as on its primary, with the values that are wanted."""

    async def forget(self, deployment: str, name: str) -> None:
        """The member is gone for good."""


class Announcer(Protocol):
    """Points a deployment's name to its leader."""

    async def announce(self, wanted: Wanted, standing: Standing) -> None: ...


class Deployment:
    """One deployment while a step is done: its records, read anew each time, and its changes."""

    def __init__(self, store: Store, id: str, again: int) -> None:
        self.id = id
        self.again = again
        self._store = store
        standing = store.get(Standing, id)
        self.was_phase = standing.phase if standing else None

    @property
    def wanted(self) -> Wanted:
        return self._store.require(Wanted, self.id)

    @property
    def standing(self) -> Standing:
        return self._store.require(Standing, self.id)

    @property
    def subject(self) -> str:
        return self.wanted.subject

    @property
    def secrets(self) -> Secrets:
        kept = self._store.require(DeploymentSecrets, self.id)
        return Secrets(kept.operator, kept.replication, kept.master, kept.certificate, kept.private_key)

    @contextmanager
    def change(self) -> Iterator[tuple[Transaction, Standing]]:
        """A transaction with the standing as it is now."""
        with self._store.transaction() as tx:
            yield tx, tx.require(Standing, self.id)

    def revised(self, member: Member) -> Member:
        """The member as it is wanted now."""
        wanted = self.wanted
        return replace(
            member,
            engine_version=wanted.engine_version,
            revision=wanted.revision,
            memory_bytes=wanted.memory_bytes,
            settings=wanted.settings,
        )

    def note(self, tx: Transaction, event: str, member: Member, **fields: Any) -> None:
        tx.note(event, self.subject, node=member.name, zone=member.place.zone, **fields)

    def note_redundancy(self, tx: Transaction, standing: Standing, why: str) -> None:
        tx.note(f"redundancy.{standing.redundancy}", self.subject, node=standing.leader, why=why, epoch=standing.epoch)


class Hands:
    """What acts on deployments; `life` and `succession` say what with."""

    def __init__(self, store: Store, nodes: Nodes, health: Health, announcer: Announcer) -> None:
        self.store = store
        self.nodes = nodes
        self.health = health
        self.announcer = announcer

    def node(self, id: str, member: Member) -> Node:
        """The node that a member is."""
        wanted = self.store.require(Wanted, id)
        return self.nodes.node(wanted, member)

    async def start_if_possible(self, deployment: Deployment, member: Member) -> bool:
        """Start a node that has its data; False where it cannot be reached or does not start."""
        node = self.node(deployment.id, member)
        try:
            await node.host.power_on()
            self.health.expect(deployment.id, member.name)
            await node.start()
        except (HostUnreachable, EngineFailed):
            self.health.forget(deployment.id, member.name)
            return False
        return True

    async def relax(self, deployment: Deployment, standing: Standing) -> None:
        """Have the leader acknowledge alone. The record must allow it already."""
        async with asyncio.timeout(RELAX_SECONDS):
            await self.node(deployment.id, standing.leading).require(())
        await self.health.look_now(deployment.id, standing.leader)

    def watch_again(self, deployment: Deployment) -> None:
        """Look at the nodes as they are now: a revised node is another object."""
        wanted, standing = deployment.wanted, deployment.standing
        self.health.watch(deployment.id, {member.name: self.nodes.node(wanted, member) for member in standing.members})


def serving(sightings: tuple[Sighting, ...]) -> Sighting | None:
    """The first of these that had an answer, or None."""
    return next((sighting for sighting in sightings if sighting.answer is Answer.SERVING), None)
