"""S3 by the AWS CLI, a program that nobody wrote for zonal."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.s3_endpoint import Endpoint


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    (tmp_path / "region").mkdir()
    endpoint = Endpoint(tmp_path / "region")
    yield endpoint
    endpoint.close()


def aws(endpoint: Endpoint, *words: str) -> str:
    """What the AWS CLI answers."""
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    command = [str(Path(sys.executable).parent / "aws"), "--endpoint-url", endpoint.url, "s3", *words]
    done = subprocess.run(command, env=os.environ | keys, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_aws_cli_syncs_a_directory_there_and_back(endpoint: Endpoint, tmp_path: Path) -> None:
    here, back = tmp_path / "here", tmp_path / "back"
    contents = {"a.txt": b"a", "deep/er/é ü.bin": os.urandom(70_000), "large.bin": os.urandom(9_000_000)}
    for name, content in contents.items():
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_bytes(content)
    aws(endpoint, "mb", "s3://synced")
    aws(endpoint, "sync", str(here), "s3://synced/x")
    assert "upload" not in aws(endpoint, "sync", str(here), "s3://synced/x")  # Nothing has changed since.
    listed = aws(endpoint, "ls", "--recursive", "s3://synced")
    assert all(name in listed for name in contents)
    aws(endpoint, "sync", "s3://synced/x", str(back))
    assert {name: (back / name).read_bytes() for name in contents} == contents
    aws(endpoint, "mv", "s3://synced/x/a.txt", "s3://synced/b.txt")
    aws(endpoint, "rb", "--force", "s3://synced")
    assert "synced" not in aws(endpoint, "ls")
