"""A PostgreSQL server as a node of a deployment (`engines.node.Node`).

The node's role (leader with its required replicas, or standby with its origin) is kept in a file beside its data; `postgresql.conf` and
`pg_hba.conf` are written from it. A change of the role writes the files, reloads the server, and waits until the change is in force. So
every method may be repeated, and a node that was killed anywhere starts with its last role.

Whether a leader waits for its standby depends on a flag that the *checkpointer* sets when it reads the configuration, not on the session
that commits. So `require` ends with a checkpoint: the checkpointer begins one only after it has read the new configuration, and from then
on no commit is acknowledged without the standby.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from msgspec.structs import replace

from zonal.engines.node import EngineFailed, Host, LogFile, Monitors, NodeSpec, Origin, ProbeResult, Rejoined
from zonal.engines.options import EngineSecrets
from zonal.engines.postgres import accounts, configuration, ordered_settings
from zonal.engines.postgres.commands import PROCESS, PostgresCommands
from zonal.engines.postgres.layout import Layout, Role, RoleState
from zonal.engines.postgres.literals import setting_value
from zonal.engines.postgres.options import PostgresSecrets
from zonal.engines.postgres.probe import Probe
from zonal.foundation.files import replace_file

IMMEDIATE = timedelta(milliseconds=400)
"""How long an immediate shutdown may take before the postmaster is killed."""
KILL_SECONDS_LIMIT = timedelta(seconds=10)
FORCE = timedelta(seconds=30)
READY = timedelta(seconds=60)
WORTH_COMPARING = 256 << 20
"""With less log than this a rewind is quick, whatever the size of the data."""


class SincePromotion(msgspec.Struct, frozen=True):
    """The log that a leader has written since its promotion, and the size of all its data."""

    has_log: bool
    log_bytes: int
    data_bytes: int

    def reason_to_clone(self) -> str:
        """Why a copy is made instead of a rewind; empty where a rewind is possible and quicker.

        A rewind copies the blocks that changed and the log, and recovery reads the log again: after 1 GB of log in a database of 1 GB it
        takes longer than a copy (docs/performance.md).
        """
        if not self.has_log:
            return f"has written more log since its promotion than it keeps ({configuration.KEPT_LOG})"
        if self.log_bytes > WORTH_COMPARING and 2 * self.log_bytes > self.data_bytes:
            log, data = self.log_bytes >> 20, self.data_bytes >> 20
            return f"has written {log} MiB of log since its promotion and has {data} MiB of data: a copy is quicker"
        return ""


class PostgresNode:
    """One PostgreSQL server with its data (the `Node` of `engines.node`). `operator` is the password of `rdsadmin`."""

    def __init__(self, spec: NodeSpec, host: Host, operator: str) -> None:
        self.spec = spec
        self.host = host
        self._layout = Layout(host.directory)
        self._commands = PostgresCommands(host, spec, self._layout)
        self._operator = operator
        self._probe = Probe(spec.name, self._reach)

    async def create(self, secrets: EngineSecrets) -> None:
        """Create an empty database with its accounts; nothing happens where that was completed before."""
        layout = self._layout
        await self._acting()
        if layout.exists():
            return
        layout.discard_new()
        self._write_secrets(secrets)
        own = _own(secrets)
        secret = layout.directory / "operator"
        replace_file(secret, own.operator)
        try:
            await self._commands.lay_out(layout.new_data, secret)
            await self._commands.single_user(layout.new_data, accounts.layout_statements(self.spec, own))
            await self._commands.make_durable(layout.new_data)
        finally:
            secret.unlink()
        layout.write_role_state(RoleState(Role.LEADER))
        layout.install_new()

    async def clone(self, origin: Origin, secrets: EngineSecrets) -> None:
        """Replace the data by a copy of the origin, which follows the origin when started. Starts over after a crash."""
        layout = self._layout
        await self._acting()
        layout.discard_new()
        self._write_secrets(secrets)
        await self._commands.copy(origin, layout.new_data)
        (layout.new_data / "standby.signal").touch()
        layout.write_role_state(RoleState(Role.STANDBY, origin))
        layout.install_new()

    async def rejoin(self, origin: Origin, secrets: EngineSecrets) -> Rejoined:
        """Make a former leader follow the origin: rewind it where that is possible, else clone."""
        layout = self._layout
        await self._acting()
        self._write_secrets(secrets)
        replace_file(layout.rewind_configuration, configuration.rewind_configuration(self.spec, RoleState(Role.LEADER), layout))
        try:
            since = msgspec.json.decode(await self._commands.sql_at(origin, _SINCE_PROMOTION), type=SincePromotion)
            if reason := since.reason_to_clone():
                raise EngineFailed(f"{origin.node} {reason}")
            await self._commands.rewind(origin, layout.data)
            if not layout.has_log_to_recover():
                raise EngineFailed(
                    f"{origin.node} does not have the log any more from which a rewound {self.spec.name} would have to recover"
                )
        except EngineFailed as error:
            await self.clone(origin, secrets)
            return Rejoined("cloned", str(error))
        layout.standby_signal.touch()
        layout.write_role_state(RoleState(Role.STANDBY, origin))
        return Rejoined("rewound")

    async def start(self) -> None:
        """Start the engine; returns once its process runs. `probe` reports whether it answers."""
        layout = self._layout
        await self._acting()
        if not layout.exists():
            raise EngineFailed(f"{self.spec.name} has no data to start with")
        layout.logs.mkdir(mode=0o700, exist_ok=True)
        if layout.role_state().role is Role.STANDBY and not await self.host.is_running(PROCESS):
            layout.write_least(ordered_settings.recorded(await self._commands.control_data(layout.data)))
        self._write_files(layout.role_state())
        await self.host.start(self._commands.server())

    async def stop(self, *, within: timedelta) -> None:
        """Shut down cleanly, disconnecting clients; after `within`, kill."""
        await self.host.signal(PROCESS, signal.SIGINT)
        if not await self.host.wait_until_gone(PROCESS, within):
            await self.kill()

    async def kill(self) -> None:
        """End the engine at once, as a crash does; the host stays on.

        An immediate shutdown ends the postmaster's children too, so that none of them keeps the shared memory. A postmaster that hangs is
        killed, and its children end when they detect that.
        """
        await self.host.signal(PROCESS, signal.SIGQUIT)
        if await self.host.wait_until_gone(PROCESS, IMMEDIATE):
            return
        await self.host.signal(PROCESS, signal.SIGKILL)
        if not await self.host.wait_until_gone(PROCESS, KILL_SECONDS_LIMIT):
            raise EngineFailed(f"{self.spec.name} did not end although it was killed")

    async def promote(self) -> None:
        """Make a running replica the leader; returns once it takes writes. Nothing happens where it already does."""
        before = self._layout.role_state()
        leads = RoleState(Role.LEADER, required=before.required if before.role is Role.LEADER else (), keeps_log=True)
        self._write_files(leads)
        await self._commands.sql(_PROMOTE, within=READY)
        self._layout.write_role_state(leads)
        await self.host.signal(PROCESS, signal.SIGHUP)

    async def require(self, replicas: tuple[str, ...]) -> None:
        """Make the leader require these replicas to confirm each write (none: acknowledge alone). In force on return."""
        before = self._layout.role_state()
        keeps_log = not replicas and (before.keeps_log or bool(before.required))
        role_state = replace(before, required=replicas, keeps_log=keeps_log)
        self._layout.write_role_state(role_state)
        await self._reload(role_state)
        if replicas:
            await self._commands.sql("checkpoint;", within=FORCE)

    async def release_log(self) -> None:
        """Stop keeping log for an absent replica, because the deployment has no replica any more."""
        role_state = replace(self._layout.role_state(), keeps_log=False)
        self._layout.write_role_state(role_state)
        await self._reload(role_state)

    async def follow(self, origin: Origin, secrets: EngineSecrets) -> None:
        """Point a replica at another origin (after a failover); nothing happens where it follows it already."""
        await self._acting()
        self._write_secrets(secrets)
        role_state = RoleState(Role.STANDBY, origin)
        if role_state == self._layout.role_state():
            return
        self._layout.write_role_state(role_state)
        if await self.host.is_running(PROCESS):
            await self._reload(role_state)

    async def change_password(self, secrets: EngineSecrets) -> None:
        """Give the master user on the leader the verifier of these secrets."""
        user = accounts.options_of(self.spec).master_user
        await self._commands.sql(f"{accounts.password_statement(user, _own(secrets).master)};")

    async def probe(self, monitors: Monitors, zone: str, *, within: timedelta) -> ProbeResult:
        """Probe the node over the network from the monitoring host in `zone`. Never raises; silence is a result."""
        return await self._probe.probe(monitors, zone, within=within)

    async def is_running(self) -> bool:
        """Whether the engine's process runs. Used for actions, never to judge health."""
        return await self.host.is_running(PROCESS)

    async def failure(self) -> str:
        """The last line that the engine printed about why it ended, without errors of customers' sessions."""
        logs = [Path(file.path) for file in (await self.logs())[-1:]]
        lines = [line for path in (*logs, self._layout.console) for line in _tail(path).splitlines() if line.strip()]
        ends = [line for line in lines if _END.search(line)]
        return _PREFIX.sub("", (ends or lines or ["it printed nothing"])[-1]).strip()

    async def logs(self) -> list[LogFile]:
        """The engine's log files, oldest first."""
        files = [path for path in sorted(self._layout.logs.glob("postgresql.log*")) if path.is_file()]
        stats = [(path, path.stat()) for path in files]
        return [LogFile(f"error/{path.name}", str(path), stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC)) for path, stat in stats]

    async def destroy(self) -> None:
        """End the engine and remove its data."""
        self._probe.forget()
        await self.kill()
        await asyncio.to_thread(self._layout.remove_all)

    def _reach(self) -> dict[str, str]:
        conninfo = {"hostaddr": self.host.management_address, "host": self.host.management_address, "port": str(self.spec.port)}
        conninfo |= {
            "user": configuration.OPERATOR,
            "password": self._operator,
            "dbname": configuration.OPERATOR,
            "application_name": "zonal",
        }
        return conninfo | {"sslmode": "disable", "gssencmode": "disable", "tcp_user_timeout": "1000"}

    async def _acting(self) -> None:
        """Raise `HostUnreachable` in a lost zone, before the files of the host are changed."""
        await self.host.is_running(PROCESS)

    async def _reload(self, role_state: RoleState) -> None:
        """Write the files, reload the server, and return once a new session sees the new values."""
        self._write_files(role_state)
        await self.host.signal(PROCESS, signal.SIGHUP)
        text = configuration.configuration(self.spec, role_state, self._layout)
        wanted = _setting(text, "synchronous_standby_names"), _setting(text, "primary_conninfo")
        async with asyncio.timeout(READY.total_seconds()):
            while await self._in_force() != wanted:  # noqa: ASYNC110 (the server has no event for it)
                await asyncio.sleep(0.02)

    async def _in_force(self) -> tuple[str, str]:
        printed = await self._commands.sql("show synchronous_standby_names; show primary_conninfo;")
        first, _, second = printed.partition("\n")
        return first.strip(), second.strip()

    def _write_files(self, role_state: RoleState) -> None:
        layout = self._layout
        replace_file(layout.configuration, configuration.configuration(self.spec, role_state, layout))
        replace_file(layout.hba, configuration.hba(self.spec, role_state))
        replace_file(layout.identity, "")

    def _write_secrets(self, secrets: EngineSecrets) -> None:
        own = _own(secrets)
        os.chmod(self._layout.directory, 0o700)  # noqa: PTH101 (the host's directory is ours)
        replace_file(self._layout.passwords, configuration.passwords(own))
        replace_file(self._layout.certificate, own.certificate)
        replace_file(self._layout.private_key, own.private_key)


