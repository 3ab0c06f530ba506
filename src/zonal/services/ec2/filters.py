"""EC2's limits and errors for filters; `common.filters` evaluates them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from zonal.foundation.errors import AwsError
from zonal.services.common.filters import TAG_PATHS, Paths, passes

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import FilterTypeDef

A = TypeVar("A", bound=Mapping[str, Any])

_MOST_FILTERS = 50
_MOST_VALUES = 200


def passing(shown: Iterable[A], filters: Iterable[FilterTypeDef], paths: Paths) -> list[A]:
    """The rendered items that pass the filters. Raises like `check`."""
    given = list(filters)
    check(given, paths)
    return [each for each in shown if passes(each, given, paths)]


def check(filters: Iterable[FilterTypeDef], paths: Paths) -> None:
    """Raises `InvalidParameterValue` for a filter that the operation does not have, `FilterLimitExceeded` for too many."""
    given = list(filters)
    for each in given:
        name = each.get("Name") or ""
        if name not in paths and name not in TAG_PATHS and not name.startswith("tag:"):
            raise AwsError("InvalidParameterValue", f"The filter '{name}' is invalid")
        if len(each.get("Values") or ()) > _MOST_VALUES:
            raise AwsError("FilterLimitExceeded", f"The maximum number of filter values specified on a single call is {_MOST_VALUES}")
    if len(given) > _MOST_FILTERS:
        raise AwsError("FilterLimitExceeded", f"The maximum number of filters specified on a single call is {_MOST_FILTERS}")
