"""Seeded outages of a real Multi-AZ database under load: each is a drill, whose verdict has to pass.

The seed chooses the fault (a zone's power or network, a host, the engine's process, a forced failover) and everything that the drill
chooses. No acknowledged write may be lost, no failed one may appear, and no two primaries may acknowledge.
"""

from __future__ import annotations

import json
import random
import statistics
from typing import Any

from tests.running_region import RunningRegion
from tests.soak.result import Budget, SoakFailed, soak_region

FAULTS = ("power", "network", "host", "process", "reboot")


def soak(budget: Budget, first_seed: int, counts: dict[str, float]) -> None:
    """Run one drill after the other on one database."""
    counts |= {"acknowledged": 0, "unknown": 0, "lost": 0}
    silences: list[float] = []
    with soak_region() as region:
        database = region.create_database(MultiAZ=True)
        while budget.take_run():
            number = first_seed + budget.runs - 1
            fault = random.Random(number).choice(FAULTS)
            verdict = _drill(region, database, fault, number)
            for figure in ("acknowledged", "unknown", "lost"):
                counts[figure] += verdict[figure]
            if not verdict["passed"]:
                raise SoakFailed(f"{fault}, seed {number}: {'; '.join(verdict['reasons'])}")
            silences.append(verdict["rto_seconds"])
            counts |= {"rto_seconds_median": round(statistics.median(silences), 2), "rto_seconds_longest": round(max(silences), 2)}


def _drill(region: RunningRegion, database: str, fault: str, number: int) -> dict[str, Any]:
    options = ("--fault", fault, "--db", database, "--password", "password-of-master", "--seed", str(number), "--seconds", "4", "--json")
    done = region.zonal("drill", "db-failover", *options, check=False)
    if not done.stdout.strip():
        raise SoakFailed(f"{fault}, seed {number}: the drill returned no verdict: {done.stderr}\n{region.log()}")
    verdict: dict[str, Any] = json.loads(done.stdout)
    return verdict
