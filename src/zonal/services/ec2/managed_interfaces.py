"""The network interfaces of a managed service's nodes: one per node, requester-managed, with the service's own error codes.

A service sets its requester name and errors in `ManagedInterfaces` and stores the interfaces' ids in its own records. `create` allocates
an interface at a free address, attaches it to the node's host (which need not exist yet) and assigns a public address if requested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

from zonal.foundation.errors import AwsError
from zonal.records.record_view import RecordView
from zonal.records.store import Transaction
from zonal.services.ec2 import addresses, network_interfaces
from zonal.services.ec2.lookups import default_security_group
from zonal.services.ec2.model import NetworkInterface, SecurityGroup, Subnet


class ManagedInterfaces(NamedTuple):
    """A service's interfaces. The last three fields create its errors: `no_address(subnet)`, `unknown_group(group)`, and
    `other_vpc(group's VPC, service's VPC)`."""

    requester: str
    description: str
    no_address: Callable[[str], AwsError]
    unknown_group: Callable[[str], AwsError]
    other_vpc: Callable[[str, str], AwsError]

    def checked_groups(self, view: RecordView, vpc_id: str, ids: Iterable[str] | None) -> tuple[str, ...]:
        """The security groups of a request in this VPC; the VPC's default group if it names none. Raises the service's errors."""
        names = tuple(dict.fromkeys(ids or ()))
        if not names:
            return (default_security_group(view, vpc_id).id,)
        for id in names:
            group = view.get(SecurityGroup, id)
            if group is None:
                raise self.unknown_group(id)
            if group.vpc_id != vpc_id:
                raise self.other_vpc(group.vpc_id, vpc_id)
        return network_interfaces.checked_groups(view, vpc_id, names)

    def create(
        self, transaction: Transaction, subnet: Subnet, group_ids: Iterable[str], *, host: str, now: datetime, public: bool
    ) -> NetworkInterface:
        """Create an interface in a subnet, attached to a host (given by its fabric name). Raises `no_address(subnet)`."""
        try:
            interface = network_interfaces.create_managed(
                transaction, subnet, group_ids, requester=self.requester, description=self.description
            )
        except AwsError as error:
            if error.code != "InsufficientFreeAddressesInSubnet":
                raise
            raise self.no_address(subnet.id) from error
        network_interfaces.plug(transaction, interface.id, host, now=now)
        return addresses.assign_public(transaction, interface.id) if public else interface


def set_public(transaction: Transaction, ids: Iterable[str], *, public: bool) -> None:
    """Assign each interface a public address, or release it."""
    for id in ids:
        (addresses.assign_public if public else addresses.release_public)(transaction, id)


def set_groups(transaction: Transaction, ids: Iterable[str], group_ids: Iterable[str]) -> None:
    """Change the security groups of interfaces."""
    chosen = tuple(group_ids)
    for id in ids:
        network_interfaces.set_groups(transaction, id, chosen)


def public_addresses(view: RecordView, ids: Iterable[str]) -> tuple[str, ...]:
    """The public addresses of the interfaces that exist and have one."""

    found = [view.get(NetworkInterface, id) for id in ids]
    return tuple(interface.public_address for interface in found if interface is not None and interface.public_address)
