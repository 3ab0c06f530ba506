"""Doing the steps of a plan: each one acts on nodes and then records, or records and then acts, in the order that keeps the record true.

| step | recorded before | done | recorded after |
|---|---|---|---|
| go alone | `alone` | the leader is relaxed | |
| restore synchronous | | the leader requires the standby; the standby holds all that the leader has | `synchronous` |
| promote | new epoch, who is promoted | the old leader is fenced, the standby promoted | who leads, `alone`, who has to rejoin |
| rejoin | | the node is rewound or copied, and started | it needs nothing any more |

Every step may be broken off anywhere and be done again, by this process or by the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol

from msgspec.structs import replace

from zonal.control.deployment import DeploymentSecrets, Member, Needs, Phase, Standing, Wanted
from zonal.control.failover import Redundancy
from zonal.control.health import Health
from zonal.control.planning import Step, Work
from zonal.engines.node import Answer, EngineFailed, HostUnreachable, Node, Origin, Secrets, Sighting
from zonal.foundation.errors import ZonalError
from zonal.records.store import Store, Transaction

FENCE_SECONDS = 1.0
PROMOTE_SECONDS = 30.0
REQUIRE_SECONDS = 5.0
CONFIRM_SECONDS = 2.0
STOP_SECONDS = 30.0
RESTART_SECONDS = 60.0


class Nodes(Protocol):
    """Gives the node that a member is; the same object for the same member and revision."""

    def node(self, wanted: Wanted, member: Member) -> Node: ...

    async def forget(self, deployment: str, name: str) -> None:
        """The member is gone for good."""


class Announcer(Protocol):
    """Points a deployment's name to its leader."""

    async def announce(self, wanted: Wanted, standing: Standing) -> None: ...


class NotConfirmed(ZonalError):
    """The standby does not hold all that the leader has, or does not say so in time."""


class NotServing(ZonalError):
    """A node that was restarted does not answer."""


