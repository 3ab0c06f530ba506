"""The failover table row by row, and properties that hold for every view."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zonal.control.failover import (
    TABLE,
    FailoverAction,
    FailoverCase,
    FailoverView,
    NodeCondition,
    NodeView,
    ProbeHistory,
    Redundancy,
    VoteLimits,
    decide,
    judge,
    table,
)
from zonal.engines.node import ProbeResult, ProbeStatus

A, B, C = "us-east-1a", "us-east-1b", "us-east-1c"
LIMITS = VoteLimits()
SERVING, STARTING, REFUSED, SILENT = ProbeStatus.SERVING, ProbeStatus.STARTING, ProbeStatus.REFUSED, ProbeStatus.SILENT


def history(
    node: str, zone: str, probe_status: ProbeStatus, in_a_row: int = 5, *, seconds: float = 1.0, detached: float = 0.0, **more: object
) -> ProbeHistory:
    return ProbeHistory(ProbeResult(node, zone, 100.0, probe_status, **more), in_a_row, seconds, detached)  # type: ignore[arg-type]


def leader(probe_status: ProbeStatus, in_a_row: int = 5, *, standby: str = "attached", **more: float) -> NodeView:
    """The leader in A, seen from B and C. `standby` is whom it reports: attached (and required), loose (streaming only), none."""
    known: dict[str, object] = {"writable": True} if probe_status is SERVING else {}
    if probe_status is SERVING and standby == "attached":
        known |= {"required": ("two",), "synchronous": ("two",), "streaming": ("two",)}
    elif probe_status is SERVING and standby == "loose":
        known |= {"streaming": ("two",)}
    elif probe_status is SERVING and standby == "waited-for":
        known |= {"required": ("two",)}
    return NodeView("one", A, tuple(history("one", zone, probe_status, in_a_row, **more, **known) for zone in (B, C)))  # type: ignore[arg-type]


def standby(probe_status: ProbeStatus, in_a_row: int = 5, *, needs: str = "", writable: bool = False) -> NodeView:
    known = {"writable": writable} if probe_status is SERVING else {}
    return NodeView("two", B, tuple(history("two", zone, probe_status, in_a_row, **known) for zone in (A, C)), needs)  # type: ignore[arg-type]


def view(one: NodeView, two: NodeView | None, redundancy: Redundancy = Redundancy.SYNCHRONOUS, **more: object) -> FailoverView:
    return FailoverView(one, two, redundancy, **({"connected_zones": frozenset({A, B, C})} | more))  # type: ignore[arg-type]


def action(seen: FailoverView) -> FailoverAction:
    return decide(seen, LIMITS).action


def test_a_healthy_pair_is_left_alone() -> None:
    assert action(view(leader(SERVING), standby(SERVING))) is FailoverAction.NOTHING


def test_a_dead_leader_is_followed_by_its_standby_as_soon_as_two_refusals_say_so() -> None:
    assert action(view(leader(REFUSED, 1), standby(SERVING))) is FailoverAction.WAIT
    assert action(view(leader(REFUSED, 2), standby(SERVING))) is FailoverAction.PROMOTE


def test_a_silent_leader_is_followed_after_so_many_misses() -> None:
    assert action(view(leader(SILENT, LIMITS.misses - 1), standby(SERVING))) is FailoverAction.WAIT
    assert action(view(leader(SILENT, LIMITS.misses), standby(SERVING))) is FailoverAction.PROMOTE


def test_one_monitor_that_sees_the_leader_keeps_it_in_office() -> None:
    one = NodeView("one", A, (history("one", B, SILENT), history("one", C, SERVING, writable=True)))
    assert action(view(one, standby(SERVING))) is FailoverAction.WAIT


def test_a_monitoring_host_that_reaches_no_other_zone_does_not_count() -> None:
    one = NodeView(
        "one", A, (history("one", B, SILENT), history("one", C, SERVING, writable=True, required=("two",), synchronous=("two",)))
    )
    assert action(view(one, standby(SERVING), connected_zones=frozenset({A, C}))) is FailoverAction.NOTHING
    assert action(view(leader(SILENT), standby(SERVING), connected_zones=frozenset())) is FailoverAction.WAIT


def test_a_leader_that_just_began_to_shut_down_has_not_been_starting_for_long() -> None:
    one = NodeView("one", A, (history("one", B, SERVING, 80, seconds=20.0, writable=True), history("one", C, STARTING, 1, seconds=0.0)))
    assert action(view(one, standby(SERVING))) is FailoverAction.WAIT


def test_a_leader_that_keeps_starting_is_replaced() -> None:
    assert action(view(leader(STARTING, seconds=14.0), standby(SERVING))) is FailoverAction.WAIT
    assert action(view(leader(STARTING, seconds=16.0), standby(SERVING))) is FailoverAction.PROMOTE


def test_a_standby_that_missed_writes_is_not_promoted() -> None:
    for redundancy in (Redundancy.ALONE, Redundancy.BUILDING):
        for probe_status in (REFUSED, SILENT):
            assert action(view(leader(probe_status), standby(SERVING), redundancy)) is FailoverAction.RESTART_IN_PLACE


def test_a_standby_that_has_to_be_rewound_or_copied_first_is_not_promoted() -> None:
    for needs in ("rejoin", "clone"):
        assert action(view(leader(SILENT), standby(SERVING, needs=needs))) is FailoverAction.RESTART_IN_PLACE


def test_a_single_node_is_started_again_where_it_is() -> None:
    assert action(view(leader(SILENT), None, Redundancy.SINGLE)) is FailoverAction.RESTART_IN_PLACE
    assert action(view(leader(SERVING, standby="none"), None, Redundancy.SINGLE)) is FailoverAction.NOTHING


def test_the_leader_goes_on_alone_without_a_standby() -> None:
    assert action(view(leader(SERVING), standby(SILENT))) is FailoverAction.GO_ALONE
    assert action(view(leader(SERVING, standby="waited-for", detached=2.5), standby(SERVING))) is FailoverAction.GO_ALONE
    assert action(view(leader(SERVING, standby="waited-for", detached=1.0), standby(SERVING))) is FailoverAction.NOTHING


def test_a_leader_recorded_as_alone_that_still_waits_is_relaxed() -> None:
    assert action(view(leader(SERVING, standby="waited-for"), standby(SILENT), Redundancy.ALONE)) is FailoverAction.GO_ALONE


def test_the_way_back_to_synchronous() -> None:
    alone = Redundancy.ALONE
    assert action(view(leader(SERVING, standby="none"), standby(SILENT), alone)) is FailoverAction.REJOIN_STANDBY
    assert action(view(leader(SERVING, standby="none"), standby(SERVING, needs="rejoin"), alone)) is FailoverAction.REJOIN_STANDBY
    assert action(view(leader(SERVING, standby="none"), standby(STARTING), alone)) is FailoverAction.WAIT
    assert action(view(leader(SERVING, standby="none", detached=5.0), standby(SERVING), alone)) is FailoverAction.WAIT
    assert action(view(leader(SERVING, standby="none", detached=11.0), standby(SERVING), alone)) is FailoverAction.REJOIN_STANDBY
    assert action(view(leader(SERVING, standby="loose"), standby(SERVING), alone)) is FailoverAction.RESTORE_SYNCHRONOUS


def test_a_recorded_promotion_is_completed_whatever_the_old_leader_does() -> None:
    for probe_status in ProbeStatus:
        assert action(view(leader(probe_status), standby(SERVING), promoting=True)) is FailoverAction.PROMOTE
    lost = decide(view(leader(SERVING), standby(SILENT), promoting=True), LIMITS)
    assert (lost.action, lost.node) == (FailoverAction.RESTART_IN_PLACE, "two")


def test_a_wish_for_a_failover_is_fulfilled_only_when_it_is_safe() -> None:
    assert action(view(leader(SERVING), standby(SERVING), forced=True)) is FailoverAction.PROMOTE
    assert action(view(leader(SERVING, standby="loose"), standby(SERVING), Redundancy.ALONE, forced=True)) is not FailoverAction.PROMOTE
    assert action(view(leader(SERVING), standby(STARTING), forced=True)) is not FailoverAction.PROMOTE


@pytest.mark.parametrize("redundancy", [Redundancy.ALONE, Redundancy.SYNCHRONOUS])
@pytest.mark.parametrize("probe_status", ProbeStatus)
def test_an_old_leader_that_still_takes_writes_is_fenced_whatever_is_known_of_the_leader(
    probe_status: ProbeStatus, redundancy: Redundancy
) -> None:
    for connected_zones in (frozenset({A, B, C}), frozenset({C}), frozenset()):
        seen = view(
            leader(probe_status), standby(SERVING, writable=True), redundancy, reachable=frozenset({"two"}), connected_zones=connected_zones
        )
        decision = decide(seen, LIMITS)
        assert (decision.action, decision.node) == (FailoverAction.FENCE, "two")


@pytest.mark.parametrize("probe_status", ProbeStatus)
def test_a_node_that_was_never_fenced_is_fenced_before_anything_is_seen_of_it(probe_status: ProbeStatus) -> None:
    seen = view(
        leader(probe_status), standby(SILENT, needs="rejoin"), Redundancy.ALONE, unfenced=("two",), reachable=frozenset({"one", "two"})
    )
    assert decide(seen, LIMITS)[:2] == (FailoverAction.FENCE, "two")


def test_the_old_leader_of_a_recorded_promotion_is_fenced_though_the_new_one_is_away() -> None:
    seen = view(leader(SERVING), standby(SILENT), promoting=True, unfenced=("one",), reachable=frozenset({"one"}))
    assert decide(seen, LIMITS)[:2] == (FailoverAction.FENCE, "one")
    completed = view(leader(SILENT), standby(SERVING, writable=True), promoting=True, unfenced=("one",), reachable=frozenset({"two"}))
    assert decide(completed, LIMITS)[:2] == (FailoverAction.PROMOTE, "two"), "the node being promoted is to take writes"


def test_a_former_member_of_the_pair_is_fenced_too() -> None:
    seen = view(leader(SILENT), None, Redundancy.SINGLE, unfenced=("two",), reachable=frozenset({"two"}))
    assert decide(seen, LIMITS)[:2] == (FailoverAction.FENCE, "two")


def test_a_host_that_cannot_be_reached_holds_nothing_up() -> None:
    lost = view(leader(SERVING, standby="none"), standby(SILENT, needs="rejoin"), Redundancy.ALONE, unfenced=("two",))
    assert action(lost) is FailoverAction.REJOIN_STANDBY
    assert action(view(leader(SILENT), standby(SERVING), unfenced=("one",))) is FailoverAction.PROMOTE


def test_the_table_is_printed_row_by_row() -> None:
    assert len(table().splitlines()) == len(TABLE) + 2


def histories_of(node: str, zone: str) -> st.SearchStrategy[tuple[ProbeHistory, ...]]:
    names = st.sampled_from([(), ("two",)])
    result = st.builds(
        ProbeResult,
        node=st.just(node),
        seen_from=st.just(zone),
        monotonic=st.floats(0, 100),
        status=st.sampled_from(ProbeStatus),
        writable=st.booleans(),
        required=names,
        synchronous=names,
        streaming=names,
    )
    one = st.builds(
        ProbeHistory, latest=result, in_a_row=st.integers(1, 5), answer_seconds=st.floats(0, 30), detached_seconds=st.floats(0, 30)
    )
    return st.lists(one, max_size=1).map(tuple)


def nodes(name: str, home: str) -> st.SearchStrategy[NodeView]:
    parts = st.tuples(*(histories_of(name, zone) for zone in (A, B, C) if zone != home))
    needs = st.sampled_from(["", "", "clone", "rejoin"])
    return st.builds(lambda found, wants: NodeView(name, home, tuple(each for part in found for each in part), wants), parts, needs)


@st.composite
def views(draw: st.DrawFn) -> FailoverView:
    """Any view that can be recorded: a promotion only from synchronous, a standby unless single."""
    redundancy = draw(st.sampled_from(Redundancy))
    two = None if redundancy is Redundancy.SINGLE else draw(nodes("two", B))
    return FailoverView(
        leader=draw(nodes("one", A)),
        standby=two,
        redundancy=redundancy,
        connected_zones=draw(st.frozensets(st.sampled_from((A, B, C)))),
        promoting=two is not None and redundancy is Redundancy.SYNCHRONOUS and draw(st.booleans()),
        forced=draw(st.booleans()),
        unfenced=draw(st.sampled_from([(), (), ("one",), ("two",)])),
        reachable=draw(st.frozensets(st.sampled_from(("one", "two")))),
    )


@given(views())
def test_there_is_an_answer_to_every_view(seen: FailoverView) -> None:
    assert decide(seen, LIMITS).why


@given(views())
def test_a_node_that_may_lack_an_acknowledged_write_is_never_promoted(seen: FailoverView) -> None:
    if decide(seen, LIMITS).action is FailoverAction.PROMOTE:
        assert seen.redundancy is Redundancy.SYNCHRONOUS and seen.standby is not None
        assert seen.promoting or not seen.standby.needs


@given(views())
def test_the_old_leader_of_a_recorded_promotion_is_never_relaxed_nor_started(seen: FailoverView) -> None:
    if seen.promoting:
        decision = decide(seen, LIMITS)
        if decision.action is not FailoverAction.FENCE:
            assert decision.action in (FailoverAction.PROMOTE, FailoverAction.RESTART_IN_PLACE) and decision.node == "two"


@given(views())
def test_whatever_is_known_a_reachable_node_that_may_take_writes_and_does_not_lead_is_fenced(seen: FailoverView) -> None:
    histories = seen.standby.histories if seen.standby and not seen.promoting else ()
    suspects = set(seen.unfenced) | {history.latest.node for history in histories if history.status is SERVING and history.latest.writable}
    assert (decide(seen, LIMITS).action is FailoverAction.FENCE) == bool(suspects & seen.reachable)


@given(views())
def test_without_a_wish_only_a_leader_that_a_majority_misses_is_replaced(seen: FailoverView) -> None:
    if decide(seen, LIMITS).action is FailoverAction.PROMOTE and not seen.promoting and not seen.forced:
        case = FailoverCase(seen, LIMITS)
        assert case.leader_is_gone or case.leader_starts_too_long


@given(views())
def test_a_required_standby_is_given_up_only_when_the_leader_is_up(seen: FailoverView) -> None:
    if decide(seen, LIMITS).action is FailoverAction.GO_ALONE:
        assert judge(seen.leader, seen.connected_zones, LIMITS) is NodeCondition.UP and not seen.promoting


@given(views())
def test_a_standby_that_is_needed_for_its_writes_is_never_overwritten(seen: FailoverView) -> None:
    if decide(seen, LIMITS).action is FailoverAction.REJOIN_STANDBY:
        assert seen.redundancy is not Redundancy.SYNCHRONOUS and not seen.promoting


@given(st.sampled_from([REFUSED, SILENT]), st.booleans())
def test_there_is_progress_while_a_majority_is_up(probe_status: ProbeStatus, forced: bool) -> None:
    assert action(view(leader(probe_status), standby(SERVING), forced=forced)) is FailoverAction.PROMOTE


@given(views())
def test_a_monitor_in_the_nodes_own_zone_has_no_vote(seen: FailoverView) -> None:
    own = history("one", A, SILENT, 9)
    assert judge(seen.leader, seen.connected_zones, LIMITS) is judge(
        NodeView("one", A, (*seen.leader.histories, own) if seen.leader.histories else ()), seen.connected_zones, LIMITS
    )
