"""From what is recorded of a member to the node that can be acted on: its host, and its engine on it.

The same object is given for the same member at the same revision, because whoever looks at a node keeps connections to it. A member that
runs another version than before is another node on a host that sees another installation.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from zonal.control.deployment_records import DeploymentSecrets, DeploymentSpec, Member, Power, member_of
from zonal.engines.node import Host, Node, NodeSpec
from zonal.engines.options import EngineSecrets
from zonal.engines.registry import EngineDefinition
from zonal.fabric.plan import HostSpec, ManagementGroup, PortRange
from zonal.foundation.errors import ZonalError
from zonal.records.store import Store


class HostFactory(Protocol):
    """The hosts of the fabric (`fabric.hosts.Hosts`)."""

    def host(self, spec: HostSpec, /) -> Host: ...

    async def remove(self, name: str, /) -> None: ...


class EngineBuilder(NamedTuple):
    """How nodes of one engine are made: by its definition, with the home directory of a version (None: it is not installed)."""

    definition: EngineDefinition
    home: Callable[[str], Path | None]


class NotInstalled(ZonalError):
    """A version that a node needs is not installed any more."""


class EngineNodes:
    """The nodes of all deployments (`control.step_context.NodeProvider`). Their hosts' disks lie in `directory`."""

    def __init__(self, store: Store, hosts: HostFactory, engines: Mapping[str, EngineBuilder], *, directory: Path) -> None:
        self._store = store
        self._hosts = hosts
        self._engines = engines
        self._directory = directory
        self._nodes: dict[tuple[str, str], tuple[Member, Node]] = {}

    def node(self, deployment_spec: DeploymentSpec, member: Member) -> Node:
        """The node that a member is. Raises `NotInstalled`."""
        key = deployment_spec.id, member.name
        known = self._nodes.get(key)
        if known is None or not _is_same(known[0], member):
            known = member, self._build(deployment_spec, member)
            self._nodes[key] = known
        return known[1]

    def ordered_settings(self, deployment_spec: DeploymentSpec) -> Mapping[str, int]:
        """What the ordered settings of the deployment's engine are to be, as it is wanted now."""
        definition = self._engines[deployment_spec.engine].definition
        member = member_of(deployment_spec, deployment_spec.places[0])
        return definition.ordered_settings(_spec(definition, deployment_spec, member, Path("/")))

    def secrets(self, deployment_spec: DeploymentSpec) -> EngineSecrets:
        """The deployment's secrets as its engine's own struct."""
        stored = self._store.require(DeploymentSecrets, deployment_spec.id)
        return self._engines[deployment_spec.engine].definition.secrets_from(stored.members)

    async def forget(self, deployment: str, name: str) -> None:
        """The member is gone for good: its host and its disk go too."""
        known = self._nodes.pop((deployment, name), None)
        if known is not None:
            await self._hosts.remove(known[0].place.host)
            await asyncio.to_thread(shutil.rmtree, self._directory / known[0].place.host, ignore_errors=True)

    def _build(self, deployment_spec: DeploymentSpec, member: Member) -> Node:
        engine = self._engines[deployment_spec.engine]
        home = engine.home(member.engine_version)
        if home is None and deployment_spec.power is not Power.DELETED:  # What is to go needs no engine any more.
            hint = f"bring it back with `zonal engines install {deployment_spec.engine} {member.engine_version}`"
            raise NotInstalled(f"{member.name} needs {deployment_spec.engine} {member.engine_version}, which is not installed: {hint}")
        place = member.place
        ports = (PortRange("tcp", deployment_spec.port, deployment_spec.port),)
        host = self._hosts.host(
            HostSpec(
                name=place.host,
                zone=place.zone,
                directory=str(self._directory / place.host),
                readable=(str(home),) if home else (),
                management_address=place.management_address,
                management_group=ManagementGroup(deployment_spec.id, peer_ports=ports, probe_ports=ports),
                vpc_id=deployment_spec.vpc_id,
            )
        )
        spec = _spec(engine.definition, deployment_spec, member, home or Path("/"))
        return engine.definition.build(spec, host, self.secrets(deployment_spec))


def _spec(definition: EngineDefinition, deployment_spec: DeploymentSpec, member: Member, home: Path) -> NodeSpec:
    return NodeSpec(
        name=member.name,
        installation=home,
        version=member.engine_version,
        port=deployment_spec.port,
        options=definition.options_from(deployment_spec.options),
        listen=(member.place.address, member.place.management_address),
        settings=member.settings,
        memory_bytes=member.memory_bytes,
    )


def _is_same(one: Member, other: Member) -> bool:
    return _identity(one) == _identity(other)


def _identity(member: Member) -> tuple[object, ...]:
    return member.place, member.engine_version, member.revision, member.memory_bytes, member.settings
