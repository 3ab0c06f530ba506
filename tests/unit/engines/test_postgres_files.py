"""The content of a node's files, and the role that it keeps."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path

import pytest
from msgspec.structs import replace
from psycopg.conninfo import conninfo_to_dict

from zonal.engines.node import NodeSpec, Origin
from zonal.engines.postgres import accounts, configuration, literals
from zonal.engines.postgres.layout import Layout, Role, RoleState
from zonal.engines.postgres.options import PostgresOptions, PostgresSecrets
from zonal.engines.postgres.server import SincePromotion

SPEC = NodeSpec("orders_a", Path("/engines/postgres/18.6"), "18.6", 5433, PostgresOptions("master", "orders"), ())
ORIGIN = Origin("orders_b", "100.64.17.0", 5433)
SECRETS = PostgresSecrets("op:er", "re'pl", accounts.scram_verifier("pencil"), b"certificate", b"key")


def settings(spec: NodeSpec, role_state: RoleState, directory: Path) -> dict[str, str]:
    lines = configuration.configuration(spec, role_state, Layout(directory)).splitlines()
    return {name: value.strip("'") for name, _, value in (line.partition(" = ") for line in lines)}


def test_customers_are_admitted_by_a_leader_only_and_over_tls_since_version_15() -> None:
    leader, standby = RoleState(Role.LEADER), RoleState(Role.STANDBY, ORIGIN)
    assert configuration.hba(SPEC, leader).splitlines()[-1] == "hostssl all all all scram-sha-256"
    assert configuration.hba(replace(SPEC, version="14.22"), leader).splitlines()[-1] == "host all all all scram-sha-256"
    assert configuration.hba(SPEC, standby).splitlines()[-1] == "host replication all all reject"


def test_the_operator_comes_in_from_the_management_network_only() -> None:
    rows = configuration.hba(SPEC, RoleState(Role.LEADER)).splitlines()
    allowed = rows.index("host all rdsadmin 100.64.0.0/16 scram-sha-256")
    assert allowed < rows.index("host all rdsadmin,rdsrepladmin all reject") < len(rows) - 1


def test_a_leader_waits_for_whom_it_requires_and_a_standby_follows_its_origin(tmp_path: Path) -> None:
    leads = settings(SPEC, RoleState(Role.LEADER, required=("orders_b",)), tmp_path)
    assert leads["synchronous_standby_names"] == 'FIRST 1 ("orders_b")'
    assert "primary_conninfo" not in leads
    follows = settings(SPEC, RoleState(Role.STANDBY, ORIGIN), tmp_path)
    assert follows["synchronous_standby_names"] == ""
    assert "host=''100.64.17.0''" in follows["primary_conninfo"]
    assert "application_name=''orders_a''" in follows["primary_conninfo"]


def test_log_is_kept_for_a_replica_that_is_away_and_all_of_it_while_a_crashed_leader_recovers_to_be_rewound(tmp_path: Path) -> None:
    assert settings(SPEC, RoleState(Role.LEADER), tmp_path)["wal_keep_size"] == "128MB"
    assert settings(SPEC, RoleState(Role.LEADER, keeps_log=True), tmp_path)["wal_keep_size"] == configuration.KEPT_LOG
    lines = configuration.rewind_configuration(SPEC, RoleState(Role.LEADER), Layout(tmp_path)).splitlines()
    assert [line for line in lines if line.startswith("wal_keep_size")][-1] == "wal_keep_size = '1TB'"


def test_a_rewound_node_without_the_segment_that_its_recovery_begins_with_is_found_out(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    (layout.data / "pg_wal").mkdir(parents=True)
    assert layout.has_log_to_recover()
    (layout.data / "backup_label").write_text(
        "START WAL LOCATION: 0/3000028 (file 000000010000000000000003)\nCHECKPOINT LOCATION: 0/3000060\n"
    )
    assert not layout.has_log_to_recover()
    (layout.data / "pg_wal/000000010000000000000003").touch()
    assert layout.has_log_to_recover()


@pytest.mark.parametrize(
    ("has_log", "log", "data", "reason"),
    [
        (True, 30 << 20, 40 << 20, ""),
        (True, 1 << 30, 10 << 30, ""),
        (True, 1 << 30, 1 << 30, "has written 1024 MiB of log since its promotion and has 1024 MiB of data: a copy is quicker"),
        (False, 3 << 30, 10 << 30, "has written more log since its promotion than it keeps (2GB)"),
    ],
)
def test_a_former_leader_is_copied_where_a_rewind_is_impossible_or_slower(has_log: bool, log: int, data: int, reason: str) -> None:
    assert SincePromotion(has_log, log, data).reason_to_clone() == reason


def test_no_setting_of_the_deployment_can_switch_durability_off(tmp_path: Path) -> None:
    given = (("fsync", "off"), ("full_page_writes", "off"), ("hba_file", "/tmp/mine"), ("work_mem", "8MB"))
    found = settings(replace(SPEC, settings=given), RoleState(Role.LEADER), tmp_path)
    assert (found["fsync"], found["full_page_writes"], found["work_mem"]) == ("on", "on", "8MB")
    assert found["hba_file"] == str(tmp_path / "pg_hba.conf")


@pytest.mark.parametrize(("memory", "connections"), [(1 << 28, "28"), (1 << 30, "112"), (1 << 40, "500")])
def test_connections_follow_the_memory_of_the_class(tmp_path: Path, memory: int, connections: str) -> None:
    assert settings(replace(SPEC, memory_bytes=memory), RoleState(Role.LEADER), tmp_path)["max_connections"] == connections


def test_passwords_are_escaped_for_the_password_file_and_never_stand_in_the_configuration(tmp_path: Path) -> None:
    assert configuration.passwords(SECRETS) == "*:*:*:rdsadmin:op\\:er\n*:*:*:rdsrepladmin:re'pl\n"
    text = configuration.configuration(SPEC, RoleState(Role.STANDBY, ORIGIN), Layout(tmp_path))
    assert SECRETS.operator not in text
    assert SECRETS.replication not in text


def test_a_verifier_checks_the_password_and_does_not_tell_it() -> None:
    verifier = accounts.scram_verifier("pencil")
    assert "pencil" not in verifier
    _, numbers, keys = verifier.split("$")
    iterations, _, salt = numbers.partition(":")
    salted = hashlib.pbkdf2_hmac("sha256", b"pencil", base64.b64decode(salt), int(iterations))
    stored, _, server = keys.partition(":")
    assert base64.b64decode(stored) == hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    assert base64.b64decode(server) == hmac.digest(salted, b"Server Key", "sha256")
    assert verifier != accounts.scram_verifier("pencil"), "the salt is new each time"


def test_names_and_texts_cannot_leave_their_quotes() -> None:
    statements = accounts.layout_statements(replace(SPEC, options=PostgresOptions('a"; drop', "b'c")), SECRETS)
    assert any(statement.startswith('CREATE ROLE "a""; drop" LOGIN') for statement in statements)
    assert 'CREATE DATABASE "b\'c" OWNER "a""; drop"' in statements
    assert literals.literal("it's") == "'it''s'"


def test_a_standby_finds_its_passwords_also_in_a_directory_with_quotes_and_backslashes(tmp_path: Path) -> None:
    path = tmp_path / "the user's \\ own"
    lines = configuration.configuration(SPEC, RoleState(Role.STANDBY, ORIGIN), Layout(path)).splitlines()
    [quoted] = [line.removeprefix("primary_conninfo = ") for line in lines if line.startswith("primary_conninfo = ")]
    value = literals.setting_value(quoted)
    assert literals.setting(value) == quoted
    assert conninfo_to_dict(value)["passfile"] == str(Layout(path).passwords)


@pytest.mark.parametrize(("version", "has"), [("14.1", 0), ("15.1", 1), ("17.1", 4), ("18.1", 5)])
def test_the_superuser_role_gets_what_its_major_has(version: str, has: int) -> None:
    newer = ("pg_checkpoint", "pg_use_reserved_connections", "pg_create_subscription", "pg_maintain", "pg_signal_autovacuum_worker")
    text = "\n".join(accounts.layout_statements(replace(SPEC, version=version), SECRETS))
    assert [role in text for role in newer] == [True] * has + [False] * (5 - has)


def test_a_part_is_remembered(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert layout.role_state() == RoleState(Role.LEADER)
    role_state = RoleState(Role.STANDBY, ORIGIN)
    layout.write_role_state(role_state)
    assert Layout(tmp_path).role_state() == role_state


def test_secrets_do_not_show(tmp_path: Path) -> None:
    assert repr(SECRETS) == "PostgresSecrets(…)"
