"""Chooses the zones, subnets, interfaces and addresses of a DB instance's nodes.

Each node is a host of its own in a zone of the DB subnet group, with a requester-managed interface there (in the instance's security
groups, as customers see it) and an address on the management network, over which replication and probes go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from msgspec.structs import replace

from zonal.control.deployment_records import Placement
from zonal.control.host_records import create_engine_host
from zonal.foundation.errors import AwsError
from zonal.records.record_view import RecordView
from zonal.records.store import Transaction
from zonal.services.common.subnet_groups import IsLost, zones_for_nodes
from zonal.services.ec2 import managed_interfaces, network_interfaces
from zonal.services.ec2.lookups import gateway_of
from zonal.services.ec2.managed_interfaces import ManagedInterfaces
from zonal.services.rds.model import DbInstance, NodeInterface, SubnetGroup
from zonal.services.rds.subnet_groups import subnets_of

INTERFACES = ManagedInterfaces(
    requester="amazon-rds",
    description="RDSNetworkInterface",
    no_address=lambda subnet_id: AwsError("InvalidVPCNetworkStateFault", f"The subnet {subnet_id} has no free address for a DB instance."),
    unknown_group=lambda id: AwsError("InvalidParameterValue", f"Invalid security group , groupId= {id}, groupName=."),
    other_vpc=lambda group_vpc, vpc_id: AwsError(
        "InvalidParameterCombination",
        f"The DB instance and EC2 security group are in different VPCs. The DB instance is in {vpc_id} and the EC2 security"
        f" group is in {group_vpc}",
    ),
)
"""The rules of the requester-managed interfaces of DB instances."""


def chosen_zones(
    view: RecordView, group: SubnetGroup, *, count: int, is_lost: IsLost, wanted: str | None = None, but: Collection[str] = ()
) -> list[str]:
    """The zones of `count` new nodes: of the group's zones except `but`, `wanted` first if it is given, then those with the fewest nodes.

    Raises `InvalidVPCNetworkStateFault` and `InsufficientDBInstanceCapacity`.
    """

    def not_covered(zone: str, zones: list[str]) -> AwsError:
        there = ", ".join(zones) or "no zone"
        return AwsError("InvalidVPCNetworkStateFault", f"The DB subnet group '{group.id}' has no subnet in {zone}; it has in {there}.")

    def no_capacity(zones: list[str], usable: list[str]) -> AwsError:
        return AwsError(
            "InsufficientDBInstanceCapacity",
            "The specified DB instance class isn't available in the specified Availability Zone: of"
            f" {', '.join(zones) or 'no zone'} only {', '.join(usable) or 'none'} can take a new host now.",
        )

    occupied = [interface.zone for instance in view.select(DbInstance) for interface in instance.interfaces]
    return zones_for_nodes(
        subnets_of(view, group),
        occupied,
        count=count,
        is_lost=is_lost,
        not_covered=not_covered,
        no_capacity=no_capacity,
        wanted=wanted,
        but=but,
    )


def check_public(view: RecordView, vpc_id: str) -> None:
    """Raises `InvalidVPCNetworkStateFault` where the VPC has no internet gateway."""
    if gateway_of(view, vpc_id) is None:
        raise AwsError(
            "InvalidVPCNetworkStateFault",
            "Cannot create a publicly accessible DBInstance. The specified VPC has no internet gateway attached."
            " Update the VPC and then try again",
        )


def add_node(transaction: Transaction, instance: DbInstance, group: SubnetGroup, zone: str, now: datetime) -> tuple[DbInstance, Placement]:
    """Create the interface of a new node; returns the instance with it, and the node's placement under a name that was never used."""
    number = instance.numbers + 1
    tail = f"{instance.identifier[:40]}-{instance.id[-4:].lower()}-{number}"
    subnet = next(subnet for subnet in subnets_of(transaction, group) if subnet.zone == zone)
    interface = INTERFACES.create(transaction, subnet, instance.group_ids, host=f"db-{tail}", now=now, public=instance.publicly_accessible)
    host = create_engine_host(
        transaction, name=f"db-{tail}", deployment_id=instance.id, zone=zone, vpc_id=subnet.vpc_id, interface_ids=(interface.id,)
    )
    place = Placement(
        name=tail.replace("-", "_"),
        host=host.id,
        zone=zone,
        address=interface.addresses[0],
        management_address=host.management_address,
    )
    node = NodeInterface(place.name, interface.id, subnet.id, zone)
    return replace(instance, interfaces=(*instance.interfaces, node), numbers=number), place


def set_public(transaction: Transaction, instance: DbInstance, *, public: bool) -> None:
    """Associate a public address with each interface, or release it."""
    managed_interfaces.set_public(transaction, _ids(instance), public=public)


def set_groups(transaction: Transaction, instance: DbInstance, group_ids: Iterable[str]) -> None:
    managed_interfaces.set_groups(transaction, _ids(instance), group_ids)


def public_addresses(view: RecordView, instance: DbInstance) -> tuple[str, ...]:
    """The public addresses of an instance's nodes."""
    return managed_interfaces.public_addresses(view, _ids(instance))


def remove_interfaces(transaction: Transaction, instance: DbInstance, *, kept: Collection[str] = ()) -> DbInstance:
    """Delete the interfaces of all nodes whose names are not in `kept`."""
    for interface in instance.interfaces:
        if interface.node not in kept:
            network_interfaces.delete(transaction, interface.interface_id)
    return replace(instance, interfaces=tuple(interface for interface in instance.interfaces if interface.node in kept))


def _ids(instance: DbInstance) -> list[str]:
    """The ids of an instance's interfaces."""
    return [interface.interface_id for interface in instance.interfaces]
