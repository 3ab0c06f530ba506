"""Log files of engines are kept for three days and within a bound; the file being written is never removed."""

from __future__ import annotations

import os
import time
from pathlib import Path

from zonal.control.log_retention import ENGINE_FILE_BYTES, ENGINE_LOG_BYTES, KEPT_SECONDS, LogRetention, prune
from zonal.foundation.log_files import FORWARDER_LOG, LOG_BYTES

NOW = time.time()


def log(directory: Path, name: str, *, age: float, size: int = 10) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.touch()
    os.truncate(path, size)
    os.utime(path, (NOW - age, NOW - age))
    return path


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_files_go_after_three_days_but_for_the_current_one(tmp_path: Path) -> None:
    log(tmp_path, "old", age=KEPT_SECONDS + 1)
    log(tmp_path, "young", age=KEPT_SECONDS - 1)
    prune(tmp_path, NOW)
    assert names(tmp_path) == {"young"}
    prune(tmp_path, NOW + 10 * KEPT_SECONDS)
    assert names(tmp_path) == {"young"}, "the engine still writes it"


def test_the_oldest_go_where_all_together_are_too_large(tmp_path: Path) -> None:
    for number in range(10):
        log(tmp_path, f"log-{number}", age=100 - number, size=ENGINE_LOG_BYTES // 5)
    prune(tmp_path, NOW)
    assert names(tmp_path) == {f"log-{number}" for number in (5, 6, 7, 8, 9)}


def test_the_current_file_starts_again_when_it_is_too_large(tmp_path: Path) -> None:
    current = log(tmp_path, "log", age=0, size=ENGINE_FILE_BYTES + 1)
    prune(tmp_path, NOW)
    assert current.stat().st_size == 0 and (tmp_path / "log.1").stat().st_size == ENGINE_FILE_BYTES
    prune(tmp_path, NOW)
    assert names(tmp_path) == {"log", "log.1"}


def test_the_logs_of_every_host_and_of_the_forwarder_are_bounded(tmp_path: Path) -> None:
    retention = LogRetention(tmp_path, tmp_path / "hosts")
    retention.enforce(NOW)
    console = log(tmp_path / "hosts" / "one", "console.log", age=0, size=LOG_BYTES + 1)
    forwarder = log(tmp_path, FORWARDER_LOG, age=0, size=LOG_BYTES + 1)
    log(tmp_path / "hosts" / "two" / "log", "postgresql.log.2033-05-01-00", age=KEPT_SECONDS + 1)
    log(tmp_path / "hosts" / "two" / "log", "postgresql.log.2033-05-18-03", age=0)
    retention.enforce(NOW)
    assert console.stat().st_size == forwarder.stat().st_size == 0
    assert names(tmp_path / "hosts" / "two" / "log") == {"postgresql.log.2033-05-18-03"}
