"""Deployments: one engine's nodes in several zones, with roles, kept as they are wanted whatever happens to them.

The story of a convergence: read what is wanted and how it stands; take what was seen of the nodes; `planning.plan` gives one step and the
reason; `steps.Steps` does it; again, until there is nothing to do or something to wait for. Between two steps nothing is remembered
that is not in the store, except what is only a matter of patience: so a region may be killed anywhere and the next one goes on.

A long copy of data is watched while it runs: when the plan turns to something urgent (the leader dies), the copy is broken off.
A step that failed is not tried again before a pause, however often the looks at its nodes say that nothing has changed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec.structs import replace

from zonal.control.acting import Announcer, Nodes
from zonal.control.deployment import Member, Phase, Power, Standing, Wanted
from zonal.control.failover import Condition, Limits, Look, Redundancy, judge
from zonal.control.health import Health, Pace
from zonal.control.planning import URGENT, Seen, Step, Work, plan, view
from zonal.control.steps import Steps
from zonal.control.succession import FENCE_SECONDS
from zonal.engines.node import HostUnreachable, Monitors
from zonal.foundation.clock import Clock
from zonal.foundation.errors import ZonalError
from zonal.foundation.settings import Settings
from zonal.records.store import Record, Store

_log = logging.getLogger(__name__)

LONG = frozenset({Work.LAY_OUT, Work.REJOIN_STANDBY, Work.RESTORE_SYNCHRONOUS})
"""Steps that may take long and are broken off for something urgent."""

MOST_STEPS = 60
"""More steps than this in one convergence cannot be right."""

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
UNREACHABLE_PAUSE_SECONDS = 0.5
CUT_OFF_SECONDS = 2 * FENCE_SECONDS
FLAPS_REMEMBERED_SECONDS = 60.0
LONGEST_HOLD_SECONDS = 30.0


class Deployments:
    """The reconciler of deployments (`reconciler.Reconciler`). Close it after the driver."""

    name = "deployments"
    kinds: Sequence[type[Record]] = (Wanted, Standing)

    def __init__(
        self,
        store: Store,
        nodes: Nodes,
        monitors: Monitors,
        announcer: Announcer,
        *,
        zones: Iterable[str],
        settings: Settings,
        clock: Clock,
        beacons: Mapping[str, str] | None = None,
    ) -> None:
        self._store = store
        self._nodes = nodes
        self._clock = clock
        self.limits = Limits(misses=settings.probe_misses)
        pace = Pace(interval=settings.probe_interval_seconds, timeout=settings.probe_timeout_seconds)
        self.health = Health(monitors, zones=zones, pace=pace, clock=clock, changed=self._seen_anew, beacons=beacons)
        self._steps = Steps(store, nodes, self.health, announcer)
        self._memories: dict[str, _Memory] = defaultdict(_Memory)
        self._nudge: Callable[[str], None] = lambda _: None

    def nudged_by(self, nudge: Callable[[str], None]) -> None:
        """What to call with a deployment's id when something about it was seen: the driver's nudge for this reconciler."""
        self._nudge = nudge

    def key_of(self, kind: str, id: str) -> str | None:
        self._memories[id].changed.set()
        return id

    def zone_changed(self) -> None:
        """A zone was recovered: what could not be reached may be reachable now, so nothing pauses any longer."""
        for id, memory in list(self._memories.items()):
            memory.not_before = 0.0
            memory.obstacle = ""
            memory.fence_not_before.clear()
            self._seen_anew(id)

    async def close(self) -> None:
        """Stop looking. What runs goes on."""
        await self.health.close()

    async def converge(self, key: str) -> float | None:
        memory = self._memories[key]
        for _ in range(MOST_STEPS):
            self._watch(key)
            step = self._plan(key)
            memory.plans(step)
            self._note_gone(key, memory)
            if step.work is Work.REST:
                self._rested(key, memory)
                return self._fence_pause(key)
            if step.work is Work.WAIT:
                self._say(key, step)
                return self._fence_pause(key)
            if step.work is Work.FENCE:
                await self._fence(key, step, memory)
                continue
            pause = memory.pause(step, self._clock.monotonic())
            if pause > 0.001:  # A rest of rounding is no pause.
                return pause
            try:
                await self._do(key, step, memory)
            except HostUnreachable as error:
                memory.failed(step, self._clock.monotonic(), UNREACHABLE_PAUSE_SECONDS)
                memory.obstacle = str(error)
                self._say(key, step, f"{step.why}; {error}" if step.why else str(error))
                return UNREACHABLE_PAUSE_SECONDS
            except Exception as error:
                memory.failed(step, self._clock.monotonic(), memory.backing_off(step))
                self._tell_failure(key, step, memory, error)
                raise
            memory.done(step, self._clock.monotonic())
        raise ZonalError(f"{key} took {MOST_STEPS} steps and is not done; the last was '{step.work}' ({step.why})")

    def why(self, id: str) -> str:
        """What a deployment does or waits for at present, in words, or nothing.

        It comes from the latest plan, not from the record: `Standing.why` is the reason that the journal was last given, and may be over.
        """
        memory = self._memories.get(id)
        if memory is None or memory.step is None or memory.step.work is Work.REST:
            return ""
        return "; ".join(part for part in (memory.step.why, memory.obstacle) if part)

    def condition(self, id: str, node: str) -> Condition:
        """How a node was last seen, by vote."""
        wanted, standing = self._store.get(Wanted, id), self._store.get(Standing, id)
        if wanted is None or standing is None or not standing.is_led:
            return Condition.UNSURE
        seen = view(wanted, standing, self._seen(id, standing))
        for each in (seen.leader, seen.standby):
            if each is not None and each.name == node:
                return judge(each, seen.hearing, self.limits)
        return Condition.UNSURE

    def _plan(self, id: str) -> Step:
        wanted, standing = self._store.get(Wanted, id), self._store.get(Standing, id)
        seen = self._seen(id, standing)
        return plan(wanted, standing, seen, self.limits, resumed=self._memories[id].resumed)

    def _seen(self, id: str, standing: Standing | None) -> Seen:
        looks: dict[str, tuple[Look, ...]] = {}
        if standing is not None:
            looks = {member.name: self.health.looks(id, member.name) for member in standing.members}
        wanted = self._store.get(Wanted, id)
        ordered = self._nodes.ordered_settings(wanted) if wanted is not None else {}
        return Seen(looks, self.health.hearing(), self._reachable(id, standing), ordered)

    def _reachable(self, id: str, standing: Standing | None) -> frozenset[str]:
        """The nodes that may have to be fenced or removed and whose hosts can be acted on, except those for which that has just failed.

        Nobody else is asked: a node that is being revised is another one than what is recorded of it.
        """
        wanted = self._store.get(Wanted, id)
        if wanted is None or standing is None:
            return frozenset()
        now, not_before = self._clock.monotonic(), self._memories[id].fence_not_before
        members = [member for member in standing.members if self._is_suspect(id, standing, member)]
        members = [member for member in members if not_before.get(member.name, 0.0) <= now]
        return frozenset(member.name for member in members if self._nodes.node(wanted, member).host.is_reachable)

    def _watch(self, id: str) -> None:
        """Look at the nodes of a deployment while it runs, and not otherwise."""
        wanted, standing = self._store.get(Wanted, id), self._store.get(Standing, id)
        watched = (Phase.CREATING, Phase.STARTING, Phase.RUNNING)
        if wanted is None or wanted.power is Power.GONE or standing is None or standing.phase not in watched:
            self.health.watch(id, {})
            self._memories[id].resumed = False
            return
        self.health.watch(id, {member.name: self._nodes.node(wanted, member) for member in standing.members})

    def _is_suspect(self, id: str, standing: Standing, member: Member) -> bool:
        if member.unfenced or member.name == standing.leader:
            return member.unfenced
        takes_writes = any(look.sighting.writable for look in self.health.looks(id, member.name))
        return takes_writes or standing.redundancy is Redundancy.SINGLE

    async def _fence(self, id: str, step: Step, memory: _Memory) -> None:
        """Cut a node off. Where that fails it is tried again after a pause, in which everything else goes on: no failover waits for it."""
        try:
            await self._steps.run(id, step)
        except Exception as error:  # Whatever it is, it must not hold up the deployment.
            _log.warning("%s could not be fenced", step.node, exc_info=not isinstance(error, HostUnreachable))
            memory.fence_not_before[step.node] = self._clock.monotonic() + UNREACHABLE_PAUSE_SECONDS

    def _fence_pause(self, id: str) -> float | None:
        """When to look again whether a node can be fenced; None where none has to be."""
        standing = self._store.get(Standing, id)
        return UNREACHABLE_PAUSE_SECONDS if standing and any(member.unfenced for member in standing.members) else None

    async def _do(self, id: str, step: Step, memory: _Memory) -> None:
        if step.work in LONG:
            self._unsay(id, step)
        await self._do_watched(id, step, memory, memory.again(step))
        if step.work in (Work.RESUME, Work.LAY_OUT, Work.START):
            memory.resumed = True

    async def _do_watched(self, id: str, step: Step, memory: _Memory, again: int) -> None:
        """Do a step. A long one is broken off as soon as something urgent is planned instead; beside any other, a node that has to be
        fenced is. A promotion begins with an attempt to cut the old leader off, and is left alone for as long as that takes."""
        alone_until = self._clock.monotonic() + (CUT_OFF_SECONDS if step.work is Work.PROMOTE else 0.0)
        task = asyncio.create_task(self._steps.run(id, step, again=again), name=f"{step.work} {step.node}")
        change: asyncio.Task[bool] | None = None
        try:
            while not task.done():
                memory.changed.clear()
                planned = self._plan(id)
                if step.work in LONG and planned.work in URGENT:
                    return
                if planned.work is Work.FENCE and self._clock.monotonic() >= alone_until:
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

    def _say(self, id: str, step: Step, why: str = "") -> None:
        """Record what is waited for, once; passing situations are not worth a record."""
        standing, wanted = self._store.get(Standing, id), self._store.get(Wanted, id)
        if step.quiet and not why:
            return
        why = why or step.why
        if standing is None or wanted is None or standing.why == why:
            return
        with self._store.transaction() as tx:
            tx.put(replace(standing, why=why))
            tx.note("failover.waiting", wanted.subject, node=step.node, why=why, epoch=standing.epoch)

    def _tell_failure(self, id: str, step: Step, memory: _Memory, error: Exception) -> None:
        """Show what a step fails with that has failed before; the driver's journal has every failure."""
        standing = self._store.get(Standing, id)
        why = f"{step.why or step.work}: {error or type(error).__name__}"
        if standing is not None and memory.fails_again() and standing.why != why:
            with self._store.transaction() as tx:
                tx.put(replace(standing, why=why))

    def _unsay(self, id: str, step: Step) -> None:
        """What was waited for earlier is not what keeps a long step busy: tell what it does. One that is tried again has told already."""
        standing = self._store.get(Standing, id)
        if standing is not None and standing.why and step.why and not standing.why.startswith(step.why):
            with self._store.transaction() as tx:
                tx.put(replace(standing, why=step.why))

    def _rested(self, id: str, memory: _Memory) -> None:
        memory.repeats.clear()
        standing = self._store.get(Standing, id)
        if standing is None:
            self._memories.pop(id, None)
        elif standing.why:
            with self._store.transaction() as tx:
                tx.put(replace(standing, why=""))

    def _note_gone(self, id: str, memory: _Memory) -> None:
        """Journal, once each time, that the monitoring hosts agree that a node is gone."""
        wanted, standing = self._store.get(Wanted, id), self._store.get(Standing, id)
        if wanted is None or standing is None or standing.phase is not Phase.RUNNING or not memory.resumed:
            return
        seen = view(wanted, standing, self._seen(id, standing))
        for each in (seen.leader, seen.standby):
            if each is None:
                continue
            condition = judge(each, seen.hearing, self.limits)
            if condition not in (Condition.DEAD, Condition.LOST):
                memory.gone.discard(each.name)
            elif each.name not in memory.gone and not each.needs:
                memory.gone.add(each.name)
                votes = {look.zone: f"{look.answer}, {look.in_a_row} in a row" for look in each.looks}
                fields = {"node": each.name, "zone": each.zone, "condition": condition, "leads": each.name == standing.leader}
                with self._store.transaction() as tx:
                    tx.note("failover.detected", wanted.subject, votes=votes, epoch=standing.epoch, **fields)


