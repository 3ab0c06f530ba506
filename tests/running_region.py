"""A region for tests, used as by a user: with the command line, boto3 and the AWS CLI."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

ZONAL = (sys.executable, "-m", "zonal.cli.main")


class RunningRegion:
    """The region in `state`. `start` and `stop` may be called any number of times."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.port = free_port()
        self.prefix: tuple[str, ...] = ()
        """The argv before each command of the command line."""

    def start(self, *options: str) -> None:
        self.zonal("start", "-d", "--port", str(self.port), *options)

    def stop(self) -> None:
        self.zonal("stop")

    def zonal(self, *argv: str, check: bool = True, input: str | None = None, within: float = 180) -> subprocess.CompletedProcess[str]:
        """Run a command of the command line on this region; `check` raises with the output if it fails."""
        command, rest = argv[0], argv[1:]
        place = (
            (command, rest[0], "--state", str(self.state), *rest[1:]) if command in GROUPS else (command, "--state", str(self.state), *rest)
        )
        done = subprocess.run([*self.prefix, *ZONAL, *place], capture_output=True, text=True, timeout=within, input=input)
        if check and done.returncode:
            raise AssertionError(f"zonal {' '.join(argv)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}\n{self.log()}")
        return done

    def execute(self, *command: str, place: str = "default", groups: tuple[str, ...] = (), check: bool = True) -> str:
        """The output of a command of this machine that `zonal exec` runs in the region."""
        argv = [each for group in groups for each in ("--security-group", group)]
        return self.zonal("exec", "--in", place, *argv, "--", *command, check=check).stdout

    def status(self) -> dict[str, Any]:
        return json.loads(self.zonal("status", "--json").stdout)  # type: ignore[no-any-return]

    def journal(self, **query: str) -> list[dict[str, Any]]:
        options = [each for name, value in query.items() for each in (f"--{name}", value)]
        return [json.loads(line) for line in self.zonal("journal", "--json", "--last", "100000", *options).stdout.splitlines()]

    def environment(self) -> dict[str, str]:
        """The variables that `zonal env` sets."""
        return json.loads(self.zonal("env", "--json").stdout)  # type: ignore[no-any-return]

    def client(self, service: str) -> Any:
        """A boto3 client."""
        return boto3.client(
            service,
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 1}),
        )

    def aws(self, *argv: str) -> Any:
        """The output of the AWS CLI under the variables that `zonal env` prints."""
        command = [str(Path(sys.executable).parent / "aws"), *argv, "--output", "json"]
        done = subprocess.run(command, env=os.environ | self.environment(), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    def create_database(self, **more: Any) -> str:
        """Create a PostgreSQL and wait until it is available; user `master`, password `password-of-master`, database `app`."""
        identifier = more.pop("DBInstanceIdentifier", f"test-{secrets.token_hex(3)}")
        rds = self.client("rds")
        asked = {
            "Engine": "postgres",
            "DBInstanceClass": "db.t3.micro",
            "AllocatedStorage": 20,
            "DBName": "app",
            "BackupRetentionPeriod": 0,
        }
        asked |= {"MasterUsername": "master", "MasterUserPassword": "password-of-master"}
        rds.create_db_instance(DBInstanceIdentifier=identifier, **(asked | more))
        rds.get_waiter("db_instance_available").wait(DBInstanceIdentifier=identifier, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
        return identifier

    def delete_database(self, identifier: str) -> None:
        rds = self.client("rds")
        rds.delete_db_instance(DBInstanceIdentifier=identifier, SkipFinalSnapshot=True)
        rds.get_waiter("db_instance_deleted").wait(DBInstanceIdentifier=identifier, WaiterConfig={"Delay": 1, "MaxAttempts": 60})

    def log(self) -> str:
        """The end of the region's own log, for a failing test's message."""
        path = self.state / "region.log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""


GROUPS = ("drill", "report")
"""Commands that are groups; their options follow the subcommand."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(look: Callable[[], Any], *, within: float = 30.0, every: float = 0.1) -> Any:
    """The first true value that `look` returns; fails with the last value after `within` seconds."""
    deadline = time.monotonic() + within
    while not (value := look()):
        assert time.monotonic() < deadline, f"still {value!r} after {within:g} s"
        time.sleep(every)
    return value


@contextmanager
def temporary_region(prefix: str) -> Iterator[RunningRegion]:
    """A running region in a new state directory, which is stopped and removed afterwards."""
    state = Path(tempfile.mkdtemp(prefix=prefix))
    running = RunningRegion(state)
    try:
        running.start()
        yield running
    finally:
        running.zonal("stop", check=False)
        shutil.rmtree(state)
