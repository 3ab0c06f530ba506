"""The loopback addresses that stand for public ones."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from zonal.fabric.exposure import Exposure
from zonal.services.ec2.addresses import POOLS


def exposure(state: str) -> Exposure:
    return Exposure(Path(state), Path(state) / "run")


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_every_public_address_has_one_of_its_own_within_loopback(state: str) -> None:
    ends = [f"{pool.rpartition('.')[0]}.{host}" for pool in POOLS for host in (1, 77, 254)]
    found = [exposure(state).address(end) for end in ends]
    assert len(set(found)) == len(ends) and all(IPv4Address(each).is_loopback for each in found)
    assert not any(each.startswith("127.0.") for each in found)


def test_two_hundred_regions_rarely_collide() -> None:
    found = [exposure(f"/srv/regions/{number}").address("203.0.113.5") for number in range(200)]
    assert len(set(found)) > 190
