"""The composition root: builds a region from its settings and its state directory, and starts and stops its parts in order.

A region is a list of services and two loops: the gateway, which answers requests, and the driver, which makes hosts and networks match the
records. `Region` constructs what answers (store, services, gateway, operator API) and starts it first; in a new sandbox no engine runs,
which the records state before the first answer. Then the fabric is built or found again, and `RegionControllers` starts the
driver. A service reports a resource as available only after its reconciler has made it so.

A region that is stopped shuts its engines down cleanly. A region that is killed leaves them running, and the next one finds them.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from zonal.control.disk_monitor import HOSTS, DiskMonitor
from zonal.control.host_records import adopt_engine_hosts, power_all_off
from zonal.control.log_retention import LogRetention
from zonal.control.new_sandbox import record_sandbox
from zonal.control.owners import Owners
from zonal.engines.engine_store import EngineStore
from zonal.fabric import sandbox
from zonal.fabric.init import CANNOT_START
from zonal.foundation.authority import Authority
from zonal.foundation.clock import RegionClock
from zonal.foundation.errors import ZonalError, describe
from zonal.foundation.log_files import REGION_LOG
from zonal.foundation.log_handler import BoundedHandler
from zonal.foundation.promise import Promise
from zonal.foundation.settings import Settings, load
from zonal.gateway.api import Gateway
from zonal.operator_api.client import SOCKET, START_FAILED
from zonal.operator_api.routes import OperatorActions, OperatorRoutes
from zonal.operator_api.schemas import ApiAccess
from zonal.operator_api.server import OperatorServer
from zonal.operator_api.zone_faults import recorded_faults
from zonal.records.store import Store
from zonal.services.dynamodb.service import open_dynamodb
from zonal.services.ec2 import default_vpc
from zonal.services.ec2.service import ec2
from zonal.services.invocation import Invoker
from zonal.services.rds.logs import NodeLookup
from zonal.services.rds.service import rds, start_instances
from zonal.services.s3.service import open_s3
from zonal.services.service import Service
from zonal.services.sts import sts

if TYPE_CHECKING:
    from zonal.runtime import RegionControllers

_log = logging.getLogger(__name__)

STORE = "region.db"
CERTIFICATES = "ca.pem"


class Region:
    """One region. `state` is its directory."""

    def __init__(self, settings: Settings, state: Path, *, fabric: str = "sandbox") -> None:
        self.settings = settings
        self.state = state
        self.clock = RegionClock(settings.clock_speed)
        self.store = Store(state / STORE, clock=self.clock)
        self.store.load_all()
        with self.store.transaction() as tx:
            default_vpc.bootstrap(tx, self.clock.now())
            adopt_engine_hosts(tx)
            if record_sandbox(tx, sandbox.identity()):
                power_all_off(tx)
                start_instances(tx)
        self._engines = EngineStore()
        self._controllers: Promise[RegionControllers] = Promise()
        s3 = open_s3(state / "s3", self.clock, settings)
        dynamodb = open_dynamodb(state / "dynamodb", self.store, self.clock, settings, s3.internal_objects)
        self.services = (ec2(self.store), self._rds(), s3.service, *dynamodb.services, sts())
        self._owners = Owners({kind: owner for each in self.services for kind, owner in each.owners.items()})
        self._disks = DiskMonitor(self.store, self._owners, self.clock, state=state)
        self.invoker = Invoker(self.services, self.store, self.clock)
        self._gateway = Gateway(settings, self.invoker)
        self._routes = OperatorRoutes(
            self.store,
            ApiAccess(settings.endpoint, settings.access_key, settings.secret_key, ca_bundle=str(state / CERTIFICATES)),
            state=state,
            fabric=fabric,
            is_storage_full=self._disks.is_full,
            failures=self._failures,
            capacity=dynamodb.capacity,
            resources=self._resources,
        )
        self._operator_server = OperatorServer(state / SOCKET, self._routes.routes())

    def _rds(self) -> Service:
        def nodes() -> NodeLookup | None:
            controllers = self._controllers.value
            return controllers.nodes if controllers is not None else None

        def is_lost(zone: str) -> bool:
            fault = recorded_faults(self.store).get(zone)
            return fault is not None and fault.is_loss_of_zone

        def is_storage_full(id: str) -> bool:
            return self._disks.is_full(id)

        return rds(self.store, self._engines, Authority(self.state), is_lost=is_lost, nodes=nodes, is_storage_full=is_storage_full)

    def _failures(self) -> tuple[str, ...]:
        """What fails at present, for the status."""
        controllers = self._controllers.value
        return (*self._disks.warnings(), *(controllers.failures() if controllers is not None else ()))

    def _resources(self) -> dict[str, dict[str, int]]:
        """Each service's section of the status."""
        return {each.name: dict(each.resources()) for each in self.services}

    @asynccontextmanager
    async def running(self, sockets: Iterable[socket.socket], *, on_answering: Callable[[], None]) -> AsyncIterator[None]:
        """Answer on the listening sockets, build the fabric, and run the reconcilers until left; then stop in the opposite order.

        `on_answering` is called as soon as AWS's API and the operator API answer.
        """
        async with AsyncExitStack() as stack:
            stack.callback(self.store.close)
            stack.push_async_callback(end, asyncio.create_task(self._disks.run(), name="disk monitor"))
            retention = LogRetention(self.state, self.state / HOSTS)
            stack.push_async_callback(end, asyncio.create_task(retention.run(), name="log retention"))
            for service in self.services:
                await stack.enter_async_context(service.running())
            await self._operator_server.open()
            stack.push_async_callback(self._operator_server.close)
            await stack.enter_async_context(self._gateway.serving(sockets))
            on_answering()
            await asyncio.sleep(0)  # The first response is written before the imports below.
            await self._build(stack)
            yield

    async def _build(self, stack: AsyncExitStack) -> None:
        """Build the fabric and start the reconcilers."""
        from zonal.fabric.fabric import Fabric
        from zonal.runtime import RegionControllers

        fabric = Fabric(self.state, faults=recorded_faults(self.store), ttl_seconds=self.settings.dns_ttl_seconds)
        await fabric.start()
        stack.push_async_callback(fabric.stop)
        controllers = RegionControllers(self.services, self._owners, self.store, fabric, self._engines, self.clock, self.settings)
        self._controllers.set(controllers)
        await stack.enter_async_context(controllers.running())
        self._routes.give(OperatorActions(controllers.zones, controllers.exec_hosts, controllers.database_runtime))
        tidying = asyncio.create_task(self._routes.tidy(), name="tidy places")
        stack.callback(tidying.cancel)


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    await asyncio.wait([task])


