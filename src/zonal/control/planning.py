"""What to do next about a deployment: one step, from what is wanted, how it stands, and what was seen. Nothing here does IO.

Health comes first: what `failover.decide` says is urgent precedes every wish. Wishes (a password, a second node, a restart, another
version) are fulfilled while the leader is up. A wish that needs a standby restarted goes through the same safe states as a fault would:
alone, rejoin, synchronous, promote.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
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
    SETTLE = "settle"
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
    can be acted on. `ordered_settings` are the values that the engine's ordered settings are to have."""

    looks: dict[str, tuple[Look, ...]]
    hearing: frozenset[str]
    reachable: frozenset[str] = frozenset()
    ordered_settings: Mapping[str, int] = MappingProxyType({})


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
    return _running(wanted, standing, health, limits, seen.ordered_settings)


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


def _running(wanted: Wanted, standing: Standing, seen: View, limits: Limits, ordered: Mapping[str, int]) -> Step:
    case = Case(seen, limits)
    health = decide(seen, limits)
    urgent = _HEALTH[health.action] in URGENT
    if case.leader is not Condition.UP or urgent:
        return _step(health)
    if standing.phase is not Phase.RUNNING:
        return Step(Work.OPEN, standing.leader)
    wish = _wish(wanted, standing, case, ordered)
    return wish if wish is not None else _step(health)


def _step(health: Decision) -> Step:
    return Step(_HEALTH[health.action], health.node, health.why, health.quiet or health.action is Action.NOTHING)


def _wish(wanted: Wanted, standing: Standing, case: Case, ordered: Mapping[str, int]) -> Step | None:
    """What the service wants and the deployment does not have yet; the leader is up."""
    leader, standby = standing.leading, standing.standby
    if wanted.password > standing.password:
        return Step(Work.SET_PASSWORD, leader.name)
    if standby is not None and _is_surplus(wanted, standing, standby) and not _is_left(wanted, standing, case):
        return Step(Work.LEAVE_STANDBY, standby.name, "this standby is not wanted any more")
    if len(wanted.places) > len(standing.members):
        return Step(Work.ADD_STANDBY, why="a standby is wanted")
    if wanted.restart > standing.restarted:
        return Step(Work.RESTART, leader.name, "a restart was asked for")
    return _revision(wanted, standing, case, ordered)


def _is_surplus(wanted: Wanted, standing: Standing, standby: Member) -> bool:
    """Whether there are too many nodes, or another standby is wanted in the place of this one."""
    too_many, as_many = len(standing.members) > len(wanted.places), len(standing.members) == len(wanted.places)
    return too_many or (as_many and standby.name not in {place.name for place in wanted.places})


def _is_left(wanted: Wanted, standing: Standing, case: Case) -> bool:
    """Whether there is to be a single node, and there is, but for a former standby that cannot be removed before its zone returns."""
    standby = standing.standby
    is_single = standing.redundancy is Redundancy.SINGLE and len(wanted.places) == 1
    return is_single and standby is not None and standby.name not in case.view.reachable


def _revision(wanted: Wanted, standing: Standing, case: Case, ordered: Mapping[str, int]) -> Step | None:
    """Bring nodes to what is wanted now: the standby first, then it leads, then the other; and settings that only get lower the leader
    first. A standby holds the ordered settings as large as its leader's, so lowered ones come into force on the leader first, whatever
    else changes, and a revision is settled when they are in force everywhere. One that failed is not tried again."""
    if wanted.revision == standing.failed_revision:
        return None
    leader, standby = standing.leading, None if standing.redundancy is Redundancy.SINGLE else standing.standby
    why = f"the deployment is to run {wanted.engine} {wanted.engine_version} with {wanted.memory_bytes >> 20} MiB"
    lower, higher = _compared(case.report, ordered)
    only_lower = lower and not higher and leader.engine_version == wanted.engine_version
    if leader.revision != wanted.revision and (standby is None or only_lower):
        return Step(Work.REVISE, leader.name, f"{why}; lowered settings go to the leader first" if standby else why)
    if standby is not None and standby.needs is Needs.NOTHING and standby.revision != wanted.revision:
        return _restart_standby(standing, standby, why)
    if leader.revision != wanted.revision:
        return Step(Work.PROMOTE, standby.name, why) if standby is not None and case.may_promote else None
    if standing.settled_revision == wanted.revision:
        return None
    if lower:
        return Step(Work.REVISE, leader.name, "lowered settings go to the leader first")
    if standby is not None and case.standby is not Condition.UP:
        return None
    if standby is not None and _compared(case.standby_report, ordered).lower:
        return _restart_standby(standing, standby, "lowered settings are in force on the leader; the standby follows")
    return Step(Work.SETTLE, leader.name)


def _restart_standby(standing: Standing, standby: Member, why: str) -> Step:
    """A standby is restarted only while nothing waits for it."""
    return Step(Work.GO_ALONE if standing.redundancy is Redundancy.SYNCHRONOUS else Work.REVISE, standby.name, why)


class _Compared(NamedTuple):
    """Whether what is wanted is lower, and whether it is higher, than what a node has in force, in any of the ordered settings."""

    lower: bool
    higher: bool


def _compared(report: Look | None, ordered: Mapping[str, int]) -> _Compared:
    known = dict(report.sighting.ordered_settings) if report else {}
    pairs = [(known[name], value) for name, value in ordered.items() if name in known]
    return _Compared(any(value < now for now, value in pairs), any(value > now for now, value in pairs))
