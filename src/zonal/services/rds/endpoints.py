"""Endpoints: the DNS name of a DB instance resolves to the leader's address.

Control sets the name when another node leads (`control.owners.NameAnnouncer`). The instance's own reconciler calls `point` in every
convergence, so that the name is right after a restart of the region, a rename or a change of the public address too. Inside the VPC the
name resolves to the private address, outside to the public one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from zonal.control.deployment_records import DeploymentStatus
from zonal.records.store import Store
from zonal.services.rds.deployment_owner import endpoint_targets
from zonal.services.rds.model import DOMAIN, DbInstance


class EndpointNames(Protocol):
    """The region's DNS names (`fabric.dns.NameTable`)."""

    def set(self, name: str, *, private: str, public: str | None = None) -> None: ...

    def remove(self, name: str) -> None: ...


class EndpointExposure(Protocol):
    """Makes public endpoints reachable from this machine (`fabric.Fabric`)."""

    async def expose(self, public_address: str, port: int, /) -> str: ...

    async def unexpose(self, public_address: str, port: int, /) -> None: ...


class Endpoints:
    """The names and public endpoints of all DB instances."""

    def __init__(self, store: Store, names: EndpointNames, exposure: EndpointExposure) -> None:
        self._store = store
        self._names = names
        self._exposure = exposure
        self._exposed: dict[str, set[tuple[str, int]]] = {}

    def point(self, instance: DbInstance, deployment_status: DeploymentStatus) -> None:
        """Set the endpoint's name to the leader's addresses."""
        for target in endpoint_targets(self._store, instance, deployment_status):
            self._names.set(target.name, private=target.private, public=target.public)

    def forget(self, identifier: str) -> None:
        """Remove the endpoint's name of an identifier."""
        self._names.remove(f"{identifier}.{DOMAIN}")

    async def withdraw(self, id: str, addresses: Iterable[str], port: int) -> None:
        """Withdraw the endpoints of an instance that is deleted, also those that a former region process exposed."""
        for address, number in sorted({(address, port) for address in addresses} | self._exposed.pop(id, set())):
            await self._exposure.unexpose(address, number)

    async def expose(self, id: str, addresses: Iterable[str], port: int) -> None:
        """Make exactly these public addresses of an instance reachable from this machine."""
        required = {(address, port) for address in addresses}
        present = self._exposed.setdefault(id, set())
        for address, number in sorted(present - required):
            await self._exposure.unexpose(address, number)
            present.discard((address, number))
        for address, number in sorted(required - present):
            await self._exposure.expose(address, number)
            present.add((address, number))
