"""Windows: read, kept apart, and when the next one opens."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zonal.foundation.errors import AwsError
from zonal.services.rds import windows

MONDAY = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)


def test_a_window_opens_and_closes() -> None:
    assert windows.seconds_until("mon:05:00-mon:06:00", MONDAY) == 3600
    assert windows.seconds_until("mon:03:30-mon:04:30", MONDAY) == 0
    assert windows.seconds_until("mon:03:00-mon:04:00", MONDAY) == timedelta(days=7).total_seconds() - 3600
    assert windows.seconds_until("sun:23:45-mon:04:15", MONDAY) == 0, "over the end of the week"


@pytest.mark.parametrize(
    "text", ["", "mon:3:00-mon:04:00", "mon:03:00-xyz:04:00", "mon:24:00-tue:01:00", "mon:03:00-mon:03:29", "mon:03:00-wed:03:00"]
)
def test_a_maintenance_window_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(AwsError):
        windows.checked_maintenance(text)


def test_windows_that_overlap_are_refused_over_midnight_too() -> None:
    windows.check_apart("mon:03:00-mon:04:00", "04:00-04:30")
    for backup in ("03:30-04:00", "02:45-03:15", "23:00-03:30"):
        with pytest.raises(AwsError, match="overlap"):
            windows.check_apart("mon:03:00-mon:04:00", backup)


@given(st.integers())
def test_chosen_windows_are_valid_and_apart(seed: int) -> None:
    maintenance, backup = windows.chosen_windows(random.Random(seed))
    assert windows.checked_maintenance(maintenance) == maintenance and windows.checked_backup(backup) == backup
    windows.check_apart(maintenance, backup)
    windows.check_apart(maintenance, windows.backup_apart_from(maintenance, random.Random(seed)))
