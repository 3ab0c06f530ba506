"""The operator's desk: what stands behind each of the door's routes.

The API and the door answer before the networks are built, because a program that starts wants to talk early. Until then the desk tells
what the records say; whoever wants to act waits a moment.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from zonal import __version__
from zonal.console import zones
from zonal.console.databases import DatabaseDesk, Ground
from zonal.console.door import BadRequest, Request, Route, number
from zonal.console.journal_history import subject_journal
from zonal.console.places import PlaceDesk
from zonal.console.readiness import NotReady
from zonal.console.shapes import (
    Access,
    CommandPlace,
    CommandRequest,
    NodeFault,
    Status,
    ZoneFault,
    ZoneStatus,
)
from zonal.console.zones import ZoneDesk
from zonal.dynamo.comparison import Comparison
from zonal.foundation.identifiers import REGION
from zonal.foundation.journal import Entry
from zonal.foundation.periodic import repeat
from zonal.records.store import Store
from zonal.services.ec2.model import Vpc

S = TypeVar("S", bound=msgspec.Struct)

JOURNAL_LIMIT = 100_000
TIDY_SECONDS = 1.0
READY_SECONDS = 20.0


class Hands(NamedTuple):
    """What the operator acts with, once the networks are built."""

    zones: ZoneDesk
    places: PlaceDesk
    ground: Ground


class Desk:
    """Everything an operator may ask for."""

    def __init__(
        self, store: Store, access: Access, *, state: Path, fabric: str, is_storage_full: Callable[[str], bool] = lambda id: False
    ) -> None:
        self._store = store
        self._access = access
        self._state = state
        self._fabric = fabric
        self._databases = DatabaseDesk(store, is_storage_full=is_storage_full)
        self._hands: asyncio.Future[Hands] | None = None
        self.trouble: Callable[[], tuple[str, ...]] = tuple
        self.capacity: Callable[[str], Comparison | None] = lambda table: None

    def give(self, hands: Hands) -> None:
        """The networks are built: from now on the operator may act."""
        self._databases.ground = hands.ground
        self._hands_to_be().set_result(hands)

    def routes(self) -> tuple[Route, ...]:
        return (
            Route("GET", "/status", self.status),
            Route("GET", "/access", self.access),
            Route("GET", "/journal", self.journal),
            Route("POST", "/zones/*/fail", self.fail_zone),
            Route("POST", "/zones/*/recover", self.recover_zone),
            Route("POST", "/databases/*/nodes/*/fail", self.fail_node),
            Route("POST", "/commands", self.prepare_command),
            Route("DELETE", "/commands/*", self.release_command),
            Route("GET", "/tables/*/capacity", self.table_capacity),
        )

    async def status(self, _request: Request) -> Status:
        """The region at a glance."""
        return Status(
            region=REGION,
            version=__version__,
            endpoint=self._access.endpoint,
            state_directory=str(self._state),
            process=os.getpid(),
            fabric=self._fabric,
            ready=self._hands_to_be().done(),
            zones=zones.statuses(self._store),
            databases=self._databases.statuses(),
            public_endpoints=self._databases.public_endpoints(),
            vpcs=len(self._store.select(Vpc)),
            trouble=self.trouble(),
        )

    async def access(self, _request: Request) -> Access:
        """How a customer reaches the API."""
        return self._access

    async def journal(self, request: Request) -> list[Entry]:
        """The timeline, filtered as the query says; a subject's entries include those under its former names."""
        limit = number(request.query, "limit", JOURNAL_LIMIT)
        return subject_journal(
            self._store,
            request.query.get("subject", ""),
            after=number(request.query, "after", 0) or 0,
            event=request.query.get("event", ""),
            limit=min(limit or JOURNAL_LIMIT, JOURNAL_LIMIT),
        )

    async def fail_zone(self, request: Request) -> ZoneStatus:
        return await (await self._acting()).zones.fail(request.words[0], _body(request, ZoneFault))

    async def recover_zone(self, request: Request) -> ZoneStatus:
        return await (await self._acting()).zones.recover(request.words[0])

    async def fail_node(self, request: Request) -> dict[str, str]:
        database, node = request.words
        await self._acting()
        await self._databases.fail(database, node, _body(request, NodeFault).kind)
        return {}

    async def prepare_command(self, request: Request) -> CommandPlace:
        return await (await self._acting()).places.prepare(_body(request, CommandRequest))

    async def release_command(self, request: Request) -> dict[str, str]:
        await (await self._acting()).places.release(request.words[0])
        return {}

    async def table_capacity(self, request: Request) -> Comparison:
        """What a DynamoDB table's recorded traffic costs in both capacity modes."""
        found = self.capacity(request.words[0])
        if found is None:
            raise BadRequest(404, f"there is no DynamoDB table '{request.words[0]}'")
        return found

    async def tidy(self) -> None:
        """Take abandoned places back, for ever."""
        places = (await self._acting()).places
        await repeat(places.tidy, what="taking abandoned places back", pause_seconds=TIDY_SECONDS)

    async def _acting(self) -> Hands:
        """What to act with, after waiting for it a while. Raises `NotReady`."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                return await asyncio.shield(self._hands_to_be())
        except TimeoutError:
            raise NotReady from None

    def _hands_to_be(self) -> asyncio.Future[Hands]:
        if self._hands is None:
            self._hands = asyncio.get_running_loop().create_future()
        return self._hands


def _body(request: Request, shape: type[S]) -> S:
    if not request.body:
        raise BadRequest(400, f"this needs a body: {', '.join(shape.__struct_fields__)}")
    return msgspec.json.decode(request.body, type=shape)