def _own(secrets: EngineSecrets) -> PostgresSecrets:
    """PostgreSQL's secrets; control passes those of the engine's definition."""
    assert isinstance(secrets, PostgresSecrets)
    return secrets


_SINCE_PROMOTION = """
with files as (select name from pg_ls_waldir()),
  history as (select pg_read_file('pg_wal/' || max(name)) as text from files where name ~ '^[0-9A-F]{8}[.]history$'),
  parting as (select (regexp_match(text, '([0-9A-F]+/[0-9A-F]+)[^/]*$'))[1]::pg_lsn as position from history)
select json_build_object(
    'has_log', (select coalesce(min(substr(name, 9)) <= substr(pg_walfile_name(position), 9), true)
                  from files where name ~ '^[0-9A-F]{24}$'),
    'log_bytes', coalesce(pg_current_wal_flush_lsn() - position, 0)::bigint,
    'data_bytes', (select sum(pg_database_size(oid))::bigint from pg_database))
  from parting;
"""
"""The query of `SincePromotion`. Segments of all timelines are compared by their numbers alone."""

_PROMOTE = """
do $$ begin
  if pg_is_in_recovery() then
    perform pg_promote(false);
    while pg_is_in_recovery() loop perform pg_sleep(0.005); end loop;
  end if;
end $$;
"""
"""`pg_promote(true)` would poll only every tenth of a second."""


_END = re.compile(r"^(?:\S+ \S+ UTC::@:\[\d+\]:)?\s*(?:FATAL|PANIC):")
"""A line in which a process of the server logs why it ends. A line of a customer's session has a user and a database in its prefix."""
_PREFIX = re.compile(r"^\S+ \S+ UTC::@:\[\d+\]:")


def _tail(path: Path) -> str:
    """The last 8 KiB of a log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def _setting(text: str, name: str) -> str:
    """A setting's value in the text of a configuration file."""
    found = re.search(rf"^{name} = ('.*')$", text, re.MULTILINE)
    return setting_value(found[1]) if found else ""
