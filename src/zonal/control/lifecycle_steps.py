"""Carries out the life-cycle steps of a deployment: create, open, stop, start, change, remove.

Before a step restarts a node of a pair, `failover_steps` has brought the pair into a safe state.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from zonal.control.deployment_plan import Step
from zonal.control.deployment_records import DeploymentSecrets, DeploymentSpec, DeploymentStatus, Member, Phase, Preparation, member_of
from zonal.control.engine_nodes import NotInstalled
from zonal.control.failover import Redundancy
from zonal.control.step_context import DeploymentAccess, StepContext, serving
from zonal.engines.node import EngineFailed, HostUnreachable, Node, ProbeResult, ProbeStatus
from zonal.foundation.errors import ZonalError

STOP_SECONDS = 30.0
RESTART_SECONDS = 60.0
START_ATTEMPTS = 2
"""A node that ends or hangs after its start is started once more before the revision counts as failed."""


class NotServing(ZonalError):
    """A restarted node has not answered yet, or no monitoring host could receive its answer."""


class NotStarted(ZonalError):
    """A node's engine ended right after its start, or does not answer although monitoring hosts could receive an answer."""


class LifecycleSteps(StepContext):
    """The steps of a deployment's life cycle."""

    async def begin(self, deployment: DeploymentAccess, _: Step) -> None:
        spec = deployment.spec
        members = tuple(
            member_of(spec, place, Preparation.CLONE if index else Preparation.CREATE) for index, place in enumerate(spec.places)
        )
        redundancy = Redundancy.SINGLE if len(members) == 1 else Redundancy.BUILDING
        begun = DeploymentStatus(
            id=spec.id,
            phase=Phase.CREATING,
            leader=members[0].name,
            members=members,
            redundancy=redundancy,
            restarted=spec.restart,
            failed_over=spec.failover,
            password=spec.password,
            settled_revision=spec.revision,
        )
        with self.store.transaction() as tx:
            tx.put(begun)

    async def lay_out(self, deployment: DeploymentAccess, _: Step) -> None:
        status = deployment.status
        leader = self.node(deployment.id, status.leading)
        others = [self.node(deployment.id, member) for member in status.members if member.name != status.leader]

        async def lay_out() -> None:
            await leader.host.power_on()
            await leader.create(deployment.secrets)
            self.health.expect(deployment.id, status.leader)
            await leader.start()

        async with asyncio.TaskGroup() as group:
            group.create_task(lay_out(), name=f"lay out {status.leader}")
            for other in others:
                group.create_task(_power_on_if_possible(other), name=f"power on {other.spec.name}")
        with deployment.change() as (tx, status):
            tx.put(status.with_member(replace(status.leading, needs=Preparation.NOTHING, is_on=True)))
            deployment.note(tx, "node.created", status.leading)

    async def open(self, deployment: DeploymentAccess, _: Step) -> None:
        """Announce the leader, which answers, and record the deployment as running."""
        await self.announcer.announce(deployment.spec, deployment.status)
        with deployment.change() as (tx, status):
            tx.put(replace(status, phase=Phase.RUNNING, announced=status.leader, why=""))
            tx.note("deployment.available", deployment.subject, epoch=status.epoch)

    async def announce(self, deployment: DeploymentAccess, _: Step) -> None:
        """Point the names to the new leader."""
        await self.announcer.announce(deployment.spec, deployment.status)
        with deployment.change() as (tx, status):
            tx.put(replace(status, announced=status.leader))
            address = status.leading.place.address
            tx.note("failover.renamed", deployment.subject, node=status.leader, address=address, epoch=status.epoch)

    async def resume(self, deployment: DeploymentAccess, _: Step) -> None:
        """Start every node that should run, after a start of the region or of the deployment."""
        status = deployment.status
        resting = {status.leader} if status.promoting else set()
        able = [member for member in status.members if member.needs is Preparation.NOTHING and member.name not in resting]
        started = await asyncio.gather(*(self.start_if_possible(deployment, member) for member in able))
        with deployment.change() as (tx, status):
            for member in [member for member, is_on in zip(able, started, strict=True) if is_on and not member.is_on]:
                status = status.with_member(replace(status.member(member.name), is_on=True))
                deployment.note(tx, "node.started", member)
            tx.put(status)
        if status.phase is not Phase.CREATING:
            await self.announcer.announce(deployment.spec, status)

    async def stop(self, deployment: DeploymentAccess, _: Step) -> None:
        """Stop the leader first, so that its last WAL reaches the standby. An unreachable node is stopped when its zone returns."""
        with deployment.change() as (tx, status):
            tx.put(replace(status, phase=Phase.STOPPING))
        self.health.watch(deployment.id, {})
        reached = [await self._stop_one(deployment, member) for member in deployment.status.leader_first if member.is_on]
        with deployment.change() as (tx, status):
            if deployment.was_phase is not Phase.STOPPED:
                tx.note("deployment.stopped", deployment.subject, epoch=status.epoch)
            tx.put(replace(status, phase=Phase.STOPPED, why=""))
        if not all(reached):
            raise HostUnreachable(f"a node of {deployment.title} cannot be stopped while its zone is lost")

    async def _stop_one(self, deployment: DeploymentAccess, member: Member) -> bool:
        node = self.node(deployment.id, member)
        try:
            await node.stop(within=timedelta(seconds=STOP_SECONDS))
            await node.host.power_off()
        except HostUnreachable:
            if not await _is_off(node):
                return False
        with deployment.change() as (tx, status):
            tx.put(status.with_member(replace(status.member(member.name), is_on=False)))
            deployment.note(tx, "node.stopped", member)
        return True

    async def start(self, deployment: DeploymentAccess, step: Step) -> None:
        with deployment.change() as (tx, status):
            tx.put(replace(status, phase=Phase.STARTING))
        await self.resume(deployment, step)

    async def destroy(self, deployment: DeploymentAccess, _: Step) -> None:
        """Remove every reachable node; the others are removed when their zones return."""
        with deployment.change() as (tx, status):
            tx.put(status if status.phase is Phase.DELETED else replace(status, phase=Phase.DELETING))
        self.health.watch(deployment.id, {})
        reached = await asyncio.gather(*(self._destroy_one(deployment, member) for member in deployment.status.members))
        with deployment.change() as (tx, status):
            if status.phase is not Phase.DELETED:
                tx.note("deployment.deleted", deployment.subject, epoch=status.epoch)
            tx.put(replace(status, phase=Phase.DELETED))
        if not all(reached):
            raise HostUnreachable(f"a node of {deployment.title} cannot be removed while its zone is lost")

    async def _destroy_one(self, deployment: DeploymentAccess, member: Member) -> bool:
        node = self.node(deployment.id, member)
        try:
            await node.host.power_on()
            await node.destroy()
            await node.host.power_off()
        except HostUnreachable:
            return False
        await self.nodes.forget(deployment.id, member.name)
        with deployment.change() as (tx, status):
            tx.put(replace(status, members=tuple(each for each in status.members if each.name != member.name)))
            deployment.note(tx, "node.destroyed", member)
        return True

    async def forget(self, deployment: DeploymentAccess, _: Step) -> None:
        self.health.watch(deployment.id, {})
        with self.store.transaction() as tx:
            for kind in (DeploymentStatus, DeploymentSecrets, DeploymentSpec):
                tx.delete(kind, deployment.id)

    async def add_standby(self, deployment: DeploymentAccess, step: Step) -> None:
        spec = deployment.spec
        with deployment.change() as (tx, status):
            names = {member.name for member in status.members}
            place = next(place for place in spec.places if place.name not in names)
            member = member_of(spec, place)
            status = replace(status, members=(*status.members, member), redundancy=Redundancy.BUILDING)
            tx.put(status)
            deployment.note_redundancy(tx, status, step.why)

    async def leave_standby(self, deployment: DeploymentAccess, step: Step) -> None:
        with deployment.change() as (tx, status):
            if status.redundancy is not Redundancy.SINGLE:
                status = replace(status, redundancy=Redundancy.SINGLE)
                tx.put(status)
                deployment.note_redundancy(tx, status, step.why)
        await self.relax(deployment, status)
        await self.node(deployment.id, status.leading).release_log()
        if not await self._destroy_one(deployment, status.member(step.node)):
            raise HostUnreachable(f"{step.node} cannot be removed while its zone is lost")

    async def restart(self, deployment: DeploymentAccess, _: Step) -> None:
        wished, member = deployment.spec.restart, deployment.status.leading
        await self._cycle(deployment, member, member)
        with deployment.change() as (tx, status):
            tx.put(replace(status, restarted=wished))
            deployment.note(tx, "node.restarted", member)

    async def revise(self, deployment: DeploymentAccess, step: Step) -> None:
        """Restart a node at the present revision. If its engine does not start, the node returns to its former revision."""
        member = deployment.status.member(step.node)
        revised = deployment.revised(member)
        try:
            await self._cycle(deployment, member, revised)
        except (NotStarted, EngineFailed, NotInstalled) as error:
            await self._take_back(deployment, member, revised, str(error))
            return
        with deployment.change() as (tx, status):
            tx.put(status.with_member(replace(status.member(member.name), **_contents(revised), is_on=True)))
            deployment.note(tx, "node.upgraded", member, version=revised.engine_version)
        self.watch_again(deployment)

    async def settle(self, deployment: DeploymentAccess, _: Step) -> None:
        """Record that the settings of the present revision are in force on every node."""
        with deployment.change() as (tx, status):
            tx.put(replace(status, settled_revision=deployment.spec.revision))

    async def _take_back(self, deployment: DeploymentAccess, member: Member, revised: Member, why: str) -> None:
        """Record that a revision failed, so that it is not tried again, and start the node at its former revision."""
        with deployment.change() as (tx, status):
            tx.put(replace(status, failed_revision=revised.revision, failure=why))
            deployment.note(tx, "modification.failed", member, revision=revised.revision, version=revised.engine_version, why=why)
        with contextlib.suppress(NotInstalled):
            await self.node(deployment.id, revised).kill()
        node = self.node(deployment.id, member)
        self.watch_again(deployment)
        await node.host.power_off()
        if await self.start_if_possible(deployment, member):
            with deployment.change() as (tx, status):
                deployment.note(tx, "node.started", member)

    async def _cycle(self, deployment: DeploymentAccess, before: Member, after: Member) -> None:
        """Stop a node, start it as `after`, and wait until it answers.

        Raises `NotStarted` where its engine ended or hung twice in a row, and `NotServing` where it may still answer.
        """
        node = self.node(deployment.id, before)
        try:
            await node.stop(within=timedelta(seconds=STOP_SECONDS))
        except HostUnreachable:
            await node.host.power_off()  # The host was off already; in a lost zone this raises again.
        if after != before:
            await node.host.power_off()  # A host mounts another installation at its next power-on.
        node = self.node(deployment.id, after)
        await node.host.power_on()
        for attempt in range(START_ATTEMPTS):
            if attempt:
                await node.kill()  # The engine may hang.
            self.health.expect(deployment.id, after.name)
            await node.start()
            if await self._answers(deployment, node):
                return
            if attempt + 1 == START_ATTEMPTS:
                raise NotStarted(f"{after.name} does not start, or does not answer: {await node.failure()}")

    async def _answers(self, deployment: DeploymentAccess, node: Node) -> bool:
        """Wait until a started node answers; False where its process ended or hangs. Raises `NotServing`."""
        name = node.spec.name
        seen: tuple[ProbeResult, ...] = ()
        try:
            async with asyncio.timeout(RESTART_SECONDS):
                while True:
                    seen = await self.health.probe_now(deployment.id, name)
                    if serving(seen):
                        return True
                    if not await node.is_running():
                        return False
                    await asyncio.sleep(0.05)
        except TimeoutError:
            waited = f"{name} was started and did not answer within {RESTART_SECONDS:g} s"
            heard = bool(self.health.connected_zones() - {node.host.zone})
            if heard and not any(result.status is ProbeStatus.STARTING for result in seen):
                return False
            raise NotServing(waited) from None

    async def set_password(self, deployment: DeploymentAccess, _: Step) -> None:
        wished = deployment.spec.password
        await self.node(deployment.id, deployment.status.leading).change_password(deployment.secrets)
        with deployment.change() as (tx, status):
            tx.put(replace(status, password=wished))


async def _power_on_if_possible(node: Node) -> None:
    with contextlib.suppress(HostUnreachable):
        await node.host.power_on()


async def _is_off(node: Node) -> bool:
    """Whether an unreachable host is off already."""
    try:
        await node.host.power_off()
    except HostUnreachable:
        return False
    return True


def _contents(member: Member) -> dict[str, Any]:
    """The fields of a member that a revision changes."""
    names = ("engine_version", "revision", "memory_bytes", "settings")
    return {name: getattr(member, name) for name in names}
