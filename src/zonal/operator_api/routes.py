"""The routes of the operator API and their handlers.

The API answers before the networks are built. Until then `status` returns what is recorded, and a request that acts on the networks waits
up to `READY_SECONDS`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from zonal import __version__
from zonal.dynamo.capacity_comparison import CapacityComparison
from zonal.foundation.identifiers import REGION
from zonal.foundation.journal import JournalEntry
from zonal.foundation.periodic import repeat
from zonal.operator_api import zone_faults
from zonal.operator_api.database_view import DatabaseRuntime, DatabaseView
from zonal.operator_api.errors import RegionNotReady
from zonal.operator_api.exec_hosts import ExecHosts
from zonal.operator_api.journal_history import subject_journal
from zonal.operator_api.schemas import (
    ApiAccess,
    CommandRequest,
    NodeFaultRequest,
    PreparedCommand,
    Status,
    ZoneFaultRequest,
    ZoneStatus,
)
from zonal.operator_api.server import BadRequest, OperatorRequest, OperatorRoute, number
from zonal.operator_api.zone_faults import ZoneFaults
from zonal.records.store import Store
from zonal.services.ec2.model import Vpc

S = TypeVar("S", bound=msgspec.Struct)

JOURNAL_LIMIT = 100_000
TIDY_SECONDS = 1.0
READY_SECONDS = 20.0


class OperatorActions(NamedTuple):
    """What the acting routes need; it exists once the networks are built."""

    zones: ZoneFaults
    exec_hosts: ExecHosts
    database_runtime: DatabaseRuntime


class OperatorRoutes:
    """The routes; `give` completes them once the networks are built."""

    def __init__(
        self,
        store: Store,
        access: ApiAccess,
        *,
        state: Path,
        fabric: str,
        is_storage_full: Callable[[str], bool] = lambda id: False,
        failures: Callable[[], tuple[str, ...]] = tuple,
        capacity: Callable[[str], CapacityComparison | None] = lambda table: None,
        resources: Callable[[], dict[str, dict[str, int]]] = dict,
    ) -> None:
        self._store = store
        self._access = access
        self._state = state
        self._fabric = fabric
        self._databases = DatabaseView(store, is_storage_full=is_storage_full)
        self._actions: asyncio.Future[OperatorActions] | None = None
        self._failures = failures
        self._capacity = capacity
        self._resources = resources

    def give(self, actions: OperatorActions) -> None:
        """Enable the routes that act on the networks."""
        self._databases.database_runtime = actions.database_runtime
        self._pending_actions().set_result(actions)

    def routes(self) -> tuple[OperatorRoute, ...]:
        return (
            OperatorRoute("GET", "/status", self.status),
            OperatorRoute("GET", "/access", self.access),
            OperatorRoute("GET", "/journal", self.journal),
            OperatorRoute("POST", "/zones/*/fail", self.fail_zone),
            OperatorRoute("POST", "/zones/*/recover", self.recover_zone),
            OperatorRoute("POST", "/databases/*/nodes/*/fail", self.fail_node),
            OperatorRoute("POST", "/commands", self.prepare_command),
            OperatorRoute("DELETE", "/commands/*", self.release_command),
            OperatorRoute("GET", "/tables/*/capacity", self.table_capacity),
        )

    async def status(self, _request: OperatorRequest) -> Status:
        """The status of the region, its zones, databases and public endpoints."""
        return Status(
            region=REGION,
            version=__version__,
            endpoint=self._access.endpoint,
            state_directory=str(self._state),
            process=os.getpid(),
            fabric=self._fabric,
            ready=self._pending_actions().done(),
            zones=zone_faults.statuses(self._store),
            databases=self._databases.statuses(),
            public_endpoints=self._databases.public_endpoints(),
            vpcs=len(self._store.select(Vpc)),
            failures=self._failures(),
            resources=self._resources(),
        )

    async def access(self, _request: OperatorRequest) -> ApiAccess:
        """The endpoint, the keys and the CA bundle that customers use."""
        return self._access

    async def journal(self, request: OperatorRequest) -> list[JournalEntry]:
        """The journal, filtered by the query; a subject's entries include those under its former names."""
        limit = number(request.query, "limit", JOURNAL_LIMIT)
        return subject_journal(
            self._store,
            request.query.get("subject", ""),
            after=number(request.query, "after", 0) or 0,
            event=request.query.get("event", ""),
            limit=min(limit or JOURNAL_LIMIT, JOURNAL_LIMIT),
        )

    async def fail_zone(self, request: OperatorRequest) -> ZoneStatus:
        return await (await self._acting()).zones.fail(request.segments[0], _decoded_body(request, ZoneFaultRequest))

    async def recover_zone(self, request: OperatorRequest) -> ZoneStatus:
        return await (await self._acting()).zones.recover(request.segments[0])

    async def fail_node(self, request: OperatorRequest) -> dict[str, str]:
        database, node = request.segments
        await self._acting()
        await self._databases.fail(database, node, _decoded_body(request, NodeFaultRequest).kind)
        return {}

    async def prepare_command(self, request: OperatorRequest) -> PreparedCommand:
        return await (await self._acting()).exec_hosts.prepare(_decoded_body(request, CommandRequest))

    async def release_command(self, request: OperatorRequest) -> dict[str, str]:
        await (await self._acting()).exec_hosts.release(request.segments[0])
        return {}

    async def table_capacity(self, request: OperatorRequest) -> CapacityComparison:
        """The cost of a DynamoDB table's recorded traffic in both capacity modes."""
        found = self._capacity(request.segments[0])
        if found is None:
            raise BadRequest(404, f"there is no DynamoDB table '{request.segments[0]}'")
        return found

    async def tidy(self) -> None:
        """Remove abandoned hosts of commands, until cancelled."""
        places = (await self._acting()).exec_hosts
        await repeat(places.tidy, what="removing abandoned hosts of commands", pause_seconds=TIDY_SECONDS)

    async def _acting(self) -> OperatorActions:
        """Wait until the networks are built, at most `READY_SECONDS`. Raises `RegionNotReady`."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                return await asyncio.shield(self._pending_actions())
        except TimeoutError:
            raise RegionNotReady from None

    def _pending_actions(self) -> asyncio.Future[OperatorActions]:
        if self._actions is None:
            self._actions = asyncio.get_running_loop().create_future()
        return self._actions


def _decoded_body(request: OperatorRequest, shape: type[S]) -> S:
    if not request.body:
        raise BadRequest(400, f"this needs a body: {', '.join(shape.__struct_fields__)}")
    return msgspec.json.decode(request.body, type=shape)
