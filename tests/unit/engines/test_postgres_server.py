"""A PostgreSQL node without a server: the order in which its programs run."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.engines.test_postgres_files import SPEC
from zonal.engines.postgres.commands import PostgresCommands as PostgresPrograms
from zonal.engines.postgres.layout import Layout
from zonal.engines.postgres.server import PostgresNode
from zonal.fabric.plan import Completed


class Host:
    """A host on which signals reach nobody."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    async def signal(self, process: str, number: int) -> None:
        """The server would read its files anew."""


class Programs:
    """A server that has what stands in its files in force, and remembers what it was asked."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.asked: list[str] = []

    async def sql(self, statements: str, *, within: timedelta = timedelta(0)) -> str:
        self.asked.append(statements)
        if not statements.startswith("show"):
            return ""
        lines = (self.directory / "postgresql.conf").read_text().splitlines()
        settings = {name: value.strip("'") for name, _, value in (line.partition(" = ") for line in lines)}
        return f"{settings['synchronous_standby_names']}\n"


@pytest.mark.parametrize("replicas", [("orders_b",), ()])
async def test_a_leader_waits_for_its_standby_only_after_a_checkpoint(tmp_path: Path, replicas: tuple[str, ...]) -> None:
    """PostgreSQL's commits look at a flag of the checkpointer's, not at the setting that a session shows (docs/engines.md)."""
    host: Any = Host(tmp_path)
    node, commands = PostgresNode(SPEC, host, "password"), Programs(tmp_path)
    node._commands = commands  # type: ignore[assignment]
    await node.require(replicas)
    assert commands.asked[0].startswith("show synchronous_standby_names")
    assert commands.asked[1:] == (["checkpoint;"] if replicas else [])


async def test_a_leader_keeps_log_for_a_lost_standby_until_it_returns_or_is_dropped(tmp_path: Path) -> None:
    host: Any = Host(tmp_path)
    node = PostgresNode(SPEC, host, "password")
    node._commands = Programs(tmp_path)  # type: ignore[assignment]
    kept = []
    for replicas in ((), ("orders_b",), (), (), ("orders_b",), ()):
        await node.require(replicas)
        kept.append(Layout(tmp_path).role_state().keeps_log)
    assert kept == [False, False, True, True, False, True]
    await node.release_log()
    assert not Layout(tmp_path).role_state().keeps_log
    assert "wal_keep_size = '128MB'" in (tmp_path / "postgresql.conf").read_text()


async def test_every_program_is_started_with_the_libraries_of_its_own_installation(tmp_path: Path) -> None:
    """The modules of PostgreSQL's wheel find libpq nowhere else (docs/engines.md)."""
    started: list[dict[str, str]] = []

    class Recording(Host):
        async def run(self, argv: tuple[str, ...], *, environment: tuple[tuple[str, str], ...], **_: Any) -> Completed:
            started.append(dict(environment))
            return Completed(0, b"", b"")

    host: Any = Recording(tmp_path)
    commands = PostgresPrograms(host, SPEC, Layout(tmp_path))
    await commands.sql("select 1")
    started.append(dict(commands.server().environment))
    assert [each["LD_LIBRARY_PATH"] for each in started] == ["/engines/postgres/18.6/lib"] * 2
