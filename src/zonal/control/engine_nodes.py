"""Builds the node of a recorded member: its engine on its recorded host.

The same object is returned for the same member at the same revision, because probes keep connections in it. A member that runs another
version than before is another node, on a host that sees another installation. Building a node completes its host's record: the
installation that the host sees, and the ports at which the management network admits its peers and the monitoring hosts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from zonal.control.deployment_records import DeploymentSecrets, DeploymentSpec, Member, Power, member_of
from zonal.control.host_records import HostRecord, engine_host_record
from zonal.engines.node import Node, NodeSpec
from zonal.engines.options import EngineSecrets
from zonal.engines.registry import EngineDefinition
from zonal.fabric.host_interface import Host
from zonal.fabric.plan import ManagementGroup, PortRange
from zonal.foundation.errors import ZonalError
from zonal.records.store import Store


class RecordedHosts(Protocol):
    """Hosts by their records (`control.host_reconciler.HostReconciler`)."""

    def host(self, id: str) -> Host: ...

    async def remove(self, id: str) -> None: ...


class EngineBuilder(NamedTuple):
    """How nodes of one engine are made: by its definition, with the home directory of a version (None: it is not installed)."""

    definition: EngineDefinition
    home: Callable[[str], Path | None]


class NotInstalled(ZonalError):
    """A version that a node needs is no longer installed."""


class EngineNodes:
    """The nodes of all deployments (`control.step_context.NodeProvider`)."""

    def __init__(self, store: Store, hosts: RecordedHosts, engines: Mapping[str, EngineBuilder]) -> None:
        self._store = store
        self._hosts = hosts
        self._engines = engines
        self._nodes: dict[tuple[str, str], tuple[Member, Node]] = {}

    def node(self, deployment_spec: DeploymentSpec, member: Member) -> Node:
        """The node of a member. Raises `NotInstalled`."""
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
        """Remove the host and the disk of a member that is deleted."""
        known = self._nodes.get((deployment, name))
        if known is not None:
            await self._hosts.remove(known[0].place.host)
            self._nodes.pop((deployment, name), None)  # Only now: a removal that failed is repeated.

    def _build(self, deployment_spec: DeploymentSpec, member: Member) -> Node:
        engine = self._engines[deployment_spec.engine]
        home = engine.home(member.engine_version)
        if home is None and deployment_spec.power is not Power.DELETED:  # A node that is to be deleted needs no engine.
            hint = f"bring it back with `zonal engines install {deployment_spec.engine} {member.engine_version}`"
            raise NotInstalled(f"{member.name} needs {deployment_spec.engine} {member.engine_version}, which is not installed: {hint}")
        record = self._record_host(deployment_spec, member, home)
        spec = _spec(engine.definition, deployment_spec, member, home or Path("/"))
        return engine.definition.build(spec, self._hosts.host(record.id), self.secrets(deployment_spec))

    def _record_host(self, deployment_spec: DeploymentSpec, member: Member, home: Path | None) -> HostRecord:
        """Complete the record of the member's host; it is written anew only where it changes."""
        place = member.place
        known = self._store.get(HostRecord, place.host) or engine_host_record(place, deployment_spec.id, deployment_spec.vpc_id)
        ports = (PortRange("tcp", deployment_spec.port, deployment_spec.port),)
        record = replace(
            known,
            vpc_id=deployment_spec.vpc_id,
            management_group=ManagementGroup(deployment_spec.id, peer_ports=ports, probe_ports=ports),
            root=replace(known.root, readable=(str(home),) if home else ()),
        )
        if record != self._store.get(HostRecord, place.host):
            with self._store.transaction() as tx:
                tx.put(record)
        return record


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
