"""Where the nodes of a DB instance are: zones, subnets, interfaces, addresses.

Each node is a host of its own in a zone of the DB subnet group, with a requester-managed interface there (in the instance's security
groups, as customers see it) and an address on the management network, over which replication and probes go.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime

from msgspec.structs import replace

from zonal.control.deployment import Place, free_management_address
from zonal.foundation.errors import AwsError
from zonal.records.store import Transaction
from zonal.records.view import View
from zonal.services.ec2 import addresses, network_interfaces
from zonal.services.ec2.lookups import default_security_group, gateway_of
from zonal.services.ec2.model import NetworkInterface, SecurityGroup, Subnet
from zonal.services.rds.model import DbInstance, NodeInterface, SubnetGroup
from zonal.services.rds.subnet_groups import subnets_of

REQUESTER = "amazon-rds"
DESCRIPTION = "RDSNetworkInterface"

IsLost = Callable[[str], bool]
"""Whether a zone, by name, is lost now."""


def chosen_zones(
    view: View, group: SubnetGroup, *, count: int, is_lost: IsLost, wanted: str | None = None, but: Collection[str] = ()
) -> list[str]:
    """Zones for so many new nodes: those of the group with the fewest nodes first, none of `but`; `wanted` first, if named.

    Raises `InvalidVPCNetworkStateFault` and `InsufficientDBInstanceCapacity`.
    """
    zones = sorted({subnet.zone for subnet in subnets_of(view, group)} - set(but))
    if wanted is not None and wanted not in zones:
        raise AwsError(
            "InvalidVPCNetworkStateFault",
            f"The DB subnet group '{group.id}' has no subnet in {wanted}; it has in {', '.join(zones) or 'no zone'}.",
        )
    usable = [zone for zone in ([wanted] if wanted else zones) if not is_lost(zone)]
    if len(usable) < count:
        raise AwsError(
            "InsufficientDBInstanceCapacity",
            "The specified DB instance class isn't available in the specified Availability Zone: of"
            f" {', '.join([wanted] if wanted else zones) or 'no zone'} only {', '.join(usable) or 'none'} can take a new host now.",
        )
    nodes = [interface.zone for instance in view.select(DbInstance) for interface in instance.interfaces]
    return sorted(usable, key=lambda zone: (nodes.count(zone), zone))[:count]


def checked_groups(view: View, vpc_id: str, ids: Iterable[str] | None) -> tuple[str, ...]:
    """The security groups of an instance in this VPC, the VPC's default one where none is named. Raises AWS's errors."""
    names = tuple(dict.fromkeys(ids or ()))
    if not names:
        return (default_security_group(view, vpc_id).id,)
    for id in names:
        group = view.get(SecurityGroup, id)
        if group is None:
            raise AwsError("InvalidParameterValue", f"Invalid security group , groupId= {id}, groupName=.")
        if group.vpc_id != vpc_id:
            raise AwsError(
                "InvalidParameterCombination",
                f"The DB instance and EC2 security group are in different VPCs. The DB instance is in {vpc_id} and the EC2 security"
                f" group is in {group.vpc_id}",
            )
    return network_interfaces.checked_groups(view, vpc_id, names)


def check_public(view: View, vpc_id: str) -> None:
    """Raises `InvalidVPCNetworkStateFault` where nothing in the VPC can be public."""
    if gateway_of(view, vpc_id) is None:
        raise AwsError(
            "InvalidVPCNetworkStateFault",
            "Cannot create a publicly accessible DBInstance. The specified VPC has no internet gateway attached."
            " Update the VPC and then try again",
        )


def add_node(transaction: Transaction, instance: DbInstance, group: SubnetGroup, zone: str, now: datetime) -> tuple[DbInstance, Place]:
    """A place for a new node: its interface plugged into its host to be, its addresses, a name that was never used."""
    number = instance.numbers + 1
    tail = f"{instance.identifier[:40]}-{instance.id[-4:].lower()}-{number}"
    subnet = next(subnet for subnet in subnets_of(transaction, group) if subnet.zone == zone)
    interface = _interface(transaction, subnet, instance, host=f"db-{tail}", now=now)
    place = Place(
        name=tail.replace("-", "_"),
        host=f"db-{tail}",
        zone=zone,
        address=interface.addresses[0],
        management_address=free_management_address(transaction, zone),
    )
    node = NodeInterface(place.name, interface.id, subnet.id, zone)
    return replace(instance, interfaces=(*instance.interfaces, node), numbers=number), place


def set_public(transaction: Transaction, instance: DbInstance, *, public: bool) -> None:
    """Lend each interface a public address, or take it back."""
    for interface in instance.interfaces:
        (addresses.lend if public else addresses.take_back)(transaction, interface.interface_id)


def set_groups(transaction: Transaction, instance: DbInstance, group_ids: Iterable[str]) -> None:
    for interface in instance.interfaces:
        network_interfaces.set_groups(transaction, interface.interface_id, group_ids)


def public_addresses(view: View, instance: DbInstance) -> tuple[str, ...]:
    """The public addresses of an instance's nodes."""
    found = [view.get(NetworkInterface, interface.interface_id) for interface in instance.interfaces]
    return tuple(interface.public_address for interface in found if interface is not None and interface.public_address)


def remove_interfaces(transaction: Transaction, instance: DbInstance, *, kept: Collection[str] = ()) -> DbInstance:
    """Remove the interfaces of all nodes that are not kept, by the nodes' names."""
    for interface in instance.interfaces:
        if interface.node not in kept:
            network_interfaces.delete(transaction, interface.interface_id)
    return replace(instance, interfaces=tuple(interface for interface in instance.interfaces if interface.node in kept))


def _interface(transaction: Transaction, subnet: Subnet, instance: DbInstance, *, host: str, now: datetime) -> NetworkInterface:
    try:
        interface = network_interfaces.create_managed(transaction, subnet, instance.group_ids, requester=REQUESTER, description=DESCRIPTION)
    except AwsError as error:
        if error.code != "InsufficientFreeAddressesInSubnet":
            raise
        raise AwsError("InvalidVPCNetworkStateFault", f"The subnet {subnet.id} has no free address for a DB instance.") from error
    network_interfaces.plug(transaction, interface.id, host, now=now)
    return addresses.lend(transaction, interface.id) if instance.publicly_accessible else interface
