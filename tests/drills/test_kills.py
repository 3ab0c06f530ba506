"""The region process is killed at random moments, while it creates, fails over and deletes; each time the next one goes on."""

import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from tests.region.test_region_lifecycle import query, region_process
from tests.running_region import RunningRegion, eventually

KILLS = 3


def kill_now_and_then(region: RunningRegion, source: random.Random, *, longest: float) -> None:
    """Kill the region a few times, each at a random moment; return when it answers again."""
    for _ in range(KILLS):
        time.sleep(source.uniform(0.0, longest))
        eventually(lambda: has_region(region), within=20)
        os.kill(region_process(region), signal.SIGKILL)
    eventually(lambda: region.zonal("status", check=False).returncode == 0, within=30)


def has_region(region: RunningRegion) -> bool:
    try:
        return region_process(region) > 0
    except ValueError:
        return False  # Between its death and its new start.


def database(region: RunningRegion, identifier: str) -> dict[str, object]:
    return next((each for each in region.status()["databases"] if each["identifier"] == identifier), {})


def is_whole(region: RunningRegion, identifier: str) -> Callable[[], bool]:
    def look() -> bool:
        now = database(region, identifier)
        return (now.get("state"), now.get("redundancy")) == ("available", "synchronous")

    return look


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whatever_the_moment_creation_failover_and_deletion_are_brought_to_their_end(own_region: RunningRegion, seed: int) -> None:
    source = random.Random(seed)
    rds = own_region.client("rds")
    rds.create_db_instance(
        DBInstanceIdentifier="orders",
        Engine="postgres",
        DBInstanceClass="db.t3.micro",
        AllocatedStorage=20,
        DBName="app",
        MasterUsername="master",
        MasterUserPassword="password-of-master",
        MultiAZ=True,
        BackupRetentionPeriod=0,
    )
    kill_now_and_then(own_region, source, longest=2.0)
    eventually(is_whole(own_region, "orders"), within=90)
    query(own_region, "orders", "create table t as select 42 as n")
    before = database(own_region, "orders")["epoch"]

    own_region.zonal("fail", "us-east-1a", "--power")
    kill_now_and_then(own_region, source, longest=1.5)
    assert own_region.status()["zones"][0]["fault"] == "no power", "a fault outlives the region process"
    own_region.zonal("recover", "us-east-1a")
    assert eventually(lambda: query(own_region, "orders", "select n from t", check=False), within=90) == "42"
    eventually(is_whole(own_region, "orders"), within=90)
    assert database(own_region, "orders")["epoch"] >= before  # type: ignore[operator]

    rds = own_region.client("rds")
    rds.delete_db_instance(DBInstanceIdentifier="orders", SkipFinalSnapshot=True)
    kill_now_and_then(own_region, source, longest=0.5)
    eventually(lambda: own_region.status()["databases"] == [], within=60)
    assert list((own_region.state / "hosts").iterdir()) == [], "nothing of a deleted database stays on the disk"
    assert own_region.client("ec2").describe_network_interfaces()["NetworkInterfaces"] == []