class Steps:
    """Carries out steps for the deployments of one region."""

    def __init__(self, store: Store, nodes: Nodes, health: Health, announcer: Announcer) -> None:
        self._store = store
        self._nodes = nodes
        self._health = health
        self._announcer = announcer
        self._do: dict[Work, Callable[[Deployment, Step], Any]] = {
            Work.BEGIN: self._begin,
            Work.LAY_OUT: self._lay_out,
            Work.OPEN: self._open,
            Work.ANNOUNCE: self._announce,
            Work.RESUME: self._resume,
            Work.STOP: self._stop,
            Work.START: self._start,
            Work.DESTROY: self._destroy,
            Work.FORGET: self._forget,
            Work.PROMOTE: self._promote,
            Work.GO_ALONE: self._go_alone,
            Work.RESTART_IN_PLACE: self._restart_in_place,
            Work.REJOIN_STANDBY: self._rejoin,
            Work.RESTORE_SYNCHRONOUS: self._restore,
            Work.FENCE: self._fence,
            Work.ADD_STANDBY: self._add_standby,
            Work.LEAVE_STANDBY: self._leave_standby,
            Work.RESTART: self._restart,
            Work.REVISE: self._revise,
            Work.SET_PASSWORD: self._set_password,
        }

    async def run(self, id: str, step: Step, *, again: int = 0) -> None:
        """Do one step. `again` counts how often it was done in a row before without lasting effect. Raises what stands in the way."""
        await self._do[step.work](Deployment(self._store, id, again), step)

    def node(self, id: str, member: Member) -> Node:
        wanted = self._store.require(Wanted, id)
        return self._nodes.node(wanted, member)

    async def _begin(self, deployment: Deployment, _: Step) -> None:
        wanted = deployment.wanted
        members = tuple(
            Member(place, Needs.CLONE if index else Needs.CREATE, wanted.engine_version, wanted.revision, wanted.memory_bytes)
            for index, place in enumerate(wanted.places)
        )
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
        )
        with self._store.transaction() as tx:
            tx.put(begun)

    async def _lay_out(self, deployment: Deployment, _: Step) -> None:
        standing = deployment.standing
        leader = self.node(deployment.id, standing.leading)
        others = [self.node(deployment.id, member) for member in standing.members if member.name != standing.leader]

        async def lay_out() -> None:
            await leader.host.power_on()
            await leader.create(deployment.secrets)
            self._health.expect(deployment.id, standing.leader)
            await leader.start()

        async with asyncio.TaskGroup() as group:
            group.create_task(lay_out(), name=f"lay out {standing.leader}")
            for other in others:
                group.create_task(_power_on_if_possible(other), name=f"power on {other.spec.name}")
        with deployment.change() as (tx, standing):
            tx.put(standing.with_member(replace(standing.leading, needs=Needs.NOTHING, is_on=True)))
            deployment.note(tx, "node.created", standing.leading)

    async def _open(self, deployment: Deployment, _: Step) -> None:
        """The leader answers: its name leads to it, and the deployment is there."""
        await self._announcer.announce(deployment.wanted, deployment.standing)
        with deployment.change() as (tx, standing):
            tx.put(replace(standing, phase=Phase.RUNNING, announced=standing.leader, why=""))
            tx.note("deployment.available", deployment.subject, epoch=standing.epoch)

    async def _announce(self, deployment: Deployment, _: Step) -> None:
        """The name leads to the new leader."""
        await self._announcer.announce(deployment.wanted, deployment.standing)
        with deployment.change() as (tx, standing):
            tx.put(replace(standing, announced=standing.leader))
            address = standing.leading.place.address
            tx.note("failover.renamed", deployment.subject, node=standing.leader, address=address, epoch=standing.epoch)

    async def _resume(self, deployment: Deployment, _: Step) -> None:
        """See to it that every node that should run does: after a start of the region or of the deployment."""
        standing = deployment.standing
        resting = {standing.leader} if standing.promoting else set()
        able = [member for member in standing.members if member.needs is Needs.NOTHING and member.name not in resting]
        started = await asyncio.gather(*(self._start_if_possible(deployment, member) for member in able))
        with deployment.change() as (tx, standing):
            for member in [member for member, is_on in zip(able, started, strict=True) if is_on and not member.is_on]:
                standing = standing.with_member(replace(standing.member(member.name), is_on=True))
                deployment.note(tx, "node.started", member)
            tx.put(standing)
        if standing.phase is not Phase.CREATING:
            await self._announcer.announce(deployment.wanted, standing)

    async def _start_if_possible(self, deployment: Deployment, member: Member) -> bool:
        node = self.node(deployment.id, member)
        try:
            await node.host.power_on()
            self._health.expect(deployment.id, member.name)
            await node.start()
        except (HostUnreachable, EngineFailed):
            self._health.forget(deployment.id, member.name)
            return False
        return True

    async def _stop(self, deployment: Deployment, _: Step) -> None:
        """The leader first, so that its last words reach the standby. What cannot be reached is stopped when its zone is back."""
        with deployment.change() as (tx, standing):
            tx.put(replace(standing, phase=Phase.STOPPING))
        self._health.watch(deployment.id, {})
        reached = [await self._stop_one(deployment, member) for member in _leader_first(deployment.standing) if member.is_on]
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

    async def _start(self, deployment: Deployment, step: Step) -> None:
        with deployment.change() as (tx, standing):
            tx.put(replace(standing, phase=Phase.RUNNING))
        await self._resume(deployment, step)

    async def _destroy(self, deployment: Deployment, _: Step) -> None:
        """Remove every node that can be reached; the others when their zones are back."""
        with deployment.change() as (tx, standing):
            tx.put(standing if standing.phase is Phase.DELETED else replace(standing, phase=Phase.DELETING))
        self._health.watch(deployment.id, {})
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
        await self._nodes.forget(deployment.id, member.name)
        with deployment.change() as (tx, standing):
            tx.put(replace(standing, members=tuple(each for each in standing.members if each.name != member.name)))
            deployment.note(tx, "node.destroyed", member)
        return True

    async def _forget(self, deployment: Deployment, _: Step) -> None:
        self._health.watch(deployment.id, {})
        with self._store.transaction() as tx:
            for kind in (Standing, DeploymentSecrets, Wanted):
                tx.delete(kind, deployment.id)

    async def _promote(self, deployment: Deployment, step: Step) -> None:
        with deployment.change() as (tx, standing):
            if not standing.promoting:
                assert standing.redundancy is Redundancy.SYNCHRONOUS, (
                    f"{deployment.subject} is {standing.redundancy}, nobody may be promoted"
                )
                standing = replace(standing, promoting=step.node, epoch=standing.epoch + 1)
                tx.put(standing)
                tx.note("failover.decided", deployment.subject, action="promote", node=step.node, why=step.why, epoch=standing.epoch)
        old, new = standing.leading, standing.member(standing.promoting)
        await self._cut_off(deployment, old, step.why)
        node = self.node(deployment.id, new)
        async with asyncio.timeout(PROMOTE_SECONDS):
            await node.promote()
            await node.require(())
        with deployment.change() as (tx, standing):
            wished = deployment.wanted.failover
            standing = replace(standing, leader=new.name, promoting="", redundancy=Redundancy.ALONE, failed_over=wished, why="")
            standing = standing.with_member(replace(old, needs=Needs.REJOIN, is_on=False))
            tx.put(standing)
            tx.note("failover.promoted", deployment.subject, node=new.name, zone=new.place.zone, epoch=standing.epoch, why=step.why)
            deployment.note_redundancy(tx, standing, "the old leader has to rejoin as standby")
        for name in (old.name, new.name):
            self._health.forget(deployment.id, name)

    async def _cut_off(self, deployment: Deployment, old: Member, why: str) -> None:
        """Kill the old leader if its host can be reached; else it cannot acknowledge anything, because it requires the standby."""
        how = "killed"
        try:
            async with asyncio.timeout(FENCE_SECONDS):
                await self.node(deployment.id, old).kill()
        except (HostUnreachable, EngineFailed, TimeoutError):
            how = "unreachable"
        with self._store.transaction() as tx:
            epoch = deployment.standing.epoch
            tx.note("failover.fenced", deployment.subject, node=old.name, zone=old.place.zone, how=how, why=why, epoch=epoch)

    async def _go_alone(self, deployment: Deployment, step: Step) -> None:
        with deployment.change() as (tx, standing):
            assert not standing.promoting, f"{deployment.subject} is being failed over: its old leader must not be relaxed"
            if standing.redundancy is Redundancy.SYNCHRONOUS:
                standing = replace(standing, redundancy=Redundancy.ALONE)
                tx.put(standing)
                tx.note("failover.decided", deployment.subject, action="go-alone", node=standing.leader, why=step.why, epoch=standing.epoch)
                deployment.note_redundancy(tx, standing, step.why)
        await self._relax(deployment, standing)

    async def _relax(self, deployment: Deployment, standing: Standing) -> None:
        async with asyncio.timeout(REQUIRE_SECONDS):
            await self.node(deployment.id, standing.leading).require(())
        await self._health.look_now(deployment.id, standing.leader)

    async def _restart_in_place(self, deployment: Deployment, step: Step) -> None:
        """Start the node where it is, and the other one too where it has its data: whichever comes back may be the one that can lead."""
        standing = deployment.standing
        member = standing.member(step.node)
        others = [each for each in standing.members if each.name not in (member.name, standing.leader) and each.needs is Needs.NOTHING]
        for other in others:
            await self._start_if_possible(deployment, other)
        node = self.node(deployment.id, member)
        await node.host.power_on()
        if deployment.again:
            await node.kill()  # It was started before and still does not answer: it hangs.
        self._health.expect(deployment.id, member.name)
        await node.start()
        with deployment.change() as (tx, standing):
            tx.put(standing.with_member(replace(standing.member(member.name), is_on=True)))
            tx.note("failover.restarted", deployment.subject, node=member.name, epoch=standing.epoch, why=step.why)

    async def _rejoin(self, deployment: Deployment, step: Step) -> None:
        """Make the standby follow the leader: by starting it, by rewinding it, or by copying the leader anew."""
        standing = deployment.standing
        member = standing.member(step.node)
        if standing.redundancy is Redundancy.SYNCHRONOUS or standing.promoting or member.name == standing.leader:
            raise ZonalError(f"{member.name} must keep its data: it may be the only one to hold an acknowledged write")
        needs = Needs.CLONE if member.needs is Needs.NOTHING and deployment.again >= 2 else member.needs
        node = self.node(deployment.id, member)
        await node.host.power_on()
        origin = Origin(standing.leader, standing.leading.place.management_address, deployment.wanted.port)
        how = await self._bring_over(node, needs, origin, deployment)
        revised = deployment.revised(member) if needs is not Needs.NOTHING else member
        if revised != member:
            await node.host.power_off()  # A host sees another installation from its next power-on.
            node = self.node(deployment.id, revised)
            await node.host.power_on()
        with deployment.change() as (tx, standing):
            tx.put(standing.with_member(replace(revised, needs=Needs.NOTHING, is_on=True)))
            deployment.note(tx, {"rewound": "node.rejoined", "cloned": "node.cloned"}.get(how, "node.started"), member, how=how)
        self._watch_again(deployment)
        self._health.expect(deployment.id, member.name)
        await node.start()

    async def _bring_over(self, node: Node, needs: Needs, origin: Origin, deployment: Deployment) -> str:
        if needs is Needs.REJOIN:
            await node.kill()
            return await node.rejoin(origin, deployment.secrets)
        if needs is Needs.CLONE:
            await node.kill()
            await node.clone(origin, deployment.secrets)
            return "cloned"
        if deployment.again:
            await node.kill()
        await node.follow(origin, deployment.secrets)
        return "started"

    async def _restore(self, deployment: Deployment, step: Step) -> None:
        """Have the leader wait for the standby, see that the standby holds everything, and only then record it."""
        standing = deployment.standing
        assert not standing.promoting
        leader = self.node(deployment.id, standing.leading)
        try:
            async with asyncio.timeout(REQUIRE_SECONDS):
                await leader.require((step.node,))
            await self._confirm(deployment.id, standing.leader, step.node)
        except (NotConfirmed, TimeoutError) as error:
            await self._relax(deployment, standing)
            raise NotConfirmed(f"{step.node} does not confirm that it holds all that {standing.leader} has: {error}") from error
        with deployment.change() as (tx, now):
            assert (now.leader, now.epoch, now.promoting) == (standing.leader, standing.epoch, "")
            now = replace(now, redundancy=Redundancy.SYNCHRONOUS, why="")
            tx.put(now)
            deployment.note_redundancy(tx, now, f"{step.node} holds every write that {now.leader} acknowledged, and is required")

    async def _confirm(self, id: str, leader: str, standby: str) -> None:
        """Wait until the leader says that it requires the standby and is confirmed, and the standby has come as far as the leader then was.

        Raises `NotConfirmed`.
        """
        goal: int | None = None
        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                while True:
                    ahead = _serving(await self._health.look_now(id, leader))
                    if ahead and standby in ahead.required and standby in ahead.synchronous:
                        goal = ahead.position if goal is None else goal
                        behind = _serving(await self._health.look_now(id, standby))
                        if behind and (goal is None or (behind.position or 0) >= goal):
                            return
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise NotConfirmed(f"not within {CONFIRM_SECONDS:g} s") from None

    async def _fence(self, deployment: Deployment, step: Step) -> None:
        member = deployment.standing.member(step.node)
        await self.node(deployment.id, member).kill()
        self._health.forget(deployment.id, member.name)
        with deployment.change() as (tx, standing):
            tx.put(standing.with_member(replace(member, needs=Needs.REJOIN, is_on=False)))
            tx.note("failover.decided", deployment.subject, action="fence", node=member.name, why=step.why, epoch=standing.epoch)
            fields = {"node": member.name, "zone": member.place.zone, "how": "killed", "why": step.why}
            tx.note("failover.fenced", deployment.subject, epoch=standing.epoch, **fields)

    async def _add_standby(self, deployment: Deployment, step: Step) -> None:
        wanted = deployment.wanted
        with deployment.change() as (tx, standing):
            names = {member.name for member in standing.members}
            place = next(place for place in wanted.places if place.name not in names)
            member = Member(place, Needs.CLONE, wanted.engine_version, wanted.revision, wanted.memory_bytes)
            standing = replace(standing, members=(*standing.members, member), redundancy=Redundancy.BUILDING)
            tx.put(standing)
            deployment.note_redundancy(tx, standing, step.why)

    async def _leave_standby(self, deployment: Deployment, step: Step) -> None:
        with deployment.change() as (tx, standing):
            if standing.redundancy is not Redundancy.SINGLE:
                standing = replace(standing, redundancy=Redundancy.SINGLE)
                tx.put(standing)
                deployment.note_redundancy(tx, standing, step.why)
        await self._relax(deployment, standing)
        if not await self._destroy_one(deployment, standing.member(step.node)):
            raise HostUnreachable(f"{step.node} cannot be removed while its zone is lost")

    async def _restart(self, deployment: Deployment, _: Step) -> None:
        wished, member = deployment.wanted.restart, deployment.standing.leading
        await self._cycle(deployment, member, member)
        with deployment.change() as (tx, standing):
            tx.put(replace(standing, restarted=wished))
            deployment.note(tx, "node.restarted", member)

    async def _revise(self, deployment: Deployment, step: Step) -> None:
        member = deployment.standing.member(step.node)
        revised = deployment.revised(member)
        await self._cycle(deployment, member, revised)
        with deployment.change() as (tx, standing):
            tx.put(standing.with_member(revised))
            deployment.note(tx, "node.upgraded", member, version=revised.engine_version)
        self._watch_again(deployment)

    async def _cycle(self, deployment: Deployment, before: Member, after: Member) -> None:
        """Stop a node and start it again, maybe as something newer; wait until it answers."""
        node = self.node(deployment.id, before)
        try:
            await node.stop(within=timedelta(seconds=STOP_SECONDS))
        except HostUnreachable:
            await node.host.power_off()  # It was off already; in a lost zone this raises again.
        if after != before:
            await node.host.power_off()  # A host sees another installation from its next power-on.
        node = self.node(deployment.id, after)
        await node.host.power_on()
        self._health.expect(deployment.id, after.name)
        await node.start()
        try:
            async with asyncio.timeout(RESTART_SECONDS):
                while True:
                    if _serving(await self._health.look_now(deployment.id, after.name)):
                        return
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise NotServing(f"{after.name} was restarted and does not answer within {RESTART_SECONDS:g} s") from None

    async def _set_password(self, deployment: Deployment, _: Step) -> None:
        wished = deployment.wanted.password
        await self.node(deployment.id, deployment.standing.leading).set_master_password(deployment.secrets.master)
        with deployment.change() as (tx, standing):
            tx.put(replace(standing, password=wished))

    def _watch_again(self, deployment: Deployment) -> None:
        """Look at the nodes as they are now: a revised node is another object."""
        wanted, standing = deployment.wanted, deployment.standing
        self._health.watch(deployment.id, {member.name: self._nodes.node(wanted, member) for member in standing.members})


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

    @contextlib.contextmanager
    def change(self) -> Any:
        """A transaction with the standing as it is now."""
        with self._store.transaction() as tx:
            yield tx, tx.require(Standing, self.id)

    def revised(self, member: Member) -> Member:
        """The member as it is wanted now."""
        wanted = self.wanted
        return replace(member, engine_version=wanted.engine_version, revision=wanted.revision, memory_bytes=wanted.memory_bytes)

    def note(self, tx: Transaction, event: str, member: Member, **fields: Any) -> None:
        tx.note(event, self.subject, node=member.name, zone=member.place.zone, **fields)

    def note_redundancy(self, tx: Transaction, standing: Standing, why: str) -> None:
        tx.note(f"redundancy.{standing.redundancy}", self.subject, node=standing.leader, why=why, epoch=standing.epoch)


def _serving(sightings: tuple[Sighting, ...]) -> Sighting | None:
    return next((sighting for sighting in sightings if sighting.answer is Answer.SERVING), None)


def _leader_first(standing: Standing) -> list[Member]:
    return sorted(standing.members, key=lambda member: member.name != standing.leader)


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
