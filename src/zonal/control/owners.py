"""Which AWS resource a deployment belongs to, and what its service adds to control.

A deployment record names its `Owner`: the kind of the resource and the id in its ARN. A service registers one `DeploymentOwner` for each
kind. Control asks the registry for the ARN (the subject of every journal entry about the deployment), for the DNS names that lead to the
leader, and for a description for people. So two services may use the same id, and neither reports what happened to the other's deployment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from zonal.foundation.errors import ZonalError

if TYPE_CHECKING:
    from zonal.control.deployment_records import DeploymentSpec, DeploymentStatus


class Owner(msgspec.Struct, frozen=True):
    """The resource that a deployment belongs to. `kind` is `SERVICE:TYPE` (`rds:db`), `id` what its ARN ends with."""

    kind: str
    id: str


class NameTarget(NamedTuple):
    """A DNS name and the addresses that it leads to: the private one in the VPC, the public one elsewhere."""

    name: str
    private: str
    public: str | None = None


class DeploymentOwner(Protocol):
    """What a service adds for one kind of owner. No method does IO beyond reading records."""

    def arn(self, id: str) -> str:
        """The resource's ARN: the subject of the deployment's journal entries."""

    def describe(self, id: str) -> str:
        """The resource as messages name it: `DB instance orders`."""

    def announce(self, spec: DeploymentSpec, status: DeploymentStatus) -> tuple[NameTarget, ...]:
        """Which names lead where while `status.leader` leads; empty where the resource was deleted."""


class UnknownOwner(ZonalError):
    """A deployment record names a kind of owner that no service of this region has registered."""


class Owners:
    """The registry of owners, by kind. Every method raises `UnknownOwner`."""

    def __init__(self, owners: Mapping[str, DeploymentOwner]) -> None:
        self._owners = dict(owners)

    def arn(self, owner: Owner) -> str:
        """The ARN of the owning resource."""
        return self._owner(owner).arn(owner.id)

    def describe(self, owner: Owner) -> str:
        """The owning resource as messages name it."""
        return self._owner(owner).describe(owner.id)

    def announce(self, spec: DeploymentSpec, status: DeploymentStatus) -> tuple[NameTarget, ...]:
        """Which names lead to the deployment's leader."""
        return self._owner(spec.owner).announce(spec, status)

    def _owner(self, owner: Owner) -> DeploymentOwner:
        found = self._owners.get(owner.kind)
        if found is None:
            known = ", ".join(sorted(self._owners)) or "none"
            raise UnknownOwner(f"'{owner.kind}' ('{owner.id}') is not a known kind of deployment owner; known kinds: {known}")
        return found


class NameRegistrar(Protocol):
    """The region's DNS names (`fabric.dns.NameTable`)."""

    def set(self, name: str, *, private: str, public: str | None = None) -> None: ...


class NameAnnouncer:
    """Points the names of a deployment's owner to its leader (`control.step_context.Announcer`)."""

    def __init__(self, owners: Owners, names: NameRegistrar) -> None:
        self._owners = owners
        self._names = names

    async def announce(self, spec: DeploymentSpec, status: DeploymentStatus) -> None:
        """Set every name that the owner gives. Raises `UnknownOwner`."""
        for target in self._owners.announce(spec, status):
            self._names.set(target.name, private=target.private, public=target.public)
