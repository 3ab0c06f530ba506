"""The region process is killed at random moments while it creates, fails over and deletes a database; its successor completes each.

`survive_kills` is also run once by `tests/drills/test_kills.py`.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable

from tests.region.test_region_lifecycle import query, region_process
from tests.running_region import RunningRegion, eventually
from tests.soak.result import Budget, soak_region

KILLS = 3
"""How often the region is killed in each phase."""


def soak(budget: Budget, first_seed: int, counts: dict[str, float]) -> None:
    """Create, fail over and delete a database again and again, each time in a new region."""
    counts["kills"] = 0
    while budget.take_run():
        with soak_region() as region:
            survive_kills(region, first_seed + budget.runs - 1)
        counts["kills"] += 3 * KILLS


def survive_kills(region: RunningRegion, seed: int) -> None:
    """Create, fail over and delete a database while the region is killed; checks that everything is completed and nothing is left."""
    source = random.Random(seed)
    rds = region.client("rds")
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
    _kill_repeatedly(region, source, longest_pause_seconds=2.0)
    eventually(_is_synchronous(region, "orders"), within=90)
    query(region, "orders", "create table t as select 42 as n")
    before = _database(region, "orders")["epoch"]

    region.zonal("fail", "us-east-1a", "--power")
    _kill_repeatedly(region, source, longest_pause_seconds=1.5)
    assert region.status()["zones"][0]["fault"] == "no power", "a fault outlives the region process"
    region.zonal("recover", "us-east-1a")
    assert eventually(lambda: query(region, "orders", "select n from t", check=False), within=90) == "42"
    eventually(_is_synchronous(region, "orders"), within=90)
    assert _database(region, "orders")["epoch"] >= before  # type: ignore[operator]

    rds = region.client("rds")
    rds.delete_db_instance(DBInstanceIdentifier="orders", SkipFinalSnapshot=True)
    _kill_repeatedly(region, source, longest_pause_seconds=0.5)
    eventually(lambda: region.status()["databases"] == [], within=60)
    assert list((region.state / "hosts").iterdir()) == [], "nothing of a deleted database stays on the disk"
    assert region.client("ec2").describe_network_interfaces()["NetworkInterfaces"] == []


def _kill_repeatedly(region: RunningRegion, source: random.Random, *, longest_pause_seconds: float) -> None:
    """Kill the region a few times, each at a random moment; return when it answers again."""
    for _ in range(KILLS):
        time.sleep(source.uniform(0.0, longest_pause_seconds))
        eventually(lambda: _has_region_process(region), within=20)
        os.kill(region_process(region), signal.SIGKILL)
    eventually(lambda: region.zonal("status", check=False).returncode == 0, within=30)


def _has_region_process(region: RunningRegion) -> bool:
    try:
        return region_process(region) > 0
    except ValueError:
        return False  # It was killed, and init has not started the next one yet.


def _database(region: RunningRegion, identifier: str) -> dict[str, object]:
    return next((each for each in region.status()["databases"] if each["identifier"] == identifier), {})


def _is_synchronous(region: RunningRegion, identifier: str) -> Callable[[], bool]:
    def check() -> bool:
        now = _database(region, identifier)
        return (now.get("state"), now.get("redundancy")) == ("available", "synchronous")

    return check