class CannotStart(ZonalError):
    """The region cannot start; the message is the reason, for the operator."""


async def run(state: Path) -> None:
    """Run a region in the sandbox until SIGTERM. Raises `CannotStart`."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with AsyncExitStack() as stack:
        try:
            region = Region(load(state), state)
            running = region.running(sandbox.inherited_listeners(), on_answering=sandbox.report_ready)
            await stack.enter_async_context(running)
        except Exception as error:
            raise CannotStart(describe(error)) from error
        await stopped.wait()


def allow_descriptors() -> None:
    """Raise the limit of open files to the machine's maximum.

    A shell sets 1,024, and a thousand idle clients must not use up the sockets that a failover needs.
    """
    _, maximum = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (maximum, maximum))


def main() -> None:
    """Entry point of `python -m zonal.region STATE`, which the sandbox's init runs."""
    import uvloop

    state = Path(sys.argv[1])
    handlers = [BoundedHandler(state / REGION_LOG)]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", handlers=handlers)
    allow_descriptors()
    try:
        uvloop.run(run(state))
    except CannotStart as error:
        is_expected = isinstance(error.__cause__, ZonalError | OSError)
        _log.error("%s%s", START_FAILED, error, exc_info=None if is_expected else error.__cause__)
        sandbox.tell_failure(f"{START_FAILED}{error}")
        sys.exit(CANNOT_START)


if __name__ == "__main__":
    main()
