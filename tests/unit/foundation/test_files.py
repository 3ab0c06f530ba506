"""Atomic replacement of files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zonal.foundation.files import replace_file


def test_a_file_is_replaced_atomically_and_leaves_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, "one")
    replace_file(path, b"two")
    assert path.read_text() == "two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_a_crash_left_half_written_is_neither_read_nor_kept(tmp_path: Path) -> None:
    (tmp_path / ".file.new").write_text("half")
    (tmp_path / ".file.new").chmod(0o644)
    replace_file(tmp_path / "file", "whole")
    assert ((tmp_path / "file").read_text(), (tmp_path / "file").stat().st_mode & 0o777) == ("whole", 0o600)


def test_content_is_durable_before_its_name_and_its_name_before_the_return(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    sync, rename = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        done.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        sync(descriptor)

    def replace(path: Path, target: Path) -> Path:
        done.append(f"rename {path.name} {target.name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    replace_file(tmp_path / "file", "content")
    assert done == ["sync .file.new", "rename .file.new file", f"sync {tmp_path.name}"]
