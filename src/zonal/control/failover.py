"""Decides which node leads a replicated deployment. Pure: nothing here does IO.

A deployment has one leader and, if it is redundant, one standby in another zone. Monitoring hosts in every zone probe both nodes over the
network. `decide` turns the recorded status and the probe histories into one action with its reason, by the first row of `TABLE` that holds.

1. *Monitoring hosts vote.* The monitoring hosts of the other zones judge a node. A monitoring host that reaches no other zone is itself
   isolated and does not count. A node is **dead** if most of the hosts that count were refused twice in a row (the host answers, the
   engine does not listen), **lost** if most of them got no answer several times in a row.
2. *The record limits the actions.* The leader of a deployment recorded as `synchronous` acknowledges nothing that its standby does not
   hold, so the standby may be promoted at any moment. Recorded as `alone`, the leader acknowledges without its standby; then no other node
   is promoted, however long the leader is away.
3. *The order of writes keeps the record true.* `alone` is recorded before the leader is relaxed, `synchronous` only after the leader
   requires the standby and the standby holds everything, a promotion with its new epoch before it begins. A recorded promotion is always
   completed, because the standby may already have acknowledged a write.

After a promotion the old leader still requires its former standby, so it acknowledges nothing, fenced or not. It can still be read, so it
is fenced as soon as its host is reachable, whatever else is known: this is the first row of the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

import msgspec

from zonal.engines.node import ProbeResult, ProbeStatus


class Redundancy(StrEnum):
    """What the record promises about acknowledged writes."""

    SINGLE = "single"
    """There is one node, and the spec requires no second one."""
    BUILDING = "building"
    """The first standby is being created; the leader acknowledges alone."""
    SYNCHRONOUS = "synchronous"
    """The leader acknowledges nothing that the standby does not hold."""
    ALONE = "alone"
    """The leader acknowledges without its standby, which may therefore lack writes."""


class FailoverAction(StrEnum):
    """The actions of the failover table."""

    NOTHING = "nothing"
    WAIT = "wait"
    PROMOTE = "promote"
    GO_ALONE = "go-alone"
    RESTART_IN_PLACE = "restart-in-place"
    REJOIN_STANDBY = "rejoin-standby"
    RESTORE_SYNCHRONOUS = "restore-synchronous"
    FENCE = "fence"


class ProbeHistory(msgspec.Struct, frozen=True):
    """One zone's probe results of one node: the latest one, and how many in a row had the same status.

    `answer_seconds` is how long the status has been the same. `detached_seconds` is how long a serving leader has reported that its standby
    does not confirm (0 where the standby confirms, or where nothing is known).
    """

    latest: ProbeResult
    in_a_row: int
    answer_seconds: float = 0.0
    detached_seconds: float = 0.0

    @property
    def zone(self) -> str:
        return self.latest.seen_from

    @property
    def status(self) -> ProbeStatus:
        return self.latest.status


class NodeView(msgspec.Struct, frozen=True):
    """A node as recorded, with the latest history from each zone. `needs` is its recorded `Preparation`, empty for none."""

    name: str
    zone: str
    histories: tuple[ProbeHistory, ...] = ()
    needs: str = ""


class FailoverView(msgspec.Struct, frozen=True):
    """The input of a decision. `connected_zones` are the zones whose monitoring host got an answer from another zone to its latest probe or
    ping.

    `promoting` means that the promotion of the standby is recorded, `forced` that a failover was requested. `unfenced` are the former
    leaders (with a recorded promotion also the leader on record) whose engines were not ended since; `reachable` are the nodes whose hosts
    are reachable.
    """

    leader: NodeView
    standby: NodeView | None
    redundancy: Redundancy
    connected_zones: frozenset[str]
    promoting: bool = False
    forced: bool = False
    unfenced: tuple[str, ...] = ()
    reachable: frozenset[str] = frozenset()


LONGEST_ATTACH_SECONDS = 600.0
"""Upper bound of `VoteLimits.attach_seconds`, however many attempts there were."""


class VoteLimits(msgspec.Struct, frozen=True):
    """When results count: the number of silent probes (`misses`) or refusals in a row.

    `patience_seconds` bounds the wait for a required standby that is up but does not confirm, because writes wait for it.
    `attach_seconds` bounds the wait for a standby that was started and has to recover before it streams. `starting_seconds` bounds the
    wait for a leader that keeps starting.
    """

    misses: int = 3
    refusals: int = 2
    patience_seconds: float = 2.0
    attach_seconds: float = 10.0
    starting_seconds: float = 15.0

    def after_rejoining(self, attempts: int) -> VoteLimits:
        """The limits after so many attempts in a row to make the standby follow: `attach_seconds` doubles with each after the first.

        A standby that recovers slowly (a busy machine, much WAL) would otherwise be restarted or copied again before it can stream.
        """
        attach_seconds = min(self.attach_seconds * float(2 ** max(0, min(attempts, 16) - 1)), LONGEST_ATTACH_SECONDS)
        return msgspec.structs.replace(self, attach_seconds=attach_seconds)


class NodeCondition(StrEnum):
    """The result of the vote about a node."""

    UP = "up"
    STARTING = "starting"
    DEAD = "dead"
    LOST = "lost"
    UNSURE = "unsure"
    """The monitoring hosts do not agree, or have not probed often enough."""
    UNOBSERVED = "unheard"
    """There are probe results, but no monitoring host counts."""


class FailoverDecision(NamedTuple):
    """An action, its node and its reason. `situation` is the name of the table's row."""

    action: FailoverAction
    node: str
    why: str
    situation: str
    quiet: bool


