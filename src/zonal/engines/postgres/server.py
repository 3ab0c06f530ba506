"""A PostgreSQL server as a node of a deployment.

The node's part (lead, or follow whom; wait for whom) is kept in a file beside its data; configuration and admission are written from it.
Changing the part is: write the files, have the server read them, see that it did. So every method may be repeated, and a node that was
killed anywhere starts with the part it last had.

Whether a leader waits for its standby is decided by a flag that the *checkpointer* sets when it reads the configuration, not by the session
that commits. So `require` ends with a checkpoint: the checkpointer takes up one only after it has read what was written before, and
from then on no commit passes without the standby.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from zonal.engines.node import EngineFailed, Host, LogFile, Monitors, NodeSpec, Origin, Secrets, Sighting
from zonal.engines.postgres import accounts, configuration, ordered_settings
from zonal.engines.postgres.eye import Eye
from zonal.engines.postgres.layout import Layout, Part, Role
from zonal.engines.postgres.programs import Programs
from zonal.engines.postgres.quoting import setting_value
from zonal.fabric.plan import ProcessSpec
from zonal.foundation.files import replace_file

PROCESS = "postgres"
IMMEDIATE = timedelta(milliseconds=400)
"""How long an immediate shutdown may take before the postmaster is killed."""
GONE = timedelta(seconds=10)
FORCE = timedelta(seconds=30)
READY = timedelta(seconds=60)


class PostgresNode:
    """One PostgreSQL server with its data (the `Node` of `engines.node`). `operator` is the password of `rdsadmin`."""

    def __init__(self, spec: NodeSpec, host: Host, operator: str) -> None:
        self.spec = spec
        self.host = host
        self._layout = Layout(host.directory)
        self._programs = Programs(host, spec.installation, self._layout, spec.port)
        self._operator = operator
        self._eye = Eye(spec.name, self._reach)

    async def create(self, secrets: Secrets) -> None:
        """Lay out an empty database with its accounts; nothing happens where that was completed before."""
        layout = self._layout
        await self._acting()
        if layout.exists():
            return
        layout.discard_new()
        self._write_secrets(secrets)
        secret = layout.directory / "operator"
        replace_file(secret, secrets.operator)
        try:
            await self._programs.lay_out(layout.new_data, secret)
            await self._programs.single_user(layout.new_data, accounts.layout_statements(self.spec, secrets))
            await self._programs.make_durable(layout.new_data)
        finally:
            secret.unlink()
        layout.write_part(Part(Role.LEADER))
        layout.install_new()

    async def clone(self, origin: Origin, secrets: Secrets) -> None:
        """Replace whatever is here by a copy of the origin that will follow it when started; done again after a crash."""
        layout = self._layout
        await self._acting()
        layout.discard_new()
        self._write_secrets(secrets)
        await self._programs.copy(origin, layout.new_data)
        (layout.new_data / "standby.signal").touch()
        layout.write_part(Part(Role.STANDBY, origin))
        layout.install_new()

    async def rejoin(self, origin: Origin, secrets: Secrets) -> str:
        """Make a former leader follow the origin: rewind where that is possible, else clone. Returns which: `rewound` or `cloned`."""
        await self._acting()
        self._write_secrets(secrets)
        try:
            await self._programs.rewind(origin, self._layout.data)
        except EngineFailed:
            await self.clone(origin, secrets)
            return "cloned"
        self._layout.standby_signal.touch()
        self._layout.write_part(Part(Role.STANDBY, origin))
        return "rewound"

    async def start(self) -> None:
        """Start the engine; returns once its process runs (whether it answers is for `look` to say)."""
        layout = self._layout
        await self._acting()
        if not layout.exists():
            raise EngineFailed(f"{self.spec.name} has no data to start with")
        layout.logs.mkdir(mode=0o700, exist_ok=True)
        if layout.part().role is Role.STANDBY and not await self.host.is_running(PROCESS):
            layout.write_least(ordered_settings.recorded(await self._programs.control_data(layout.data)))
        self._write_files(layout.part())
        argv = (self._programs.server, "-D", str(layout.data), "-c", f"config_file={layout.configuration}")
        await self.host.start(ProcessSpec(PROCESS, argv, str(layout.console), environment=(("TZ", "UTC"), ("LC_ALL", "C.UTF-8"))))

    async def stop(self, *, within: timedelta) -> None:
        """Shut down cleanly, disconnecting clients; after `within`, kill."""
        await self.host.signal(PROCESS, signal.SIGINT)
        if not await self.host.wait_until_gone(PROCESS, within):
            await self.kill()

    async def kill(self) -> None:
        """End the engine at once, as a crash does; the host stays on.

        An immediate shutdown takes the postmaster's children with it, so that none is left to hold the shared memory; a postmaster
        that hangs is killed, and its children end when they notice.
        """
        await self.host.signal(PROCESS, signal.SIGQUIT)
        if await self.host.wait_until_gone(PROCESS, IMMEDIATE):
            return
        await self.host.signal(PROCESS, signal.SIGKILL)
        if not await self.host.wait_until_gone(PROCESS, GONE):
            raise EngineFailed(f"{self.spec.name} did not end although it was killed")

    async def promote(self) -> None:
        """Make a running replica the leader; returns once it takes writes. Nothing happens where it already does."""
        leads = Part(Role.LEADER, required=self._layout.part().required if self._layout.part().role is Role.LEADER else ())
        self._write_files(leads)
        await self._programs.sql(_PROMOTE, within=READY)
        self._layout.write_part(leads)
        await self.host.signal(PROCESS, signal.SIGHUP)

    async def require(self, replicas: tuple[str, ...]) -> None:
        """Make the leader wait for these replicas before it acknowledges a write (none: acknowledge alone). In force on return."""
        part = replace(self._layout.part(), required=replicas)
        self._layout.write_part(part)
        await self._reload(part)
        if replicas:
            await self._programs.sql("checkpoint;", within=FORCE)

    async def follow(self, origin: Origin, secrets: Secrets) -> None:
        """Point a replica at another origin (after a failover); nothing happens where it follows it already."""
        await self._acting()
        self._write_secrets(secrets)
        part = Part(Role.STANDBY, origin)
        if part == self._layout.part():
            return
        self._layout.write_part(part)
        if await self.host.is_running(PROCESS):
            await self._reload(part)

    async def configure(self, spec: NodeSpec) -> tuple[str, ...]:
        """Apply changed settings; returns the names of those that wait for a restart."""
        self.spec = spec
        if not await self.host.is_running(PROCESS):
            return ()
        await self._reload(self._layout.part())
        names = await self._programs.sql("select name from pg_settings where pending_restart order by name;")
        return tuple(names.split())

    async def set_master_password(self, password: str) -> None:
        """Change the master user's password on the leader. `password` may be a SCRAM verifier, and should."""
        await self._programs.sql(f"{accounts.password_statement(self.spec.master_user, password)};")

    async def look(self, monitors: Monitors, zone: str, *, within: timedelta) -> Sighting:
        """See the node over the network from the monitoring host in `zone`. Never raises; silence is an answer."""
        return await self._eye.look(monitors, zone, within=within)

    async def is_running(self) -> bool:
        """Whether the engine's process runs. For acting, never for judging health."""
        return await self.host.is_running(PROCESS)

    async def failure(self) -> str:
        """What the engine printed last of why it ended; customers' errors are left out."""
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
        self._eye.forget()
        await self.kill()
        await asyncio.to_thread(self._layout.remove_all)

    def _reach(self) -> dict[str, str]:
        words = {"hostaddr": self.host.management_address, "host": self.host.management_address, "port": str(self.spec.port)}
        words |= {"user": configuration.OPERATOR, "password": self._operator, "dbname": configuration.OPERATOR, "application_name": "zonal"}
        return words | {"sslmode": "disable", "gssencmode": "disable", "tcp_user_timeout": "1000"}

    async def _acting(self) -> None:
        """Raise `HostUnreachable` before files are touched that a host in a lost zone could not have changed."""
        await self.host.is_running(PROCESS)

    async def _reload(self, part: Part) -> None:
        """Write the files and return once a new session sees what stands in them."""
        self._write_files(part)
        await self.host.signal(PROCESS, signal.SIGHUP)
        text = configuration.configuration(self.spec, part, self._layout)
        wanted = _setting(text, "synchronous_standby_names"), _setting(text, "primary_conninfo")
        async with asyncio.timeout(READY.total_seconds()):
            while await self._in_force() != wanted:  # noqa: ASYNC110 (only the server can tell)
                await asyncio.sleep(0.02)

    async def _in_force(self) -> tuple[str, str]:
        printed = await self._programs.sql("show synchronous_standby_names; show primary_conninfo;")
        first, _, second = printed.partition("\n")
        return first.strip(), second.strip()

    def _write_files(self, part: Part) -> None:
        layout = self._layout
        replace_file(layout.configuration, configuration.configuration(self.spec, part, layout))
        replace_file(layout.admission, configuration.admission(self.spec, part))
        replace_file(layout.identity, "")

    def _write_secrets(self, secrets: Secrets) -> None:
        os.chmod(self._layout.directory, 0o700)  # noqa: PTH101 (the host's directory is ours)
        replace_file(self._layout.passwords, configuration.passwords(secrets))
        replace_file(self._layout.certificate, secrets.certificate)
        replace_file(self._layout.private_key, secrets.private_key)


_PROMOTE = """
do $$ begin
  if pg_is_in_recovery() then
    perform pg_promote(false);
    while pg_is_in_recovery() loop perform pg_sleep(0.005); end loop;
  end if;
end $$;
"""
"""`pg_promote(true)` would look every tenth of a second only."""


_END = re.compile(r"^(?:\S+ \S+ UTC::@:\[\d+\]:)?\s*(?:FATAL|PANIC):")
"""A line in which a server's own process says why it ends: one of a customer's session has a user and a database in its prefix."""
_PREFIX = re.compile(r"^\S+ \S+ UTC::@:\[\d+\]:")


def _tail(path: Path) -> str:
    """The end of a log."""
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
