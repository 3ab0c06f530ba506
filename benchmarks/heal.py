"""The time until a Multi-AZ database is synchronous again, by the amount that the new primary wrote during the outage.

The zone of the primary loses its power, so that the old primary crashes. The new primary writes the given number of megabytes. The time is
measured from `zonal recover` to the journal's `redundancy.synchronous` and printed with how the old primary rejoined: `rewound`, or
`cloned` with the reason.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

from benchmarks.measurements import arguments, machine, region, tell
from tests.running_region import RunningRegion, eventually

PATIENCE_SECONDS = 600.0
_ROW_BYTES = 8000
_LOAD = """
create table if not exists filler (number bigint generated always as identity, content text);
alter table filler alter column content set storage plain;
insert into filler (content) select repeat(md5(random()::text), {width}) from generate_series(1, {rows});
"""


def main() -> int:
    parser = arguments(__doc__ or "", runs=3)
    parser.add_argument("--megabytes", type=int, action="append", help="Written while the zone is away; may be repeated (30 and 1000).")
    given = parser.parse_args()
    for megabytes in given.megabytes or (30, 1000):
        seconds, ways = [], []
        for run in range(given.runs):
            with region() as running:
                identifier = running.create_database(MultiAZ=True)
                elapsed, how = measure(running, identifier, megabytes)
            print(f"{megabytes} MB, run {run + 1}: {elapsed:.2f} s, {how}", flush=True)
            seconds.append(elapsed)
            ways.append(how)
        tell(f"heal to synchronous after {megabytes} MB", seconds, unit="s", goal="")
        print(f"median {statistics.median(seconds):.2f} s; {', '.join(sorted(set(ways)))}")
    print(machine())
    return 0


def measure(running: RunningRegion, identifier: str, megabytes: int) -> tuple[float, str]:
    """The seconds from `recover` to synchronous, and how the old primary rejoined."""
    rds = running.client("rds")
    described = rds.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]
    zone, address = described["AvailabilityZone"], described["Endpoint"]["Address"]
    created = len(events(running, identifier, "node.rejoined", "node.cloned", "node.started"))
    write(running, address, 20)
    running.zonal("fail", zone)
    eventually(lambda: events(running, identifier, "failover.renamed"), within=60)
    write(running, address, megabytes)
    before = len(events(running, identifier, "redundancy.synchronous"))
    begun = time.monotonic()
    running.zonal("recover", zone)
    eventually(lambda: len(events(running, identifier, "redundancy.synchronous")) > before, within=PATIENCE_SECONDS)
    elapsed = time.monotonic() - begun
    done = events(running, identifier, "node.rejoined", "node.cloned", "node.started")[created:]
    return elapsed, ", then ".join(_told(each) for each in done)


def write(running: RunningRegion, address: str, megabytes: int) -> None:
    """Write this amount of log on the primary."""
    sql = _LOAD.format(width=_ROW_BYTES // 32, rows=megabytes * 1_000_000 // _ROW_BYTES)
    variables = ("env", "PGPASSWORD=password-of-master", "PGSSLMODE=require")
    running.execute(*variables, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", address, "-U", "master", "-d", "app", "-c", sql)


def _told(entry: dict[str, Any]) -> str:
    fields = entry.get("fields", entry)
    return f"{fields['how']} ({fields['why']})" if fields.get("why") else str(fields["how"])


def events(running: RunningRegion, identifier: str, *names: str) -> list[dict[str, Any]]:
    """The journal's entries of these names, oldest first."""
    return [each for each in running.journal() if each.get("event") in names and each.get("subject") == identifier]


if __name__ == "__main__":
    sys.exit(main())
