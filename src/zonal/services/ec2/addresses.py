"""Public addresses: allocation from the pools, and the operations on elastic addresses.

Public addresses come from 198.51.100.0/24 and 203.0.113.0/24, ranges that RFC 5737 reserves for documentation, so none of them is a real
host's. An interface reaches the internet through an associated elastic address or an auto-assigned one
(`NetworkInterface.public_address`). The internet gateway translates public to private addresses one to one.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, cast

from msgspec.structs import replace

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import ACCOUNT, REGION, resource_id
from zonal.records.record_view import RecordView
from zonal.records.store import Transaction
from zonal.services.ec2.listing import Listing, reject_unsupported, strings
from zonal.services.ec2.lookups import absent_instance, check_own, find, gateway_of
from zonal.services.ec2.model import ElasticAddress, NetworkInterface
from zonal.services.ec2.tags import answer_tags, given_tags
from zonal.services.operation import ControlCall, ResponseMembers, operation

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import (
        AddressTypeDef,
        AllocateAddressRequestTypeDef,
        AssociateAddressRequestTypeDef,
        DescribeAddressesAttributeRequestTypeDef,
        DescribeAddressesRequestTypeDef,
        DisassociateAddressRequestTypeDef,
        ReleaseAddressRequestTypeDef,
    )

POOLS = ("203.0.113.0/24", "198.51.100.0/24")
_ADDRESSES = tuple(str(address) for pool in POOLS for address in IPv4Network(pool).hosts())

MOST_ADDRESSES = 5
"""AWS's default quota of elastic addresses in a region."""


def free_public_address(view: RecordView) -> str:
    """The first free address of the pools. Raises `InsufficientAddressCapacity`."""
    taken = _taken(view)
    for address in _ADDRESSES:
        if address not in taken:
            return address
    raise AwsError("InsufficientAddressCapacity", "There are not enough free public addresses left to satisfy the request.")


def _taken(view: RecordView) -> set[str]:
    """Every public address in use."""
    assigned = {interface.public_address for interface in view.select(NetworkInterface) if interface.public_address}
    return assigned | {address.address for address in view.select(ElasticAddress)}


def assign_public(transaction: Transaction, interface_id: str) -> NetworkInterface:
    """Assign an interface a public address, released with the interface. Does nothing if it has one.

    Whether it is reachable depends on the VPC's gateway and routes.
    """
    interface = transaction.require(NetworkInterface, interface_id)
    if interface.public_address is None:
        interface = replace(interface, public_address=free_public_address(transaction))
        transaction.put(interface)
    return interface


def release_public(transaction: Transaction, interface_id: str) -> NetworkInterface:
    """Release an interface's auto-assigned public address. Does nothing if it has none."""
    interface = transaction.require(NetworkInterface, interface_id)
    if interface.public_address is not None:
        interface = replace(interface, public_address=None)
        transaction.put(interface)
    return interface


def associated_with(view: RecordView, interface_id: str) -> list[ElasticAddress]:
    """The elastic addresses of an interface."""
    return view.lookup(ElasticAddress, "interface_id", interface_id)


def has_public_addresses(view: RecordView, vpc_id: str) -> bool:
    """Whether any interface of a VPC has a public address; its gateway then cannot be detached."""
    interfaces = view.lookup(NetworkInterface, "vpc_id", vpc_id)
    return any(interface.public_address or associated_with(view, interface.id) for interface in interfaces)


def associate(transaction: Transaction, address: ElasticAddress, interface: NetworkInterface, private_address: str) -> ElasticAddress:
    """Associate an elastic address with a private one. It replaces an auto-assigned address."""
    if private_address == interface.addresses[0]:
        release_public(transaction, interface.id)
    associated = replace(address, association_id=resource_id("eipassoc"), interface_id=interface.id, private_address=private_address)
    transaction.put(associated)
    return associated


def disassociate(transaction: Transaction, address: ElasticAddress) -> ElasticAddress:
    """Disassociate an elastic address; it remains allocated."""
    disassociated = replace(address, association_id=None, interface_id=None, private_address=None)
    transaction.put(disassociated)
    return disassociated


def public_dns_name(address: str) -> str:
    """The DNS name of a public address in us-east-1."""
    return f"ec2-{address.replace('.', '-')}.compute-1.amazonaws.com"


