"""Carries out the failover steps: each acts and records in the order that keeps the record true.

| step | recorded before | action | recorded after |
|---|---|---|---|
| go alone | `alone` | the leader is relaxed | |
| restore synchronous | | the leader requires the standby; the standby holds all that the leader has | `synchronous` |
| promote | the new epoch and the node to promote | the old leader is fenced, the standby promoted | the new leader, `alone` |
| rejoin | | the node is rewound or copied, and started | the node needs no preparation any more |

`failover.decide` chooses the step. Every step may be interrupted anywhere and repeated, by this process or the next one.
"""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from zonal.control.deployment_plan import Step
from zonal.control.deployment_records import Member, Preparation
from zonal.control.failover import Redundancy
from zonal.control.step_context import DeploymentAccess, StepContext, serving
from zonal.engines.node import EngineFailed, HostUnreachable, Node, Origin, Rejoined
from zonal.foundation.errors import ZonalError

FENCE_SECONDS = 1.0
REQUIRE_SECONDS = 30.0
PROMOTE_SECONDS = 30.0
CONFIRM_SECONDS = 2.0


class NotConfirmed(ZonalError):
    """The standby did not confirm in time that it holds everything that the leader has."""


class FailoverSteps(StepContext):
    """The steps that change the leader and what the leader requires."""

    async def promote(self, deployment: DeploymentAccess, step: Step) -> None:
        with deployment.change() as (tx, status):
            if not status.promoting:
                assert status.redundancy is Redundancy.SYNCHRONOUS, f"{deployment.title} is {status.redundancy}: no node may be promoted"
                status = replace(status, promoting=step.node, epoch=status.epoch + 1)
                status = status.with_member(replace(status.leading, unfenced=True))
                tx.put(status)
                tx.note("failover.decided", deployment.subject, action="promote", node=step.node, why=step.why, epoch=status.epoch)
        old, new = status.leading, status.member(status.promoting)
        await self._cut_off(deployment, old, step.why)
        node = self.node(deployment.id, new)
        async with asyncio.timeout(PROMOTE_SECONDS):
            await node.promote()
            await node.require(())
        with deployment.change() as (tx, status):
            wished = deployment.spec.failover
            status = replace(status, leader=new.name, promoting="", redundancy=Redundancy.ALONE, failed_over=wished, why="")
            status = status.with_member(replace(status.member(old.name), needs=Preparation.REJOIN))
            tx.put(status)
            tx.note("failover.promoted", deployment.subject, node=new.name, zone=new.place.zone, epoch=status.epoch, why=step.why)
            deployment.note_redundancy(tx, status, "the old leader has to rejoin as standby")
        for name in (old.name, new.name):
            self.health.forget(deployment.id, name)

    async def _cut_off(self, deployment: DeploymentAccess, old: Member, why: str) -> None:
        """Kill the old leader where its host is reachable.

        Elsewhere the old leader still requires the standby and so acknowledges nothing; it is fenced when its host is reachable again.
        """
        try:
            how = await self._end(deployment, old)
        except (HostUnreachable, TimeoutError):
            how = "unreachable"
        self._record_fence(deployment, old.name, how, why)

    async def _end(self, deployment: DeploymentAccess, member: Member) -> str:
        """Kill a node's engine (`killed`), or power its host off where the engine does not end (`off`).

        Raises `HostUnreachable`, and `TimeoutError` where powering off has no effect either.
        """
        node = self.node(deployment.id, member)
        try:
            async with asyncio.timeout(FENCE_SECONDS):
                await node.kill()
        except (HostUnreachable, EngineFailed, TimeoutError):
            async with asyncio.timeout(FENCE_SECONDS):
                await node.host.power_off()  # A kill on a host that is off raises `HostUnreachable` too; powering off then does nothing.
            return "off"
        return "killed"

    def _record_fence(self, deployment: DeploymentAccess, name: str, how: str, why: str) -> None:
        with deployment.change() as (tx, status):
            member = status.member(name)
            if how != "unreachable":
                tx.put(status.with_member(replace(member, is_on=False, unfenced=False)))
            deployment.note(tx, "failover.fenced", member, how=how, why=why, epoch=status.epoch)

    async def go_alone(self, deployment: DeploymentAccess, step: Step) -> None:
        with deployment.change() as (tx, status):
            assert not status.promoting, f"{deployment.title} is being failed over: its old leader must not be relaxed"
            if status.redundancy is Redundancy.SYNCHRONOUS:
                status = replace(status, redundancy=Redundancy.ALONE)
                tx.put(status)
                tx.note("failover.decided", deployment.subject, action="go-alone", node=status.leader, why=step.why, epoch=status.epoch)
                deployment.note_redundancy(tx, status, step.why)
        await self.relax(deployment, status)

    async def restart_in_place(self, deployment: DeploymentAccess, step: Step) -> None:
        """Start the node where it is, and the other one too where it has its data: either may turn out to be able to lead."""
        status = deployment.status
        member = status.member(step.node)
        others = [each for each in status.members if each.name not in (member.name, status.leader) and each.needs is Preparation.NOTHING]
        for other in others:
            await self.start_if_possible(deployment, other)
        node = self.node(deployment.id, member)
        await node.host.power_on()
        if deployment.again:
            await node.kill()  # The start of an earlier attempt had no effect, so the engine hangs.
        self.health.expect(deployment.id, member.name)
        await node.start()
        with deployment.change() as (tx, status):
            tx.put(status.with_member(replace(status.member(member.name), is_on=True)))
            tx.note("failover.restarted", deployment.subject, node=member.name, epoch=status.epoch, why=step.why)

    async def rejoin(self, deployment: DeploymentAccess, step: Step) -> None:
        """Make the standby follow the leader by starting it, by rewinding it, or by copying the leader."""
        status = deployment.status
        member = status.member(step.node)
        if status.redundancy is Redundancy.SYNCHRONOUS or status.promoting or member.name == status.leader:
            raise ZonalError(f"{member.name} must keep its data: it may be the only node that holds an acknowledged write")
        needs = Preparation.CLONE if member.needs is Preparation.NOTHING and deployment.again >= 2 else member.needs
        node = self.node(deployment.id, member)
        await node.host.power_on()
        origin = Origin(status.leader, status.leading.place.management_address, deployment.spec.port)
        done = await self._bring_over(node, needs, origin, deployment)
        if needs is not member.needs:
            done = Rejoined(done.how, "it was started again and does not follow")
        revised = deployment.revised(member) if needs is not Preparation.NOTHING else member
        if revised != member:
            await node.host.power_off()  # A host mounts another installation at its next power-on.
            node = self.node(deployment.id, revised)
            await node.host.power_on()
        with deployment.change() as (tx, status):
            tx.put(status.with_member(replace(revised, needs=Preparation.NOTHING, is_on=True, unfenced=False)))
            reason = {"why": done.why} if done.why else {}
            deployment.note(
                tx, {"rewound": "node.rejoined", "cloned": "node.cloned"}.get(done.how, "node.started"), member, how=done.how, **reason
            )
        self.watch_again(deployment)
        self.health.expect(deployment.id, member.name)
        await node.start()

    async def _bring_over(self, node: Node, needs: Preparation, origin: Origin, deployment: DeploymentAccess) -> Rejoined:
        if needs is Preparation.REJOIN:
            await node.kill()
            return await node.rejoin(origin, deployment.secrets)
        if needs is Preparation.CLONE:
            await node.kill()
            await node.clone(origin, deployment.secrets)
            return Rejoined("cloned")
        if deployment.again:
            await node.kill()
        await node.follow(origin, deployment.secrets)
        return Rejoined("started")

    async def restore(self, deployment: DeploymentAccess, step: Step) -> None:
        """Make the leader require the standby, wait until the standby holds everything, and only then record `synchronous`."""
        status = deployment.status
        assert not status.promoting
        leader = self.node(deployment.id, status.leading)
        try:
            async with asyncio.timeout(REQUIRE_SECONDS):
                await leader.require((step.node,))
            await self._confirm(deployment.id, status.leader, step.node)
        except (NotConfirmed, TimeoutError) as error:
            await self.relax(deployment, status)
            raise NotConfirmed(f"{step.node} does not confirm that it holds everything that {status.leader} has: {error}") from error
        with deployment.change() as (tx, now):
            assert (now.leader, now.epoch, now.promoting) == (status.leader, status.epoch, "")
            now = replace(now, redundancy=Redundancy.SYNCHRONOUS, why="")
            tx.put(now)
            deployment.note_redundancy(tx, now, f"{step.node} holds every write that {now.leader} acknowledged, and is required")

    async def _confirm(self, id: str, leader: str, standby: str) -> None:
        """Wait until the leader reports the standby as required and confirming, and the standby has reached the leader's position of then.

        Raises `NotConfirmed`.
        """
        goal: int | None = None
        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                while True:
                    ahead = serving(await self.health.probe_now(id, leader))
                    if ahead and standby in ahead.required and standby in ahead.synchronous:
                        goal = ahead.position if goal is None else goal
                        behind = serving(await self.health.probe_now(id, standby))
                        if behind and (goal is None or (behind.position or 0) >= goal):
                            return
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise NotConfirmed(f"timed out after {CONFIRM_SECONDS:g} s") from None

    async def fence(self, deployment: DeploymentAccess, step: Step) -> None:
        """End the engine of a node that must not take writes; the node has to rejoin."""
        member = deployment.status.member(step.node)
        how = await self._end(deployment, member)
        self.health.forget(deployment.id, member.name)
        with deployment.change() as (tx, status):
            tx.note("failover.decided", deployment.subject, action="fence", node=member.name, why=step.why, epoch=status.epoch)
            member = status.member(member.name)
            if member.name != status.leader:
                tx.put(
                    status.with_member(
                        replace(member, needs=Preparation.CLONE if member.needs is Preparation.CLONE else Preparation.REJOIN)
                    )
                )
            self._record_fence(deployment, member.name, how, step.why)
