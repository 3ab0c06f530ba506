"""Regions that cannot start, as root and as an ordinary user: the command reports the reason after one attempt."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.fabric.sandboxed import NOBODY, USERS, interpreter
from tests.running_region import free_port

ROOT = Path(__file__).parents[2]
RAW = re.compile(r"\[Errno|Traceback")


class Caller:
    """A user of the command line with a directory of their own."""

    def __init__(self, user: str, home: Path) -> None:
        self.user, self.home = user, home
        self.is_other = user != "root" and os.geteuid() == 0
        if self.is_other:
            os.chown(home, NOBODY, NOBODY)

    def zonal(self, *argv: str, directory: str = "/") -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(ROOT / "src"), *(each for each in sys.path if each.endswith("site-packages"))])
        environment = {"PATH": os.defpath, "HOME": str(self.home), "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        given = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if self.is_other else {}
        command = [interpreter(self.user), "-m", "zonal.cli.main", *argv]
        return subprocess.run(command, env=environment, cwd=directory, capture_output=True, text=True, timeout=180, **given)  # type: ignore[call-overload,no-any-return]

    def start(self, state: Path | str, directory: str = "/") -> subprocess.CompletedProcess[str]:
        return self.zonal("start", "-d", "--port", str(free_port()), "--state", str(state), directory=directory)

    def own(self, path: Path) -> None:
        if self.is_other:
            os.chown(path, NOBODY, NOBODY)


@pytest.fixture(params=USERS)
def caller(request: pytest.FixtureRequest) -> Iterator[Caller]:
    home = Path(tempfile.mkdtemp(prefix="zonal-test-"))
    try:
        yield (caller := Caller(request.param, home))
    finally:
        for running in home.glob("*/zonal.pid"):
            caller.zonal("stop", "--state", str(running.parent))
        shutil.rmtree(home)


def refused_at_once(caller: Caller, state: Path) -> str:
    """The message of `zonal start -d` for a region that cannot start; checks that it was tried once and no process is left."""
    done = caller.start(state)
    assert done.returncode == 1 and RAW.search(done.stderr) is None, done.stderr
    log = (state / "region.log").read_text()
    assert log.count("the region cannot start: ") == 1 and "starting it again" not in log
    assert caller.zonal("stop", "--state", str(state)).returncode == 3
    return done.stderr


def test_a_state_path_with_dots_is_resolved(caller: Caller) -> None:
    relative = f"../{caller.home.relative_to('/')}/state"
    try:
        done = caller.start(relative, directory="/")
        assert done.returncode == 0, done.stderr
        assert f"state in {caller.home}/state" in caller.zonal("status", "--state", "state", directory=str(caller.home)).stdout
    finally:
        caller.zonal("stop", "--state", str(caller.home / "state"))


def test_a_store_that_is_not_a_database_is_named_at_once_and_by_status(caller: Caller) -> None:
    state = caller.home / "state"
    state.mkdir()
    (state / "region.db").write_text("this is not a database, " * 100)
    caller.own(state)
    caller.own(state / "region.db")
    assert f"the region's store at {state}/region.db cannot be opened: file is not a database" in refused_at_once(caller, state)
    status = caller.zonal("status", "--state", str(state))
    assert status.returncode == 3 and "file is not a database" in status.stderr


@pytest.mark.parametrize("change", ["version = 99", "body = '{\"id\": 7}'"])
def test_a_state_of_another_version_is_named_at_once(caller: Caller, change: str) -> None:
    state = caller.home / "state"
    assert caller.start(state).returncode == 0
    assert caller.zonal("stop", "--state", str(state)).returncode == 0
    (state / "region.log").write_text("")
    with sqlite3.connect(state / "region.db") as database:
        assert database.execute(f"UPDATE records SET {change} WHERE kind = 'subnet'").rowcount > 0
    database.close()
    for path in state.glob("region.db*"):
        caller.own(path)
    reason = refused_at_once(caller, state)
    assert "was written as version 99" in reason or "another version of zonal may have written it" in reason


def test_a_file_of_another_user_is_named(caller: Caller) -> None:
    if not caller.is_other:
        return  # Root may read every file that the test can create.
    locked = caller.home / "locked"
    locked.mkdir(mode=0o700)
    for argv in (("status",), ("stop",), ("env",), ("journal",), ("logs",), ("fail", "us-east-1a"), ("start", "-d", "--port", "4799")):
        done = caller.zonal(*argv, "--state", str(locked / "state"))
        assert done.returncode == 1 and "permission denied" in done.stderr, (argv, done.stderr)
        assert str(locked) in done.stderr and RAW.search(done.stderr) is None
    readable = caller.home / "readable"
    readable.mkdir(mode=0o755)
    assert f"cannot write to the state directory {readable}: permission denied" in caller.start(readable).stderr
