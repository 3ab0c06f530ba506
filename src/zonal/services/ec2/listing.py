"""Describe operations: selection by ids, filters, pages; and helpers that read request members.

>>> listing = Listing(Vpc, ids="VpcIds", id="VpcId", answers="Vpcs", paths={"vpc-id": "VpcId"})
>>> listing.describe(call, request, render)  # → {"Vpcs": […], "NextToken": …}
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from zonal.foundation.errors import AwsError
from zonal.services.common.filters import Paths
from zonal.services.common.paging import Paging
from zonal.services.common.unsupported_parameters import UnsupportedParameters
from zonal.services.ec2 import filters
from zonal.services.ec2.lookups import absent
from zonal.services.ec2.model import Tagged
from zonal.services.operation import Call, ControlCall, ResponseMembers

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import FilterTypeDef

T = TypeVar("T", bound=Tagged)


def _out_of_bounds(size: int, fewest: int, most: int) -> AwsError:
    expected = f"greater than {fewest}" if size < fewest else f"less than {most}"
    return AwsError("InvalidParameterValue", f"Value ( {size} ) for parameter maxResults is invalid. Expecting a value {expected}.")


PAGING = Paging(
    size_name="MaxResults",
    token_name="NextToken",
    fewest=5,
    most=1000,
    out_of_bounds=_out_of_bounds,
    wrong_token=lambda token: AwsError("InvalidNextToken", f"The token '{token}' is invalid"),
)
"""EC2's pagination. Without `MaxResults` one page holds everything after the token. Some operations have other bounds."""


class Listing(Generic[T]):
    """The Describe operation of one kind of record.

    `ids` is the request's member with ids and `filters_in` the one with filters. `answers` is the response's member with the described
    resources, `id` the member with the id of each. `paths` are the filters (`common.filters.Paths`).
    """

    def __init__(
        self,
        kind: type[T],
        *,
        ids: str,
        id: str,
        answers: str,
        paths: Paths,
        filters_in: str = "Filters",
        fewest: int | None = None,
        most: int | None = None,
    ) -> None:
        self.kind = kind
        self.ids = ids
        self.id = id
        self.answers = answers
        self.paths = paths
        self.filters_in = filters_in
        self.paging = PAGING.bounded(fewest=fewest, most=most)

    def describe(
        self,
        call: ControlCall,
        request: Mapping[str, object],
        render: Callable[[T], Mapping[str, object]],
        *,
        where: Callable[[T], bool] | None = None,
    ) -> ResponseMembers:
        """The response to one call. Raises the kind's NotFound error for an unknown id."""
        records = self._chosen(call, strings(request, self.ids), where)
        rendered: list[Mapping[str, object]] = [render(record) for record in records]
        return self.answer(call, request, rendered)

    def answer(self, call: Call, request: Mapping[str, object], rendered: Iterable[Mapping[str, object]]) -> ResponseMembers:
        """Filter and page rendered records."""
        asked = cast("list[FilterTypeDef]", request.get(self.filters_in) or [])
        passed = filters.passing(rendered, asked, self.paths)
        found = self.paging.page(passed, request, issuer=call.operation, key=lambda each: str(each[self.id]))
        return found.members(self.answers, "NextToken")

    def _chosen(self, call: ControlCall, ids: list[str], where: Callable[[T], bool] | None) -> list[T]:
        records = call.transaction.select(self.kind, where)
        if not ids:
            return records
        known = {record.id for record in records}
        for id in ids:
            if id not in known:
                raise absent(self.kind, id)
        return [record for record in records if record.id in ids]


def strings(request: Mapping[str, object], member: str) -> list[str]:
    """A member that is a list of strings; empty if it is missing."""
    return cast("list[str]", request.get(member) or [])


def one_of(request: Mapping[str, object], *members: str) -> str:
    """The name of the only given member. Raises `MissingParameter` or `InvalidParameterCombination`."""
    given = [member for member in members if request.get(member) is not None]
    if not given:
        names = ", ".join(map(camel, members))
        raise AwsError("MissingParameter", f"The request must contain exactly one of: {names}")
    if len(given) > 1:
        raise AwsError("InvalidParameterCombination", f"The request may contain only one of: {', '.join(map(camel, given))}")
    return given[0]


def needed(request: Mapping[str, object], member: str) -> str:
    """A member that EC2 requires although botocore's model does not. Raises `MissingParameter`."""
    value = request.get(member)
    if value is None:
        raise AwsError("MissingParameter", f"The request must contain the parameter {camel(member)}")
    return str(value)


def camel(member: str) -> str:
    """A member's name as in EC2's messages: `VpcId` → `vpcId`."""
    return member[0].lower() + member[1:]


NO_IPAM = {"Ipv4IpamPoolId": "IPAM", "Ipv4NetmaskLength": "IPAM", "Ipv6IpamPoolId": "IPAM", "Ipv6NetmaskLength": "IPAM"}
"""Parameters of IPAM, for `reject_unsupported`."""


def reject_unsupported(request: Mapping[str, object], **reasons: str) -> None:
    """Reject parameters that zonal does not implement; `reasons` states what is missing. Raises `InvalidParameterValue`."""
    _UNSUPPORTED.reject(request, reasons)


_UNSUPPORTED = UnsupportedParameters(
    "InvalidParameterValue",
    lambda name, reason: f"The parameter {camel(name)} is not supported: zonal has no {reason}; see docs/limits.md",
)
