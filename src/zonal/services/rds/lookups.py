"""Finding RDS's things by name or ARN, and answering in pages and through filters as RDS does.

Pages come by `MaxRecords` (20 to 100 in most operations, 100 by default) and `Marker`; the marker names the last thing that was
answered, so that pages neither repeat nor skip what stays.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar, cast

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import parse_arn
from zonal.records.view import View
from zonal.services.rds.model import DbInstance, SubnetGroup

T = TypeVar("T")

Answer = dict[str, object]
"""What a handler returns, in the shape that boto3 gives its caller."""

FEWEST, MOST = 20, 100


def find_instance(view: View, identifier: str) -> DbInstance:
    """The instance by its identifier (in any case) or ARN. Raises `DBInstanceNotFound`."""
    wanted = _name(identifier, "db").lower()
    for instance in view.select(DbInstance):
        if instance.identifier == wanted:
            return instance
    raise AwsError("DBInstanceNotFound", f"DBInstance {wanted} not found.", status=404)


def instance_exists(view: View, identifier: str) -> bool:
    return any(instance.identifier == identifier for instance in view.select(DbInstance))


def find_subnet_group(view: View, name: str) -> SubnetGroup:
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


def page(
    items: Iterable[T],
    request: Mapping[str, object],
    member: str,
    key: Callable[[T], str],
    render: Callable[[T], Mapping[str, object]],
    *,
    fewest: int = FEWEST,
    most: int = MOST,
) -> Answer:
    """One page of `items` under `member`, in the order of their keys. Raises `InvalidParameterValue`."""
    chosen: Sequence[T] = sorted(items, key=key)
    size = request.get("MaxRecords")
    size = MOST if size is None else size
    assert isinstance(size, int)
    if not fewest <= size <= most:
        raise AwsError("InvalidParameterValue", f"Invalid value {size} for MaxRecords. Must be between {fewest} and {most}")
    if marker := request.get("Marker"):
        after = _unmarked(str(marker), member)
        chosen = [item for item in chosen if key(item) > after]
    answer: Answer = {member: [render(item) for item in chosen[:size]]}
    if len(chosen) > size:
        answer["Marker"] = _marked(key(chosen[size - 1]), member)
    return answer


def filters(request: Mapping[str, object], known: Iterable[str]) -> dict[str, list[str]]:
    """The request's filters, by name. Raises `InvalidParameterValue` for one that the operation does not have."""
    found: dict[str, list[str]] = {}
    names = tuple(known)
    for each in cast("list[Mapping[str, object]]", request.get("Filters") or []):
        name = str(each.get("Name") or "")
        if name not in names:
            raise AwsError("InvalidParameterValue", f"Unrecognized filter name: {name}")
        values = cast("list[str]", each.get("Values") or [])
        if not values:
            raise AwsError("InvalidParameterCombination", f"No values were given for the filter {name}")
        found[name] = values
    return found


def refuse(request: Mapping[str, object], reasons: Mapping[str, str], *, code: str = "InvalidParameterCombination") -> None:
    """Refuse members that would promise what zonal does not do; `reasons` says for each what is missing.

    A member that is absent, empty, false or 0 promises nothing.
    """
    for member, reason in reasons.items():
        if request.get(member) not in (None, "", False, [], 0, ()):
            raise AwsError(code, f"{member} is not supported: {reason}; see docs/limits.md")


def _marked(key: str, member: str) -> str:
    return base64.urlsafe_b64encode(f"{member}\0{key}".encode()).decode()


def _unmarked(marker: str, member: str) -> str:
    try:
        issuer, _, key = base64.b64decode(marker, altchars=b"-_", validate=True).decode().partition("\0")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        issuer, key = "", ""
    if issuer != member:
        raise AwsError("InvalidParameterValue", f"The marker '{marker}' is not valid")
    return key