def decide(view: FailoverView, limits: VoteLimits) -> FailoverDecision:
    """The first row of the table whose situation holds."""
    case = FailoverCase(view, limits)
    for row in TABLE:
        if row.holds(case):
            node = view.standby.name if view.standby and row.about_standby else view.leader.name
            node = case.to_fence if row.action is FailoverAction.FENCE else node
            return FailoverDecision(row.action, node, row.why, row.situation, row.quiet)
    raise AssertionError(f"the table has no row for {view}")


class FailoverCase:
    """A view with the votes counted: the terms that the rows of the table use."""

    def __init__(self, view: FailoverView, limits: VoteLimits) -> None:
        self.view = view
        self.limits = limits

    @cached_property
    def leader(self) -> NodeCondition:
        return judge(self.view.leader, self.view.connected_zones, self.limits)

    @cached_property
    def standby(self) -> NodeCondition | None:
        return None if self.view.standby is None else judge(self.view.standby, self.view.connected_zones, self.limits)

    @property
    def leader_is_gone(self) -> bool:
        return self.leader in (NodeCondition.DEAD, NodeCondition.LOST)

    @property
    def standby_is_gone(self) -> bool:
        return self.standby in (NodeCondition.DEAD, NodeCondition.LOST)

    @property
    def is_synchronous(self) -> bool:
        return self.view.redundancy is Redundancy.SYNCHRONOUS

    @property
    def may_promote(self) -> bool:
        """Whether the standby holds every acknowledged write and is up."""
        return self.is_synchronous and self.view.standby is not None and not self.view.standby.needs and self.standby is NodeCondition.UP

    @cached_property
    def report(self) -> ProbeHistory | None:
        """The leader's latest report to a monitoring host that counts."""
        return newest(history for history in counted(self.view.leader, self.view.connected_zones) if history.status is ProbeStatus.SERVING)

    @cached_property
    def standby_report(self) -> ProbeHistory | None:
        """The standby's latest report to a monitoring host that counts."""
        histories = counted(self.view.standby, self.view.connected_zones) if self.view.standby else []
        return newest(history for history in histories if history.status is ProbeStatus.SERVING)

    @property
    def leader_requires(self) -> bool:
        return self.report is not None and bool(self.report.latest.required)

    @property
    def standby_is_attached(self) -> bool:
        return self.report is not None and self.view.standby is not None and self.view.standby.name in self.report.latest.streaming

    @property
    def standby_is_detached(self) -> bool:
        """Whether the leader has reported for `patience_seconds` that the standby does not confirm."""
        return self.report is not None and self.report.detached_seconds >= self.limits.patience_seconds

    @property
    def standby_does_not_follow(self) -> bool:
        """Whether the leader has been without its standby for `attach_seconds`."""
        return self.report is not None and self.report.detached_seconds >= self.limits.attach_seconds

    @property
    def standby_takes_writes(self) -> bool:
        histories = self.view.standby.histories if self.view.standby else ()
        return any(history.status is ProbeStatus.SERVING and history.latest.writable for history in histories)

    @cached_property
    def to_fence(self) -> str:
        """A node that must not take writes, but may take them, and whose host is reachable; empty where there is none."""
        suspects = list(self.view.unfenced)
        if self.view.standby is not None and self.standby_takes_writes and not self.view.promoting:
            suspects.append(self.view.standby.name)
        return next((name for name in suspects if name in self.view.reachable), "")

    @property
    def leader_starts_too_long(self) -> bool:
        starting = [history for history in counted(self.view.leader, self.view.connected_zones) if history.status is ProbeStatus.STARTING]
        return self.leader is NodeCondition.STARTING and any(history.answer_seconds >= self.limits.starting_seconds for history in starting)


