"""The composition root: every part of a region, built from its settings and its state directory, started and stopped in order.

First comes what can answer: the store, the API, the operator's door. In a new sandbox no engine runs, and the records say so before the
first answer. Then the ground is built or found again (networks, hosts, what is wrong with zones), and last the reconcilers begin, which
make the world match the records. Nothing is called available before they have made it so; a program that starts early gets true answers,
they only say `creating` or `starting` a little longer.

A region that is stopped shuts its engines down cleanly and lets go. One that is killed leaves them running, and the next one finds them.
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

from zonal.control.disk_monitor import HOSTS, DiskMonitor
from zonal.control.log_retention import LogRetention
from zonal.control.owners import Owners
from zonal.control.sandbox_run import record_sandbox
from zonal.engines.engine_store import EngineStore
from zonal.fabric import sandbox
from zonal.fabric.init import CANNOT_START
from zonal.foundation.authority import Authority
from zonal.foundation.clock import RegionClock
from zonal.foundation.errors import ZonalError, describe
from zonal.foundation.log_files import REGION_LOG
from zonal.foundation.log_handler import BoundedHandler
from zonal.foundation.settings import Settings, load
from zonal.gateway.api import Gateway, ServiceOptions
from zonal.operator_api.client import SOCKET, START_FAILED
from zonal.operator_api.routes import OperatorActions, OperatorRoutes
from zonal.operator_api.schemas import ApiAccess
from zonal.operator_api.server import OperatorServer
from zonal.operator_api.zone_faults import recorded_faults
from zonal.records.store import Store
from zonal.services.dynamodb.service import open_dynamodb
from zonal.services.ec2 import default_vpc
from zonal.services.ec2 import service as ec2
from zonal.services.operation import Handler, handlers
from zonal.services.rds import deployment_owner
from zonal.services.rds import service as rds
from zonal.services.rds.logs import Logs
from zonal.services.s3.service import STREAMS, open_s3
from zonal.services.sts import CallerIdentity

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
            if record_sandbox(tx, sandbox.identity()):
                rds.start_instances(tx)
        access = ApiAccess(settings.endpoint, settings.access_key, settings.secret_key, ca_bundle=str(state / CERTIFICATES))
        self._owners = Owners({deployment_owner.KIND: deployment_owner.DbInstanceOwner(self.store)})
        self._disks = DiskMonitor(self.store, self._owners, self.clock, state=state)
        self.routes = OperatorRoutes(self.store, access, state=state, fabric=fabric, is_storage_full=self._disks.is_full)
        self.routes.failures = self._disks.warnings
        self._operator_server = OperatorServer(state / SOCKET, self.routes.routes())
        self._s3 = open_s3(state / "s3", self.clock, settings)
        self._dynamodb = open_dynamodb(state / "dynamodb", self.store, self.clock, settings, self._s3.internal_objects)
        self.routes.capacity = self._dynamodb.capacity
        self._engines = EngineStore()
        self._database_logs = Logs(self.store)
        services = self._services() | dict(self._dynamodb.handlers) | {"s3": dict(self._s3.handlers)}
        service_options = dict.fromkeys(self._dynamodb.handlers, ServiceOptions(documents=True))
        service_options["s3"] = ServiceOptions(
            streams=STREAMS,
            anonymous=True,
            accounts=True,
            intercept=self._s3.intercept,
            authorize=self._s3.authorize,
            allows_origin=self._s3.allows_origin,
            decorate=self._s3.decorate,
        )
        service_options["sts"] = ServiceOptions(accounts=True)
        self._gateway = Gateway(settings, self.store, self.clock, services, service_options=service_options)

    def _services(self) -> dict[str, dict[str, Handler]]:
        """The handlers of the control-plane services. They read and write records, and know of the world what is recorded."""

        def is_lost(zone: str) -> bool:
            fault = recorded_faults(self.store).get(zone)
            return fault is not None and fault.is_loss_of_zone

        databases = rds.operations(
            self.store, self._engines, Authority(self.state), is_lost=is_lost, logs=self._database_logs, is_storage_full=self._disks.is_full
        )
        return {"ec2": ec2.operations(), "sts": handlers(CallerIdentity()), "rds": databases}

    @asynccontextmanager
    async def running(self, sockets: Iterable[socket.socket], *, on_answering: Callable[[], None]) -> AsyncIterator[None]:
        """Answer on the listening sockets, build the world, and keep it until left; then stop in the opposite order.

        `on_answering` is called as soon as the API and the door answer.
        """
        async with AsyncExitStack() as stack:
            stack.callback(self.store.close)
            stack.push_async_callback(self._dynamodb.engine.close)
            stack.push_async_callback(end, asyncio.create_task(self._disks.run(), name="disk monitor"))
            retention = LogRetention(self.state, self.state / HOSTS)
            stack.push_async_callback(end, asyncio.create_task(retention.run(), name="log retention"))
            await stack.enter_async_context(self._s3.running())
            await self._operator_server.open()
            stack.push_async_callback(self._operator_server.close)
            await stack.enter_async_context(self._gateway.serving(sockets))
            on_answering()
            await asyncio.sleep(0)  # Whoever waits for the first answer gets it before the imports below.
            await self._build(stack)
            yield

    async def _build(self, stack: AsyncExitStack) -> None:
        """The ground, what stands on it, and the reconcilers that keep it as it is recorded."""
        from zonal.fabric.fabric import Fabric
        from zonal.runtime import Runtime

        fabric = Fabric(self.state, faults=recorded_faults(self.store), ttl_seconds=self.settings.dns_ttl_seconds)
        await fabric.start()
        stack.push_async_callback(fabric.stop)
        runtime = Runtime(self.store, self._owners, fabric, self._engines, self.clock, self.settings, self._dynamodb.reconcilers)
        self._database_logs.nodes = runtime.nodes
        await stack.enter_async_context(runtime.running())
        self.routes.give(OperatorActions(runtime.zones, runtime.exec_hosts, runtime.database_runtime))
        self.routes.failures = lambda: (*self._disks.warnings(), *runtime.failures())
        tidying = asyncio.create_task(self.routes.tidy(), name="tidy places")
        stack.callback(tidying.cancel)


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    await asyncio.wait([task])


class CannotStart(ZonalError):
    """The region did not come up; the message is the reason, for a person."""


async def run(state: Path) -> None:
    """Run a region in the sandbox until SIGTERM. Raises `CannotStart` where it does not come up."""
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
    """Use as many descriptors as the machine allows: a shell gives 1,024, and a thousand idle clients must not keep a failover from its
    sockets."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> None:
    """Entry of `python -m zonal.region STATE`, as the sandbox's init runs it."""
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
