import pytest
from hypothesis import given
from hypothesis import strategies as st

from zonal.drills.ledger import Attempt, Outcome
from zonal.drills.verdict import DrillVerdict, Milestones, ReadBackRow, Witnesses, judge, overlapping_primaries

OLD, NEW = "10.0.0.1", "10.0.1.1"
MILESTONES = Milestones(begun=0.0, ended=100.0, struck=10.0, healed=60.0, detected=11.0, promoted=11.5, redundant=70.0)
WHOLE = [(float(second), OLD, 1) for second in range(1, 10)] + [(float(second), NEW, 2) for second in range(12, 100)]


def acknowledged(times: list[tuple[float, str, int]], client: int = 1) -> list[Attempt]:
    return [
        Attempt(client, number, time - 0.01, time, Outcome.ACKNOWLEDGED, server, timeline)
        for number, (time, server, timeline) in enumerate(times, start=1)
    ]


def rows(attempts: list[Attempt]) -> frozenset[ReadBackRow]:
    return frozenset(ReadBackRow(each.client, each.number) for each in attempts)


def verdict(
    attempts: list[Attempt], found: frozenset[ReadBackRow], *, milestones: Milestones = MILESTONES, lost_zone: str = ""
) -> DrillVerdict:
    zones = tuple((client, f"zone-{client}") for client in sorted({each.client for each in attempts} | {1}))
    witnesses = Witnesses(tuple(attempts), found, milestones, zones, lost_zone)
    return judge(witnesses, drill="db-failover", fault="power", seed=7)


def test_a_clean_failover_passes_and_its_times_are_measured_from_the_strike() -> None:
    attempts = acknowledged(WHOLE)
    result = verdict(attempts, rows(attempts))
    assert result.passed and result.reasons == ()
    assert (result.acknowledged, result.lost, result.phantom, result.two_primaries) == (len(WHOLE), 0, 0, 0)
    assert (result.rto_seconds, result.detection_seconds, result.promotion_seconds, result.redundancy_seconds) == (3.0, 1.0, 0.5, 10.0)


def test_a_missing_acknowledged_row_fails_the_drill_and_is_named() -> None:
    attempts = acknowledged(WHOLE)
    result = verdict(attempts, rows(attempts) - {ReadBackRow(1, 5)})
    assert not result.passed and result.lost == 1
    assert "row 5 of client 1" in result.reasons[0]


def test_a_row_that_was_refused_but_is_there_is_a_phantom() -> None:
    attempts = [*acknowledged(WHOLE), Attempt(1, 500, 50.0, 50.1, Outcome.FAILED)]
    result = verdict(attempts, rows(attempts))
    assert not result.passed and (result.phantom, result.failed) == (1, 1)


@pytest.mark.parametrize("there", [True, False])
def test_a_row_whose_end_is_unknown_may_be_there_or_not(there: bool) -> None:
    attempts = acknowledged(WHOLE)
    found = rows(attempts) | ({ReadBackRow(1, 500)} if there else frozenset())
    result = verdict([*attempts, Attempt(1, 500, 10.0, 10.5, Outcome.UNKNOWN, OLD, 1)], found)
    assert result.passed and result.unknown == 1


def test_a_row_that_no_client_tried_to_write_is_a_phantom() -> None:
    attempts = acknowledged(WHOLE)
    assert verdict(attempts, rows(attempts) | {ReadBackRow(9, 1)}).phantom == 1


def test_an_old_primary_that_acknowledges_after_the_new_one_began_is_found() -> None:
    attempts = acknowledged(sorted([*WHOLE, (20.0, OLD, 1)]))
    result = verdict(attempts, rows(attempts))
    assert not result.passed and result.two_primaries == 1
    assert "7.990 s after" in result.reasons[0]


def test_two_servers_on_one_timeline_are_two_primaries() -> None:
    assert overlapping_primaries(acknowledged([(1.0, OLD, 1), (2.0, NEW, 1)])) != []


def test_a_server_that_leads_again_on_a_later_timeline_is_a_new_reign() -> None:
    assert overlapping_primaries(acknowledged([(1.0, OLD, 1), (2.0, NEW, 2), (3.0, OLD, 3)])) == []


