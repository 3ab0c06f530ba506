"""Implements `drills.region_operator.RegionOperator` with calls of the operator API, for a drill."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zonal.cli.exec import enter_argv
from zonal.drills.database import Endpoint
from zonal.drills.region_operator import ClientPlace, DrillFailed, Pair
from zonal.foundation.journal import JournalEntry
from zonal.operator_api.client import RegionClient
from zonal.operator_api.schemas import CommandRequest, DatabaseStatus, NodeFaultRequest, ZoneFaultRequest


class SocketOperator:
    """An operator of the region in `state`."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._client = RegionClient(state)

    def endpoint(self) -> Endpoint:
        """The endpoint of the region's API, with its access key."""
        access = self._client.access()
        return Endpoint(access.endpoint, access.access_key, access.secret_key)

    def zones(self) -> tuple[str, ...]:
        """The names of the zones. Raises `RegionAbsent`."""
        return tuple(each.name for each in self._client.status().zones)

    def pair(self, database: str) -> Pair:
        found = self._database(database)
        zones = {node.role: node.zone for node in found.nodes}
        names = {node.role: node.name for node in found.nodes}
        return Pair(
            state=found.state,
            redundancy=found.redundancy,
            primary=names.get("primary", ""),
            primary_zone=zones.get("primary", ""),
            standby_zone=zones.get("standby", ""),
            why=found.why,
        )

    def fail_zone(self, zone: str, kind: str) -> None:
        self._client.fail(zone, ZoneFaultRequest(kind))

    def recover_zone(self, zone: str) -> None:
        self._client.recover(zone)

    def fail_node(self, database: str, node: str, kind: str) -> None:
        self._client.fail_node(database, node, NodeFaultRequest(kind))

    def journal(self, *, after: int = 0, subject: str = "") -> list[JournalEntry]:
        return self._client.journal(after=after, subject=subject)

    @contextmanager
    def place(self, subnet: str) -> Iterator[ClientPlace]:
        prepared = self._client.prepare(CommandRequest(subnet))
        try:
            yield ClientPlace(enter_argv(self._state, prepared.target), prepared.environment)
        finally:
            self._client.release(prepared.id)

    def _database(self, identifier: str) -> DatabaseStatus:
        for database in self._client.status().databases:
            if database.identifier == identifier:
                return database
        raise DrillFailed(f"there is no DB instance '{identifier}'")