_LISTING = Listing(
    ElasticAddress,
    ids="AllocationIds",
    id="AllocationId",
    answers="Addresses",
    paths={
        "allocation-id": "AllocationId",
        "association-id": "AssociationId",
        "domain": "Domain",
        "instance-id": "InstanceId",
        "network-border-group": "NetworkBorderGroup",
        "network-interface-id": "NetworkInterfaceId",
        "network-interface-owner-id": "NetworkInterfaceOwnerId",
        "private-ip-address": "PrivateIpAddress",
        "public-ip": "PublicIp",
    },
)


_ATTRIBUTES = Listing(ElasticAddress, ids="AllocationIds", id="AllocationId", answers="Addresses", paths={}, fewest=1)


def answer_address(address: ElasticAddress) -> AddressTypeDef:
    """An elastic address as DescribeAddresses shows it."""
    shown: AddressTypeDef = {
        "AllocationId": address.id,
        "PublicIp": address.address,
        "Domain": "vpc",
        "PublicIpv4Pool": "amazon",
        "NetworkBorderGroup": REGION,
        "Tags": answer_tags(address),
    }
    if address.association_id and address.interface_id and address.private_address:
        shown |= {
            "AssociationId": address.association_id,
            "NetworkInterfaceId": address.interface_id,
            "NetworkInterfaceOwnerId": ACCOUNT,
            "PrivateIpAddress": address.private_address,
        }
    return shown


class Addresses:
    """The operations on elastic addresses."""

    @operation("AllocateAddress")
    def allocate(self, call: ControlCall, request: AllocateAddressRequestTypeDef) -> ResponseMembers:
        tx = call.transaction
        reject_unsupported(request, CustomerOwnedIpv4Pool="Outposts", IpamPoolId="IPAM")
        if request.get("Domain", "vpc") != "vpc":
            raise AwsError("InvalidParameterValue", f"Value ({request['Domain']}) for parameter domain is invalid. Expecting vpc.")
        if request.get("PublicIpv4Pool", "amazon") != "amazon":
            raise AwsError("InvalidPublicIpv4PoolID.NotFound", f"The pool ID '{request['PublicIpv4Pool']}' does not exist")
        if request.get("NetworkBorderGroup", REGION) != REGION:
            raise AwsError("InvalidParameterValue", f"The network border group '{request['NetworkBorderGroup']}' is not valid in {REGION}")
        if len(tx.select(ElasticAddress)) >= MOST_ADDRESSES:
            raise AwsError("AddressLimitExceeded", "The maximum number of addresses has been reached.")
        chosen = _recovered(tx, request["Address"]) if request.get("Address") else free_public_address(tx)
        address = ElasticAddress(id=resource_id("eipalloc"), address=chosen, tags=given_tags(request, ElasticAddress))
        tx.put(address)
        return {
            "AllocationId": address.id,
            "PublicIp": chosen,
            "PublicIpv4Pool": "amazon",
            "NetworkBorderGroup": REGION,
            "Domain": "vpc",
        }

    @operation("AssociateAddress")
    def associate(self, call: ControlCall, request: AssociateAddressRequestTypeDef) -> ResponseMembers:
        """Associate an address with a private address of an interface, by default with the primary one."""
        tx = call.transaction
        if request.get("InstanceId"):
            raise absent_instance(request["InstanceId"])
        address = _named(call, request)
        if not request.get("NetworkInterfaceId"):
            raise AwsError("MissingParameter", "The request must contain the parameter InstanceId or NetworkInterfaceId")
        interface = find(tx, NetworkInterface, request["NetworkInterfaceId"])
        check_own(interface)
        private = request.get("PrivateIpAddress") or interface.addresses[0]
        if private not in interface.addresses:
            raise AwsError("InvalidParameterValue", f"The private IP address '{private}' is not assigned to interface '{interface.id}'")
        if gateway_of(tx, interface.vpc_id) is None:
            raise AwsError("Gateway.NotAttached", f"Network {interface.vpc_id} is not attached to any internet gateway")
        if (address.interface_id, address.private_address) == (interface.id, private):
            return {"AssociationId": address.association_id}
        _clear_conflicts(call, address, interface, private, allowed=request.get("AllowReassociation"))
        return {"AssociationId": associate(tx, address, interface, private).association_id}

    @operation("DisassociateAddress")
    def disassociate(self, call: ControlCall, request: DisassociateAddressRequestTypeDef) -> ResponseMembers:
        tx = call.transaction
        if id := request.get("AssociationId"):
            address = next(iter(tx.select(ElasticAddress, lambda address: address.association_id == id)), None)
            if address is None:
                raise AwsError("InvalidAssociationID.NotFound", f"The association ID '{id}' does not exist")
        else:
            address = _named(call, request)
            if address.association_id is None:
                raise AwsError("InvalidAssociationID.NotFound", f"The address '{address.address}' is not associated")
        _check_not_in_gateway(tx, address)
        disassociate(tx, address)
        return {}

    @operation("ReleaseAddress")
    def release(self, call: ControlCall, request: ReleaseAddressRequestTypeDef) -> ResponseMembers:
        address = _named(call, request)
        if address.association_id is not None:
            raise AwsError("InvalidIPAddress.InUse", f"Address {address.address} is in use.")
        call.transaction.delete(ElasticAddress, address.id)
        return {}

    @operation("DescribeAddresses")
    def describe(self, call: ControlCall, request: DescribeAddressesRequestTypeDef) -> ResponseMembers:
        """All elastic addresses that match; this operation is not paginated."""
        asked = strings(request, "PublicIps")
        known = {address.address for address in call.transaction.select(ElasticAddress)}
        for each in asked:
            if each not in known:
                raise AwsError("InvalidAddress.NotFound", f"Address '{each}' not found.")
        return _LISTING.describe(call, request, answer_address, where=lambda address: not asked or address.address in asked)

    @operation("DescribeAddressesAttribute")
    def describe_attribute(self, call: ControlCall, request: DescribeAddressesAttributeRequestTypeDef) -> ResponseMembers:
        """The addresses without `PtrRecord`, as for addresses without a reverse DNS name on AWS: zonal has no reverse DNS."""
        attribute = request.get("Attribute")
        if attribute not in (None, "domain-name"):
            raise AwsError("InvalidParameterValue", f"Value ({attribute}) for parameter attribute is invalid.")
        return _ATTRIBUTES.describe(call, request, lambda address: {"AllocationId": address.id, "PublicIp": address.address})


