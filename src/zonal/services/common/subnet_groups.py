"""Subnet groups: the subnets of one VPC in which a service may place its nodes, and the choice of zones for new nodes.

A service stores its groups as a `SubnetGroupRecord` subclass and sets its bounds and error codes in `SubnetGroupRules`. EC2's subnets are
passed in as values with an id, a VPC and a zone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from zonal.foundation.errors import AwsError
from zonal.records.store import Record


class GroupSubnet(Protocol):
    """The part of a subnet that this module uses (`ec2.model.Subnet` implements it)."""

    @property
    def id(self) -> str: ...

    @property
    def vpc_id(self) -> str: ...

    @property
    def zone(self) -> str: ...


S = TypeVar("S", bound=GroupSubnet)

IsLost = Callable[[str], bool]
"""Whether a zone, given by name, is currently lost."""


class SubnetGroupRecord(Record, frozen=True, kw_only=True):
    """A subnet group; its id is its name in lower case. All subnets belong to one VPC."""

    description: str
    vpc_id: str
    subnet_ids: tuple[str, ...]
    tags: dict[str, str] = msgspec.field(default_factory=dict)


class SubnetGroupRules(NamedTuple):
    """A service's rules. `noun` is a group's name in its messages; a group covers `fewest_zones` or more, with up to `most_subnets`."""

    noun: str
    quota: str
    coverage: str
    in_use: str
    invalid: str = "InvalidSubnet"
    fewest_zones: int = 2
    most_subnets: int = 20

    def chosen(self, ids: Sequence[str], find: Callable[[str], S | None]) -> list[S]:
        """The subnets of a request, without duplicates. Raises `invalid`, `quota` and `coverage`."""
        names = list(dict.fromkeys(ids))
        found = [subnet for id in names if (subnet := find(id)) is not None]
        missing = [id for id in names if find(id) is None]
        if missing or not found:
            raise AwsError(self.invalid, f"Some input subnets in :[{', '.join(missing)}] are invalid.")
        if len({subnet.vpc_id for subnet in found}) > 1:
            message = f"Some input subnets are not in the same VPC; all subnets of a {self.noun} must be in one."
            raise AwsError(self.invalid, message)
        if len(found) > self.most_subnets:
            raise AwsError(self.quota, f"A {self.noun} can have at most {self.most_subnets} subnets.")
        self.check_coverage(found)
        return found

    def check_coverage(self, chosen: Iterable[GroupSubnet]) -> None:
        """Raises `coverage` if the subnets are in too few zones."""
        zones = {subnet.zone for subnet in chosen}
        if len(zones) < self.fewest_zones:
            raise AwsError(
                self.coverage,
                f"The {self.noun} doesn't meet Availability Zone (AZ) coverage requirement. Current AZ coverage:"
                f" {', '.join(sorted(zones)) or 'none'}. Add subnets to cover at least {self.fewest_zones} AZs.",
            )

    def check_unused(self, removed: Collection[str], user: str) -> None:
        """Raises `in_use` if any subnet is removed; `user` names the resource in it (`the DB instance orders`)."""
        if removed:
            raise AwsError(self.in_use, f"The subnet {min(removed)} is in use by {user} and cannot be removed.")


def in_order(ids: Iterable[str], find: Callable[[str], S | None]) -> list[S]:
    """The subnets that exist, ordered by zone and id."""
    found = [subnet for id in ids if (subnet := find(id)) is not None]
    return sorted(found, key=lambda subnet: (subnet.zone, subnet.id))


def zones_for_nodes(
    subnets: Iterable[GroupSubnet],
    occupied: Sequence[str],
    *,
    count: int,
    is_lost: IsLost,
    not_covered: Callable[[str, list[str]], AwsError],
    no_capacity: Callable[[list[str], list[str]], AwsError],
    wanted: str | None = None,
    but: Collection[str] = (),
) -> list[str]:
    """Zones for `count` new nodes, those with the fewest nodes first. `occupied` has the zone of each existing node; `but` is excluded.

    With `wanted` only that zone is considered. Raises `not_covered(wanted, zones)` if the group has no subnet there, and
    `no_capacity(zones, usable)` if fewer than `count` zones are available.
    """
    zones = sorted({subnet.zone for subnet in subnets} - set(but))
    if wanted is not None and wanted not in zones:
        raise not_covered(wanted, zones)
    candidates = [wanted] if wanted else zones
    usable = [zone for zone in candidates if not is_lost(zone)]
    if len(usable) < count:
        raise no_capacity(candidates, usable)
    return sorted(usable, key=lambda zone: (occupied.count(zone), zone))[:count]