def judge(node: NodeView, connected_zones: frozenset[str], limits: VoteLimits) -> NodeCondition:
    """The condition of a node by a majority of the monitoring hosts of other zones that count."""
    histories = counted(node, connected_zones)
    if not histories:
        return NodeCondition.UNOBSERVED if node.histories else NodeCondition.UNSURE
    dead = sum(history.status is ProbeStatus.REFUSED and history.in_a_row >= limits.refusals for history in histories)
    silent = sum(history.status is ProbeStatus.SILENT and history.in_a_row >= limits.misses for history in histories)
    if 2 * dead > len(histories):
        return NodeCondition.DEAD
    if 2 * (dead + silent) > len(histories):
        return NodeCondition.LOST
    if 2 * sum(history.status is ProbeStatus.SERVING for history in histories) > len(histories):
        return NodeCondition.UP
    if 2 * sum(history.status in (ProbeStatus.STARTING, ProbeStatus.SERVING) for history in histories) > len(histories):
        return NodeCondition.STARTING
    return NodeCondition.UNSURE


def counted(node: NodeView, connected_zones: frozenset[str]) -> list[ProbeHistory]:
    """The histories that count: from other zones than the node's own, by monitoring hosts that reach another zone."""
    return [history for history in node.histories if history.zone != node.zone and history.zone in connected_zones]


def newest(histories: Iterable[ProbeHistory]) -> ProbeHistory | None:
    return max(histories, key=lambda history: history.latest.monotonic, default=None)


class FailoverRow(NamedTuple):
    """One row of the table: a situation, the action in it, and the reason."""

    situation: str
    holds: Callable[[FailoverCase], bool]
    action: FailoverAction
    why: str
    about_standby: bool = False
    quiet: bool = False
    """Whether the situation is short, so that its reason is not recorded."""