def _recovered(view: RecordView, wanted: str) -> str:
    """The address that the caller wants to allocate again, if it is in a pool and free. Raises `InvalidAddress.NotFound`."""
    if wanted not in _ADDRESSES or wanted in _taken(view):
        raise AwsError("InvalidAddress.NotFound", f"Address '{wanted}' not found.")
    return wanted


def _named(call: ControlCall, request: Mapping[str, object]) -> ElasticAddress:
    id, public = cast("str | None", request.get("AllocationId")), request.get("PublicIp")
    if id and public:
        raise AwsError("InvalidParameterCombination", "You may specify public IP or allocation id, but not both in the same call")
    if id:
        return find(call.transaction, ElasticAddress, id)
    if not public:
        raise AwsError("MissingParameter", "Either public IP or allocation id must be specified")
    for address in call.transaction.select(ElasticAddress):
        if address.address == public:
            return address
    raise AwsError("InvalidAddress.NotFound", f"Address '{public}' not found.")


def _clear_conflicts(
    call: ControlCall, address: ElasticAddress, interface: NetworkInterface, private: str, *, allowed: bool | None
) -> None:
    """Remove associations that conflict with a new one.

    Raises `Resource.AlreadyAssociated` if the caller forbids that (`AllowReassociation` false), `AuthFailure` if a NAT gateway uses the
    address.
    """
    tx = call.transaction
    if address.association_id is not None:
        if allowed is False:
            raise AwsError(
                "Resource.AlreadyAssociated", f"resource {address.id} is already associated with associate-id {address.association_id}"
            )
        _check_not_in_gateway(tx, address)
    for other in associated_with(tx, interface.id):
        if other.private_address == private and other.id != address.id:
            if allowed is False:
                raise AwsError("Resource.AlreadyAssociated", f"resource {interface.id} is already associated with address {other.address}")
            disassociate(tx, other)


def _check_not_in_gateway(view: RecordView, address: ElasticAddress) -> None:
    check_own(view.get(NetworkInterface, address.interface_id or ""))
