"""Maintenance and daily windows: validation, choice, and the time until the next one."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zonal.foundation.errors import AwsError
from zonal.services.common.maintenance_windows import WindowRules

RULES = WindowRules("backup")
MONDAY = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)


def test_the_time_until_a_window_opens_is_zero_while_it_is_open() -> None:
    assert RULES.seconds_until("mon:05:00-mon:06:00", MONDAY) == 3600
    assert RULES.seconds_until("mon:03:30-mon:04:30", MONDAY) == 0
    assert RULES.seconds_until("mon:03:00-mon:04:00", MONDAY) == timedelta(days=7).total_seconds() - 3600
    assert RULES.seconds_until("sun:23:45-mon:04:15", MONDAY) == 0, "over the end of the week"


@pytest.mark.parametrize(
    "text", ["", "mon:3:00-mon:04:00", "mon:03:00-xyz:04:00", "mon:24:00-tue:01:00", "mon:03:00-mon:03:29", "mon:03:00-wed:03:00"]
)
def test_an_invalid_maintenance_window_is_rejected(text: str) -> None:
    with pytest.raises(AwsError):
        RULES.checked_maintenance(text)


def test_overlapping_windows_are_rejected_even_across_midnight() -> None:
    RULES.check_apart("mon:03:00-mon:04:00", "04:00-04:30")
    for backup in ("03:30-04:00", "02:45-03:15", "23:00-03:30"):
        with pytest.raises(AwsError, match="overlap"):
            RULES.check_apart("mon:03:00-mon:04:00", backup)


@given(st.integers())
def test_chosen_windows_are_valid_and_do_not_overlap(seed: int) -> None:
    maintenance, backup = RULES.chosen(random.Random(seed))
    assert RULES.checked_maintenance(maintenance) == maintenance and RULES.checked_daily(backup) == backup
    RULES.check_apart(maintenance, backup)
    RULES.check_apart(maintenance, RULES.daily_apart_from(maintenance, random.Random(seed)))


@given(st.integers())
def test_omitted_windows_are_chosen_without_overlap_with_given_ones(seed: int) -> None:
    source = random.Random(seed)
    assert RULES.settled("Mon:03:00-Mon:04:00", "04:00-04:30", source) == ("mon:03:00-mon:04:00", "04:00-04:30")
    for asked in (("mon:03:00-tue:02:00", None), (None, "03:00-10:00"), (None, None)):
        maintenance, backup = RULES.settled(*asked, source)
        RULES.check_apart(maintenance, backup)
        assert maintenance == (asked[0] or maintenance) and backup == (asked[1] or backup)


def test_a_service_sets_its_shortest_window_its_codes_and_the_daily_windows_name() -> None:
    rules = WindowRules("snapshot", shortest_minutes=60, invalid="InvalidValue", overlapping="InvalidCombination")
    for check, text, expected in (
        (rules.checked_maintenance, "mon:03:00-mon:03:59", "The maintenance window must be at least 60 minutes."),
        (rules.checked_daily, "03:00-03:59", "The snapshot window must be at least 60 minutes."),
    ):
        with pytest.raises(AwsError) as error:
            check(text)
        assert (error.value.code, error.value.message) == ("InvalidValue", expected)
    with pytest.raises(AwsError) as error:
        rules.check_apart("mon:03:00-mon:04:00", "03:30-04:30")
    assert (error.value.code, error.value.message) == (
        "InvalidCombination",
        "The snapshot window and maintenance window must not overlap.",
    )
