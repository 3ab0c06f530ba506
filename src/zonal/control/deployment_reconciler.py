"""Reconciles deployments: one engine's nodes in several zones, with roles.

A convergence repeats one cycle until nothing is left to do or something has to be waited for: read spec and status, take the latest probes,
plan one step (`deployment_plan.plan`), carry it out (`step_table.StepTable`). Between two steps all state is in the store, except counters
for back-off and waiting, so a region may be killed anywhere and the next one continues.

While a long copy of data runs, the plan is computed again after each change; an urgent step (the leader died) interrupts the copy. A step
that failed is tried again only after a pause, however many probes arrive meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec.structs import replace

from zonal.control.deployment_plan import URGENT, Observation, Step, StepKind, failover_view, plan
from zonal.control.deployment_records import DeploymentSpec, DeploymentStatus, Member, Phase, Power
from zonal.control.failover import NodeCondition, ProbeHistory, Redundancy, VoteLimits, judge
from zonal.control.failover_steps import FENCE_SECONDS
from zonal.control.health import HealthMonitor, ProbeTiming
from zonal.control.owners import Owners
from zonal.control.step_context import Announcer, NodeProvider
from zonal.control.step_table import StepTable
from zonal.engines.node import HostUnreachable, Monitors
from zonal.foundation.clock import Clock
from zonal.foundation.errors import ZonalError
from zonal.foundation.settings import Settings
from zonal.records.store import Record, Store

_log = logging.getLogger(__name__)

LONG = frozenset({StepKind.LAY_OUT, StepKind.REJOIN_STANDBY, StepKind.RESTORE_SYNCHRONOUS})
"""Steps that may take long and are interrupted by an urgent one."""

MOST_STEPS = 60
"""Bound of the steps in one convergence; more mean that the steps have no effect."""

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
UNREACHABLE_PAUSE_SECONDS = 0.5
CUT_OFF_SECONDS = 2 * FENCE_SECONDS
FLAPS_REMEMBERED_SECONDS = 60.0
LONGEST_HOLD_SECONDS = 30.0


class DeploymentReconciler:
    """The reconciler of deployments (`reconciler.Reconciler`). Close it after the driver."""

    name = "deployments"
    kinds: Sequence[type[Record]] = (DeploymentSpec, DeploymentStatus)

    def __init__(
        self,
        store: Store,
        nodes: NodeProvider,
        monitors: Monitors,
        announcer: Announcer,
        owners: Owners,
        *,
        zones: Iterable[str],
        settings: Settings,
        clock: Clock,
        monitor_addresses: Mapping[str, str] | None = None,
    ) -> None:
        self._store = store
        self._nodes = nodes
        self._clock = clock
        self._owners = owners
        self.limits = VoteLimits(misses=settings.probe_misses)
        pace = ProbeTiming(interval=settings.probe_interval_seconds, timeout=settings.probe_timeout_seconds)
        self.health = HealthMonitor(
            monitors, zones=zones, pace=pace, clock=clock, changed=self._seen_anew, monitor_addresses=monitor_addresses
        )
        self._steps = StepTable(store, nodes, self.health, announcer, owners)
        self._memories: dict[str, _RetryState] = defaultdict(_RetryState)
        self._nudge: Callable[[str], None] = lambda _: None

    def nudged_by(self, nudge: Callable[[str], None]) -> None:
        """Register the driver's nudge, which is called with a deployment's id after a probe with news."""
        self._nudge = nudge

    def key_of(self, kind: str, id: str) -> str | None:
        self._memories[id].changed.set()
        return id

    def zone_changed(self) -> None:
        """End every pause, because hosts in the recovered zone may be reachable again."""
        for id, memory in list(self._memories.items()):
            memory.not_before = 0.0
            memory.obstacle = ""
            memory.fence_not_before.clear()
            self._seen_anew(id)

    async def close(self) -> None:
        """Stop probing. The engines keep running."""
        await self.health.close()

    async def converge(self, key: str) -> float | None:
        memory = self._memories[key]
        for _ in range(MOST_STEPS):
            self._watch(key)
            step = self._plan(key)
            memory.plans(step)
            self._note_removed(key, memory)
            if step.work is StepKind.REST:
                self._rested(key, memory)
                return self._fence_pause(key)
            if step.work is StepKind.WAIT:
                self._record_reason(key, step)
                return self._fence_pause(key)
            if step.work is StepKind.FENCE:
                await self._fence(key, step, memory)
                continue
            pause = memory.pause(step, self._clock.monotonic())
            if pause > 0.001:  # Less is a rounding error.
                return pause
            try:
                await self._do(key, step, memory)
            except HostUnreachable as error:
                memory.failed(step, self._clock.monotonic(), UNREACHABLE_PAUSE_SECONDS)
                memory.obstacle = str(error)
                self._record_reason(key, step, f"{step.why}; {error}" if step.why else str(error))
                return UNREACHABLE_PAUSE_SECONDS
            except Exception as error:
                memory.failed(step, self._clock.monotonic(), memory.backing_off(step))
                self._tell_failure(key, step, memory, error)
                raise
            memory.done(step, self._clock.monotonic())
        raise ZonalError(f"{key} is not reconciled after {MOST_STEPS} steps; the last step was '{step.work}' ({step.why})")

    def why(self, id: str) -> str:
        """The reason of the step that a deployment carries out or waits for at present; empty where it rests.

        It comes from the latest plan: `DeploymentStatus.why` is the reason journalled last and may not hold any more.
        """
        memory = self._memories.get(id)
        if memory is None or memory.step is None or memory.step.work is StepKind.REST:
            return ""
        return "; ".join(part for part in (memory.step.why, memory.obstacle) if part)

    def condition(self, id: str, node: str) -> NodeCondition:
        """The condition of a node by the vote of the latest probes."""
        spec, status = self._store.get(DeploymentSpec, id), self._store.get(DeploymentStatus, id)
        if spec is None or status is None or not status.is_led:
            return NodeCondition.UNSURE
        seen = failover_view(spec, status, self._seen(id, status))
        for each in (seen.leader, seen.standby):
            if each is not None and each.name == node:
                return judge(each, seen.connected_zones, self.limits)
        return NodeCondition.UNSURE

    def _plan(self, id: str) -> Step:
        spec, status = self._store.get(DeploymentSpec, id), self._store.get(DeploymentStatus, id)
        seen = self._seen(id, status)
        memory = self._memories[id]
        limits = self.limits
        if status is not None and status.is_led and status.standby is not None:
            limits = limits.after_rejoining(memory.again(Step(StepKind.REJOIN_STANDBY, status.standby.name)))
        return plan(spec, status, seen, limits, resumed=memory.resumed)

    def _seen(self, id: str, status: DeploymentStatus | None) -> Observation:
        histories: dict[str, tuple[ProbeHistory, ...]] = {}
        if status is not None:
            histories = {member.name: self.health.histories(id, member.name) for member in status.members}
        spec = self._store.get(DeploymentSpec, id)
        ordered = self._nodes.ordered_settings(spec) if spec is not None else {}
        return Observation(histories, self.health.connected_zones(), self._reachable(id, status), ordered)

    def _reachable(self, id: str, status: DeploymentStatus | None) -> frozenset[str]:
        """The nodes that may have to be fenced or removed and whose hosts are reachable, except those for which that has just failed.

        Other nodes are not looked up: while a node is being revised, its record still describes the former revision.
        """
        spec = self._store.get(DeploymentSpec, id)
        if spec is None or status is None:
            return frozenset()
        now, not_before = self._clock.monotonic(), self._memories[id].fence_not_before
        members = [member for member in status.members if self._is_suspect(id, status, member)]
        members = [member for member in members if not_before.get(member.name, 0.0) <= now]
        return frozenset(member.name for member in members if self._nodes.node(spec, member).host.is_reachable)

    def _watch(self, id: str) -> None:
        """Probe the nodes of a deployment exactly while it runs."""
        spec, status = self._store.get(DeploymentSpec, id), self._store.get(DeploymentStatus, id)
        watched = (Phase.CREATING, Phase.STARTING, Phase.RUNNING)
        if spec is None or spec.power is Power.DELETED or status is None or status.phase not in watched:
            self.health.watch(id, {})
            self._memories[id].resumed = False
            return
        self.health.watch(id, {member.name: self._nodes.node(spec, member) for member in status.members})

    def _is_suspect(self, id: str, status: DeploymentStatus, member: Member) -> bool:
        if member.unfenced or member.name == status.leader:
            return member.unfenced
        takes_writes = any(history.latest.writable for history in self.health.histories(id, member.name))
        return takes_writes or status.redundancy is Redundancy.SINGLE

    async def _fence(self, id: str, step: Step, memory: _RetryState) -> None:
        """Fence a node. After a failure it is tried again after a pause, and other steps run meanwhile: no failover waits for it."""
        try:
            await self._steps.run(id, step)
        except Exception as error:  # No failure to fence may block the deployment.
            _log.warning("%s could not be fenced", step.node, exc_info=not isinstance(error, HostUnreachable))
            memory.fence_not_before[step.node] = self._clock.monotonic() + UNREACHABLE_PAUSE_SECONDS

    def _fence_pause(self, id: str) -> float | None:
        """Seconds until the next attempt to fence a node; None where none has to be fenced."""
        status = self._store.get(DeploymentStatus, id)
        return UNREACHABLE_PAUSE_SECONDS if status and any(member.unfenced for member in status.members) else None

    async def _do(self, id: str, step: Step, memory: _RetryState) -> None:
        if step.work in LONG:
            self._clear_reason(id, step)
        await self._do_watched(id, step, memory, memory.again(step))
        if step.work in (StepKind.RESUME, StepKind.LAY_OUT, StepKind.START):
            memory.resumed = True

    async def _do_watched(self, id: str, step: Step, memory: _RetryState, again: int) -> None:
        """Carry out a step. An urgent plan interrupts a long step; fencing runs beside any other step.

        A promotion begins with its own attempt to fence the old leader, so no second one runs within `CUT_OFF_SECONDS`.
        """
        alone_until = self._clock.monotonic() + (CUT_OFF_SECONDS if step.work is StepKind.PROMOTE else 0.0)
        task = asyncio.create_task(self._steps.run(id, step, again=again), name=f"{step.work} {step.node}")
        change: asyncio.Task[bool] | None = None
        try:
            while not task.done():
                memory.changed.clear()
                planned = self._plan(id)
                if step.work in LONG and planned.work in URGENT:
                    return
                if planned.work is StepKind.FENCE and self._clock.monotonic() >= alone_until:
                    await self._fence(id, planned, memory)
                    continue
                change = asyncio.create_task(memory.changed.wait(), name=f"changes of {id}")
                await asyncio.wait({task, change}, timeout=self._fence_pause(id), return_when=asyncio.FIRST_COMPLETED)
                change.cancel()
            await task
        finally:
            unfinished = {each for each in (task, change) if each is not None and not each.done()}
            for each in unfinished:
                each.cancel()
            if unfinished:
                await asyncio.wait(unfinished)

    def _seen_anew(self, id: str) -> None:
        self._memories[id].changed.set()
        self._nudge(id)

    def _record_reason(self, id: str, step: Step, why: str = "") -> None:
        """Record the reason for waiting, once; that of a quiet step is not recorded."""
        status, spec = self._store.get(DeploymentStatus, id), self._store.get(DeploymentSpec, id)
        if step.quiet and not why:
            return
        why = why or step.why
        if status is None or spec is None or status.why == why:
            return
        with self._store.transaction() as tx:
            tx.put(replace(status, why=why))
            tx.note("failover.waiting", self._owners.arn(spec.owner), node=step.node, why=why, epoch=status.epoch)

    def _tell_failure(self, id: str, step: Step, memory: _RetryState, error: Exception) -> None:
        """Record the error of a step that failed at least twice; the driver journals every failure."""
        status = self._store.get(DeploymentStatus, id)
        why = f"{step.why or step.work}: {error or type(error).__name__}"
        if status is not None and memory.fails_again() and status.why != why:
            with self._store.transaction() as tx:
                tx.put(replace(status, why=why))

    def _clear_reason(self, id: str, step: Step) -> None:
        """Replace the former reason for waiting by the reason of a long step that begins, unless it is a repetition of the same step."""
        status = self._store.get(DeploymentStatus, id)
        if status is not None and status.why and step.why and not status.why.startswith(step.why):
            with self._store.transaction() as tx:
                tx.put(replace(status, why=step.why))

    def _rested(self, id: str, memory: _RetryState) -> None:
        memory.repeats.clear()
        status = self._store.get(DeploymentStatus, id)
        if status is None:
            self._memories.pop(id, None)
        elif status.why:
            with self._store.transaction() as tx:
                tx.put(replace(status, why=""))

    def _note_removed(self, id: str, memory: _RetryState) -> None:
        """Journal that the monitoring hosts agree that a node is dead or lost, once each time."""
        spec, status = self._store.get(DeploymentSpec, id), self._store.get(DeploymentStatus, id)
        if spec is None or status is None or status.phase is not Phase.RUNNING or not memory.resumed:
            return
        seen = failover_view(spec, status, self._seen(id, status))
        for each in (seen.leader, seen.standby):
            if each is None:
                continue
            condition = judge(each, seen.connected_zones, self.limits)
            if condition not in (NodeCondition.DEAD, NodeCondition.LOST):
                memory.gone.discard(each.name)
            elif each.name not in memory.gone and not each.needs:
                memory.gone.add(each.name)
                votes = {history.zone: f"{history.status}, {history.in_a_row} in a row" for history in each.histories}
                fields = {"node": each.name, "zone": each.zone, "condition": condition, "leads": each.name == status.leader}
                with self._store.transaction() as tx:
                    tx.note("failover.detected", self._owners.arn(spec.owner), votes=votes, epoch=status.epoch, **fields)


class _RetryState:
    """A deployment's counters for back-off and waiting. They are lost with the process, which is safe."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.resumed = False
        self.gone: set[str] = set()
        self.repeats: dict[tuple[StepKind, str], int] = {}
        self.not_before = 0.0
        self.step: Step | None = None
        self.obstacle = ""
        """Why the step's host is unreachable; empty once a zone is recovered or another step is planned."""
        self.fence_not_before: dict[str, float] = {}
        self._failed: tuple[StepKind, str] | None = None
        self._failures = 0
        self._went_alone: deque[float] = deque(maxlen=16)

    def plans(self, step: Step) -> None:
        """Record the latest plan."""
        if self.step is None or _key(self.step) != _key(step):
            self.obstacle = ""
        self.step = step

    def again(self, step: Step) -> int:
        """How often this step was carried out since the deployment last rested."""
        return self.repeats.get((step.work, step.node), 0)

    def pause(self, step: Step, now: float) -> float:
        """Seconds to wait before this step, because it failed a moment ago or the standby flaps."""
        if step.work is StepKind.RESTORE_SYNCHRONOUS:
            return max(self._hold_until() - now, self.not_before - now if self._failed == _key(step) else 0.0)
        return self.not_before - now if self._failed == _key(step) else 0.0

    def failed(self, step: Step, now: float, pause: float) -> None:
        self._failures = self._failures + 1 if self._failed == _key(step) else 1
        self._failed = _key(step)
        self.not_before = now + pause

    def fails_again(self) -> bool:
        """Whether the last step that failed had failed before."""
        return self._failures >= 2

    def backing_off(self, step: Step) -> float:
        failures = self._failures if self._failed == _key(step) else 0
        return min(FIRST_PAUSE_SECONDS * float(2 ** min(failures, 10)), LONGEST_PAUSE_SECONDS)

    def done(self, step: Step, now: float) -> None:
        self.repeats[_key(step)] = self.again(step) + 1
        self._failed, self._failures, self.not_before = None, 0, 0.0
        self.obstacle = ""
        if step.work is StepKind.GO_ALONE:
            self._went_alone.append(now)

    def _hold_until(self) -> float:
        """When a flapping standby may be required again: each loss of a required standby stalls writes, so the wait doubles."""
        if len(self._went_alone) < 2:
            return 0.0
        latest = self._went_alone[-1]
        flaps = sum(latest - moment < FLAPS_REMEMBERED_SECONDS for moment in self._went_alone) - 1
        return latest + min(float(2**flaps), LONGEST_HOLD_SECONDS) if flaps else 0.0


def _key(step: Step) -> tuple[StepKind, str]:
    return step.work, step.node
