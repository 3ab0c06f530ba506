"""Failovers on real engines: every acknowledged row is there afterwards, whatever was killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.region.test_rds_instances import ask, available, describe
from tests.region.test_region_lifecycle import family, init, region_process
from tests.running_region import RunningRegion, eventually


@pytest.fixture
def pair(own_region: RunningRegion) -> Iterator[tuple[RunningRegion, str]]:
    """A region of the test's own with a pair in it that is synchronous, and a table."""
    identifier = own_region.create_database(MultiAZ=True)
    ask(own_region, identifier, "create table rows (n int primary key)")
    yield own_region, identifier


def redundancy(region: RunningRegion, identifier: str) -> str:
    return next(each["redundancy"] for each in region.status()["databases"] if each["identifier"] == identifier)  # type: ignore[no-any-return]


def write(region: RunningRegion, identifier: str, number: int) -> None:
    """Write until it is acknowledged; a repeated row is the same row."""
    sql = f"insert into rows values ({number}) on conflict (n) do update set n = excluded.n returning 'acknowledged'"
    place = _living_subnet(region)
    eventually(lambda: ask(region, identifier, sql, place=place) == "acknowledged", within=30)


def numbers(region: RunningRegion, identifier: str) -> set[int]:
    found = ask(region, identifier, "select n from rows", place=_living_subnet(region))
    return {int(word) for word in found.split()}


def _living_subnet(region: RunningRegion) -> str:
    lost = {zone["name"] for zone in region.status()["zones"] if zone["fault"]}
    subnets = region.client("ec2").describe_subnets()["Subnets"]
    return next(each["SubnetId"] for each in subnets if each["DefaultForAz"] and each["AvailabilityZone"] not in lost)


def test_the_primarys_zone_is_lost_and_returns(pair: tuple[RunningRegion, str]) -> None:
    region, database = pair
    before = describe(region, database)
    write(region, database, 1)
    region.zonal("fail", before["AvailabilityZone"])
    write(region, database, 2)
    assert describe(region, database)["AvailabilityZone"] == before["SecondaryAvailabilityZone"]
    assert redundancy(region, database) == "alone" and "SecondaryAvailabilityZone" not in describe(region, database)
    region.zonal("recover", before["AvailabilityZone"])
    eventually(lambda: redundancy(region, database) == "synchronous", within=60)
    assert numbers(region, database) == {1, 2}
    messages = [
        each["Message"] for each in region.client("rds").describe_events(SourceIdentifier=database, SourceType="db-instance")["Events"]
    ]
    assert messages.index("Multi-AZ instance failover started.") < messages.index("Multi-AZ instance failover completed")


def test_a_region_killed_in_the_middle_of_a_failover_completes_it(pair: tuple[RunningRegion, str]) -> None:
    region, database = pair
    write(region, database, 1)
    for pause in (0.05, 0.25):
        before = describe(region, database)["AvailabilityZone"]
        region.client("rds").reboot_db_instance(DBInstanceIdentifier=database, ForceFailover=True)
        time.sleep(pause)
        os.kill(region_process(region), signal.SIGKILL)
        eventually(lambda: region.zonal("status", check=False).returncode == 0)
        available(region, database)
        write(region, database, int(pause * 100))
        eventually(lambda: redundancy(region, database) == "synchronous", within=60)
        assert describe(region, database)["AvailabilityZone"] != before
    assert numbers(region, database) == {1, 5, 25}


def test_both_zones_lost_and_the_leaders_returns_last(pair: tuple[RunningRegion, str]) -> None:
    """The primary went on alone and then lost its zone as well: its standby must wait for it, however long it takes."""
    region, database = pair
    shown = describe(region, database)
    region.zonal("fail", shown["SecondaryAvailabilityZone"])
    write(region, database, 1)
    region.zonal("fail", shown["AvailabilityZone"])
    region.zonal("recover", shown["SecondaryAvailabilityZone"])
    eventually(lambda: "never promoted" in region.status()["databases"][0]["why"], within=30)
    region.zonal("recover", shown["AvailabilityZone"])
    eventually(lambda: redundancy(region, database) == "synchronous", within=60)
    assert numbers(region, database) == {1} and describe(region, database)["AvailabilityZone"] == shown["AvailabilityZone"]


def test_a_hung_primary_is_replaced(pair: tuple[RunningRegion, str]) -> None:
    region, database = pair
    before = describe(region, database)["AvailabilityZone"]
    write(region, database, 1)
    zone = next(node for node in region.status()["databases"][0]["nodes"] if node["role"] == "primary")
    hung = [each for each, line in family(init(region)).items() if "postgres" in line and zone["name"].replace("_", "-") in line]
    for process in hung:
        os.kill(process, signal.SIGSTOP)
    write(region, database, 2)
    assert describe(region, database)["AvailabilityZone"] != before
    eventually(lambda: redundancy(region, database) == "synchronous", within=60)
    assert numbers(region, database) == {1, 2}


def test_an_old_primary_is_fenced_when_its_zone_returns_while_the_new_ones_is_lost(pair: tuple[RunningRegion, str]) -> None:
    region, database = pair
    before = describe(region, database)
    old, new = before["AvailabilityZone"], before["SecondaryAvailabilityZone"]
    write(region, database, 1)
    region.zonal("fail", old, "--network")
    write(region, database, 2)

    def node() -> dict[str, str]:
        return next(each for each in region.status()["databases"][0]["nodes"] if each["zone"] == old)  # type: ignore[no-any-return]

    assert (node()["role"], node()["state"]) == ("old primary", "lost")
    assert "is not fenced yet" in region.status()["databases"][0]["why"]
    region.zonal("fail", new)
    region.zonal("recover", old)
    eventually(lambda: (node()["role"], node()["state"]) == ("standby", "off"), within=30)
    assert [each["fields"]["how"] for each in region.journal(event="failover.fenced")] == ["unreachable", "killed"]
    processes = [line for line in family(init(region)).values() if "bin/postgres" in line and node()["name"].replace("_", "-") in line]
    assert processes == [], "no engine runs that is shown as off"
    region.zonal("recover", new)
    eventually(lambda: redundancy(region, database) == "synchronous", within=60)
    assert numbers(region, database) == {1, 2} and describe(region, database)["AvailabilityZone"] == new
