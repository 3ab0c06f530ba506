"""`zonal exec` whose caller does not end in order: nothing of the command, its host and its interface is left."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.running_region import ZONAL, RunningRegion, eventually
from zonal.operator_api.exec_hosts import EMPTY_SECONDS

WITHIN = EMPTY_SECONDS / 2
"""Much longer than it takes, and too short for the search for empty places to have found it."""

COMMAND = """
import os, signal, subprocess, sys
for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT): signal.signal(number, signal.SIG_IGN)
environment = {"PATH": os.environ["PATH"]}
subprocess.Popen(["sleep", sys.argv[1]], env=environment, start_new_session=True)
print("running", flush=True)
subprocess.run(["sleep", sys.argv[1]], env=environment)
"""
"""A command that no signal but SIGKILL ends, with a child in a session of its own; both hide their environment."""


def running_commands(marker: str) -> list[int]:
    """The processes of this machine that sleep for so long."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "cmdline").read_bytes() == f"sleep\0{marker}\0".encode():
                found.append(int(path.name))
        except OSError:
            continue
    return found


@contextmanager
def command(region: RunningRegion, marker: str, place: str = "default", **given: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A command that has begun; ended by force afterwards, should anything have failed."""
    python = str(Path(sys.executable).resolve())
    argv = [*ZONAL, "exec", "--state", str(region.state), "--in", place, "--", python, "-S", "-c", COMMAND, marker]
    with subprocess.Popen(argv, **given) as client:
        try:
            eventually(lambda: len(running_commands(marker)) == 2)
            yield client
        finally:
            client.kill()
            for pid in running_commands(marker):
                os.kill(pid, signal.SIGKILL)


def nothing_is_left(region: RunningRegion, marker: str) -> None:
    """Wait until neither the command nor its interface is there."""
    ec2 = region.client("ec2")
    mine = [{"Name": "requester-id", "Values": ["zonal-exec"]}]
    eventually(lambda: not running_commands(marker), within=WITHIN)
    eventually(lambda: not ec2.describe_network_interfaces(Filters=mine)["NetworkInterfaces"], within=WITHIN)
    eventually(lambda: not list((region.state / "leases").iterdir()), within=WITHIN)


@pytest.mark.parametrize("place", ["default", "internet"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_caller_that_is_ended_by_a_signal_takes_its_command_host_and_interface_with_it(
    region: RunningRegion, place: str, number: signal.Signals
) -> None:
    marker = f"{90_000 + number}.{len(place)}"
    with command(region, marker, place) as client:
        client.send_signal(number)
        client.wait()
        nothing_is_left(region, marker)


def test_a_security_group_of_a_killed_command_can_be_deleted(region: RunningRegion) -> None:
    ec2 = region.client("ec2")
    group = ec2.create_security_group(GroupName="of-a-command", Description="of a command")["GroupId"]
    argv = [*ZONAL, "exec", "--state", str(region.state), "--security-group", group, "--", "sleep", "91000"]
    with subprocess.Popen(argv) as client:
        eventually(lambda: running_commands("91000"))
        client.kill()
        client.wait()

    def deleted() -> bool:
        try:
            ec2.delete_security_group(GroupId=group)
        except ec2.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "DependencyViolation"
            return False
        return True

    eventually(deleted, within=WITHIN)


CLIENT_OF_A_DRILL = """
import os, subprocess, sys, time
from pathlib import Path
from zonal.cli.socket_operator import SocketOperator
with SocketOperator(Path(sys.argv[1])).place(sys.argv[2]) as place:
    subprocess.Popen([*place.prefix, "sleep", sys.argv[3]], env=os.environ | dict(place.environment), start_new_session=True)
    time.sleep(1000)
"""


def test_the_clients_of_a_drill_end_with_a_drill_that_is_killed(region: RunningRegion) -> None:
    marker = "95000"
    with subprocess.Popen([sys.executable, "-c", CLIENT_OF_A_DRILL, str(region.state), "default", marker]) as drill:
        eventually(lambda: running_commands(marker))
        drill.kill()
        drill.wait()
    nothing_is_left(region, marker)


def test_a_terminal_that_is_closed_ends_the_command(region: RunningRegion) -> None:
    controller, terminal = pty.openpty()
    marker = "92000"
    with command(region, marker, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True) as client:
        os.close(terminal)
        os.close(controller)
        os.kill(client.pid, signal.SIGHUP)  # As the kernel does for a session that the terminal controls.
        client.wait()
        nothing_is_left(region, marker)


def test_a_command_in_a_databases_host_ends_with_its_caller_and_the_database_goes_on(region: RunningRegion) -> None:
    identifier = region.create_database()
    try:
        [node] = next(each for each in region.status()["databases"] if each["identifier"] == identifier)["nodes"]
        host, marker = f"db-{node['name'].replace('_', '-')}", "93000"
        with command(region, marker, host) as client:
            client.kill()
            client.wait()
            nothing_is_left(region, marker)
        assert (
            region.client("rds").describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]["DBInstanceStatus"] == "available"
        )
        assert region.execute("true", place=host) == ""
    finally:
        region.delete_database(identifier)


def test_a_command_lives_through_the_death_of_the_region_and_ends_with_a_caller_that_dies_meanwhile(own_region: RunningRegion) -> None:
    with command(own_region, "94000") as kept, command(own_region, "94001") as ended:
        own_region_process(own_region, signal.SIGKILL)
        ended.kill()
        ended.wait()
        eventually(lambda: not running_commands("94001"), within=WITHIN)
        assert len(running_commands("94000")) == 2
        kept.kill()
        kept.wait()
        nothing_is_left(own_region, "94000")


def own_region_process(region: RunningRegion, number: signal.Signals) -> None:
    """Send the region's process a signal, from inside its sandbox, where `status` knows its number."""
    process = region.status()["process"]
    init = int((region.state / "zonal.pid").read_text().split()[0])
    argv = ["nsenter", "--target", str(init), *(["--user", "--preserve-credentials"] if os.geteuid() else []), "--pid", "--mount", "--"]
    subprocess.run([*argv, "sh", "-c", f"kill -{int(number)} {process}"], check=True)


def test_commands_directly_after_the_first_start_of_a_region_run(own_region: RunningRegion) -> None:
    assert own_region.execute("true") == ""
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda _: own_region.zonal("exec", "--", "true", check=False), range(4)))
    assert [(each.returncode, each.stderr) for each in outcomes] == [(0, "")] * 4
    assert json.loads(own_region.zonal("status", "--json").stdout)["failures"] == []
