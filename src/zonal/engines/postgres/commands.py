"""Runs PostgreSQL's own programs on a node's host: psql, initdb, pg_basebackup, pg_rewind and the server in single-user mode.

A program that fails raises `EngineFailed` with the end of what it printed. SQL goes in by standard input, never as an argument, because
arguments can be read by others.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from zonal.engines import libraries
from zonal.engines.node import EngineFailed, Host, NodeSpec, Origin
from zonal.engines.postgres import configuration
from zonal.engines.postgres.layout import Layout
from zonal.fabric.plan import Completed, ProcessSpec

PROCESS = "postgres"
"""The name of the server's process on its host."""
QUICK = timedelta(seconds=10)
LONG = timedelta(hours=6)
_QUIET = "set log_statement = 'none'; set log_min_error_statement = 'panic'; set log_min_duration_statement = -1;\n"


class PostgresCommands:
    """The programs of one installation, on one node's host."""

    def __init__(self, host: Host, spec: NodeSpec, layout: Layout) -> None:
        self._host = host
        self._bin = spec.installation / "bin"
        self._layout = layout
        self._port = spec.port
        self._version = configuration.major(spec.version)
        self._environment = (*libraries.environment(spec.installation), ("LC_ALL", "C.UTF-8"), ("TZ", "UTC"))

    def server(self) -> ProcessSpec:
        """The server as a process of the host, on the node's data and configuration."""
        argv = (str(self._bin / "postgres"), "-D", str(self._layout.data), "-c", f"config_file={self._layout.configuration}")
        return ProcessSpec(PROCESS, argv, str(self._layout.console), environment=self._environment)

    async def sql(self, statements: str, *, within: timedelta = QUICK) -> str:
        """Run statements on this node as the operator, over the host's own socket; returns their unaligned output. The statements are not
        logged."""
        socket = {
            "host": "/tmp",
            "port": self._port,
            "user": configuration.OPERATOR,
            "dbname": configuration.OPERATOR,
            "connect_timeout": 5,
        }
        return await self._psql(" ".join(f"{key}={value}" for key, value in socket.items()), _QUIET + statements, within)

    async def sql_at(self, origin: Origin, statements: str, *, within: timedelta = QUICK) -> str:
        """Run statements on another node as the operator, over the management network."""
        where = configuration.connection_string(origin, configuration.OPERATOR, self._layout, database=configuration.OPERATOR)
        return await self._psql(where, statements, within)

    async def lay_out(self, target: Path, passwords: Path) -> None:
        """Create an empty cluster, owned by the operator."""
        await self._run(
            ("initdb", "-D", str(target), "-U", configuration.OPERATOR, "--pwfile", str(passwords), "--auth=scram-sha-256"),
            ("--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums", "--no-sync"),
            within=timedelta(minutes=2),
        )

    async def single_user(self, target: Path, statements: list[str]) -> None:
        """Run statements in a cluster that no server runs on and that is not durable yet. Errors are reported in the output only."""
        text = "".join(f"{statement};\n\n" for statement in statements)
        argv = ("postgres", "--single", "-j", "-D", str(target), "-c", "log_min_error_statement=panic", "-c", "fsync=off", "postgres")
        done = await self._run(argv, within=timedelta(minutes=2), input=text.encode())
        if b"ERROR:" in done.stderr or b"FATAL:" in done.stderr:
            raise EngineFailed(f"the accounts could not be created: {_end(done)}")

    async def control_data(self, target: Path) -> str:
        """The output of `pg_controldata` for a cluster."""
        done = await self._run(("pg_controldata", "-D", str(target)), within=QUICK)
        return done.stdout.decode()

    async def copy(self, origin: Origin, target: Path) -> None:
        """Copy a running node, including the log that is written meanwhile."""
        source = configuration.connection_string(origin, configuration.REPLICATION, self._layout)
        await self._run(("pg_basebackup", "-D", str(target), "-d", source, "-X", "stream", "-c", "fast", "-w", "--no-sync"), within=LONG)
        await self.make_durable(target)

    async def rewind(self, origin: Origin, target: Path) -> None:
        """Rewind this cluster to the origin's history. A checkpoint on the origin first records its new timeline."""
        await self.sql_at(origin, "checkpoint;", within=timedelta(minutes=5))
        source = configuration.connection_string(origin, configuration.OPERATOR, self._layout, database=configuration.OPERATOR)
        recovery = (f"--config-file={self._layout.rewind_configuration}",) if self._version >= 15 else ()  # Version 14 lacks the option.
        await self._run(("pg_rewind", "-D", str(target), f"--source-server={source}", "--no-sync"), recovery, within=LONG)
        await self.make_durable(target)

    async def make_durable(self, target: Path) -> None:
        """Make everything below `target` durable by one call, where the programs would sync a thousand files."""
        done = await self._host.run(("sync", "--file-system", str(target)), within=timedelta(minutes=10))
        if done.returncode:
            raise EngineFailed(f"{target} could not be made durable: {_end(done)}")

    async def _psql(self, where: str, statements: str, within: timedelta) -> str:
        argv = ("psql", "-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", where)
        done = await self._run(argv, within=within, input=statements.encode())
        return done.stdout.decode(errors="replace").strip()

    async def _run(self, command: tuple[str, ...], more: tuple[str, ...] = (), *, within: timedelta, input: bytes = b"") -> Completed:
        program, *arguments = command
        environment = (*self._environment, ("PGPASSFILE", str(self._layout.passwords)), ("PGAPPNAME", "zonal"))
        argv = (str(self._bin / program), *arguments, *more)
        done = await self._host.run(argv, within=within, environment=environment, input=input)
        if done.returncode:
            raise EngineFailed(f"{program} on {self._host.name} ended with {done.returncode}: {_end(done)}")
        return done


def _end(done: Completed) -> str:
    return (done.stderr or done.stdout).decode(errors="replace").strip()[-600:]
