"""Every drill on a real database, each fault once with a fixed seed. `script/soak outages` runs many seeds."""

import json
from collections.abc import Iterator

import pytest

from tests.running_region import RunningRegion, eventually


@pytest.fixture(scope="module")
def database(region: RunningRegion) -> Iterator[str]:
    identifier = region.create_database(MultiAZ=True)
    yield identifier
    region.delete_database(identifier)


def drill(region: RunningRegion, database: str, command: str, *argv: str) -> dict[str, object]:
    options = ("--db", database, "--password", "password-of-master", "--seconds", "3", "--json")
    done = region.zonal("drill", command, *options, *argv, check=False)
    assert done.stdout, f"{done.stderr}\n{region.log()}"
    verdict: dict[str, object] = json.loads(done.stdout)
    assert done.returncode == (0 if verdict["passed"] else 1)
    return verdict


@pytest.mark.parametrize("fault", ["process", "host", "reboot", "power", "network"])
def test_no_acknowledged_write_is_lost_and_every_client_is_served_again(region: RunningRegion, database: str, fault: str) -> None:
    verdict = drill(region, database, "db-failover", "--fault", fault, "--seed", "11")
    assert verdict["reasons"] == [] and verdict["passed"] is True
    assert (verdict["lost"], verdict["phantom"], verdict["two_primaries"]) == (0, 0, 0)
    assert verdict["acknowledged"] > 0  # type: ignore[operator]
    assert verdict["detection_seconds"] is not None and verdict["promotion_seconds"] is not None
    assert verdict["redundancy_seconds"] is not None
    assert verdict["seed"] == 11


def test_after_the_loss_of_the_standbys_zone_the_primary_continues_alone(region: RunningRegion, database: str) -> None:
    nodes = {node["role"]: node["zone"] for node in _database(region, database)["nodes"]}
    verdict = drill(region, database, "zone-outage", "--power", "--zone", nodes["standby"], "--seed", "12")
    assert verdict["reasons"] == []
    assert verdict["promotion_seconds"] is None, "the primary's zone was untouched, so nobody is promoted"
    assert nodes["primary"] == {node["role"]: node["zone"] for node in _database(region, database)["nodes"]}["primary"]


def test_a_drill_without_a_database_creates_one_and_deletes_it(region: RunningRegion) -> None:
    before = {each["identifier"] for each in region.status()["databases"]}
    done = region.zonal("drill", "db-failover", "--fault", "process", "--json", check=False)
    assert json.loads(done.stdout)["passed"] is True, done.stderr
    eventually(lambda: {each["identifier"] for each in region.status()["databases"]} == before)


def test_a_drill_prints_the_timeline_and_the_verdict(region: RunningRegion, database: str) -> None:
    argv = ("--fault", "process", "--db", database, "--password", "password-of-master")
    shown = region.zonal("drill", "db-failover", *argv).stdout
    for word in ("longest silence of a client (RTO)", "acknowledged writes lost (RPO)", "PASSED"):
        assert word in shown


def _database(region: RunningRegion, identifier: str) -> dict[str, list[dict[str, str]]]:
    return next(each for each in region.status()["databases"] if each["identifier"] == identifier)  # type: ignore[no-any-return]
