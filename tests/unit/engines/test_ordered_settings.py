"""The settings that must be at least as large on a standby as on its primary."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.unit.engines.test_postgres_files import ORIGIN, SPEC, settings
from zonal.engines.postgres import configuration, ordered_settings
from zonal.engines.postgres.layout import Layout, Role, RoleState

CONTROL_DATA = """
pg_control version number:            1800
wal_level setting:                    replica
max_connections setting:              225
max_worker_processes setting:         12
max_wal_senders setting:              10
max_prepared_xacts setting:           3
max_locks_per_xact setting:           64
Maximum data alignment:               8
"""


def test_what_a_standby_must_hold_is_read_from_its_control_file() -> None:
    assert ordered_settings.recorded(CONTROL_DATA) == {
        "max_connections": 225,
        "max_worker_processes": 12,
        "max_wal_senders": 10,
        "max_prepared_transactions": 3,
        "max_locks_per_transaction": 64,
    }


def test_a_standby_has_the_larger_of_the_configured_and_the_minimum_value_and_a_leader_the_configured_one(tmp_path: Path) -> None:
    spec = replace(SPEC, settings=(("max_worker_processes", "9"), ("max_locks_per_transaction", "128")))
    Layout(tmp_path).write_least(ordered_settings.recorded(CONTROL_DATA))
    standby, leader = settings(spec, RoleState(Role.STANDBY, ORIGIN), tmp_path), settings(spec, RoleState(Role.LEADER), tmp_path)
    held = "max_connections", "max_worker_processes", "max_prepared_transactions", "max_locks_per_transaction"
    assert [standby.get(name) for name in held] == ["225", "12", "3", "128"]
    assert [leader.get(name) for name in held] == ["112", "9", None, "128"]


@pytest.mark.parametrize("name", ordered_settings.NAMES)
def test_what_is_declared_is_what_stands_in_the_configuration(tmp_path: Path, name: str) -> None:
    for spec in (SPEC, replace(SPEC, settings=((name, "17"),)), replace(SPEC, memory_bytes=1 << 32)):
        written = settings(spec, RoleState(Role.LEADER), tmp_path)
        if name in written:
            assert configuration.ordered(spec)[name] == int(written[name])
