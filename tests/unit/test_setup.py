"""script/setup: its progress output, and which environment it accepts for which use. A fake interpreter replaces pip."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAKE = """#!/bin/sh
echo "$*" >> "$(dirname "$0")/../calls"
case "$*" in
    *--progress-bar*) printf 'Collecting one==1.0\\nCollecting two[x]==2 (from z)\\nInstalling collected packages\\n' ;;
    *fail*) exit 1 ;;
esac
"""


def locked(name: str) -> set[str]:
    return set((ROOT / "requirements" / f"{name}.lock").read_text().split())


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files of a clone that the script reads, with an environment whose interpreter only records its arguments."""
    for name in ("script", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(FAKE)
    python.chmod(0o755)
    return tmp_path


def set_up(clone: Path, *argv: str) -> tuple[int, str, int]:
    """Exit status, output, and the number of calls of the interpreter."""
    calls = clone / ".venv" / "calls"
    calls.unlink(missing_ok=True)
    done = subprocess.run([clone / "script" / "setup", *argv], capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    return done.returncode, done.stdout + done.stderr, len(calls.read_text().splitlines()) if calls.exists() else 0


def test_the_setup_prints_each_package(clone: Path) -> None:
    status, shown, _ = set_up(clone, "demo")
    assert status == 0
    total = len(locked("demo"))
    assert f"installing {total} packages of requirements/demo.lock into .venv\n" in shown
    assert f"  package 1 of {total}: one\n" in shown and "compiling zonal\n" in shown


@pytest.mark.parametrize(("first", "second"), [("demo", "runtime"), ("development", "demo"), ("development", "runtime"), ("demo", "demo")])
def test_a_larger_environment_is_accepted_without_a_second_setup(clone: Path, first: str, second: str) -> None:
    assert set_up(clone, first)[2] > 0
    assert set_up(clone, second) == (0, "", 0)


def test_an_environment_that_is_too_small_is_extended(clone: Path) -> None:
    set_up(clone, "runtime")
    assert set_up(clone, "demo")[2] > 0


def test_a_failed_setup_is_repeated(clone: Path) -> None:
    python = clone / ".venv" / "bin" / "python"
    python.write_text(FAKE.replace("*--progress-bar*) ", "*--progress-bar*) exit 1; "))
    assert set_up(clone, "demo")[0] != 0
    python.write_text(FAKE)
    assert set_up(clone, "demo")[2] > 0


def test_an_unknown_environment_is_rejected_with_the_known_ones(clone: Path) -> None:
    assert set_up(clone, "everything") == (2, "script/setup takes development (the default), demo or runtime, not 'everything'.\n", 0)


def test_each_lock_includes_the_smaller_ones_and_the_demos_has_the_aws_cli() -> None:
    assert locked("runtime") < locked("demo") < locked("development")
    assert any(re.match("awscli==", each) for each in locked("demo"))


def test_the_readme_and_the_demo_use_the_same_environment() -> None:
    assert "\nscript/setup demo\n" in (ROOT / "README.md").read_text()
    assert "\nscript/setup demo\n" in (ROOT / "script" / "demo").read_text()
