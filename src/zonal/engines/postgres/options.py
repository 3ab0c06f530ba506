"""PostgreSQL's options and secrets (`engines.options`)."""

from __future__ import annotations

from zonal.engines.options import EngineOptions, EngineSecrets


class PostgresOptions(EngineOptions, frozen=True):
    """What a new cluster contains: its master user and, if it is given, a database of that user."""

    master_user: str
    database: str | None = None


class PostgresSecrets(EngineSecrets, frozen=True):
    """The passwords of a cluster's accounts and its server certificate. `master` is a SCRAM verifier (`accounts.scram_verifier`)."""

    operator: str
    """Password of zonal's own superuser, `rdsadmin`."""
    replication: str
    """Password of the account that standbys stream with."""
    master: str
    certificate: bytes
    """The server certificate chain, PEM."""
    private_key: bytes

    def __repr__(self) -> str:
        return super().__repr__()
