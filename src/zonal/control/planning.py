"""What to do next about a deployment: one step, from what is wanted, how it stands, and what was seen. Nothing here does IO.

Health comes first: what `failover.decide` says is urgent precedes every wish. Wishes (a password, a second node, a restart, another
version) are fulfilled while the leader is up. A wish that needs a standby restarted goes through the same safe states as a fault would:
alone, rejoin, synchronous, promote.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from zonal.control.deployment import Member, Needs, Phase, Power, Standing, Wanted
from zonal.control.failover import Action, Case, Condition, Decision, Limits, Look, NodeView, Redundancy, View, decide


class Work(StrEnum):
    """A kind of step."""

    REST = "rest"
    WAIT = "wait"
    BEGIN = "begin"
    LAY_OUT = "lay-out"
    OPEN = "open"
    ANNOUNCE = "announce"
    RESUME = "resume"
    STOP = "stop"
    START = "start"
    DESTROY = "destroy"
    FORGET = "forget"
    PROMOTE = "promote"
    GO_ALONE = "go-alone"
    RESTART_IN_PLACE = "restart-in-place"
    REJOIN_STANDBY = "rejoin-standby"
    RESTORE_SYNCHRONOUS = "restore-synchronous"
    FENCE = "fence"
    ADD_STANDBY = "add-standby"
    LEAVE_STANDBY = "leave-standby"
    RESTART = "restart"
    REVISE = "revise"
    SET_PASSWORD = "set-password"


URGENT = frozenset({Work.PROMOTE, Work.GO_ALONE, Work.RESTART_IN_PLACE, Work.FENCE, Work.DESTROY, Work.STOP})
"""Steps for which a long copy of data is broken off; the copy begins anew afterwards."""

_HEALTH = {
    Action.NOTHING: Work.REST,
    Action.WAIT: Work.WAIT,
    Action.PROMOTE: Work.PROMOTE,
    Action.GO_ALONE: Work.GO_ALONE,
    Action.RESTART_IN_PLACE: Work.RESTART_IN_PLACE,
    Action.REJOIN_STANDBY: Work.REJOIN_STANDBY,
    Action.RESTORE_SYNCHRONOUS: Work.RESTORE_SYNCHRONOUS,
    Action.FENCE: Work.FENCE,
}


class Step(NamedTuple):
    """One thing to do, about one node, for a reason. `quiet` ones are passing and nobody is told of them."""

    work: Work
    node: str = ""
    why: str = ""
    quiet: bool = True


class Seen(NamedTuple):
    """What was seen: the latest looks at each node by its name, the zones whose monitoring hosts hear anybody, and the nodes whose hosts
    can be acted on."""

    looks: dict[str, tuple[Look, ...]]
    hearing: frozenset[str]
    reachable: frozenset[str] = frozenset()


def plan(wanted: Wanted | None, standing: Standing | None, seen: Seen, limits: Limits, *, resumed: bool) -> Step:
    """The next step. `resumed` says whether this process of the region has seen to it already that what should run does."""
    if wanted is None or wanted.power is Power.GONE:
        return _gone(wanted, standing)
    if standing is None:
        return Step(Work.BEGIN)
    if wanted.power is Power.OFF:
        rests = standing.phase is Phase.STOPPED and not any(member.is_on for member in standing.members)
        return Step(Work.REST) if rests else Step(Work.STOP)
    if standing.phase in (Phase.STOPPED, Phase.STOPPING):
        return Step(Work.START)
    if standing.leading.needs is Needs.CREATE:
        return Step(Work.LAY_OUT, standing.leader)
    health = view(wanted, standing, seen)
    if Case(health, limits).to_fence:
        return _step(decide(health, limits))
    if not resumed:
        return Step(Work.RESUME)
    if standing.announced != standing.leader and standing.phase is Phase.RUNNING and not standing.promoting:
        return Step(Work.ANNOUNCE, standing.leader)
    return _running(wanted, standing, health, limits)


def view(wanted: Wanted, standing: Standing, seen: Seen) -> View:
    """What the failover brain sees of a running deployment."""
    standby = standing.standby if standing.redundancy is not Redundancy.SINGLE else None
    return View(
        leader=_node(standing.leading, seen),
        standby=_node(standby, seen) if standby else None,
        redundancy=standing.redundancy,
        hearing=seen.hearing,
        promoting=bool(standing.promoting),
        forced=wanted.failover > standing.failed_over,
        unfenced=tuple(member.name for member in standing.members if member.unfenced),
        reachable=seen.reachable,
    )


def _node(member: Member, seen: Seen) -> NodeView:
    return NodeView(member.name, member.place.zone, seen.looks.get(member.name, ()), member.needs)


def _gone(wanted: Wanted | None, standing: Standing | None) -> Step:
    if standing is None:
        return Step(Work.REST) if wanted is None else Step(Work.FORGET)
    return Step(Work.DESTROY) if standing.members else Step(Work.FORGET)


def _running(wanted: Wanted, standing: Standing, seen: View, limits: Limits) -> Step:
    case = Case(seen, limits)
    health = decide(seen, limits)
    urgent = _HEALTH[health.action] in URGENT
    if case.leader is not Condition.UP or urgent:
        return _step(health)
    if standing.phase is not Phase.RUNNING:
        return Step(Work.OPEN, standing.leader)
    wish = _wish(wanted, standing, case)
    return wish if wish is not None else _step(health)


def _step(health: Decision) -> Step:
    return Step(_HEALTH[health.action], health.node, health.why, health.quiet or health.action is Action.NOTHING)


def _wish(wanted: Wanted, standing: Standing, case: Case) -> Step | None:
    """What the service wants and the deployment does not have yet; the leader is up."""
    leader, standby = standing.leading, standing.standby
    if wanted.password > standing.password:
        return Step(Work.SET_PASSWORD, leader.name)
    if standby is not None and len(wanted.places) < len(standing.members):
        return Step(Work.LEAVE_STANDBY, standby.name, "no standby is wanted any more")
    if len(wanted.places) > len(standing.members):
        return Step(Work.ADD_STANDBY, why="a standby is wanted")
    if wanted.restart > standing.restarted:
        return Step(Work.RESTART, leader.name, "a restart was asked for")
    return _revision(wanted, standing, case)


def _revision(wanted: Wanted, standing: Standing, case: Case) -> Step | None:
    """Bring nodes to what is wanted now: the standby first, then it leads, then the other."""
    leader, standby = standing.leading, standing.standby
    why = f"the deployment is to run {wanted.engine} {wanted.engine_version} with {wanted.memory_bytes >> 20} MiB"
    if standby is not None and standby.needs is Needs.NOTHING and standby.revision < wanted.revision:
        work = Work.GO_ALONE if standing.redundancy is Redundancy.SYNCHRONOUS else Work.REVISE
        return Step(work, standby.name, why)
    if leader.revision < wanted.revision:
        if standby is None:
            return Step(Work.REVISE, leader.name, why)
        if case.may_promote:
            return Step(Work.PROMOTE, standby.name, why)
    return None