TABLE: tuple[FailoverRow, ...] = (
    FailoverRow(
        "a node that must not lead may take writes, and its host is reachable",
        lambda case: bool(case.to_fence),
        FailoverAction.FENCE,
        "it led before, and clients may still be connected to it",
    ),
    FailoverRow(
        "a promotion is recorded, the standby is dead or lost",
        lambda case: case.view.promoting and case.standby_is_gone,
        FailoverAction.RESTART_IN_PLACE,
        "the node being promoted is away, and it may already have acknowledged writes that no other node holds",
        True,
    ),
    FailoverRow(
        "a promotion is recorded",
        lambda case: case.view.promoting,
        FailoverAction.PROMOTE,
        "a recorded promotion is completed; going back could give two leaders",
        True,
    ),
    FailoverRow(
        "a failover is requested; the standby is up and holds every acknowledged write",
        lambda case: case.view.forced and case.may_promote,
        FailoverAction.PROMOTE,
        "a failover was requested",
        True,
    ),
    FailoverRow(
        "the leader is dead; the standby is up and holds every acknowledged write",
        lambda case: case.leader is NodeCondition.DEAD and case.may_promote,
        FailoverAction.PROMOTE,
        "the leader's engine is dead and the standby holds every acknowledged write",
        True,
    ),
    FailoverRow(
        "the leader is lost; the standby is up and holds every acknowledged write",
        lambda case: case.leader is NodeCondition.LOST and case.may_promote,
        FailoverAction.PROMOTE,
        "the leader is silent and the standby holds every acknowledged write",
        True,
    ),
    FailoverRow(
        "the leader has been starting for too long; the standby is up and holds every acknowledged write",
        lambda case: case.leader_starts_too_long and case.may_promote,
        FailoverAction.PROMOTE,
        "the leader does not come up and the standby holds every acknowledged write",
        True,
    ),
    FailoverRow(
        "the leader is dead or lost, and recorded as alone or building",
        lambda case: case.leader_is_gone and case.view.redundancy in (Redundancy.ALONE, Redundancy.BUILDING),
        FailoverAction.RESTART_IN_PLACE,
        "the standby may miss writes that the leader acknowledged alone, so it is never promoted; only the leader can come back",
    ),
    FailoverRow(
        "the leader is dead or lost, and recorded as synchronous; the standby is not up",
        lambda case: case.leader_is_gone and case.is_synchronous,
        FailoverAction.RESTART_IN_PLACE,
        "the standby cannot be promoted because it is not serving; the leader is started where it is",
    ),
    FailoverRow(
        "the leader is dead or lost, and there is no standby",
        lambda case: case.leader_is_gone,
        FailoverAction.RESTART_IN_PLACE,
        "there is no standby; the leader is started where it is",
    ),
    FailoverRow(
        "no monitoring host counts for the leader",
        lambda case: case.leader is NodeCondition.UNOBSERVED,
        FailoverAction.WAIT,
        "no monitoring host that reaches another zone has probed the leader, so the vote cannot tell which side is isolated",
    ),
    FailoverRow(
        "the leader is starting, or the monitoring hosts disagree about it",
        lambda case: case.leader is not NodeCondition.UP,
        FailoverAction.WAIT,
        "the leader is starting, or the monitoring hosts do not agree about it yet",
        quiet=True,
    ),
    FailoverRow(
        "the leader is up and synchronous; the standby is dead or lost",
        lambda case: case.is_synchronous and case.standby_is_gone,
        FailoverAction.GO_ALONE,
        "the standby is dead or silent, and writes wait for it",
        True,
    ),
    FailoverRow(
        "the leader is up and synchronous; the standby is up but does not confirm",
        lambda case: case.is_synchronous and case.standby_is_detached,
        FailoverAction.GO_ALONE,
        "the standby does not confirm, and writes wait for it",
        True,
    ),
    FailoverRow(
        "the leader is up and synchronous",
        lambda case: case.is_synchronous,
        FailoverAction.NOTHING,
        "all is well",
    ),
    FailoverRow(
        "the leader is up, not synchronous, still waits for a standby, and none is attached",
        lambda case: case.leader_requires and not case.standby_is_attached,
        FailoverAction.GO_ALONE,
        "the record lets the leader acknowledge alone, and writes wait",
    ),
    FailoverRow(
        "the leader is up and no standby is required",
        lambda case: case.view.standby is None,
        FailoverAction.NOTHING,
        "all is well",
    ),
    FailoverRow(
        "the leader is up; the standby is attached and up",
        lambda case: case.standby_is_attached and case.standby is NodeCondition.UP and not _needs(case),
        FailoverAction.RESTORE_SYNCHRONOUS,
        "the standby follows; as soon as it holds everything the leader may require it",
        True,
    ),
    FailoverRow(
        "the leader is up; the standby has to be created, rewound or copied",
        lambda case: bool(_needs(case)),
        FailoverAction.REJOIN_STANDBY,
        "the standby has to become a copy of the leader",
        True,
    ),
    FailoverRow(
        "the leader is up; the standby is dead, lost, or does not follow",
        lambda case: case.standby_is_gone or case.standby_does_not_follow,
        FailoverAction.REJOIN_STANDBY,
        "the standby is not following",
        True,
    ),
    FailoverRow(
        "the leader is up; the standby is starting",
        lambda _: True,
        FailoverAction.WAIT,
        "the standby is starting",
        True,
        quiet=True,
    ),
)
"""Every situation; the first row that holds decides."""


def _needs(case: FailoverCase) -> str:
    return case.view.standby.needs if case.view.standby else ""


def table() -> str:
    """The table as Markdown, for the docs."""
    rows = [f"| {row.situation} | `{row.action}` | {row.why} |" for row in TABLE]
    return "\n".join(["| situation (the first that holds) | action | why |", "|---|---|---|", *rows])
