"""Plans the next step of a deployment from its spec, its status and the latest probes. Pure: nothing here does IO.

Health comes first: an urgent action of `failover.decide` precedes every change of the spec. Changes (a password, a second node, a restart,
another version) are carried out while the leader is up. A change that needs the standby restarted passes through the same safe states as a
fault: alone, rejoin, synchronous, promote.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from zonal.control.deployment_records import DeploymentSpec, DeploymentStatus, Member, Phase, Power, Preparation
from zonal.control.failover import (
    FailoverAction,
    FailoverCase,
    FailoverDecision,
    FailoverView,
    NodeCondition,
    NodeView,
    ProbeHistory,
    Redundancy,
    VoteLimits,
    decide,
)


class StepKind(StrEnum):
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


URGENT = frozenset({StepKind.PROMOTE, StepKind.GO_ALONE, StepKind.RESTART_IN_PLACE, StepKind.FENCE, StepKind.DESTROY, StepKind.STOP})
"""Steps that interrupt a long copy of data; the copy starts over afterwards."""

_KIND_OF_ACTION = {
    FailoverAction.NOTHING: StepKind.REST,
    FailoverAction.WAIT: StepKind.WAIT,
    FailoverAction.PROMOTE: StepKind.PROMOTE,
    FailoverAction.GO_ALONE: StepKind.GO_ALONE,
    FailoverAction.RESTART_IN_PLACE: StepKind.RESTART_IN_PLACE,
    FailoverAction.REJOIN_STANDBY: StepKind.REJOIN_STANDBY,
    FailoverAction.RESTORE_SYNCHRONOUS: StepKind.RESTORE_SYNCHRONOUS,
    FailoverAction.FENCE: StepKind.FENCE,
}


class Step(NamedTuple):
    """One step about one node, with its reason. The reason of a `quiet` step is not recorded, because the situation is short."""

    work: StepKind
    node: str = ""
    why: str = ""
    quiet: bool = True


class Observation(NamedTuple):
    """The input from outside the records: the latest probes of each node by its name, the zones whose monitoring hosts reach another zone,
    and the nodes whose hosts are reachable. `ordered_settings` are the values that the spec gives the engine's ordered settings."""

    histories: dict[str, tuple[ProbeHistory, ...]]
    connected_zones: frozenset[str]
    reachable: frozenset[str] = frozenset()
    ordered_settings: Mapping[str, int] = MappingProxyType({})


def plan(spec: DeploymentSpec | None, status: DeploymentStatus | None, seen: Observation, limits: VoteLimits, *, resumed: bool) -> Step:
    """The next step. `resumed` is whether this region process has already started every node that should run."""
    if spec is None or spec.power is Power.DELETED:
        return _deletion_step(spec, status)
    if status is None:
        return Step(StepKind.BEGIN)
    if spec.power is Power.OFF:
        rests = status.phase is Phase.STOPPED and not any(member.is_on for member in status.members)
        return Step(StepKind.REST) if rests else Step(StepKind.STOP)
    if status.phase in (Phase.STOPPED, Phase.STOPPING):
        return Step(StepKind.START)
    if status.leading.needs is Preparation.CREATE:
        return Step(StepKind.LAY_OUT, status.leader)
    health = failover_view(spec, status, seen)
    if FailoverCase(health, limits).to_fence:
        return _step(decide(health, limits))
    if not resumed:
        return Step(StepKind.RESUME)
    if status.announced != status.leader and status.phase is Phase.RUNNING and not status.promoting:
        return Step(StepKind.ANNOUNCE, status.leader)
    return _running_step(spec, status, health, limits, seen.ordered_settings)


def failover_view(spec: DeploymentSpec, status: DeploymentStatus, seen: Observation) -> FailoverView:
    """The input of `failover.decide` for a running deployment."""
    standby = status.standby if status.redundancy is not Redundancy.SINGLE else None
    return FailoverView(
        leader=_node(status.leading, seen),
        standby=_node(standby, seen) if standby else None,
        redundancy=status.redundancy,
        connected_zones=seen.connected_zones,
        promoting=bool(status.promoting),
        forced=spec.failover > status.failed_over,
        unfenced=tuple(member.name for member in status.members if member.unfenced),
        reachable=seen.reachable,
    )


def _node(member: Member, seen: Observation) -> NodeView:
    return NodeView(member.name, member.place.zone, seen.histories.get(member.name, ()), member.needs)


def _deletion_step(spec: DeploymentSpec | None, status: DeploymentStatus | None) -> Step:
    if status is None:
        return Step(StepKind.REST) if spec is None else Step(StepKind.FORGET)
    return Step(StepKind.DESTROY) if status.members else Step(StepKind.FORGET)


