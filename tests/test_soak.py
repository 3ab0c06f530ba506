"""`script/soak`: its result, its bound in time, and its exit status."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.soak.__main__ import SOAKS, STATUS, main, run
from tests.soak.result import Budget, SoakFailed, SoakUnavailable

ROOT = Path(__file__).parents[1]


def test_a_soak_prints_its_result_as_one_json_line() -> None:
    argv = [sys.executable, "-m", "tests.soak", "storms", "--minutes", "0.001", "--runs", "1", "--seed", "7"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    [line] = done.stdout.splitlines()
    result = json.loads(line)
    assert (result["soak"], result["outcome"], result["seed"], result["runs"]) == ("storms", "passed", 7, 1)
    assert result["counts"]["storms"] >= 1


def test_a_soak_whose_tools_are_absent_is_not_counted_as_passed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert main(["terraform", "--minutes", "1"]) == STATUS["unavailable"] != 0
    result = json.loads(capsys.readouterr().out)
    assert (result["outcome"], result["runs"]) == ("unavailable", 0) and "terraform" in result["reason"]


def test_a_provider_that_is_absent_makes_the_terraform_soak_unavailable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "terraform").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "terraform").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ZONAL_TERRAFORM_PLUGINS", str(tmp_path))
    result = run("terraform", SOAKS["terraform"], minutes=1, most_runs=1, seed=0)
    assert result.outcome == "unavailable" and "registry.terraform.io/hashicorp/aws" in result.reason


@pytest.mark.parametrize("error", [SoakFailed("two leaders"), AssertionError("two leaders")])
def test_a_failed_check_fails_the_soak_with_its_reason(error: Exception) -> None:
    def soak(budget: Budget, _seed: int, _counts: dict[str, float]) -> None:
        assert budget.take_run()
        raise error

    result = run("storms", soak, minutes=1, most_runs=None, seed=3)
    assert (result.outcome, result.seed, result.runs) == ("failed", 3, 1) and "two leaders" in result.reason
    assert STATUS["failed"] == 1


def test_no_run_begins_after_the_time_is_over_or_the_runs_are_used_up() -> None:
    over = Budget(minutes=0, most_runs=None)
    assert (over.take_run(), over.take_run()) == (True, False), "the first run always begins"
    counted = Budget(minutes=60, most_runs=2)
    assert [counted.take_run() for _ in range(3)] == [True, True, False]


def test_a_soak_that_finds_its_tools_missing_in_the_middle_is_unavailable() -> None:
    def soak(_budget: Budget, _seed: int, _counts: dict[str, float]) -> None:
        raise SoakUnavailable("there is no provider")

    assert run("terraform", soak, minutes=1, most_runs=None, seed=0).outcome == "unavailable"


def test_the_documents_quote_every_soak() -> None:
    page = (ROOT / "docs" / "performance.md").read_text()
    script = (ROOT / "script" / "soak").read_text()
    for name in SOAKS:
        assert f"script/soak {name}" in page and name in script


@pytest.mark.parametrize("argv", [["nothing"], ["storms", "--minutes", "0"], ["storms", "--minutes", "nan"], ["storms", "--runs", "0"]])
def test_wrong_usage_has_exit_status_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    assert "script/soak" in capsys.readouterr().err
