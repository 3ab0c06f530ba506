"""RDS as the rest of the region sees it: what the gateway may call, and what makes it true.

It is made in two steps. The operations are there as soon as the store is; `attach` adds the reconcilers once the fabric has been built or
found again.

>>> rds = Rds(store, settings, clock, authority=Authority(state), catalog=Catalog(), is_lost=zones.is_lost)
>>> gateway = Gateway(settings, store, clock, {"rds": rds.operations})
>>> driver = Driver(store, rds.attach(fabric, state / "hosts", beacons=beacons), clock=clock)
>>> rds.nudged_by(driver.nudge)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

from zonal.control.deployments import Deployments
from zonal.control.nodes import Engine, EngineNodes, Hosts
from zonal.control.reconciler import Reconciler
from zonal.engines.catalog import Catalog
from zonal.engines.node import Monitors
from zonal.foundation.clock import Clock
from zonal.foundation.settings import Settings
from zonal.records.store import Store
from zonal.services.ec2.zones import ZONES
from zonal.services.operation import Handler, handlers
from zonal.services.rds.account import Account
from zonal.services.rds.certificates import Authority, Certificates
from zonal.services.rds.convergence import DbInstanceReconciler
from zonal.services.rds.creation import Creation
from zonal.services.rds.db_instances import DbInstances
from zonal.services.rds.endpoints import Endpoints, Names
from zonal.services.rds.engine_versions import Catalogue, EngineVersions
from zonal.services.rds.events import Events
from zonal.services.rds.logs import Logs
from zonal.services.rds.modification import Modification
from zonal.services.rds.placement import IsLost
from zonal.services.rds.subnet_groups import SubnetGroups
from zonal.services.rds.tags import Tags


class Ground(Protocol):
    """What RDS stands on (`fabric.Fabric`)."""

    @property
    def hosts(self) -> Hosts: ...

    @property
    def monitors(self) -> Monitors: ...

    @property
    def names(self) -> Names: ...

    async def expose(self, public_address: str, port: int, /) -> str: ...

    async def unexpose(self, public_address: str, port: int, /) -> None: ...


class Rds:
    """The service. `operations` is the handler of each operation that is built; the gateway answers 501 for any other.

    `is_lost` says whether a zone, by name, is lost now.
    """

    def __init__(self, store: Store, settings: Settings, clock: Clock, *, authority: Authority, catalog: Catalog, is_lost: IsLost) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._catalog = catalog
        self._is_lost = is_lost
        self._logs = Logs(store)
        self.deployments: Deployments | None = None
        self.endpoints: Endpoints | None = None
        self.operations = operations(store, catalog, authority, is_lost=is_lost, logs=self._logs)

    def attach(self, ground: Ground, directory: Path, *, beacons: Mapping[str, str]) -> list[Reconciler]:
        """The reconcilers. Hosts' disks lie in `directory`; `beacons` are the monitoring hosts' addresses by zone."""
        nodes = EngineNodes(self._store, ground.hosts, {"postgres": _postgres(self._catalog)}, directory=directory)
        self._logs.nodes = nodes
        self.endpoints = Endpoints(self._store, ground.names, ground)
        self.deployments = Deployments(
            self._store,
            nodes,
            ground.monitors,
            self.endpoints,
            zones=ZONES,
            settings=self._settings,
            clock=self._clock,
            beacons=beacons,
        )
        speed = self._settings.clock_speed
        instances = DbInstanceReconciler(self._store, self.endpoints, clock=self._clock, clock_speed=speed, is_lost=self._is_lost)
        return [self.deployments, instances]

    def nudged_by(self, nudge: Callable[[str, str], None]) -> None:
        """The driver's `nudge`; to be given before the driver is entered."""
        deployments = self.deployments
        assert deployments is not None, "attach comes first"
        deployments.nudged_by(lambda id: nudge(deployments.name, id))


def operations(store: Store, catalog: Catalog, authority: Authority, *, is_lost: IsLost, logs: Logs) -> dict[str, Handler]:
    """Every noun's operations."""
    catalogue = Catalogue(catalog)
    nouns: Iterable[object] = (
        SubnetGroups(),
        Creation(catalogue, authority, is_lost),
        DbInstances(),
        Modification(catalogue, is_lost),
        EngineVersions(catalogue),
        Events(store),
        logs,
        Tags(),
        Certificates(authority),
        Account(),
    )
    return handlers(*nouns)


def _postgres(catalog: Catalog) -> Engine:
    from zonal.engines.postgres.server import PostgresNode  # Not needed by a region that only answers yet.

    def home(version: str) -> Path | None:
        found = next((each for each in catalog.installed("postgres") if each.version == version), None)
        return found.home if found else None

    return Engine(home, PostgresNode)
