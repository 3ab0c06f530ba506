"""Who may lead, and when that changes.

A deployment has one leader and, if it is redundant, one standby in another zone. Monitoring hosts in every zone look at both nodes over
the network. `decide` takes what the record says and what was seen, and gives one action with its reason; nothing here does IO.

1. *Monitors vote.* A node is judged by the monitoring hosts of the other zones. A host that hears nobody outside its own zone is itself
   cut off and does not count. A node is **dead** if most of those that count were refused twice in a row (the host answers, the engine
   does not listen), **lost** if most of them heard nothing several times in a row.
2. *The record limits what may be done.* The leader of a deployment that is recorded as `synchronous` acknowledges nothing that its
   standby does not hold, so the standby may take over at any moment. Recorded as `alone`, the leader acknowledges without it; then
   nobody else is ever promoted, however long the leader stays away.
3. *The order of writing keeps the record true.* `alone` is recorded before the leader is relaxed; `synchronous` only after the leader
   requires the standby and the standby holds everything; a promotion with its new epoch before anything is done. A recorded
   promotion is always completed, because the standby may already have acknowledged something.

The old leader of a promotion still requires the standby that left it, so it can acknowledge nothing, fenced or not. It can be read, though,
so it is fenced as soon as its host can be reached, whatever else is known: that row stands first.
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
    """There is one node, and no second one is wanted."""
    BUILDING = "building"
    """The first standby is being made; the leader acknowledges alone."""
    SYNCHRONOUS = "synchronous"
    """The leader acknowledges nothing that the standby does not hold."""
    ALONE = "alone"
    """The leader acknowledges without its standby, which therefore may miss writes."""


class FailoverAction(StrEnum):
    """What to do next about a deployment's health."""

    NOTHING = "nothing"
    WAIT = "wait"
    PROMOTE = "promote"
    GO_ALONE = "go-alone"
    RESTART_IN_PLACE = "restart-in-place"
    REJOIN_STANDBY = "rejoin-standby"
    RESTORE_SYNCHRONOUS = "restore-synchronous"
    FENCE = "fence"


class ProbeHistory(msgspec.Struct, frozen=True):
    """What one zone's monitoring host has seen of one node: its latest sighting, and how many in a row gave the same answer.

    `answer_seconds` is for how long the answer has been the same; `detached_seconds` for how long a serving leader has said that its
    standby does not confirm (0 where it does, or where nothing is known).
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
    """A node as recorded, with the latest look from each zone. `needs` says what it must go through before it can be a standby."""

    name: str
    zone: str
    histories: tuple[ProbeHistory, ...] = ()
    needs: str = ""


class FailoverView(msgspec.Struct, frozen=True):
    """All that a decision rests on. `connected_zones` are the zones whose monitoring host's latest look at anything in another zone was
    answered.

    `promoting` means that the promotion of the standby is recorded; `forced` that somebody asked for a failover. `unfenced` are the nodes
    that led before (with a recorded promotion also the one that still leads on record) and were not ended since; `reachable` the nodes
    whose hosts can be acted on.
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
    """When an answer counts: so many silent looks or refusals in a row.

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
    """What the vote says about a node."""

    UP = "up"
    STARTING = "starting"
    DEAD = "dead"
    LOST = "lost"
    UNSURE = "unsure"
    """The monitoring hosts do not agree, or have not looked often enough."""
    UNOBSERVED = "unheard"
    """There are looks, but no monitoring host counts."""


class FailoverDecision(NamedTuple):
    """What to do, about which node, and why. `situation` is the name of the table's row."""

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
    """A view with the votes counted, in the words that the table uses."""

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
        """The standby holds every acknowledged write, and can be seen."""
        return self.is_synchronous and self.view.standby is not None and not self.view.standby.needs and self.standby is NodeCondition.UP

    @cached_property
    def report(self) -> ProbeHistory | None:
        """What the leader last said of itself to a host that counts."""
        return newest(history for history in counted(self.view.leader, self.view.connected_zones) if history.status is ProbeStatus.SERVING)

    @cached_property
    def standby_report(self) -> ProbeHistory | None:
        """What the standby last said of itself to a host that counts."""
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
        """The leader has long been saying that the standby does not confirm."""
        return self.report is not None and self.report.detached_seconds >= self.limits.patience_seconds

    @property
    def standby_does_not_follow(self) -> bool:
        """The leader has been without the standby for longer than it takes one to attach."""
        return self.report is not None and self.report.detached_seconds >= self.limits.attach_seconds

    @property
    def standby_takes_writes(self) -> bool:
        histories = self.view.standby.histories if self.view.standby else ()
        return any(history.status is ProbeStatus.SERVING and history.latest.writable for history in histories)

    @cached_property
    def to_fence(self) -> str:
        """A node that must not take writes, may take them, and whose host can be reached; empty where there is none."""
        suspects = list(self.view.unfenced)
        if self.view.standby is not None and self.standby_takes_writes and not self.view.promoting:
            suspects.append(self.view.standby.name)
        return next((name for name in suspects if name in self.view.reachable), "")

    @property
    def leader_starts_too_long(self) -> bool:
        starting = [history for history in counted(self.view.leader, self.view.connected_zones) if history.status is ProbeStatus.STARTING]
        return self.leader is NodeCondition.STARTING and any(history.answer_seconds >= self.limits.starting_seconds for history in starting)


