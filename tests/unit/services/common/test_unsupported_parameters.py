"""Unsupported parameters: rejected with name and reason; values that request nothing are accepted."""

from __future__ import annotations

import pytest

from zonal.foundation.errors import AwsError
from zonal.services.common.unsupported_parameters import UnsupportedParameters

UNSUPPORTED = UnsupportedParameters("NotHere", lambda name, reason: f"{name}: {reason}")


def test_the_first_set_parameter_is_rejected_with_its_reason() -> None:
    with pytest.raises(AwsError) as error:
        UNSUPPORTED.reject({"B": [1], "A": "x"}, {"A": "no A", "B": "no B"})
    assert (error.value.code, error.value.message) == ("NotHere", "A: no A")


@pytest.mark.parametrize("value", [None, "", False, 0, [], ()])
def test_a_value_that_requests_nothing_is_accepted(value: object) -> None:
    UNSUPPORTED.reject({"A": value}, {"A": "no A"})


def test_a_parameter_with_one_supported_value_accepts_only_that_value() -> None:
    UNSUPPORTED.require_only({"A": "x", "B": None}, {"A": "x", "B": "y"})
    with pytest.raises(AwsError) as error:
        UNSUPPORTED.require_only({"A": "z"}, {"A": "x"})
    assert (error.value.code, error.value.message) == ("NotHere", "A can only be x, not z; see docs/limits.md")
