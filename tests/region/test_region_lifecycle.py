"""A region starts, is killed, stops and starts again, and leaves nothing behind."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.running_region import ZONAL, RunningRegion, eventually


def family(init: int) -> dict[int, str]:
    """The sandbox's process 1 (by its pid on this machine) and its descendants, with their command lines."""
    parents: dict[int, tuple[int, str]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                parents[int(path.name)] = parent, (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            except (FileNotFoundError, ProcessLookupError):
                continue  # It has ended meanwhile.
    found = {init}
    while grown := {process for process, (parent, _) in parents.items() if parent in found} - found:
        found |= grown
    return {process: parents[process][1] for process in found if process in parents}


def init(region: RunningRegion) -> int:
    return int((region.state / "zonal.pid").read_text().split()[0])


def region_process(region: RunningRegion) -> int:
    [found] = [process for process, line in family(init(region)).items() if "zonal.region" in line and process != init(region)]
    return found


def query(region: RunningRegion, database: str, sql: str, *, check: bool = True) -> str:
    [described] = region.client("rds").describe_db_instances(DBInstanceIdentifier=database)["DBInstances"]
    address, port = described["Endpoint"]["Address"], described["Endpoint"]["Port"]
    connection = f"host={address} port={port} user=master password=password-of-master dbname=app"
    return region.execute("psql", connection, "-AtqX", "-v", "ON_ERROR_STOP=1", "-c", sql, check=check).strip()


def test_a_killed_region_restarts_and_its_databases_serve_meanwhile(own_region: RunningRegion) -> None:
    database = own_region.create_database()
    query(own_region, database, "create table t as select 42 as n")
    engines = {process for process, line in family(init(own_region)).items() if "bin/postgres -D" in line}
    killed = region_process(own_region)
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: any("zonal.region" in line and process != killed for process, line in family(init(own_region)).items()))
    eventually(lambda: own_region.zonal("status", check=False).returncode == 0)
    assert query(own_region, database, "select n from t") == "42"
    assert engines <= set(family(init(own_region))), "the engines were not restarted"


def test_stop_and_start_keep_everything(own_region: RunningRegion) -> None:
    database = own_region.create_database(MultiAZ=True)
    query(own_region, database, "create table t as select 42 as n")
    own_region.stop()
    own_region.start()
    shown = own_region.status()["databases"][0]
    assert shown["state"] == "starting" or "up" in [node["state"] for node in shown["nodes"]], "it is available when it answers, not before"
    waiter = own_region.client("rds").get_waiter("db_instance_available")
    waiter.wait(DBInstanceIdentifier=database, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    assert query(own_region, database, "select n from t") == "42"
    eventually(lambda: own_region.status()["databases"][0]["redundancy"] == "synchronous", within=60)
    events = own_region.client("rds").describe_events(SourceIdentifier=database, SourceType="db-instance")["Events"]
    assert [each["Message"] for each in events][-2:] == ["DB instance restarted", "DB instance started"]


def test_every_process_ends_with_init(own_region: RunningRegion) -> None:
    own_region.create_database(MultiAZ=True)
    processes = family(init(own_region))
    mounts = Path("/proc/self/mounts").read_text()
    os.kill(init(own_region), signal.SIGKILL)
    eventually(lambda: not any(Path(f"/proc/{process}").exists() for process in processes))
    assert Path("/proc/self/mounts").read_text() == mounts
    own_region.start()
    eventually(lambda: own_region.status()["databases"][0]["redundancy"] == "synchronous", within=60)


def test_a_stopped_region_leaves_no_process_no_interface_and_no_mount(own_region: RunningRegion) -> None:
    def seen() -> tuple[str, list[str]]:
        interfaces = [line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]]
        return Path("/proc/self/mounts").read_text(), interfaces

    own_region.stop()
    before = seen()
    own_region.start()
    own_region.create_database()
    processes = family(init(own_region))
    assert seen() == before, "a running region is not seen on this machine's network nor in its mounts"
    own_region.stop()
    eventually(lambda: not any(Path(f"/proc/{process}").exists() for process in processes))
    assert seen() == before


def test_two_regions_run_side_by_side(region: RunningRegion, own_region: RunningRegion) -> None:
    own_region.client("ec2").create_vpc(CidrBlock="10.99.0.0/16")
    assert "10.99.0.0/16" not in [vpc["CidrBlock"] for vpc in region.client("ec2").describe_vpcs()["Vpcs"]]


def test_a_second_start_on_a_state_directory_is_rejected_with_a_remedy(region: RunningRegion) -> None:
    done = region.zonal("start", "-d", check=False)
    assert done.returncode == 1
    assert "already runs" in done.stderr


def test_a_port_in_use_is_reported(own_region: RunningRegion, region: RunningRegion) -> None:
    own_region.stop()
    done = own_region.zonal("start", "-d", "--port", str(region.port), check=False)
    assert done.returncode == 1
    assert str(region.port) in done.stderr and "--port" in done.stderr


def test_an_ordinary_aws_cli_works_under_the_printed_environment(region: RunningRegion) -> None:
    zones = region.aws("ec2", "describe-availability-zones")["AvailabilityZones"]
    assert [zone["ZoneName"] for zone in zones] == ["us-east-1a", "us-east-1b", "us-east-1c"]


def test_exec_runs_in_the_given_subnet(region: RunningRegion) -> None:
    subnets = {each["AvailabilityZone"]: each for each in region.client("ec2").describe_subnets()["Subnets"] if each["DefaultForAz"]}
    there = subnets["us-east-1b"]
    shown = region.execute("cat", "/proc/net/fib_trie", place=there["SubnetId"])
    assert there["CidrBlock"].rsplit(".", 2)[0] in shown
    assert subprocess.run(["cat", "/proc/net/fib_trie"], capture_output=True, text=True).stdout != shown


@pytest.mark.parametrize(("script", "status"), [("trap 'exit 5' INT; echo up; sleep 30 & wait", 5), ("echo up; exec sleep 30", 130)])
def test_an_interrupt_reaches_the_command_of_exec(region: RunningRegion, script: str, status: int) -> None:
    argv = [*ZONAL, "exec", "--state", str(region.state), "--", "sh", "-c", script]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True) as command:
        assert command.stdout is not None and command.stdout.readline() == b"up\n"
        os.killpg(command.pid, signal.SIGINT)
        assert command.wait(10) == status


def test_a_command_that_cannot_run_has_a_shells_exit_status(region: RunningRegion) -> None:
    for argv, status in ((("no-such-command",), 127), (("/etc/passwd",), 126), (("sh", "-c", "yes | head -n 1"), 0)):
        done = region.zonal("exec", "--", *argv, check=False)
        assert done.returncode == status, done.stderr
