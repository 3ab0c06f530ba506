"""From `CreateDBInstance` with `MultiAZ` to `available`, which means that a client can write and the standby confirms."""

from __future__ import annotations

import time

from benchmarks.measurements import arguments, machine, region, tell


def main() -> None:
    runs = arguments(__doc__ or "").parse_args().runs
    seconds = []
    with region() as running:
        rds = running.client("rds")
        for run in range(runs):
            identifier = f"bench-{run}"
            begun = time.monotonic()
            rds.create_db_instance(
                DBInstanceIdentifier=identifier,
                Engine="postgres",
                DBInstanceClass="db.t3.micro",
                AllocatedStorage=20,
                MasterUsername="master",
                MasterUserPassword="password-of-master",
                BackupRetentionPeriod=0,
                MultiAZ=True,
            )
            while rds.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]["DBInstanceStatus"] != "available":
                time.sleep(0.02)
            seconds.append(time.monotonic() - begun)
            print(f"run {run + 1}: {seconds[-1]:.2f} s", flush=True)
            running.delete_database(identifier)
    print(machine())
    tell("Multi-AZ create to available", seconds, unit="s", goal="≤ 5 s")


if __name__ == "__main__":
    main()