def judge(node: NodeView, connected_zones: frozenset[str], limits: VoteLimits) -> NodeCondition:
    """What the monitoring hosts of other zones, as far as they count, say of a node by majority."""
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
    """The looks that count: from other zones than the node's own, by hosts that hear somebody."""
    return [history for history in node.histories if history.zone != node.zone and history.zone in connected_zones]


def newest(histories: Iterable[ProbeHistory]) -> ProbeHistory | None:
    return max(histories, key=lambda history: history.latest.monotonic, default=None)


class FailoverRow(NamedTuple):
    """One line of the table: in this situation do this, for this reason."""

    situation: str
    holds: Callable[[FailoverCase], bool]
    action: FailoverAction
    why: str
    about_standby: bool = False
    quiet: bool = False
    """Whether the situation is a passing one that nobody needs to be told of."""


TABLE: tuple[FailoverRow, ...] = (
    FailoverRow(
        "a node that is not to lead may take writes, and its host can be reached",
        lambda case: bool(case.to_fence),
        FailoverAction.FENCE,
        "it led before; whoever is still connected to it must be cut off",
    ),
    FailoverRow(
        "a promotion is recorded, the standby is dead or lost",
        lambda case: case.view.promoting and case.standby_is_gone,
        FailoverAction.RESTART_IN_PLACE,
        "the node being promoted is away, and it may already have acknowledged writes that nobody else holds",
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
        "a failover is asked for; the standby is up and holds every acknowledged write",
        lambda case: case.view.forced and case.may_promote,
        FailoverAction.PROMOTE,
        "a failover was asked for",
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
        "the standby cannot take over because it is not seen serving; the leader is started where it is",
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
        "no monitoring host that hears another zone has seen the leader, so nobody can tell who is cut off",
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
        "the leader is up and synchronous; the standby lives but does not confirm",
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
        "the leader is up and no standby is wanted",
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
        "the leader is up; the standby has to be made, rewound or copied",
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
"""Every situation, the first that holds decides."""


def _needs(case: FailoverCase) -> str:
    return case.view.standby.needs if case.view.standby else ""


def table() -> str:
    """The table as Markdown, for the docs."""
    rows = [f"| {row.situation} | `{row.action}` | {row.why} |" for row in TABLE]
    return "\n".join(["| situation (the first that holds) | action | why |", "|---|---|---|", *rows])
