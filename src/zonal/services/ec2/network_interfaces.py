"""Network interfaces: creation, attachment to hosts, security groups, and the choice of addresses.

An interface has addresses of its subnet and belongs to security groups. Customers use EC2's operations (`interface_operations`). Services
call this module inside their own transaction: RDS creates one interface per node, attaches it to the database's host, and may assign it
a public address. Such an interface is *requester-managed*: it is described, but the customer cannot change or delete it.

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
    """Create an interface that a service manages, at a free address of the subnet or at `private_address`.

    Raises `InvalidGroup.NotFound` for a group outside the subnet's VPC, `InsufficientFreeAddressesInSubnet` if the subnet is full,
    `InvalidIPAddress.InUse` if `private_address` is in use, `InvalidParameterValue` if it is not an address of the subnet.
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
    """Write the record of a new interface; the arguments must be validated."""
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
    """Attach an interface to a host, given by its fabric name. Does nothing if it is attached to that host already.

    `owner` is the attachment's instance owner; by default it is the interface's requester.
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
    """Detach an interface from its host. Does nothing if it is detached."""
    interface = transaction.require(NetworkInterface, interface_id)
    if interface.attachment is not None:
        interface = replace(interface, attachment=None)
        transaction.put(interface)
    return interface


def set_groups(transaction: Transaction, interface_id: str, group_ids: Iterable[str]) -> NetworkInterface:
    """Change an interface's security groups. Raises `InvalidGroup.NotFound`."""
    interface = transaction.require(NetworkInterface, interface_id)
    interface = replace(interface, group_ids=checked_groups(transaction, interface.vpc_id, group_ids))
    transaction.put(interface)
    return interface


def delete(transaction: Transaction, interface_id: str) -> None:
    """Delete an interface, attached or not, with its auto-assigned public address; elastic addresses are disassociated and kept.

    Does nothing if the interface does not exist.
    """
    for address in addresses.associated_with(transaction, interface_id):
        addresses.disassociate(transaction, address)
    transaction.delete(NetworkInterface, interface_id)


def checked_groups(view: RecordView, vpc_id: str, group_ids: Iterable[str]) -> tuple[str, ...]:
    """The given groups without duplicates, validated for an interface in the VPC.

    Raises `InvalidGroup.NotFound` and `SecurityGroupsPerInterfaceLimitExceeded`.
    """
    ids = security_groups_of(view, vpc_id, group_ids)
    if len(ids) > MOST_GROUPS:
        raise AwsError("SecurityGroupsPerInterfaceLimitExceeded", "The maximum number of security groups per interface has been reached.")
    return ids


def chosen_addresses(view: RecordView, subnet: Subnet, wanted: Iterable[str], *, count: int) -> tuple[str, ...]:
    """`count` private addresses of a subnet: the wanted ones first, then the lowest free ones.

    Raises `InvalidParameterValue` for an address outside the subnet or reserved there, `InvalidIPAddress.InUse` for one in use,
    `InsufficientFreeAddressesInSubnet` if too few are free.
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
    """Raises `InvalidParameterValue` for an address that no interface of the subnet may have."""
    if not cidrs.is_inside(subnet.cidr, address):
        raise AwsError("InvalidParameterValue", f"Address {address} does not fall within the subnet's address range")
    if not cidrs.is_usable(subnet.cidr, address):
        raise AwsError("InvalidParameterValue", f"Address {address} is in subnet's reserved address range")


def addresses_in_use(view: RecordView, subnet: Subnet) -> set[str]:
    """Every private address that an interface of the subnet has."""
    return {address for interface in interfaces_in(view, subnet.id) for address in interface.addresses}


def free_address_count(view: RecordView, subnet: Subnet) -> int:
    """The number of addresses of the subnet that are free for interfaces."""
    return cidrs.usable_count(subnet.cidr) - len(addresses_in_use(view, subnet))


def private_dns_name(address: str) -> str:
    """The DNS name of a private address in us-east-1."""
    return f"ip-{address.replace('.', '-')}.ec2.internal"


def new_mac() -> str:
    """A new locally administered hardware address."""
    return ":".join(["02", *(f"{octet:02x}" for octet in secrets.token_bytes(5))])
