"""Lookups of RDS's resources by name or ARN, and RDS's rules of pages and filters.

Pages come by `MaxRecords` (20 to 100 in most operations, 100 by default) and `Marker`; the marker names the last thing that was
answered, so that pages neither repeat nor skip what stays.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeVar, cast

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import parse_arn
from zonal.records.record_view import RecordView
from zonal.services.common.filters import Filter, by_name
from zonal.services.common.paging import Paging
from zonal.services.common.unsupported_parameters import UnsupportedParameters
from zonal.services.operation import ResponseMembers
from zonal.services.rds.model import DbInstance, SubnetGroup

T = TypeVar("T")

"""What a handler returns, in the shape that boto3 gives its caller."""


def find_instance(view: RecordView, identifier: str) -> DbInstance:
    """The instance by its identifier (in any case) or ARN. Raises `DBInstanceNotFound`."""
    wanted = _name(identifier, "db").lower()
    for instance in view.select(DbInstance):
        if instance.identifier == wanted:
            return instance
    raise AwsError("DBInstanceNotFound", f"DBInstance {wanted} not found.", status=404)


def instance_exists(view: RecordView, identifier: str) -> bool:
    return any(instance.identifier == identifier for instance in view.select(DbInstance))


def find_subnet_group(view: RecordView, name: str) -> SubnetGroup:
    """Raises `DBSubnetGroupNotFoundFault`."""
    group = view.get(SubnetGroup, _name(name, "subgrp").lower())
    if group is None:
        raise AwsError("DBSubnetGroupNotFoundFault", f"DB subnet group '{name}' does not exist.", status=404)
    return group


def _name(text: str, kind: str) -> str:
    """The name in an ARN of this kind, or the text itself."""
    parsed = parse_arn(text)
    if parsed is None:
        return text
    word, _, name = parsed[3].partition(":")
    return name if word == kind else text


PAGING = Paging(
    size_name="MaxRecords",
    token_name="Marker",
    fewest=20,
    most=100,
    default=100,
    out_of_bounds=lambda size, fewest, most: AwsError(
        "InvalidParameterValue", f"Invalid value {size} for MaxRecords. Must be between {fewest} and {most}"
    ),
    wrong_token=lambda token: AwsError("InvalidParameterValue", f"The marker '{token}' is not valid"),
)
"""RDS's pages; some operations have other bounds."""

UNSUPPORTED = UnsupportedParameters(
    "InvalidParameterCombination", lambda name, reason: f"{name} is not supported: {reason}; see docs/limits.md"
)
"""RDS's answer to a parameter that zonal does not implement."""


def page(
    items: Iterable[T],
    request: Mapping[str, object],
    member: str,
    key: Callable[[T], str],
    render: Callable[[T], Mapping[str, object]],
    *,
    paging: Paging = PAGING,
) -> ResponseMembers:
    """One page of `items` under `member`, in the order of their keys. Raises `InvalidParameterValue`."""
    found = paging.page(sorted(items, key=key), request, issuer=member, key=key)
    return found.of(map(render, found.items)).members(member, "Marker")


def filters(request: Mapping[str, object], known: Collection[str]) -> dict[str, list[str]]:
    """The request's filters, by name. Raises `InvalidParameterValue` for one that the operation does not have."""
    return by_name(
        cast("list[Filter]", request.get("Filters") or []),
        known,
        unknown=lambda name: AwsError("InvalidParameterValue", f"Unrecognized filter name: {name}"),
        empty=lambda name: AwsError("InvalidParameterCombination", f"No values were given for the filter {name}"),
    )