def _running_step(
    spec: DeploymentSpec, status: DeploymentStatus, seen: FailoverView, limits: VoteLimits, ordered: Mapping[str, int]
) -> Step:
    case = FailoverCase(seen, limits)
    health = decide(seen, limits)
    urgent = _KIND_OF_ACTION[health.action] in URGENT
    if case.leader is not NodeCondition.UP or urgent:
        return _step(health)
    if status.phase is not Phase.RUNNING:
        return Step(StepKind.OPEN, status.leader)
    change = _spec_change(spec, status, case, ordered)
    return change if change is not None else _step(health)


def _step(health: FailoverDecision) -> Step:
    return Step(_KIND_OF_ACTION[health.action], health.node, health.why, health.quiet or health.action is FailoverAction.NOTHING)


def _spec_change(spec: DeploymentSpec, status: DeploymentStatus, case: FailoverCase, ordered: Mapping[str, int]) -> Step | None:
    """The next change that the spec requires; None where the status matches the spec. The leader is up."""
    leader, standby = status.leading, status.standby
    if spec.password > status.password:
        return Step(StepKind.SET_PASSWORD, leader.name)
    if standby is not None and _is_surplus(spec, status, standby) and not _is_left(spec, status, case):
        return Step(StepKind.LEAVE_STANDBY, standby.name, "the deployment does not require this standby any more")
    if len(spec.places) > len(status.members):
        return Step(StepKind.ADD_STANDBY, why="the deployment requires a standby")
    if spec.restart > status.restarted:
        return Step(StepKind.RESTART, leader.name, "a restart was requested")
    return _revision(spec, status, case, ordered)


def _is_surplus(spec: DeploymentSpec, status: DeploymentStatus, standby: Member) -> bool:
    """Whether there are more nodes than the spec requires, or it requires another standby instead of this one."""
    too_many, as_many = len(status.members) > len(spec.places), len(status.members) == len(spec.places)
    return too_many or (as_many and standby.name not in {place.name for place in spec.places})


def _is_left(spec: DeploymentSpec, status: DeploymentStatus, case: FailoverCase) -> bool:
    """Whether the deployment has its single node and only a former standby remains, which cannot be removed before its zone returns."""
    standby = status.standby
    is_single = status.redundancy is Redundancy.SINGLE and len(spec.places) == 1
    return is_single and standby is not None and standby.name not in case.view.reachable


def _revision(spec: DeploymentSpec, status: DeploymentStatus, case: FailoverCase, ordered: Mapping[str, int]) -> Step | None:
    """The next step towards the present revision: the standby restarts first, then it is promoted, then the other node restarts.

    Where ordered settings only get lower, the leader restarts first. A standby holds the ordered settings at least as large as its
    leader's, so lowered ones come into force on the leader first, whatever else changes. A revision is settled when they are in force on
    every node.
    A revision that failed is not tried again.
    """
    if spec.revision == status.failed_revision:
        return None
    leader, standby = status.leading, None if status.redundancy is Redundancy.SINGLE else status.standby
    why = f"the deployment has to run {spec.engine} {spec.engine_version} with {spec.memory_bytes >> 20} MiB"
    lower, higher = _compared(case.report, ordered)
    only_lower = lower and not higher and leader.engine_version == spec.engine_version
    if leader.revision != spec.revision and (standby is None or only_lower):
        return Step(StepKind.REVISE, leader.name, f"{why}; lowered settings go to the leader first" if standby else why)
    if standby is not None and standby.needs is Preparation.NOTHING and standby.revision != spec.revision:
        return _restart_standby(status, standby, why)
    if leader.revision != spec.revision:
        return Step(StepKind.PROMOTE, standby.name, why) if standby is not None and case.may_promote else None
    if status.settled_revision == spec.revision:
        return None
    if lower:
        return Step(StepKind.REVISE, leader.name, "lowered settings go to the leader first")
    if standby is not None and case.standby is not NodeCondition.UP:
        return None
    if standby is not None and _compared(case.standby_report, ordered).lower:
        return _restart_standby(status, standby, "lowered settings are in force on the leader; the standby follows")
    return Step(StepKind.SETTLE, leader.name)


def _restart_standby(status: DeploymentStatus, standby: Member, why: str) -> Step:
    """A standby is restarted only while the leader does not require it."""
    return Step(StepKind.GO_ALONE if status.redundancy is Redundancy.SYNCHRONOUS else StepKind.REVISE, standby.name, why)


class _Compared(NamedTuple):
    """Whether any ordered setting of the spec is lower, and whether any is higher, than the value in force on a node."""

    lower: bool
    higher: bool


def _compared(report: ProbeHistory | None, ordered: Mapping[str, int]) -> _Compared:
    known = dict(report.latest.ordered_settings) if report else {}
    pairs = [(known[name], value) for name, value in ordered.items() if name in known]
    return _Compared(any(value < now for now, value in pairs), any(value > now for now, value in pairs))