def test_an_acknowledgement_in_flight_when_the_new_primary_began_is_not_an_overlap() -> None:
    slow = Attempt(1, 1, 9.9, 12.5, Outcome.ACKNOWLEDGED, OLD, 1)
    assert overlapping_primaries([slow, Attempt(2, 1, 11.9, 12.0, Outcome.ACKNOWLEDGED, NEW, 2)]) == []


def test_a_client_that_never_comes_back_fails_the_drill() -> None:
    attempts = acknowledged([row for row in WHOLE if row[0] < 10])
    result = verdict(attempts, rows(attempts))
    assert not result.passed and result.rto_seconds == 91.0
    assert "still silent" in result.reasons[0]


def test_a_client_with_acknowledgements_during_the_outage_but_none_after_the_healing_has_not_recovered() -> None:
    attempts = acknowledged([row for row in WHOLE if row[0] < MILESTONES.healed])  # type: ignore[operator]
    result = verdict(attempts, rows(attempts))
    assert not result.passed and "still silent" in result.reasons[0]


def test_a_client_in_the_lost_zone_does_not_count_for_the_silence_but_its_rows_do() -> None:
    inside = acknowledged([row for row in WHOLE if row[0] < 10], client=2)
    outside = acknowledged(WHOLE)
    assert verdict([*inside, *outside], rows([*inside, *outside]), lost_zone="zone-2").rto_seconds == 3.0
    assert verdict([*inside, *outside], rows(outside), lost_zone="zone-2").lost == len(inside)


def test_a_drill_in_which_nothing_was_acknowledged_proves_nothing() -> None:
    result = verdict([], frozenset())
    assert not result.passed and "nothing was tested" in result.reasons[0]


def test_a_silence_before_the_fault_is_not_counted() -> None:
    attempts = acknowledged([(1.0, OLD, 1), *[(float(second), NEW, 2) for second in range(8, 100)]])
    assert verdict(attempts, rows(attempts)).rto_seconds == 1.0


ATTEMPTS = st.lists(
    st.builds(
        Attempt,
        client=st.integers(1, 3),
        number=st.integers(1, 30),
        begun=st.floats(0, 50),
        ended=st.floats(50, 100),
        outcome=st.sampled_from(Outcome),
        server=st.sampled_from([OLD, NEW]),
        timeline=st.integers(1, 3),
    ),
    unique_by=lambda each: (each.client, each.number),
)
FOUND = st.frozensets(st.builds(ReadBackRow, client=st.integers(1, 3), number=st.integers(1, 40)))


@given(ATTEMPTS, FOUND)
def test_every_row_is_judged_once_and_only_by_the_outcome_in_its_ledger(attempts: list[Attempt], found: frozenset[ReadBackRow]) -> None:
    told = {ReadBackRow(each.client, each.number): each.outcome for each in attempts}
    result = verdict(attempts, found)
    assert result.acknowledged + result.failed + result.unknown == len(attempts)
    assert result.lost == sum(outcome is Outcome.ACKNOWLEDGED and row not in found for row, outcome in told.items())
    assert result.phantom == sum(told.get(row, Outcome.FAILED) is Outcome.FAILED for row in found)


@given(ATTEMPTS, FOUND, FOUND)
def test_more_surviving_rows_never_lose_more(attempts: list[Attempt], found: frozenset[ReadBackRow], more: frozenset[ReadBackRow]) -> None:
    assert verdict(attempts, found | more).lost <= verdict(attempts, found).lost


@given(ATTEMPTS)
def test_a_verdict_never_passes_with_a_loss(attempts: list[Attempt]) -> None:
    result = verdict(attempts, frozenset())
    assert result.passed is False


@given(st.lists(st.floats(0.5, 99.5), max_size=40))
def test_the_silence_is_within_the_run_and_no_shorter_than_the_gap_around_the_strike(times: list[float]) -> None:
    attempts = acknowledged([(time, OLD, 1) for time in times])
    seconds = verdict(attempts, rows(attempts)).rto_seconds
    before = max([time for time in times if time <= MILESTONES.struck], default=MILESTONES.begun)
    after = min([time for time in times if time > MILESTONES.struck], default=MILESTONES.ended)
    assert round(after - before, 3) <= seconds <= MILESTONES.ended
