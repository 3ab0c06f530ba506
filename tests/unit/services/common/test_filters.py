"""Filters that compare whole values; those that compare patterns are held by EC2's tests."""

from __future__ import annotations

import pytest

from zonal.foundation.errors import AwsError
from zonal.services.common.filters import by_name, has_values


def named(*filters: tuple[str, list[str]]) -> dict[str, list[str]]:
    return by_name(
        [{"Name": name, "Values": values} for name, values in filters],
        ("engine", "status"),
        unknown=lambda name: AwsError("Unknown", name),
        empty=lambda name: AwsError("Empty", name),
    )


def test_filters_are_known_and_have_values() -> None:
    assert named(("engine", ["a", "b"]), ("status", ["c"])) == {"engine": ["a", "b"], "status": ["c"]}
    for filters, code in (((("colour", ["red"]),), "Unknown"), ((("engine", []),), "Empty")):
        with pytest.raises(AwsError) as error:
            named(*filters)
        assert error.value.code == code


def test_filters_are_joined_by_and_their_values_by_or() -> None:
    properties = {"engine": ("a",), "status": ("x", "y")}
    assert has_values(properties, {})
    assert has_values(properties, {"engine": ["b", "a"], "status": ["y"]})
    assert not has_values(properties, {"engine": ["b"], "status": ["y"]})
    assert not has_values(properties, {"engine": ["a*"]})
