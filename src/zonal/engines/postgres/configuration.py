"""Renders `postgresql.conf`, `pg_hba.conf` and the password file of a node from its spec and its role. Pure.

Sizing follows RDS where it has a formula (`max_connections = DBInstanceClassMemory / 9531392`, "Quotas and constraints for Amazon
RDS"), and is modest otherwise, so that ten instances fit on a laptop. Since PostgreSQL 15, RDS requires TLS of clients
(`rds.force_ssl` is 1 by default, "Using SSL with a PostgreSQL DB instance"); so does this.
"""

from __future__ import annotations

from zonal.engines.node import NodeSpec, Origin
from zonal.engines.postgres import literals, ordered_settings
from zonal.engines.postgres.layout import Layout, Role, RoleState
from zonal.engines.postgres.options import PostgresSecrets

OPERATOR = "rdsadmin"
"""zonal's own superuser and its database, named as RDS names its own. Customers cannot connect to that database, so no object of
theirs can interfere with what the superuser runs there."""
REPLICATION = "rdsrepladmin"
"""The account of streaming standbys."""
MANAGEMENT = "100.64.0.0/16"
"""The management network. The operator and replicas are admitted from there only."""

KEPT_LOG = "2GB"
"""How much log a leader keeps for an absent replica; after more log the replica is copied. A replication slot would keep the log too, but
its bound, `max_slot_wal_keep_size`, applies to the customer's own slots as well."""

_FIXED = {"max_wal_senders": "10"}
_KIBI = 1024
_MEBI = 1024 * 1024


def configuration(spec: NodeSpec, role_state: RoleState, layout: Layout) -> str:
    """`postgresql.conf`. A later setting wins, so the deployment's settings precede those of durability and failover, and the ordered
    settings that a standby has to raise come last."""
    lines: dict[str, str] = {}
    for settings in (_sizing(spec), _logging(layout), dict(spec.settings), _network(spec, layout), _replication(spec, role_state, layout)):
        lines |= settings
    if role_state.role is Role.STANDBY:
        lines |= ordered_settings.raised(lines, layout.least())
    return "".join(f"{name} = {literals.setting(value)}\n" for name, value in lines.items())


def rewind_configuration(spec: NodeSpec, role_state: RoleState, layout: Layout) -> str:
    """The configuration that a crashed former leader recovers with before it is rewound.

    Recovery ends with a checkpoint, which removes the log before it except `wal_keep_size`. The rewind reads that log back to the point
    where the histories diverge, so all of it is kept.
    """
    return configuration(spec, role_state, layout) + "wal_keep_size = '1TB'\n"


def ordered(spec: NodeSpec) -> dict[str, int]:
    """The values of the ordered settings of a node by its spec."""
    return ordered_settings.configured(_sizing(spec) | dict(spec.settings) | _FIXED)


def hba(spec: NodeSpec, role_state: RoleState) -> str:
    """`pg_hba.conf`: zonal over the management network and the host's own socket; customers only on the leader."""
    rows = [
        f"local all {OPERATOR} scram-sha-256",
        f"host all {OPERATOR} {MANAGEMENT} scram-sha-256",
        f"host replication {REPLICATION} {MANAGEMENT} scram-sha-256",
        f"host all {OPERATOR},{REPLICATION} all reject",
        "host replication all all reject",
    ]
    if role_state.role is Role.LEADER:
        rows.append(f"{'hostssl' if major(spec.version) >= 15 else 'host'} all all all scram-sha-256")
    return "\n".join(rows) + "\n"


def passwords(secrets: PostgresSecrets) -> str:
    """The password file of the node's own programs (`.pgpass` format)."""
    return f"*:*:*:{OPERATOR}:{_escaped(secrets.operator)}\n*:*:*:{REPLICATION}:{_escaped(secrets.replication)}\n"


def connection_string(origin: Origin, user: str, layout: Layout, *, name: str = "", database: str = "") -> str:
    """The connection string of a node's program to the origin over the management network."""
    conninfo: dict[str, object] = {"host": origin.address, "port": origin.port, "user": user, "passfile": layout.passwords}
    conninfo |= {"application_name": name} if name else {}
    conninfo |= {"dbname": database} if database else {}
    conninfo |= {"connect_timeout": 3, "sslmode": "prefer", "keepalives_idle": 2, "keepalives_interval": 1, "keepalives_count": 3}
    return literals.connection_string(conninfo)


def major(version: str) -> int:
    """`"17.6"` → 17."""
    return int(version.partition(".")[0])


def _sizing(spec: NodeSpec) -> dict[str, str]:
    connections = max(25, min(spec.memory_bytes // 9531392, 500))
    sizing = {
        "max_connections": str(connections),
        "superuser_reserved_connections": "5",
        "shared_buffers": f"{min(spec.memory_bytes // 8, 128 * _MEBI) // _KIBI}kB",
        "max_wal_size": "512MB",
        "min_wal_size": "80MB",
        "timezone": "UTC",
        "lc_messages": "C",
    }
    return sizing | ({"io_method": "sync"} if major(spec.version) >= 18 else {})


def _logging(layout: Layout) -> dict[str, str]:
    return {
        "logging_collector": "on",
        "log_directory": str(layout.logs),
        "log_filename": "postgresql.log.%Y-%m-%d-%H",
        "log_rotation_age": "60",
        "log_rotation_size": "0",
        "log_file_mode": "0600",
        "log_line_prefix": "%t:%r:%u@%d:[%p]:",
        "log_timezone": "UTC",
        "log_min_messages": "warning",
    }


def _network(spec: NodeSpec, layout: Layout) -> dict[str, str]:
    return {
        "listen_addresses": "0.0.0.0",
        "port": str(spec.port),
        "unix_socket_directories": "/tmp",
        "hba_file": str(layout.hba),
        "ident_file": str(layout.identity),
        "password_encryption": "scram-sha-256",
        "ssl": "on",
        "ssl_cert_file": str(layout.certificate),
        "ssl_key_file": str(layout.private_key),
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
    }


def _replication(spec: NodeSpec, role_state: RoleState, layout: Layout) -> dict[str, str]:
    names = ", ".join(f'"{name}"' for name in role_state.required)
    settings = {
        "fsync": "on",
        "full_page_writes": "on",
        "wal_log_hints": "on",
        "wal_level": dict(spec.settings).get("wal_level", "replica"),
        "hot_standby": "on",
        **_FIXED,
        "max_replication_slots": "10",
        "wal_keep_size": KEPT_LOG if role_state.keeps_log else "128MB",  # A rewind copies all of it, so more would slow a rejoin.
        "wal_sender_timeout": "5s",
        "wal_receiver_timeout": "5s",
        "wal_receiver_status_interval": "1s",
        "wal_retrieve_retry_interval": "200ms",
        "recovery_target_timeline": "latest",
        "synchronous_standby_names": f"FIRST 1 ({names})" if names else "",
    }
    if role_state.origin is not None:
        settings["primary_conninfo"] = connection_string(role_state.origin, REPLICATION, layout, name=spec.name)
    return settings


def _escaped(password: str) -> str:
    return password.replace("\\", "\\\\").replace(":", "\\:")
