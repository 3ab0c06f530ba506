"""Filters that compare whole values; EC2's tests cover those with patterns."""

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


def test_unknown_filters_and_filters_without_values_are_rejected() -> None:
    assert named(("engine", ["a", "b"]), ("status", ["c"])) == {"engine": ["a", "b"], "status": ["c"]}
    for filters, code in (((("colour", ["red"]),), "Unknown"), ((("engine", []),), "Empty")):
        with pytest.raises(AwsError) as error:
            named(*filters)
        assert error.value.code == code


def test_an_item_passes_all_filters_and_any_value_of_each() -> None:
    properties = {"engine": ("a",), "status": ("x", "y")}
    assert has_values(properties, {})
    assert has_values(properties, {"engine": ["b", "a"], "status": ["y"]})
    assert not has_values(properties, {"engine": ["b"], "status": ["y"]})
    assert not has_values(properties, {"engine": ["a*"]})