class _Memory:
    """What this process remembers of a deployment: only matters of patience, nothing that must not be lost."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.resumed = False
        self.gone: set[str] = set()
        self.repeats: dict[tuple[Work, str], int] = {}
        self.not_before = 0.0
        self.step: Step | None = None
        self.obstacle = ""
        """Why the host that the step needs cannot be reached; empty as soon as a zone was recovered or another step is planned."""
        self.fence_not_before: dict[str, float] = {}
        self._failed: tuple[Work, str] | None = None
        self._failures = 0
        self._went_alone: deque[float] = deque(maxlen=16)

    def plans(self, step: Step) -> None:
        """The latest plan."""
        if self.step is None or _key(self.step) != _key(step):
            self.obstacle = ""
        self.step = step

    def again(self, step: Step) -> int:
        """How often this step was done since the deployment last had nothing to do."""
        return self.repeats.get((step.work, step.node), 0)

    def pause(self, step: Step, now: float) -> float:
        """How long to wait before this step, if it failed a moment ago or the deployment flaps."""
        if step.work is Work.RESTORE_SYNCHRONOUS:
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
        if step.work is Work.GO_ALONE:
            self._went_alone.append(now)

    def _hold_until(self) -> float:
        """A standby that keeps going away stalls writes each time: after the first time, it is required again later and later."""
        if len(self._went_alone) < 2:
            return 0.0
        latest = self._went_alone[-1]
        flaps = sum(latest - moment < FLAPS_REMEMBERED_SECONDS for moment in self._went_alone) - 1
        return latest + min(float(2**flaps), LONGEST_HOLD_SECONDS) if flaps else 0.0


def _key(step: Step) -> tuple[Work, str]:
    return step.work, step.node
