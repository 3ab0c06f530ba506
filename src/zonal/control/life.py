"""A deployment's life: laid out, opened, stopped, started, changed as is wanted, and removed.

Whatever wants a node restarted while a standby is there has been brought into a safe state by `succession` before.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from zonal.control.acting import Deployment, Hands, serving
from zonal.control.deployment import DeploymentSecrets, Member, Needs, Phase, Standing, Wanted, member_of
from zonal.control.failover import Redundancy
from zonal.control.nodes import NotInstalled
from zonal.control.planning import Step
from zonal.engines.node import Answer, EngineFailed, HostUnreachable, Node, Sighting
from zonal.foundation.errors import ZonalError

STOP_SECONDS = 30.0
RESTART_SECONDS = 60.0
START_ATTEMPTS = 2
"""A node that ends or hangs after its start is started once more before it is held against what it was to run."""


class NotServing(ZonalError):
    """A node that was restarted does not answer (yet, or to nobody who could hear it)."""


class NotStarted(ZonalError):
    """A node's engine ended as soon as it was started, or does not answer although it could be heard."""


class Life(Hands):
    """The steps of a deployment's life."""

    async def begin(self, deployment: Deployment, _: Step) -> None:
        wanted = deployment.wanted
        members = tuple(member_of(wanted, place, Needs.CLONE if index else Needs.CREATE) for index, place in enumerate(wanted.places))
        redundancy = Redundancy.SINGLE if len(members) == 1 else Redundancy.BUILDING
        begun = Standing(
            id=wanted.id,
            phase=Phase.CREATING,
            leader=members[0].name,
            members=members,
            redundancy=redundancy,
            restarted=wanted.restart,
            failed_over=wanted.failover,
            password=wanted.password,
            settled_revision=wanted.revision,
        )
        with self.store.transaction() as tx:
            tx.put(begun)

    async def lay_out(self, deployment: Deployment, _: Step) -> None:
        standing = deployment.standing
        leader = self.node(deployment.id, standing.leading)
        others = [self.node(deployment.id, member) for member in standing.members if member.name != standing.leader]

        async def lay_out() -> None:
            await leader.host.power_on()
            await leader.create(deployment.secrets)
            self.health.expect(deployment.id, standing.leader)
            await leader.start()

        async with asyncio.TaskGroup() as group:
            group.create_task(lay_out(), name=f"lay out {standing.leader}")
            for other in others:
                group.create_task(_power_on_if_possible(other), name=f"power on {other.spec.name}")
        with deployment.change() as (tx, standing):
            tx.put(standing.with_member(replace(standing.leading, needs=Needs.NOTHING, is_on=True)))
            deployment.note(tx, "node.created", standing.leading)

    async def open(self, deployment: Deployment, _: Step) -> None:
        """The leader answers: its name leads to it, and the deployment is there."""
        await self.announcer.announce(deployment.wanted, deployment.standing)
        with deployment.change() as (tx, standing):
            tx.put(replace(standing, phase=Phase.RUNNING, announced=standing.leader, why=""))
            tx.note("deployment.available", deployment.subject, epoch=standing.epoch)

    async def announce(self, deployment: Deployment, _: Step) -> None:
        """The name leads to the new leader."""
        await self.announcer.announce(deployment.wanted, deployment.standing)
        with deployment.change() as (tx, standing):
            tx.put(replace(standing, announced=standing.leader))
            address = standing.leading.place.address
            tx.note("failover.renamed", deployment.subject, node=standing.leader, address=address, epoch=standing.epoch)

    async def resume(self, deployment: Deployment, _: Step) -> None:
        """See to it that every node that should run does: after a start of the region or of the deployment."""
        standing = deployment.standing
        resting = {standing.leader} if standing.promoting else set()
        able = [member for member in standing.members if member.needs is Needs.NOTHING and member.name not in resting]
        started = await asyncio.gather(*(self.start_if_possible(deployment, member) for member in able))
        with deployment.change() as (tx, standing):
            for member in [member for member, is_on in zip(able, started, strict=True) if is_on and not member.is_on]:
                standing = standing.with_member(replace(standing.member(member.name), is_on=True))
                deployment.note(tx, "node.started", member)
            tx.put(standing)
        if standing.phase is not Phase.CREATING:
            await self.announcer.announce(deployment.wanted, standing)

    async def stop(self, deployment: Deployment, _: Step) -> None:
        """The leader first, so that its last words reach the standby. What cannot be reached is stopped when its zone is back."""
        with deployment.change() as (tx, standing):
            tx.put(replace(standing, phase=Phase.STOPPING))
        self.health.watch(deployment.id, {})
        reached = [await self._stop_one(deployment, member) for member in deployment.standing.leader_first if member.is_on]
        with deployment.change() as (tx, standing):
            if deployment.was_phase is not Phase.STOPPED:
                tx.note("deployment.stopped", deployment.subject, epoch=standing.epoch)
            tx.put(replace(standing, phase=Phase.STOPPED, why=""))
        if not all(reached):
            raise HostUnreachable(f"a node of {deployment.subject} cannot be stopped while its zone is lost")

    async def _stop_one(self, deployment: Deployment, member: Member) -> bool:
        node = self.node(deployment.id, member)
        try:
            await node.stop(within=timedelta(seconds=STOP_SECONDS))
            await node.host.power_off()
        except HostUnreachable:
            if not await _is_off(node):
                return False
        with deployment.change() as (tx, standing):
            tx.put(standing.with_member(replace(standing.member(member.name), is_on=False)))
            deployment.note(tx, "node.stopped", member)
        return True

    async def start(self, deployment: Deployment, step: Step) -> None:
        with deployment.change() as (tx, standing):
            tx.put(replace(standing, phase=Phase.STARTING))
        await self.resume(deployment, step)

    async def destroy(self, deployment: Deployment, _: Step) -> None:
        """Remove every node that can be reached; the others when their zones are back."""
        with deployment.change() as (tx, standing):
            tx.put(standing if standing.phase is Phase.DELETED else replace(standing, phase=Phase.DELETING))
        self.health.watch(deployment.id, {})
        reached = await asyncio.gather(*(self._destroy_one(deployment, member) for member in deployment.standing.members))
        with deployment.change() as (tx, standing):
            if standing.phase is not Phase.DELETED:
                tx.note("deployment.deleted", deployment.subject, epoch=standing.epoch)
            tx.put(replace(standing, phase=Phase.DELETED))
        if not all(reached):
            raise HostUnreachable(f"a node of {deployment.subject} cannot be removed while its zone is lost")

    async def _destroy_one(self, deployment: Deployment, member: Member) -> bool:
        node = self.node(deployment.id, member)
        try:
            await node.host.power_on()
            await node.destroy()
            await node.host.power_off()
        except HostUnreachable:
            return False
        await self.nodes.forget(deployment.id, member.name)
        with deployment.change() as (tx, standing):
            tx.put(replace(standing, members=tuple(each for each in standing.members if each.name != member.name)))
            deployment.note(tx, "node.destroyed", member)
        return True

    async def forget(self, deployment: Deployment, _: Step) -> None:
        self.health.watch(deployment.id, {})
        with self.store.transaction() as tx:
            for kind in (Standing, DeploymentSecrets, Wanted):
                tx.delete(kind, deployment.id)

    async def add_standby(self, deployment: Deployment, step: Step) -> None:
        wanted = deployment.wanted
        with deployment.change() as (tx, standing):
            names = {member.name for member in standing.members}
            place = next(place for place in wanted.places if place.name not in names)
            member = member_of(wanted, place)
            standing = replace(standing, members=(*standing.members, member), redundancy=Redundancy.BUILDING)
            tx.put(standing)
            deployment.note_redundancy(tx, standing, step.why)

    async def leave_standby(self, deployment: Deployment, step: Step) -> None:
        with deployment.change() as (tx, standing):
            if standing.redundancy is not Redundancy.SINGLE:
                standing = replace(standing, redundancy=Redundancy.SINGLE)
                tx.put(standing)
                deployment.note_redundancy(tx, standing, step.why)
        await self.relax(deployment, standing)
        await self.node(deployment.id, standing.leading).release_log()
        if not await self._destroy_one(deployment, standing.member(step.node)):
            raise HostUnreachable(f"{step.node} cannot be removed while its zone is lost")

    async def restart(self, deployment: Deployment, _: Step) -> None:
        wished, member = deployment.wanted.restart, deployment.standing.leading
        await self._cycle(deployment, member, member)
        with deployment.change() as (tx, standing):
            tx.put(replace(standing, restarted=wished))
            deployment.note(tx, "node.restarted", member)

    async def revise(self, deployment: Deployment, step: Step) -> None:
        """Have a node run what is wanted now. If its engine does not start so, it runs again what it ran before."""
        member = deployment.standing.member(step.node)
        revised = deployment.revised(member)
        try:
            await self._cycle(deployment, member, revised)
        except (NotStarted, EngineFailed, NotInstalled) as error:
            await self._take_back(deployment, member, revised, str(error))
            return
        with deployment.change() as (tx, standing):
            tx.put(standing.with_member(replace(standing.member(member.name), **_contents(revised), is_on=True)))
            deployment.note(tx, "node.upgraded", member, version=revised.engine_version)
        self.watch_again(deployment)

    async def settle(self, deployment: Deployment, _: Step) -> None:
        """Every node has the settings in force that are wanted."""
        with deployment.change() as (tx, standing):
            tx.put(replace(standing, settled_revision=deployment.wanted.revision))

    async def _take_back(self, deployment: Deployment, member: Member, revised: Member, why: str) -> None:
        """Record that a revision failed, so that it is not tried again, and start the node as it was before."""
        with deployment.change() as (tx, standing):
            tx.put(replace(standing, failed_revision=revised.revision, failure=why))
            deployment.note(tx, "modification.failed", member, revision=revised.revision, version=revised.engine_version, why=why)
        with contextlib.suppress(NotInstalled):
            await self.node(deployment.id, revised).kill()
        node = self.node(deployment.id, member)
        self.watch_again(deployment)
        await node.host.power_off()
        if await self.start_if_possible(deployment, member):
            with deployment.change() as (tx, standing):
                deployment.note(tx, "node.started", member)

    async def _cycle(self, deployment: Deployment, before: Member, after: Member) -> None:
        """Stop a node and start it again, maybe as something newer; wait until it answers.

        Raises `NotStarted` where its engine ended at once, twice in a row, and `NotServing` where it may yet answer.
        """
        node = self.node(deployment.id, before)
        try:
            await node.stop(within=timedelta(seconds=STOP_SECONDS))
        except HostUnreachable:
            await node.host.power_off()  # It was off already; in a lost zone this raises again.
        if after != before:
            await node.host.power_off()  # A host sees another installation from its next power-on.
        node = self.node(deployment.id, after)
        await node.host.power_on()
        for attempt in range(START_ATTEMPTS):
            if attempt:
                await node.kill()  # It may hang.
            self.health.expect(deployment.id, after.name)
            await node.start()
            if await self._answers(deployment, node):
                return
            if attempt + 1 == START_ATTEMPTS:
                raise NotStarted(f"{after.name} does not start or does not answer: {await node.failure()}")

    async def _answers(self, deployment: Deployment, node: Node) -> bool:
        """Wait for a node that was just started; False where its process ended or hangs. Raises `NotServing`."""
        name = node.spec.name
        seen: tuple[Sighting, ...] = ()
        try:
            async with asyncio.timeout(RESTART_SECONDS):
                while True:
                    seen = await self.health.look_now(deployment.id, name)
                    if serving(seen):
                        return True
                    if not await node.is_running():
                        return False
                    await asyncio.sleep(0.05)
        except TimeoutError:
            waited = f"{name} was started and does not answer within {RESTART_SECONDS:g} s"
            heard = bool(self.health.hearing() - {node.host.zone})
            if heard and not any(sighting.answer is Answer.STARTING for sighting in seen):
                return False
            raise NotServing(waited) from None

    async def set_password(self, deployment: Deployment, _: Step) -> None:
        wished = deployment.wanted.password
        await self.node(deployment.id, deployment.standing.leading).set_master_password(deployment.secrets.master)
        with deployment.change() as (tx, standing):
            tx.put(replace(standing, password=wished))


async def _power_on_if_possible(node: Node) -> None:
    with contextlib.suppress(HostUnreachable):
        await node.host.power_on()


async def _is_off(node: Node) -> bool:
    """Whether a host that could not be acted on is merely off, which is what a stop is for."""
    try:
        await node.host.power_off()
    except HostUnreachable:
        return False
    return True


def _contents(member: Member) -> dict[str, Any]:
    """What a member runs."""
    names = ("engine_version", "revision", "memory_bytes", "settings")
    return {name: getattr(member, name) for name in names}
