"""Subnet groups: validation, and the zones of new nodes."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zonal.foundation.errors import AwsError
from zonal.services.common.subnet_groups import SubnetGroupRules, in_order, zones_for_nodes


class Subnet(NamedTuple):
    id: str
    vpc_id: str
    zone: str


SUBNETS = {
    subnet.id: subnet for subnet in (Subnet("s1", "v1", "a"), Subnet("s2", "v1", "b"), Subnet("s3", "v1", "b"), Subnet("t1", "v2", "c"))
}
RULES = SubnetGroupRules("cache subnet group", quota="Quota", coverage="Coverage", in_use="InUse", most_subnets=2)


@pytest.mark.parametrize(
    ("ids", "code", "message"),
    [
        (["s1", "x", "y"], "InvalidSubnet", "Some input subnets in :[x, y] are invalid."),
        ([], "InvalidSubnet", "Some input subnets in :[] are invalid."),
        (
            ["s1", "t1"],
            "InvalidSubnet",
            "Some input subnets are not in the same VPC; all subnets of a cache subnet group must be in one.",
        ),
        (["s1", "s2", "s3"], "Quota", "A cache subnet group can have at most 2 subnets."),
        (
            ["s2", "s3"],
            "Coverage",
            "The cache subnet group doesn't meet Availability Zone (AZ) coverage requirement. Current AZ coverage: b."
            " Add subnets to cover at least 2 AZs.",
        ),
    ],
)
def test_subnets_that_cannot_form_a_group_are_rejected(ids: list[str], code: str, message: str) -> None:
    with pytest.raises(AwsError) as error:
        RULES.chosen(ids, SUBNETS.get)
    assert (error.value.code, error.value.message) == (code, message)


def test_duplicate_subnets_are_dropped_and_subnets_are_ordered_by_zone() -> None:
    assert [subnet.id for subnet in RULES.chosen(["s2", "s1", "s2"], SUBNETS.get)] == ["s2", "s1"]
    assert [subnet.id for subnet in in_order(["s3", "s2", "gone", "s1"], SUBNETS.get)] == ["s1", "s2", "s3"]


def test_a_service_may_have_groups_in_one_zone() -> None:
    assert RULES._replace(fewest_zones=1).chosen(["s2", "s3"], SUBNETS.get)


def test_a_subnet_with_nodes_cannot_be_removed() -> None:
    RULES.check_unused(set(), "the cache orders")
    with pytest.raises(AwsError) as error:
        RULES.check_unused({"s2", "s1"}, "the cache orders")
    assert (error.value.code, error.value.message) == (
        "InUse",
        "The subnet s1 is in use by the cache orders and cannot be removed.",
    )


def placed(occupied: list[str], *, count: int, lost: str = "", wanted: str | None = None, but: str = "") -> list[str]:
    return zones_for_nodes(
        list(SUBNETS.values()),
        occupied,
        count=count,
        is_lost=lambda zone: zone in lost,
        not_covered=lambda zone, zones: AwsError("NotCovered", f"{zone} {zones}"),
        no_capacity=lambda zones, usable: AwsError("NoCapacity", f"{zones} {usable}"),
        wanted=wanted,
        but=tuple(but),
    )


@given(st.lists(st.sampled_from("abc")), st.integers(1, 3), st.sampled_from(["", "a", "b", "ab"]))
def test_new_nodes_go_to_different_zones_that_are_not_lost_and_have_the_fewest(occupied: list[str], count: int, lost: str) -> None:
    usable = sorted(set("abc") - set(lost))
    if len(usable) < count:
        with pytest.raises(AwsError, match="NoCapacity"):
            placed(occupied, count=count, lost=lost)
        return
    zones = placed(occupied, count=count, lost=lost)
    assert len(set(zones)) == count and set(zones) <= set(usable)
    left = set(usable) - set(zones)
    assert all(occupied.count(zone) <= occupied.count(other) for zone in zones for other in left)


def test_a_requested_zone_is_used_or_rejected() -> None:
    assert placed(["b"] * 9, count=1, wanted="b") == ["b"]
    assert placed([], count=1, but="a") == ["b"]
    with pytest.raises(AwsError, match="NotCovered"):
        placed([], count=1, wanted="d")
    with pytest.raises(AwsError, match=r"NoCapacity.*\['b'\] \[\]"):
        placed([], count=1, wanted="b", lost="b")
