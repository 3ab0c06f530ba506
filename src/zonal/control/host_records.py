"""The record of a host, and the allocation of its addresses.

Every host of the region is a `HostRecord`: those of engine nodes and those of `zonal exec`. Its owner writes it with `create_host` in the
transaction that needs the host, and `control.host_reconciler` makes the fabric match it. The allocator moves a cursor through a pool and
looks each address up in an index, so that an allocation does not depend on the number of hosts. An address that was released is used again
only after the rest of its pool.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Address
from pathlib import Path
from typing import ClassVar

import msgspec
from msgspec.structs import replace

from zonal.control.deployment_records import DeploymentSpec, DeploymentStatus, Placement
from zonal.control.disk_monitor import HOSTS
from zonal.fabric.internet import INTERNET_HOSTS, INTERNET_HOSTS_FIRST
from zonal.fabric.plan import HostSpec, ManagementGroup
from zonal.foundation.errors import ZonalError
from zonal.records.record_view import RecordView
from zonal.records.store import Record, Transaction

VOLATILE_DISKS = "run/commands"
"""The directory below the state directory with the disks that end with the sandbox."""

DEPLOYMENT = "deployment"
"""The kind of owner of an engine node's host; the owner's id is that of the deployment."""


class HostPower(StrEnum):
    """The power that the owner of a host wishes. An interrupted removal is continued by the reconciler."""

    ON = "on"
    OFF = "off"
    REMOVED = "removed"


class RootFileSystem(msgspec.Struct, frozen=True):
    """What a host sees of the machine's files.

    `disk` is its own directory, relative to the state directory. `readable` are further absolute paths, read-only. With `machine_files` it
    sees all files of the machine as they are.
    """

    disk: str
    readable: tuple[str, ...] = ()
    machine_files: bool = False


class HostRecord(Record, frozen=True, kw_only=True):
    """A host; the id is its name in the fabric. Empty strings: not in a VPC, without that address.

    The owner is what the host exists for: a kind that is registered with the reconciler, and an id of that kind.
    """

    kind: ClassVar[str] = "host"
    indexed: ClassVar[tuple[str, ...]] = ("owner_id", "vpc_id", "management_address", "internet_address")

    owner_kind: str
    owner_id: str
    zone: str
    root: RootFileSystem
    vpc_id: str = ""
    interface_ids: tuple[str, ...] = ()
    management_address: str = ""
    management_group: ManagementGroup | None = None
    internet_address: str = ""
    power: HostPower = HostPower.OFF


class AddressCursor(Record, frozen=True, kw_only=True):
    """The index in an address pool at which the next allocation begins; the id is the pool's name."""

    kind: ClassVar[str] = "address-cursor"

    index: int


class NoAddressLeft(ZonalError):
    """A pool has no address left for another host."""


class HostExists(ZonalError):
    """There is a host of that name already."""


def create_host(transaction: Transaction, record: HostRecord) -> HostRecord:
    """Record a new host. Raises `HostExists`."""
    if transaction.get(HostRecord, record.id) is not None:
        raise HostExists(f"there is a host '{record.id}' already")
    transaction.put(record)
    return record


def create_engine_host(
    transaction: Transaction, *, name: str, deployment_id: str, zone: str, vpc_id: str, interface_ids: tuple[str, ...]
) -> HostRecord:
    """Record the host of a new node of a deployment, with a management address of its zone. Raises `HostExists` and `NoAddressLeft`."""
    address = allocate_management_address(transaction, zone)
    record = engine_host_record(Placement("", name, zone, "", address), deployment_id, vpc_id)
    return create_host(transaction, replace(record, interface_ids=interface_ids))


def engine_host_record(place: Placement, deployment_id: str, vpc_id: str) -> HostRecord:
    """The record of the host at a node's place, off and without what its engine needs (`control.engine_nodes` adds that)."""
    return HostRecord(
        id=place.host,
        owner_kind=DEPLOYMENT,
        owner_id=deployment_id,
        zone=place.zone,
        vpc_id=vpc_id,
        management_address=place.management_address,
        root=RootFileSystem(f"{HOSTS}/{place.host}"),
    )


def allocate_management_address(transaction: Transaction, zone: str) -> str:
    """An address of the zone's part of the management network that no host has. Raises `NoAddressLeft`."""
    from zonal.fabric.management import FIRST_HOST_PLACE, management_network  # Not loaded until the first host is created.

    network = management_network(zone)
    first = int(network.network_address) + 1 + FIRST_HOST_PLACE
    size = int(network.broadcast_address) - first
    return _allocate(transaction, f"management {zone}", "management_address", first, size)


def allocate_internet_address(transaction: Transaction) -> str:
    """An address in the internet, outside every VPC, that no host has. Raises `NoAddressLeft`."""
    return _allocate(transaction, "internet", "internet_address", int(IPv4Address(INTERNET_HOSTS_FIRST)), INTERNET_HOSTS)


def _allocate(transaction: Transaction, pool: str, field: str, first: int, size: int) -> str:
    cursor = transaction.get(AddressCursor, pool)
    begin = cursor.index if cursor else 0
    for step in range(size):
        index = (begin + step) % size
        address = str(IPv4Address(first + index))
        if not transaction.lookup(HostRecord, field, address):
            transaction.put(AddressCursor(id=pool, index=(index + 1) % size))
            return address
    raise NoAddressLeft(f"all {size} addresses of the pool '{pool}' are in use")


def adopt_engine_hosts(transaction: Transaction) -> None:
    """Record the hosts of deployments that were stored before hosts were records, so that their addresses are not allocated again."""
    for spec in transaction.select(DeploymentSpec):
        status = transaction.get(DeploymentStatus, spec.id)
        on = {member.place.host for member in (status.members if status else ()) if member.is_on}
        for place in _places(transaction, spec):
            if transaction.get(HostRecord, place.host) is None:
                record = engine_host_record(place, spec.id, spec.vpc_id)
                transaction.put(replace(record, power=HostPower.ON if place.host in on else HostPower.OFF))


def power_all_off(transaction: Transaction) -> None:
    """Record that no host is on: those of the last sandbox ended with it, and their owners power on those that they need."""
    for record in transaction.select(HostRecord):
        if record.power is HostPower.ON:
            transaction.put(replace(record, power=HostPower.OFF))


def is_needed_by_deployment(view: RecordView, record: HostRecord) -> bool:
    """Whether the deployment that owns the host has a node on it, or is to get one."""
    spec = view.get(DeploymentSpec, record.owner_id)
    return spec is not None and any(place.host == record.id for place in _places(view, spec))


def _places(view: RecordView, spec: DeploymentSpec) -> list[Placement]:
    status = view.get(DeploymentStatus, spec.id)
    return [*spec.places, *(member.place for member in (status.members if status else ()))]


def host_spec(record: HostRecord, state: Path) -> HostSpec:
    """The record as the fabric takes it; `state` is the region's state directory."""
    return HostSpec(
        name=record.id,
        zone=record.zone,
        directory=str(state / record.root.disk),
        readable=record.root.readable,
        management_address=record.management_address or None,
        management_group=record.management_group,
        vpc_id=record.vpc_id or None,
        internet_address=record.internet_address or None,
        machine_files=record.root.machine_files,
    )
