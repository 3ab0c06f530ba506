"""The running controllers of a region: engine nodes, the driver with all reconcilers, and the operator's actions.

`region` builds them once, when the fabric has started. Entering `running` starts the driver, which nudges every record once, so that it
finishes what an earlier region process left undone. Leaving stops the driver first, and then the engines.
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
from zonal.control.engine_nodes import EngineBuilder, EngineNodes
from zonal.control.host_reconciler import HostOwnerKind, HostReconciler
from zonal.control.host_records import DEPLOYMENT, is_needed_by_deployment
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
from zonal.operator_api.exec_hosts import EXEC, ExecHost, ExecHosts, is_needed_by_command
from zonal.operator_api.zone_faults import ZoneFaults
from zonal.records.store import Store
from zonal.services.service import Runtime, Service

_log = logging.getLogger(__name__)

ENGINE_STOP = timedelta(seconds=8)
"""The time an engine has for a clean shutdown when the region stops."""


class RegionControllers:
    """The controllers of all services, on a fabric that has been started."""

    def __init__(
        self,
        services: Iterable[Service],
        owners: Owners,
        store: Store,
        fabric: Fabric,
        engines: EngineStore,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._store = store
        host_owners = {
            DEPLOYMENT: HostOwnerKind((DeploymentSpec,), is_needed_by_deployment),
            EXEC: HostOwnerKind((ExecHost,), is_needed_by_command),
        }
        self._hosts = HostReconciler(store, fabric.hosts, host_owners, state=fabric.state)
        self.nodes = EngineNodes(store, self._hosts, {name: _engine(name, engines) for name in ENGINES})
        is_lost = fabric.zones.is_lost
        runtime = Runtime(store, clock, settings, self._hosts, fabric, fabric.names, fabric, self.nodes, is_lost)
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
        reconcilers: list[Reconciler] = [
            self._hosts,
            self._deployments,
            *(reconciler for each in services for reconciler in each.reconcilers(runtime)),
        ]
        self._driver = Driver(store, reconcilers, clock=clock)
        self._deployments.nudged_by(lambda id: self._driver.nudge(self._deployments.name, id))
        self.zones = ZoneFaults(store, fabric, wake=self._wake)
        self.exec_hosts = ExecHosts(store, fabric, self._hosts, clock, leases=fabric.state / leases.DIRECTORY, lost=is_lost)
        self.database_runtime = DatabaseRuntime(self._deployments, self.nodes, fabric.exposure)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the reconcilers until left, then shut the engines down."""
        await self.zones.resume()
        async with self._driver:
            yield
        await self._deployments.close()
        await self._stop_engines()
        await self._hosts.close()

    def failures(self) -> tuple[str, ...]:
        """The reconciliations that fail at present, each with its reason."""
        return tuple(f"{each.reconciler} {each.key}: {each.why}" for each in self._driver.failures())

    def _wake(self) -> None:
        """After the recovery of a zone: retry at once whatever failed because of it."""
        self._deployments.zone_changed()
        self._driver.retry_all()

    async def _stop_engines(self) -> None:
        """Shut every engine down cleanly. The records stay, so that the next start of the region starts the engines again."""
        stopping = (self._stop_deployment(spec) for spec in self._store.select(DeploymentSpec))
        await asyncio.gather(*stopping)

    async def _stop_deployment(self, spec: DeploymentSpec) -> None:
        """Shut the engines of one deployment down, the leader first."""
        status = self._store.get(DeploymentStatus, spec.id)
        for member in status.leader_first if status else ():
            try:
                await self.nodes.node(spec, member).stop(within=ENGINE_STOP)
            except HostUnreachable:
                continue  # Its host is off already.
            except EngineFailed:
                _log.exception("%s did not stop", member.name)


def _engine(name: str, engines: EngineStore) -> EngineBuilder:
    def home(version: str) -> Path | None:
        found = engines.find(name, version)
        return found.home if found else None

    return EngineBuilder(ENGINES[name], home)
