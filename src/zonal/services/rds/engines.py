"""The engines of RDS, one row each: what RDS adds to a row of `engines.registry`.

A relational engine's options have the members `master_user` and `database`, its secrets `operator`, `replication`, `master`, `certificate`
and `private_key`; the engine's definition converts them to its own structs.
"""

from __future__ import annotations

from typing import NamedTuple

from zonal.engines.registry import POSTGRES, EngineDefinition


class RdsEngine(NamedTuple):
    """One engine. `port` is used where CreateDBInstance gives none. `reserved_users` are refused as the master user's name, also in other
    cases of letters, and so is a name that begins with one of `reserved_prefixes`; `reserved_databases` are refused as DBName."""

    definition: EngineDefinition
    license: str
    port: int
    reserved_users: frozenset[str]
    reserved_prefixes: tuple[str, ...]
    reserved_databases: frozenset[str]

    @property
    def name(self) -> str:
        """The engine as requests name it."""
        return self.definition.name

    @property
    def title(self) -> str:
        """The engine as descriptions name it."""
        return self.definition.title

    def family(self, major: int | str) -> str:
        """The parameter group family of a major version: `postgres18`."""
        return f"{self.name}{major}"

    def parameter_group(self, major: int | str) -> str:
        """The default parameter group of a major version."""
        return f"default.{self.family(major)}"

    def option_group(self, major: int | str) -> str:
        """The default option group of a major version."""
        return f"default:{self.name}-{major}"


ENGINES = {
    row.name: row
    for row in (
        RdsEngine(
            definition=POSTGRES,
            license="postgresql-license",
            port=5432,
            reserved_users=frozenset(
                {"admin", "public", "none", "rdsadmin", "rdsrepladmin", "user", "current_user", "session_user", "zonal"}
            ),
            reserved_prefixes=("pg_", "rds_"),
            reserved_databases=frozenset({"rdsadmin", "template0", "template1", "public"}),
        ),
    )
}
"""The engines that zonal runs, by name."""

OTHER_ENGINES = frozenset(
    {
        "mariadb",
        "mysql",
        "oracle-ee",
        "oracle-se2",
        "sqlserver-ee",
        "sqlserver-se",
        "sqlserver-ex",
        "sqlserver-web",
        "db2-se",
        "db2-ae",
        "aurora-mysql",
        "aurora-postgresql",
    }
)
"""Engines of RDS that zonal does not run."""
