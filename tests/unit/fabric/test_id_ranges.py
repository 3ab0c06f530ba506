"""The ids that a machine grants become the maps of a sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from zonal.fabric.id_ranges import RANGE, IdRangeMissing, MapRow, granted_maps, has_range, require_range


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with the tools; its `/etc`."""
    for tool in ("newuidmap", "newgidmap"):
        (tmp_path / tool).write_text("#!/bin/sh\n")
        (tmp_path / tool).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def grant(machine: Path, text: str) -> None:
    (machine / "subuid").write_text(text)
    (machine / "subgid").write_text(text)


def test_a_granted_range_maps_the_user_the_hosts_users_nobody_and_sambas_ids(machine: Path) -> None:
    grant(machine, "somebody:100000:65536\n1234:165536:65536\n")
    maps = granted_maps(1234, 1235, directory=machine)
    hosts = (MapRow(1, 165536, 59999), MapRow(65534, 225535, 1), MapRow(3000000, 225536, 5536))
    assert maps.users == (MapRow(0, 1234, 1), *hosts)
    assert maps.groups == (MapRow(0, 1235, 1), *hosts)
    assert sum(row.length for row in maps.users[1:]) == RANGE
    assert maps.users[-1].outside + maps.users[-1].length == 165536 + RANGE


@pytest.mark.parametrize("text", ["", "1234:165536:65535\n", "somebody:165536:65536\n", "1234:x:65536\n", "1234\n"])
def test_a_machine_that_grants_too_little_is_named_as_the_reason(machine: Path, text: str) -> None:
    grant(machine, text)
    with pytest.raises(IdRangeMissing, match="subuid grants no range of 65536 ids"):
        granted_maps(1234, 1234, directory=machine)


def test_a_machine_without_the_tools_is_named_as_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(IdRangeMissing, match="newuidmap and newgidmap not found"):
        granted_maps(1234, 1234, directory=tmp_path)


def test_a_sandbox_with_one_id_refuses_what_needs_a_range(tmp_path: Path) -> None:
    for name in ("uid_map", "gid_map"):
        (tmp_path / name).write_text("         0       1234          1\n")
    assert not has_range(process=tmp_path)
    with pytest.raises(IdRangeMissing, match=r"a domain controller needs a range of user ids.*apt-get install uidmap"):
        require_range("a domain controller", process=tmp_path)
    (tmp_path / "uid_map").write_text("0 1234 1\n1 100000 59999\n")
    assert not has_range(process=tmp_path), "groups are not mapped"
    (tmp_path / "gid_map").write_text("0 1234 1\n1 100000 59999\n")
    require_range("a domain controller", process=tmp_path)


def test_a_sandbox_of_root_has_every_id(tmp_path: Path) -> None:
    for name in ("uid_map", "gid_map"):
        (tmp_path / name).write_text("         0          0 4294967295\n")
    assert has_range(process=tmp_path)
