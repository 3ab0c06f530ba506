"""A PostgreSQL node without a server: in which order its programs are asked."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.engines.test_postgres_files import SPEC
from zonal.engines.postgres.server import PostgresNode


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
    node, programs = PostgresNode(SPEC, host, "password"), Programs(tmp_path)
    node._programs = programs  # type: ignore[assignment]
    await node.require(replicas)
    assert programs.asked[0].startswith("show synchronous_standby_names")
    assert programs.asked[1:] == (["checkpoint;"] if replicas else [])
