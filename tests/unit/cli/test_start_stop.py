"""The start of a region that fails."""

import subprocess
from pathlib import Path

import pytest

from zonal.cli.start_stop import StartFailed, await_ready
from zonal.foundation.log_files import REGION_LOG


def test_a_failed_start_is_reported_with_the_last_lines_of_the_log(tmp_path: Path) -> None:
    (tmp_path / REGION_LOG).write_text("".join(f"line {number}\n" for number in range(9)) + "the store is not a database\n")
    with subprocess.Popen(["true"], stdout=subprocess.PIPE) as supervisor, pytest.raises(StartFailed) as raised:
        await_ready(supervisor, tmp_path, detach=True)
    assert "ended before it answered" in str(raised.value) and str(raised.value).endswith("the store is not a database")
    assert "line 5" not in str(raised.value)
