"""Log files stay bounded, and a failed write ends no process."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from zonal.foundation.log_files import bound, open_log, write_line


def test_a_line_that_cannot_be_written_is_dropped() -> None:
    for flags, path in ((os.O_WRONLY, "/dev/full"), (os.O_RDONLY, os.devnull)):
        descriptor = os.open(path, flags)
        assert not write_line("a message", descriptor=descriptor)
        os.close(descriptor)
    assert not write_line("a message", descriptor=descriptor), "closed"


def test_a_surrogate_in_a_message_is_written_escaped(tmp_path: Path) -> None:
    descriptor = open_log(tmp_path / "log")
    assert write_line("\udcff", descriptor=descriptor)
    os.close(descriptor)
    assert (tmp_path / "log").read_bytes() == b"\\udcff\n"


def test_a_log_beyond_its_limit_is_truncated_and_its_end_is_kept_in_another_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = open_log(path)
    os.write(writer, b"old" * 10 + b"kept" * 10)
    assert not bound(path, limit_bytes=70)
    assert bound(path, limit_bytes=40)
    os.write(writer, b"new")
    os.close(writer)
    assert path.read_bytes() == b"new", "whoever has it open appends to the new beginning"
    assert (tmp_path / "log.1").read_bytes() == b"kept" * 10
    assert os.stat(tmp_path / "log.1").st_mode & 0o777 == 0o600  # noqa: PTH116


def test_a_log_is_truncated_even_if_its_end_cannot_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 100)
    (tmp_path / "log.1").mkdir()
    (tmp_path / "log.1" / "in the way").touch()
    bound(path, limit_bytes=40)
    assert path.read_bytes() == b""


def test_a_missing_log_is_not_created(tmp_path: Path) -> None:
    assert not bound(tmp_path / "log")
    assert list(tmp_path.iterdir()) == []


def test_a_program_starts_without_a_log_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really_open = os.open

    def refuse(path: str | Path, flags: int, mode: int = 0o777) -> int:
        if str(path) != os.devnull:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return really_open(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    descriptor = open_log(tmp_path / "log")
    assert write_line("a message", descriptor=descriptor)
    os.close(descriptor)
    assert list(tmp_path.iterdir()) == []
