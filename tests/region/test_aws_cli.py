"""A script with the AWS CLI, run by `sh` under the variables that `zonal env` prints, with every AWS CLI of this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running_region import ZONAL, RunningRegion

ROOT = Path(__file__).parents[2]
SCRIPT = """set -eu
aws sts get-caller-identity --query Account --output text
aws ec2 describe-vpcs --query 'length(Vpcs)' --output text
aws rds describe-db-instances --query 'length(DBInstances)' --output text
aws dynamodb list-tables --query 'length(TableNames)' --output text
aws dynamodbstreams list-streams --query 'length(Streams)' --output text
aws s3api list-buckets --query 'length(Buckets)' --output text
aws s3 ls
"""
CLI_NAMES = {"s3": "s3api"}
"""Names of services in the AWS CLI that differ from botocore's."""


def command_line_interfaces() -> list[str]:
    """The directories of this environment's AWS CLI and of the machine's others."""
    own = Path(sys.executable).parent
    found = [str(own)]
    for directory in os.get_exec_path():
        program = shutil.which("aws", path=directory)
        if program and Path(directory) != own and subprocess.run([program, "--version"], capture_output=True).returncode == 0:
            found.append(directory)
    return found


def script_environment(region: RunningRegion, directory: str, tmp_path: Path) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    clean |= {"PATH": os.pathsep.join([directory, os.environ["PATH"]]), "HOME": str(tmp_path), "AWS_PAGER": ""}
    printed = subprocess.run([*ZONAL, "env", "--state", str(region.state)], env=clean, capture_output=True, text=True, check=True).stdout
    lines = subprocess.run(["sh", "-euc", f"{printed}\nenv -0"], env=clean, capture_output=True, text=True, check=True).stdout.split("\0")
    return dict(line.split("=", 1) for line in lines if line)


@pytest.mark.parametrize("directory", command_line_interfaces())
def test_a_script_reaches_every_service_of_the_region(region: RunningRegion, directory: str, tmp_path: Path) -> None:
    script = tmp_path / "script.sh"
    script.write_text(SCRIPT)
    environment = script_environment(region, directory, tmp_path)
    done = subprocess.run(["sh", str(script)], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    account, *counts = done.stdout.split()
    assert account == "000000000000" and all(count.isdecimal() for count in counts[:5]), done.stdout


def test_the_script_calls_every_service_that_the_operations_page_lists() -> None:
    services = set(re.findall(r"^## (\S+):", (ROOT / "docs" / "operations.md").read_text(), flags=re.MULTILINE))
    called = set(re.findall(r"^aws (\S+)", SCRIPT, flags=re.MULTILINE))
    assert {CLI_NAMES.get(service, service) for service in services} <= called


def test_an_endpoint_on_the_command_line_takes_precedence(region: RunningRegion, tmp_path: Path) -> None:
    environment = script_environment(region, str(Path(sys.executable).parent), tmp_path) | {"AWS_MAX_ATTEMPTS": "1"}
    command = "aws rds describe-db-instances --endpoint-url http://127.0.0.1:1"
    done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0 and "http://127.0.0.1:1/" in done.stderr
