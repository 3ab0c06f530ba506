"""The roles and databases that RDS gives a new PostgreSQL instance.

The master user is not a superuser: it is a member of `rds_superuser`, may create databases and roles, and can neither read files nor run
programs on the host ("Understanding the rds_superuser role", Amazon RDS user guide). `rdsadmin` is zonal's own. Passwords are set as
SCRAM verifiers, so that neither the engine's log nor its catalogue holds a clear one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

from zonal.engines.node import NodeSpec
from zonal.engines.postgres.configuration import OPERATOR, REPLICATION, major
from zonal.engines.postgres.literals import identifier, literal
from zonal.engines.postgres.options import PostgresOptions, PostgresSecrets

_ITERATIONS = 4096

_GRANTED = (
    (14, ("pg_monitor", "pg_signal_backend")),
    (15, ("pg_checkpoint",)),
    (16, ("pg_use_reserved_connections", "pg_create_subscription")),
    (17, ("pg_maintain",)),
    (18, ("pg_signal_autovacuum_worker",)),
)
"""The predefined roles that `rds_superuser` has, by the major version that introduced them."""


def layout_statements(spec: NodeSpec, secrets: PostgresSecrets) -> list[str]:
    """The SQL that makes an empty cluster an RDS instance, in order."""
    options = options_of(spec)
    master = identifier(options.master_user)
    granted = [role for version, roles in _GRANTED if version <= major(spec.version) for role in roles]
    statements = [
        "CREATE ROLE rds_superuser NOLOGIN",
        "CREATE ROLE rds_replication NOLOGIN",
        "CREATE ROLE rds_password NOLOGIN",
        *(f"GRANT {role} TO rds_superuser WITH ADMIN OPTION" for role in granted),
        "GRANT rds_replication, rds_password TO rds_superuser WITH ADMIN OPTION",
        f"CREATE ROLE {REPLICATION} LOGIN REPLICATION PASSWORD {literal(scram_verifier(secrets.replication))}",
        f"CREATE ROLE {master} LOGIN CREATEDB CREATEROLE VALID UNTIL 'infinity' PASSWORD {literal(secrets.master)}",
        f"GRANT rds_superuser TO {master}",
        f"ALTER DATABASE postgres OWNER TO {master}",
        f"CREATE DATABASE {OPERATOR}",
        f"REVOKE ALL ON DATABASE {OPERATOR} FROM PUBLIC",
    ]
    if options.database and options.database != "postgres":
        statements.append(f"CREATE DATABASE {identifier(options.database)} OWNER {master}")
    return statements


def options_of(spec: NodeSpec) -> PostgresOptions:
    """PostgreSQL's options of a node."""
    assert isinstance(spec.options, PostgresOptions)
    return spec.options


def password_statement(user: str, verifier: str) -> str:
    """The SQL that changes a password; with a verifier, the log has no password."""
    return f"ALTER ROLE {identifier(user)} PASSWORD {literal(verifier)}"


def scram_verifier(password: str) -> str:
    """What PostgreSQL stores of a password (RFC 5803): enough to verify it, not enough to recover it. Its salt is new each time."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${_ITERATIONS}:{_base64(salt)}${_base64(stored)}:{_base64(server)}"


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
