"""AWS's messages for broken constraints."""

from __future__ import annotations

import pytest

from zonal.wire import constraints


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (5, 1, 10, []),
        (0, 1, 10, ["Member must have value greater than or equal to 1"]),
        (11, 1, 10, ["Member must have value less than or equal to 10"]),
        (2_000_000, 1, 1_000_000, ["Member must have value less than or equal to 1000000"]),
        (0.25, 0.5, 10, ["Member must have value greater than or equal to 0.5"]),
        (7, float("-inf"), float("inf"), []),
    ],
)
def test_a_number_out_of_its_range_is_reported_with_the_complete_bound(value: float, low: float, high: float, expected: list[str]) -> None:
    assert constraints.broken_range(value, low, high) == expected


def test_a_length_out_of_its_bounds_is_reported_with_the_bound() -> None:
    assert constraints.broken_length(3, 3, 255) == []
    assert constraints.broken_length(2, 3, 255) == ["Member must have length greater than or equal to 3"]
    assert constraints.broken_length(256, 3, 255) == ["Member must have length less than or equal to 255"]


def test_all_broken_constraints_are_reported_in_one_message() -> None:
    first = constraints.failure("'a'", "tableName", constraints.pattern("[b]+"))
    second = constraints.failure("null", "key", constraints.NOT_NULL)
    assert constraints.summary([first]) == (
        "1 validation error detected: Value 'a' at 'tableName' failed to satisfy constraint: Member must satisfy regular expression"
        " pattern: [b]+"
    )
    assert constraints.summary([first, second]) == (
        f"2 validation errors detected: {first}; Value null at 'key' failed to satisfy constraint: Member must not be null"
    )
