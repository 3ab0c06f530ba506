"""Endpoints: a DB instance's name leads to its leader's address.

Control calls `announce` when another node leads (`control.step_context.Announcer`); the instance's own convergence calls it again whenever
it looks, so that a new region process, a renaming or a changed public address end with the right names too. Inside the VPC the name
means the private address, outside the public one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from zonal.control.deployment_records import DeploymentSpec, DeploymentStatus
from zonal.records.store import Store
from zonal.services.ec2.model import NetworkInterface
from zonal.services.rds.model import DOMAIN, DbInstance


class EndpointNames(Protocol):
    """The table of names (`fabric.dns.NameTable`)."""

    def set(self, name: str, *, private: str, public: str | None = None) -> None: ...

    def remove(self, name: str) -> None: ...


class EndpointExposure(Protocol):
    """What makes a public endpoint reachable from this machine (`fabric.Fabric`)."""

    async def expose(self, public_address: str, port: int, /) -> str: ...

    async def unexpose(self, public_address: str, port: int, /) -> None: ...


class Endpoints:
    """The names and public endpoints of all DB instances."""

    def __init__(self, store: Store, names: EndpointNames, exposure: EndpointExposure) -> None:
        self._store = store
        self._names = names
        self._exposure = exposure
        self._exposed: dict[str, set[tuple[str, int]]] = {}

    async def announce(self, deployment_spec: DeploymentSpec, deployment_status: DeploymentStatus) -> None:
        """Let the name lead to the leader."""
        instance = self._store.get(DbInstance, deployment_spec.id)
        if instance is not None:
            self.point(instance, deployment_status)

    def point(self, instance: DbInstance, deployment_status: DeploymentStatus) -> None:
        """The same, for an instance at hand."""
        interface = next((each.interface_id for each in instance.interfaces if each.node == deployment_status.leader), None)
        if interface is not None:
            found = self._store.require(NetworkInterface, interface)
            self._names.set(instance.endpoint, private=found.addresses[0], public=found.public_address)

    def forget(self, identifier: str) -> None:
        """The identifier names nothing any more."""
        self._names.remove(f"{identifier}.{DOMAIN}")

    async def withdraw(self, id: str, addresses: Iterable[str], port: int) -> None:
        """Have an instance that goes reachable from this machine no more, whoever exposed it."""
        for address, number in sorted({(address, port) for address in addresses} | self._exposed.pop(id, set())):
            await self._exposure.unexpose(address, number)

    async def expose(self, id: str, addresses: Iterable[str], port: int) -> None:
        """Have exactly these public addresses of an instance reachable from this machine."""
        deployment_spec = {(address, port) for address in addresses}
        present = self._exposed.setdefault(id, set())
        for address, number in sorted(present - deployment_spec):
            await self._exposure.unexpose(address, number)
            present.discard((address, number))
        for address, number in sorted(deployment_spec - present):
            await self._exposure.expose(address, number)
            present.add((address, number))
