"""From `zonal start` to the first answered API call, on an empty state directory and on an existing one."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

from benchmarks.measurements import arguments, machine, tell
from tests.running_region import RunningRegion


def main() -> None:
    runs = arguments(__doc__ or "").parse_args().runs
    empty, again = [], []
    for run in range(runs):
        state = Path(tempfile.mkdtemp(prefix="zonal-bench-"))
        running = RunningRegion(state)
        try:
            for into in (empty, again):
                into.append(_start(running))
                running.stop()
        finally:
            running.zonal("stop", check=False)
            shutil.rmtree(state)
        print(f"run {run + 1}: new {empty[-1]:.2f} s, again {again[-1]:.2f} s", flush=True)
    print(machine())
    tell("cold start to first answered call, new state", empty, unit="s", goal="≤ 1.5 s")
    tell("cold start to first answered call, existing state", again, unit="s", goal="≤ 1.5 s")


def _start(running: RunningRegion) -> float:
    client = running.client("ec2")
    client.meta.config.retries = {"max_attempts": 0}
    begun = time.monotonic()
    running.start()
    assert len(client.describe_availability_zones()["AvailabilityZones"]) == 3
    return time.monotonic() - begun


if __name__ == "__main__":
    main()
