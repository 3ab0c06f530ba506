"""Everything of a region that acts on the world: networks, engines, the failover brain, and the operator's hands on them.

`region` builds it once what answers is up. Entering starts the driver, which nudges every record once, so that whatever an earlier region
left undone is done; leaving stops the driver first, and then, where the region was told to stop, the engines.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from zonal.control.deployment_reconciler import DeploymentReconciler
from zonal.control.deployment_records import DeploymentSpec, DeploymentStatus
from zonal.control.disk_monitor import HOSTS
from zonal.control.engine_nodes import EngineBuilder, EngineNodes
from zonal.control.owners import NameAnnouncer, Owners
from zonal.control.reconciler import Driver, Reconciler
from zonal.engines.engine_store import EngineStore
from zonal.engines.node import EngineFailed, HostUnreachable
from zonal.engines.registry import ENGINES
from zonal.fabric.fabric import Fabric
from zonal.fabric.management import monitor_address
from zonal.fabric.zones import ZONES
from zonal.foundation import leases
from zonal.foundation.clock import Clock
from zonal.foundation.settings import Settings
from zonal.operator_api.database_view import DatabaseRuntime
from zonal.operator_api.exec_hosts import ExecHosts
from zonal.operator_api.zone_faults import ZoneFaults
from zonal.records.store import Store
from zonal.services.ec2.vpc_reconciler import VpcReconciler
from zonal.services.rds.db_instance_reconciler import DbInstanceReconciler
from zonal.services.rds.endpoints import Endpoints

_log = logging.getLogger(__name__)

ENGINE_STOP = timedelta(seconds=8)
"""How long an engine may take to shut down cleanly when the region stops."""


class Runtime:
    """What acts, on a fabric that has been started."""

    def __init__(
        self,
        store: Store,
        owners: Owners,
        fabric: Fabric,
        engines: EngineStore,
        clock: Clock,
        settings: Settings,
        more_reconcilers: Iterable[Reconciler] = (),
    ) -> None:
        self._store = store
        self.nodes = EngineNodes(store, fabric.hosts, {name: _engine(name, engines) for name in ENGINES}, directory=fabric.state / HOSTS)
        endpoints = Endpoints(store, fabric.names, fabric)
        zones = tuple(zone.name for zone in ZONES)
        self._deployments = DeploymentReconciler(
            store,
            self.nodes,
            fabric.monitors,
            NameAnnouncer(owners, fabric.names),
            owners,
            zones=zones,
            settings=settings,
            clock=clock,
            monitor_addresses={zone: monitor_address(zone) for zone in zones},
        )
        is_lost = fabric.zones.is_lost
        instances = DbInstanceReconciler(store, endpoints, clock=clock, clock_speed=settings.clock_speed, is_lost=is_lost)
        reconcilers: list[Reconciler] = [VpcReconciler(store, fabric, clock), self._deployments, instances, *more_reconcilers]
        self._driver = Driver(store, reconcilers, clock=clock)
        self._deployments.nudged_by(lambda id: self._driver.nudge(self._deployments.name, id))
        self.zones = ZoneFaults(store, fabric, wake=self._wake)
        self.exec_hosts = ExecHosts(store, fabric, clock, leases=fabric.state / leases.DIRECTORY, lost=is_lost)
        self.database_runtime = DatabaseRuntime(self._deployments, self.nodes, fabric.exposure)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Make the world match the records until left, then shut the engines down."""
        await self.zones.resume()
        async with self._driver:
            yield
        await self._deployments.close()
        await self._stop_engines()

    def failures(self) -> tuple[str, ...]:
        """What could not be done lately, and why."""
        return tuple(f"{each.reconciler} {each.key}: {each.why}" for each in self._driver.failures())

    def _wake(self) -> None:
        """A zone is back: whoever waits for it tries again at once."""
        self._deployments.zone_changed()
        self._driver.retry_all()

    async def _stop_engines(self) -> None:
        """Shut every engine down cleanly; the records stay as they are, so that the next start brings them back."""
        stopping = (self._stop_deployment(spec) for spec in self._store.select(DeploymentSpec))
        await asyncio.gather(*stopping)

    async def _stop_deployment(self, spec: DeploymentSpec) -> None:
        """Shut the engines of one deployment down, one after the other."""
        status = self._store.get(DeploymentStatus, spec.id)
        for member in status.leader_first if status else ():
            try:
                await self.nodes.node(spec, member).stop(within=ENGINE_STOP)
            except HostUnreachable:
                continue  # It is off already.
            except EngineFailed:
                _log.exception("%s did not stop", member.name)


def _engine(name: str, engines: EngineStore) -> EngineBuilder:
    def home(version: str) -> Path | None:
        found = engines.find(name, version)
        return found.home if found else None

    return EngineBuilder(ENGINES[name], home)
