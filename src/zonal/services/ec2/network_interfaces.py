"""Network interfaces: what has addresses in a subnet, belongs to security groups, and is plugged into hosts.

A customer makes and deletes their own with EC2's operations (`interface_operations`). Services make theirs here, inside their own
transaction: RDS asks for one in each zone of a deployment, plugs it into the database's host, and may have a public address lent to
it. Such an interface is *requester-managed*: the customer sees it but cannot change or delete it.

>>> interface = create_managed(tx, subnet, group_ids, requester="amazon-rds", description="RDSNetworkInterface")
>>> plug(tx, interface.id, "db-orders-a", now=call.now)
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime

from msgspec.structs import replace

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import resource_id
from zonal.records.record_view import RecordView
from zonal.records.store import Transaction
from zonal.services.ec2 import addresses, cidrs
from zonal.services.ec2.lookups import interfaces_in, security_groups_of
from zonal.services.ec2.model import Attachment, NetworkInterface, Subnet

MOST_GROUPS = 5
"""AWS's default quota of security groups for each interface."""


def create_managed(
    transaction: Transaction,
    subnet: Subnet,
    group_ids: Iterable[str],
    *,
    requester: str,
    description: str,
    interface_type: str = "interface",
    private_address: str | None = None,
) -> NetworkInterface:
    """A new interface that a service manages, at a free address of the subnet (or at `private_address`).

    Raises `InvalidGroup.NotFound` for a group that is not of the subnet's VPC, `InsufficientFreeAddressesInSubnet` where the subnet is
    full, `InvalidIPAddress.InUse` and `InvalidParameterValue` for a `private_address` that is taken or not the subnet's.
    """
    chosen = chosen_addresses(transaction, subnet, [private_address] if private_address else [], count=1)
    return create(
        transaction,
        subnet,
        chosen,
        checked_groups(transaction, subnet.vpc_id, group_ids),
        description=description,
        requester=requester,
        interface_type=interface_type,
    )


def create(
    transaction: Transaction,
    subnet: Subnet,
    private_addresses: Iterable[str],
    group_ids: tuple[str, ...],
    *,
    description: str = "",
    requester: str | None = None,
    interface_type: str = "interface",
    tags: dict[str, str] | None = None,
) -> NetworkInterface:
    """Record a new interface with what has been chosen and checked."""
    interface = NetworkInterface(
        id=resource_id("eni"),
        vpc_id=subnet.vpc_id,
        subnet_id=subnet.id,
        zone=subnet.zone,
        mac=new_mac(),
        addresses=tuple(private_addresses),
        group_ids=group_ids,
        description=description,
        requester=requester,
        interface_type=interface_type,
        tags=tags or {},
    )
    transaction.put(interface)
    return interface


def plug(
    transaction: Transaction, interface_id: str, host: str, *, now: datetime, owner: str | None = None, device_index: int = 0
) -> NetworkInterface:
    """Plug an interface into a host, by the host's fabric name; nothing changes where it is in that host already.

    `owner` is shown as the attachment's instance owner: the requester unless told otherwise.
    """
    interface = transaction.require(NetworkInterface, interface_id)
    if interface.attachment is not None and interface.attachment.host == host:
        return interface
    attachment = Attachment(
        id=resource_id("eni-attach"),
        host=host,
        owner=owner or interface.requester or "",
        attached=now,
        device_index=device_index,
    )
    interface = replace(interface, attachment=attachment)
    transaction.put(interface)
    return interface


def unplug(transaction: Transaction, interface_id: str) -> NetworkInterface:
    """Take an interface out of its host; nothing changes where it is in none."""
    interface = transaction.require(NetworkInterface, interface_id)
    if interface.attachment is not None:
        interface = replace(interface, attachment=None)
        transaction.put(interface)
    return interface


def set_groups(transaction: Transaction, interface_id: str, group_ids: Iterable[str]) -> NetworkInterface:
    """Put an interface into other groups of its VPC. Raises `InvalidGroup.NotFound`."""
    interface = transaction.require(NetworkInterface, interface_id)
    interface = replace(interface, group_ids=checked_groups(transaction, interface.vpc_id, group_ids))
    transaction.put(interface)
    return interface


def delete(transaction: Transaction, interface_id: str) -> None:
    """Remove an interface, plugged or not, with its lent public address; elastic addresses are untied and kept.

    Nothing happens where there is none.
    """
    for address in addresses.associated_with(transaction, interface_id):
        addresses.disassociate(transaction, address)
    transaction.delete(NetworkInterface, interface_id)


def checked_groups(view: RecordView, vpc_id: str, group_ids: Iterable[str]) -> tuple[str, ...]:
    """Groups that an interface in the VPC may belong to, at most five.

    Raises `InvalidGroup.NotFound` and `SecurityGroupsPerInterfaceLimitExceeded`.
    """
    ids = security_groups_of(view, vpc_id, group_ids)
    if len(ids) > MOST_GROUPS:
        raise AwsError("SecurityGroupsPerInterfaceLimitExceeded", "The maximum number of security groups per interface has been reached.")
    return ids


def chosen_addresses(view: RecordView, subnet: Subnet, wanted: Iterable[str], *, count: int) -> tuple[str, ...]:
    """`count` private addresses of a subnet: those wanted first, then the lowest free ones.

    Raises `InvalidParameterValue` for one that is not the subnet's or reserved there, `InvalidIPAddress.InUse` for one that is taken,
    `InsufficientFreeAddressesInSubnet` where there are not enough.
    """
    taken = addresses_in_use(view, subnet)
    chosen: list[str] = []
    for text in wanted:
        address = cidrs.address(text, "address")
        check_address(subnet, address)
        if address in taken or address in chosen:
            raise AwsError("InvalidIPAddress.InUse", f"Address {address} is in use.")
        chosen.append(address)
    free = (address for address in cidrs.usable(subnet.cidr) if address not in taken and address not in chosen)
    while len(chosen) < count:
        lowest = next(free, None)
        if lowest is None:
            raise AwsError(
                "InsufficientFreeAddressesInSubnet",
                f"The specified subnet does not have enough free addresses to satisfy the request. ({subnet.id})",
            )
        chosen.append(lowest)
    return tuple(chosen)


def check_address(subnet: Subnet, address: str) -> None:
    """Raise `InvalidParameterValue` for an address that no interface of the subnet may have."""
    if not cidrs.is_inside(subnet.cidr, address):
        raise AwsError("InvalidParameterValue", f"Address {address} does not fall within the subnet's address range")
    if not cidrs.is_usable(subnet.cidr, address):
        raise AwsError("InvalidParameterValue", f"Address {address} is in subnet's reserved address range")


def addresses_in_use(view: RecordView, subnet: Subnet) -> set[str]:
    """Every private address that an interface of the subnet has."""
    return {address for interface in interfaces_in(view, subnet.id) for address in interface.addresses}


def free_address_count(view: RecordView, subnet: Subnet) -> int:
    """How many addresses of the subnet are left for interfaces."""
    return cidrs.usable_count(subnet.cidr) - len(addresses_in_use(view, subnet))


def private_dns_name(address: str) -> str:
    """The name that AWS gives a private address in us-east-1."""
    return f"ip-{address.replace('.', '-')}.ec2.internal"


def new_mac() -> str:
    """A new locally administered hardware address."""
    return ":".join(["02", *(f"{octet:02x}" for octet in secrets.token_bytes(5))])
