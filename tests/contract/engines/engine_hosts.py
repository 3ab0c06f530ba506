"""PostgreSQL nodes on hosts of a real fabric, for contract tests.

The engines are taken from the engine store (`script/test` puts them there) and laid where an ordinary user may read them.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from tests.contract.fabric.sandboxed import FabricHarness
from zonal.engines.engine_store import EngineStore
from zonal.engines.node import NodeSpec, Origin, ProbeResult, ProbeStatus
from zonal.engines.postgres.accounts import scram_verifier
from zonal.engines.postgres.options import PostgresOptions, PostgresSecrets
from zonal.engines.postgres.server import PostgresNode
from zonal.fabric.plan import ManagementGroup, PortRange
from zonal.fabric.zones import ZONES
from zonal.foundation.authority import Authority

A, B, C = (zone.name for zone in ZONES)
PASSWORD = "correct horse"
PORT = 5432
PROBE = timedelta(milliseconds=800)


def installation(major: str) -> tuple[str, Path]:
    """The version and home of an installed engine. Fails where `zonal engines install` was forgotten."""
    found = EngineStore(search_machine=False).find("postgres", major)
    assert found is not None, f"postgres {major} is missing: run `zonal engines install postgres {major}`"
    return found.version, found.home


def share_engines(majors: tuple[str, ...]) -> Path:
    """A copy of installations that everybody may read; its environment variable is set for what is started from here."""
    root = Path(tempfile.mkdtemp(prefix="zonal-engines-"))
    for major in majors:
        version, home = installation(major)
        shutil.copytree(home, root / "postgres" / version, symlinks=True, copy_function=_link_or_copy)
    for path in (root, root / "postgres"):
        path.chmod(0o755)
    return root


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


class Pair:
    """Two nodes in two zones, `a` and `b`, not yet laid out."""

    def __init__(self, harness: FabricHarness, major: str = "18") -> None:
        self.harness = harness
        self.version, self.home = installation(major)
        credentials = Authority(harness.state).issue(("orders.zonal.internal",))
        self.secrets = PostgresSecrets(
            "op:era\\tor", "repli'cation", scram_verifier(PASSWORD), credentials.certificate, credentials.private_key
        )

    async def node(self, name: str, zone: str, place: int) -> PostgresNode:
        address = f"100.64.{(A, B, C).index(zone) * 16 + 1}.{place}"
        ports = (PortRange("tcp", PORT, PORT),)
        group = ManagementGroup("orders", peer_ports=ports, probe_ports=ports)
        host = await self.harness.host(f"db-{name}", zone, management_address=address, management_group=group, readable=(str(self.home),))
        spec = NodeSpec(name, self.home, self.version, PORT, PostgresOptions("master", "orders"), ())
        return PostgresNode(spec, host, self.secrets.operator)

    async def led(self) -> PostgresNode:
        """A leader in zone a, serving."""
        leader = await self.node("orders_a", A, 10)
        await leader.create(self.secrets)
        await leader.start()
        await self.until(leader, B, lambda result: result.status is ProbeStatus.SERVING)
        return leader

    async def synchronous(self) -> tuple[PostgresNode, PostgresNode]:
        """A leader in zone a that requires its standby in zone b, and the standby."""
        leader = await self.led()
        standby = await self.node("orders_b", B, 20)
        await standby.clone(origin(leader), self.secrets)
        await standby.start()
        await self.until(leader, C, lambda result: standby.spec.name in result.streaming)
        await leader.require((standby.spec.name,))
        await self.until(leader, C, lambda result: standby.spec.name in result.synchronous)
        return leader, standby

    async def until(self, node: PostgresNode, zone: str, holds: Callable[[ProbeResult], bool], *, seconds: float = 20.0) -> ProbeResult:
        """Look until what is seen satisfies `holds`."""
        deadline = time.monotonic() + seconds
        while True:
            seen = await node.probe(self.harness.fabric.monitors, zone, within=PROBE)
            if holds(seen):
                return seen
            assert time.monotonic() < deadline, f"still {seen}"
            await asyncio.sleep(0.02)


def origin(node: PostgresNode) -> Origin:
    return Origin(node.spec.name, node.host.management_address, node.spec.port)


async def ask(node: PostgresNode, query: str, *, user: str = "rdsadmin", password: str = "", database: str = "postgres") -> str:
    """What psql prints, run on the node's host over TCP by this user."""
    secret = password or node._operator
    where = f"host={node.host.management_address} port={PORT} user={user} dbname={database} connect_timeout=3"
    argv = (str(node.spec.installation / "bin/psql"), "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", query, where)
    done = await node.host.run(argv, within=timedelta(seconds=10), environment=(("PGPASSWORD", secret),))
    return done.stdout.decode().strip() if done.returncode == 0 else f"refused: {done.stderr.decode().strip()}"
