"""The region process is killed at random moments, while it creates, fails over and deletes. `script/soak kills` runs many seeds."""

from tests.running_region import RunningRegion
from tests.soak.kills import survive_kills


def test_a_killed_region_completes_creation_failover_and_deletion(own_region: RunningRegion) -> None:
    survive_kills(own_region, seed=1)
