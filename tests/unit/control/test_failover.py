"""Who may lead: the table row by row, and what holds for every view."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zonal.control.failover import (
    TABLE,
    Action,
    Case,
    Condition,
    Limits,
    Look,
    NodeView,
    Redundancy,
    View,
    decide,
    judge,
    table,
)
from zonal.engines.node import Answer, Sighting

A, B, C = "us-east-1a", "us-east-1b", "us-east-1c"
LIMITS = Limits()
SERVING, STARTING, REFUSED, SILENT = Answer.SERVING, Answer.STARTING, Answer.REFUSED, Answer.SILENT


def look(node: str, zone: str, answer: Answer, in_a_row: int = 5, *, seconds: float = 1.0, detached: float = 0.0, **more: object) -> Look:
    return Look(Sighting(node, zone, 100.0, answer, **more), in_a_row, seconds, detached)  # type: ignore[arg-type]


def leader(answer: Answer, in_a_row: int = 5, *, standby: str = "attached", **more: float) -> NodeView:
    """The leader in A, seen from B and C. `standby` is whom it reports: attached (and required), loose (streaming only), none."""
    known: dict[str, object] = {"writable": True} if answer is SERVING else {}
    if answer is SERVING and standby == "attached":
        known |= {"required": ("two",), "synchronous": ("two",), "streaming": ("two",)}
    elif answer is SERVING and standby == "loose":
        known |= {"streaming": ("two",)}
    elif answer is SERVING and standby == "waited-for":
        known |= {"required": ("two",)}
    return NodeView("one", A, tuple(look("one", zone, answer, in_a_row, **more, **known) for zone in (B, C)))  # type: ignore[arg-type]


def standby(answer: Answer, in_a_row: int = 5, *, needs: str = "", writable: bool = False) -> NodeView:
    known = {"writable": writable} if answer is SERVING else {}
    return NodeView("two", B, tuple(look("two", zone, answer, in_a_row, **known) for zone in (A, C)), needs)  # type: ignore[arg-type]


def view(one: NodeView, two: NodeView | None, redundancy: Redundancy = Redundancy.SYNCHRONOUS, **more: object) -> View:
    return View(one, two, redundancy, **({"hearing": frozenset({A, B, C})} | more))  # type: ignore[arg-type]


def action(seen: View) -> Action:
    return decide(seen, LIMITS).action


def test_a_healthy_pair_is_left_alone() -> None:
    assert action(view(leader(SERVING), standby(SERVING))) is Action.NOTHING


def test_a_dead_leader_is_followed_by_its_standby_as_soon_as_two_refusals_say_so() -> None:
    assert action(view(leader(REFUSED, 1), standby(SERVING))) is Action.WAIT
    assert action(view(leader(REFUSED, 2), standby(SERVING))) is Action.PROMOTE


def test_a_silent_leader_is_followed_after_so_many_misses() -> None:
    assert action(view(leader(SILENT, LIMITS.misses - 1), standby(SERVING))) is Action.WAIT
    assert action(view(leader(SILENT, LIMITS.misses), standby(SERVING))) is Action.PROMOTE


def test_one_monitor_that_sees_the_leader_keeps_it_in_office() -> None:
    one = NodeView("one", A, (look("one", B, SILENT), look("one", C, SERVING, writable=True)))
    assert action(view(one, standby(SERVING))) is Action.WAIT


def test_a_monitor_that_hears_nobody_does_not_count() -> None:
    one = NodeView("one", A, (look("one", B, SILENT), look("one", C, SERVING, writable=True, required=("two",), synchronous=("two",))))
    assert action(view(one, standby(SERVING), hearing=frozenset({A, C}))) is Action.NOTHING
    assert action(view(leader(SILENT), standby(SERVING), hearing=frozenset())) is Action.WAIT


def test_a_leader_that_just_began_to_shut_down_has_not_been_starting_for_long() -> None:
    one = NodeView("one", A, (look("one", B, SERVING, 80, seconds=20.0, writable=True), look("one", C, STARTING, 1, seconds=0.0)))
    assert action(view(one, standby(SERVING))) is Action.WAIT


def test_a_leader_that_keeps_starting_is_replaced() -> None:
    assert action(view(leader(STARTING, seconds=14.0), standby(SERVING))) is Action.WAIT
    assert action(view(leader(STARTING, seconds=16.0), standby(SERVING))) is Action.PROMOTE


def test_a_standby_that_missed_writes_is_not_promoted() -> None:
    for redundancy in (Redundancy.ALONE, Redundancy.BUILDING):
        for answer in (REFUSED, SILENT):
            assert action(view(leader(answer), standby(SERVING), redundancy)) is Action.RESTART_IN_PLACE


def test_a_standby_that_has_to_be_rewound_or_copied_first_is_not_promoted() -> None:
    for needs in ("rejoin", "clone"):
        assert action(view(leader(SILENT), standby(SERVING, needs=needs))) is Action.RESTART_IN_PLACE


def test_a_single_node_is_started_again_where_it_is() -> None:
    assert action(view(leader(SILENT), None, Redundancy.SINGLE)) is Action.RESTART_IN_PLACE
    assert action(view(leader(SERVING, standby="none"), None, Redundancy.SINGLE)) is Action.NOTHING


def test_the_leader_goes_on_alone_without_a_standby() -> None:
    assert action(view(leader(SERVING), standby(SILENT))) is Action.GO_ALONE
    assert action(view(leader(SERVING, standby="waited-for", detached=2.5), standby(SERVING))) is Action.GO_ALONE
    assert action(view(leader(SERVING, standby="waited-for", detached=1.0), standby(SERVING))) is Action.NOTHING


def test_a_leader_recorded_as_alone_that_still_waits_is_relaxed() -> None:
    assert action(view(leader(SERVING, standby="waited-for"), standby(SILENT), Redundancy.ALONE)) is Action.GO_ALONE


def test_the_way_back_to_synchronous() -> None:
    alone = Redundancy.ALONE
    assert action(view(leader(SERVING, standby="none"), standby(SILENT), alone)) is Action.REJOIN_STANDBY
    assert action(view(leader(SERVING, standby="none"), standby(SERVING, needs="rejoin"), alone)) is Action.REJOIN_STANDBY
    assert action(view(leader(SERVING, standby="none"), standby(STARTING), alone)) is Action.WAIT
    assert action(view(leader(SERVING, standby="none", detached=5.0), standby(SERVING), alone)) is Action.WAIT
    assert action(view(leader(SERVING, standby="none", detached=11.0), standby(SERVING), alone)) is Action.REJOIN_STANDBY
    assert action(view(leader(SERVING, standby="loose"), standby(SERVING), alone)) is Action.RESTORE_SYNCHRONOUS


def test_a_recorded_promotion_is_completed_whatever_the_old_leader_does() -> None:
    for answer in Answer:
        assert action(view(leader(answer), standby(SERVING), promoting=True)) is Action.PROMOTE
    lost = decide(view(leader(SERVING), standby(SILENT), promoting=True), LIMITS)
    assert (lost.action, lost.node) == (Action.RESTART_IN_PLACE, "two")


def test_a_wish_for_a_failover_is_fulfilled_only_when_it_is_safe() -> None:
    assert action(view(leader(SERVING), standby(SERVING), forced=True)) is Action.PROMOTE
    assert action(view(leader(SERVING, standby="loose"), standby(SERVING), Redundancy.ALONE, forced=True)) is not Action.PROMOTE
    assert action(view(leader(SERVING), standby(STARTING), forced=True)) is not Action.PROMOTE


@pytest.mark.parametrize("redundancy", [Redundancy.ALONE, Redundancy.SYNCHRONOUS])
@pytest.mark.parametrize("answer", Answer)
def test_an_old_leader_that_still_takes_writes_is_fenced_whatever_is_known_of_the_leader(answer: Answer, redundancy: Redundancy) -> None:
    for hearing in (frozenset({A, B, C}), frozenset({C}), frozenset()):
        seen = view(leader(answer), standby(SERVING, writable=True), redundancy, reachable=frozenset({"two"}), hearing=hearing)
        decision = decide(seen, LIMITS)
        assert (decision.action, decision.node) == (Action.FENCE, "two")


@pytest.mark.parametrize("answer", Answer)
def test_a_node_that_was_never_fenced_is_fenced_before_anything_is_seen_of_it(answer: Answer) -> None:
    seen = view(leader(answer), standby(SILENT, needs="rejoin"), Redundancy.ALONE, unfenced=("two",), reachable=frozenset({"one", "two"}))
    assert decide(seen, LIMITS)[:2] == (Action.FENCE, "two")


def test_the_old_leader_of_a_recorded_promotion_is_fenced_though_the_new_one_is_away() -> None:
    seen = view(leader(SERVING), standby(SILENT), promoting=True, unfenced=("one",), reachable=frozenset({"one"}))
    assert decide(seen, LIMITS)[:2] == (Action.FENCE, "one")
    completed = view(leader(SILENT), standby(SERVING, writable=True), promoting=True, unfenced=("one",), reachable=frozenset({"two"}))
    assert decide(completed, LIMITS)[:2] == (Action.PROMOTE, "two"), "the node being promoted is to take writes"


def test_a_node_that_is_no_member_of_the_pair_any_more_is_fenced_too() -> None:
    seen = view(leader(SILENT), None, Redundancy.SINGLE, unfenced=("two",), reachable=frozenset({"two"}))
    assert decide(seen, LIMITS)[:2] == (Action.FENCE, "two")


def test_a_host_that_cannot_be_reached_holds_nothing_up() -> None:
    lost = view(leader(SERVING, standby="none"), standby(SILENT, needs="rejoin"), Redundancy.ALONE, unfenced=("two",))
    assert action(lost) is Action.REJOIN_STANDBY
    assert action(view(leader(SILENT), standby(SERVING), unfenced=("one",))) is Action.PROMOTE


def test_the_table_is_printed_row_by_row() -> None:
    assert len(table().splitlines()) == len(TABLE) + 2


def looks_of(node: str, zone: str) -> st.SearchStrategy[tuple[Look, ...]]:
    names = st.sampled_from([(), ("two",)])
    sighting = st.builds(
        Sighting,
        node=st.just(node),
        seen_from=st.just(zone),
        monotonic=st.floats(0, 100),
        answer=st.sampled_from(Answer),
        writable=st.booleans(),
        required=names,
        synchronous=names,
        streaming=names,
    )
    one = st.builds(Look, sighting=sighting, in_a_row=st.integers(1, 5), answer_seconds=st.floats(0, 30), detached_seconds=st.floats(0, 30))
    return st.lists(one, max_size=1).map(tuple)


def nodes(name: str, home: str) -> st.SearchStrategy[NodeView]:
    parts = st.tuples(*(looks_of(name, zone) for zone in (A, B, C) if zone != home))
    needs = st.sampled_from(["", "", "clone", "rejoin"])
    return st.builds(lambda found, wants: NodeView(name, home, tuple(each for part in found for each in part), wants), parts, needs)


@st.composite
def views(draw: st.DrawFn) -> View:
    """Any view that can be recorded: a promotion only from synchronous, a standby unless single."""
    redundancy = draw(st.sampled_from(Redundancy))
    two = None if redundancy is Redundancy.SINGLE else draw(nodes("two", B))
    return View(
        leader=draw(nodes("one", A)),
        standby=two,
        redundancy=redundancy,
        hearing=draw(st.frozensets(st.sampled_from((A, B, C)))),
        promoting=two is not None and redundancy is Redundancy.SYNCHRONOUS and draw(st.booleans()),
        forced=draw(st.booleans()),
        unfenced=draw(st.sampled_from([(), (), ("one",), ("two",)])),
        reachable=draw(st.frozensets(st.sampled_from(("one", "two")))),
    )


@given(views())
def test_there_is_an_answer_to_every_view(seen: View) -> None:
    assert decide(seen, LIMITS).why


@given(views())
def test_nobody_is_promoted_who_may_miss_an_acknowledged_write(seen: View) -> None:
    if decide(seen, LIMITS).action is Action.PROMOTE:
        assert seen.redundancy is Redundancy.SYNCHRONOUS and seen.standby is not None
        assert seen.promoting or not seen.standby.needs


@given(views())
def test_the_old_leader_of_a_recorded_promotion_is_never_relaxed_nor_started(seen: View) -> None:
    if seen.promoting:
        decision = decide(seen, LIMITS)
        if decision.action is not Action.FENCE:
            assert decision.action in (Action.PROMOTE, Action.RESTART_IN_PLACE) and decision.node == "two"


@given(views())
def test_whatever_is_known_a_reachable_node_that_may_take_writes_and_does_not_lead_is_fenced(seen: View) -> None:
    looks = seen.standby.looks if seen.standby and not seen.promoting else ()
    suspects = set(seen.unfenced) | {look.sighting.node for look in looks if look.answer is SERVING and look.sighting.writable}
    assert (decide(seen, LIMITS).action is Action.FENCE) == bool(suspects & seen.reachable)


@given(views())
def test_without_a_wish_only_a_leader_that_a_majority_misses_is_replaced(seen: View) -> None:
    if decide(seen, LIMITS).action is Action.PROMOTE and not seen.promoting and not seen.forced:
        case = Case(seen, LIMITS)
        assert case.leader_is_gone or case.leader_starts_too_long


@given(views())
def test_a_required_standby_is_given_up_only_when_the_leader_is_up(seen: View) -> None:
    if decide(seen, LIMITS).action is Action.GO_ALONE:
        assert judge(seen.leader, seen.hearing, LIMITS) is Condition.UP and not seen.promoting


@given(views())
def test_a_standby_that_is_needed_for_its_writes_is_never_overwritten(seen: View) -> None:
    if decide(seen, LIMITS).action is Action.REJOIN_STANDBY:
        assert seen.redundancy is not Redundancy.SYNCHRONOUS and not seen.promoting


@given(st.sampled_from([REFUSED, SILENT]), st.booleans())
def test_there_is_progress_while_a_majority_is_up(answer: Answer, forced: bool) -> None:
    assert action(view(leader(answer), standby(SERVING), forced=forced)) is Action.PROMOTE


@given(views())
def test_a_monitor_in_the_nodes_own_zone_has_no_vote(seen: View) -> None:
    own = look("one", A, SILENT, 9)
    assert judge(seen.leader, seen.hearing, LIMITS) is judge(
        NodeView("one", A, (*seen.leader.looks, own) if seen.leader.looks else ()), seen.hearing, LIMITS
    )
