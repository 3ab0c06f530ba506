"""EC2's operations on network interfaces: create, change, attach, describe, delete.

There are no EC2 instances yet, so AttachNetworkInterface returns `InvalidInstanceID.NotFound`. Interfaces that services manage (see
`network_interfaces`) are described, but cannot be changed by the customer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import replace

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import ACCOUNT
from zonal.records.record_view import RecordView
from zonal.services.ec2 import addresses, model, network_interfaces
from zonal.services.ec2.availability_zones import ZONES
from zonal.services.ec2.idempotency import once
from zonal.services.ec2.listing import Listing, reject_unsupported, strings
from zonal.services.ec2.lookups import absent_instance, check_own, default_security_group, find
from zonal.services.ec2.model import NetworkInterface
from zonal.services.ec2.network_interfaces import private_dns_name
from zonal.services.ec2.tags import answer_tags, given_tags
from zonal.services.operation import ControlCall, ResponseMembers, operation

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import (
        AssignPrivateIpAddressesRequestTypeDef,
        AttachNetworkInterfaceRequestTypeDef,
        CreateNetworkInterfaceRequestTypeDef,
        DeleteNetworkInterfaceRequestTypeDef,
        DescribeNetworkInterfaceAttributeRequestTypeDef,
        DescribeNetworkInterfacesRequestTypeDef,
        DetachNetworkInterfaceRequestTypeDef,
        GroupIdentifierTypeDef,
        ModifyNetworkInterfaceAttributeRequestTypeDef,
        NetworkInterfaceAssociationTypeDef,
        NetworkInterfaceAttachmentTypeDef,
        NetworkInterfacePrivateIpAddressTypeDef,
        NetworkInterfaceTypeDef,
        ResetNetworkInterfaceAttributeRequestTypeDef,
        UnassignPrivateIpAddressesRequestTypeDef,
    )

MOST_ADDRESSES = 50
"""The largest number of private addresses per interface of any instance type."""

_LISTING = Listing(
    NetworkInterface,
    ids="NetworkInterfaceIds",
    id="NetworkInterfaceId",
    answers="NetworkInterfaces",
    paths={
        "association.allocation-id": "Association.AllocationId",
        "association.association-id": "Association.AssociationId",
        "association.ip-owner-id": "Association.IpOwnerId",
        "association.public-ip": "Association.PublicIp",
        "association.public-dns-name": "Association.PublicDnsName",
        "addresses.association.owner-id": "PrivateIpAddresses.Association.IpOwnerId",
        "addresses.association.public-ip": "PrivateIpAddresses.Association.PublicIp",
        "addresses.primary": "PrivateIpAddresses.Primary",
        "addresses.private-ip-address": "PrivateIpAddresses.PrivateIpAddress",
        "attachment.attach-time": "Attachment.AttachTime",
        "attachment.attachment-id": "Attachment.AttachmentId",
        "attachment.delete-on-termination": "Attachment.DeleteOnTermination",
        "attachment.device-index": "Attachment.DeviceIndex",
        "attachment.instance-id": "Attachment.InstanceId",
        "attachment.instance-owner-id": "Attachment.InstanceOwnerId",
        "attachment.status": "Attachment.Status",
        "availability-zone": "AvailabilityZone",
        "availability-zone-id": "AvailabilityZoneId",
        "description": "Description",
        "group-id": "Groups.GroupId",
        "group-name": "Groups.GroupName",
        "ipv6-addresses.ipv6-address": "Ipv6Addresses.Ipv6Address",
        "interface-type": "InterfaceType",
        "mac-address": "MacAddress",
        "network-interface-id": "NetworkInterfaceId",
        "operator.managed": "Operator.Managed",
        "operator.principal": "Operator.Principal",
        "owner-id": "OwnerId",
        "private-dns-name": "PrivateDnsName",
        "private-ip-address": "PrivateIpAddress",
        "requester-id": "RequesterId",
        "requester-managed": "RequesterManaged",
        "source-dest-check": "SourceDestCheck",
        "status": "Status",
        "subnet-id": "SubnetId",
        "tag-key": "TagSet.Key",
        "tag-value": "TagSet.Value",
        "vpc-id": "VpcId",
    },
)

_NO_PREFIXES = {
    "Ipv4Prefixes": "delegated prefixes",
    "Ipv4PrefixCount": "delegated prefixes",
}
_NO_IPV6 = {
    "Ipv6Prefixes": "IPv6",
    "Ipv6PrefixCount": "IPv6",
    "Ipv6Addresses": "IPv6",
    "Ipv6AddressCount": "IPv6",
    "EnablePrimaryIpv6": "IPv6",
}


def answer_interface(interface: NetworkInterface, view: RecordView) -> NetworkInterfaceTypeDef:
    """An interface as DescribeNetworkInterfaces shows it."""
    associations = _associations(interface, view)
    primary = interface.addresses[0]
    shown: NetworkInterfaceTypeDef = {
        "NetworkInterfaceId": interface.id,
        "VpcId": interface.vpc_id,
        "SubnetId": interface.subnet_id,
        "AvailabilityZone": interface.zone,
        "AvailabilityZoneId": ZONES[interface.zone],
        "Description": interface.description,
        "OwnerId": ACCOUNT,
        "RequesterManaged": interface.requester is not None,
        "Status": "available" if interface.attachment is None and interface.interface_type != "nat_gateway" else "in-use",
        "MacAddress": interface.mac,
        "PrivateIpAddress": primary,
        "PrivateDnsName": private_dns_name(primary),
        "PrivateIpAddresses": [_answer_private(interface, each, associations.get(each)) for each in interface.addresses],
        "Ipv6Addresses": [],
        "SourceDestCheck": interface.source_dest_check,
        "Groups": _answer_groups(interface, view),
        "InterfaceType": interface.interface_type,  # type: ignore[typeddict-item]
        "Operator": {"Managed": False},
        "TagSet": answer_tags(interface),
    }
    if interface.requester is not None:
        shown["RequesterId"] = interface.requester
    if interface.attachment is not None:
        shown["Attachment"] = _answer_attachment(interface.attachment)
    if primary in associations:
        shown["Association"] = associations[primary]
    return shown


def _answer_groups(interface: NetworkInterface, view: RecordView) -> list[GroupIdentifierTypeDef]:
    return [{"GroupId": id, "GroupName": view.require(model.SecurityGroup, id).name} for id in interface.group_ids]


def _associations(interface: NetworkInterface, view: RecordView) -> dict[str, NetworkInterfaceAssociationTypeDef]:
    """The public addresses of an interface, by private address."""
    found: dict[str, NetworkInterfaceAssociationTypeDef] = {}
    if interface.public_address is not None:
        found[interface.addresses[0]] = {
            "IpOwnerId": "amazon",
            "PublicIp": interface.public_address,
            "PublicDnsName": addresses.public_dns_name(interface.public_address),
        }
    for elastic in addresses.associated_with(view, interface.id):
        assert elastic.private_address is not None and elastic.association_id is not None
        found[elastic.private_address] = {
            "IpOwnerId": ACCOUNT,
            "PublicIp": elastic.address,
            "PublicDnsName": addresses.public_dns_name(elastic.address),
            "AllocationId": elastic.id,
            "AssociationId": elastic.association_id,
        }
    return found


def _answer_private(
    interface: NetworkInterface, address: str, association: NetworkInterfaceAssociationTypeDef | None
) -> NetworkInterfacePrivateIpAddressTypeDef:
    shown: NetworkInterfacePrivateIpAddressTypeDef = {
        "PrivateIpAddress": address,
        "PrivateDnsName": private_dns_name(address),
        "Primary": address == interface.addresses[0],
    }
    if association is not None:
        shown["Association"] = association
    return shown


def _answer_attachment(attachment: model.Attachment) -> NetworkInterfaceAttachmentTypeDef:
    return {
        "AttachmentId": attachment.id,
        "AttachTime": attachment.attached,
        "DeleteOnTermination": attachment.delete_on_termination,
        "DeviceIndex": attachment.device_index,
        "NetworkCardIndex": 0,
        "InstanceOwnerId": attachment.owner,
        "Status": "attached",
    }


class NetworkInterfaces:
    """The operations on network interfaces."""

    @operation("CreateNetworkInterface")
    def create(self, call: ControlCall, request: CreateNetworkInterfaceRequestTypeDef) -> ResponseMembers:
        reject_unsupported(
            request,
            InterfaceType="special interface types",
            ConnectionTrackingSpecification="custom connection tracking timeouts",
            Operator="managed operators",
            **_NO_PREFIXES,
            **_NO_IPV6,
        )
        interface = once(call, request, NetworkInterface, lambda: _create(call, request))
        return {"NetworkInterface": answer_interface(interface, call.transaction), "ClientToken": request.get("ClientToken", "")}

    @operation("DeleteNetworkInterface")
    def delete(self, call: ControlCall, request: DeleteNetworkInterfaceRequestTypeDef) -> ResponseMembers:
        interface = _own(call, request["NetworkInterfaceId"])
        if interface.attachment is not None:
            raise AwsError("InvalidParameterValue", f"Network interface '{interface.id}' is currently in use.")
        network_interfaces.delete(call.transaction, interface.id)
        return {}

    @operation("DescribeNetworkInterfaces")
    def describe(self, call: ControlCall, request: DescribeNetworkInterfacesRequestTypeDef) -> ResponseMembers:
        if request.get("MaxResults") is not None and request.get("NetworkInterfaceIds"):
            raise AwsError(
                "InvalidParameterCombination", "The parameter networkInterfaceIdsSet cannot be used with the parameter maxResults"
            )
        return _LISTING.describe(call, request, lambda interface: answer_interface(interface, call.transaction))

    @operation("DescribeNetworkInterfaceAttribute")
    def describe_attribute(self, call: ControlCall, request: DescribeNetworkInterfaceAttributeRequestTypeDef) -> ResponseMembers:
        interface = find(call.transaction, NetworkInterface, request["NetworkInterfaceId"])
        attribute = request.get("Attribute")
        shown: ResponseMembers = {"NetworkInterfaceId": interface.id}
        if attribute == "description":
            return shown | {"Description": {"Value": interface.description}}
        if attribute == "groupSet":
            return shown | {"Groups": _answer_groups(interface, call.transaction)}
        if attribute == "sourceDestCheck":
            return shown | {"SourceDestCheck": {"Value": interface.source_dest_check}}
        if attribute == "attachment":
            return shown | ({"Attachment": _answer_attachment(interface.attachment)} if interface.attachment else {})
        if attribute == "associatePublicIpAddress":
            return shown | {"AssociatePublicIpAddress": interface.public_address is not None}
        raise AwsError("InvalidParameterCombination", "No attributes specified.")

    @operation("ModifyNetworkInterfaceAttribute")
    def modify_attribute(self, call: ControlCall, request: ModifyNetworkInterfaceAttributeRequestTypeDef) -> ResponseMembers:
        """Change one attribute of an interface that no service manages."""
        reject_unsupported(
            request,
            EnaSrdSpecification="ENA Express",
            EnablePrimaryIpv6="IPv6",
            ConnectionTrackingSpecification="custom connection tracking timeouts",
            AssociatePublicIpAddress="auto-assigned public addresses on request",
            AssociatedSubnetIds="interfaces in several subnets",
        )
        interface = _own(call, request["NetworkInterfaceId"])
        given = [name for name in ("Description", "SourceDestCheck", "Groups", "Attachment") if request.get(name) is not None]
        if len(given) != 1:
            raise AwsError(
                "InvalidParameterCombination", "Fields for multiple attribute types specified" if given else "No attributes specified."
            )
        call.transaction.put(_modified(call, interface, request))
        return {}

    @operation("ResetNetworkInterfaceAttribute")
    def reset_attribute(self, call: ControlCall, request: ResetNetworkInterfaceAttributeRequestTypeDef) -> ResponseMembers:
        """Enable the source/destination check again; it is the only attribute that can be reset."""
        interface = _own(call, request["NetworkInterfaceId"])
        call.transaction.put(replace(interface, source_dest_check=True))
        return {}

    @operation("AttachNetworkInterface")
    def attach(self, call: ControlCall, request: AttachNetworkInterfaceRequestTypeDef) -> ResponseMembers:
        interface = _own(call, request["NetworkInterfaceId"])
        if interface.attachment is not None:
            raise AwsError("InvalidParameterValue", f"Interface '{interface.id}' is currently in use.")
        raise absent_instance(request["InstanceId"])

    @operation("DetachNetworkInterface")
    def detach(self, call: ControlCall, request: DetachNetworkInterfaceRequestTypeDef) -> ResponseMembers:
        id = request["AttachmentId"]
        for interface in call.transaction.select(NetworkInterface):
            if interface.attachment is not None and interface.attachment.id == id:
                network_interfaces.unplug(call.transaction, _own(call, interface.id).id)
                return {}
        raise AwsError("InvalidAttachmentID.NotFound", f"The interface attachment '{id}' does not exist.")

    @operation("AssignPrivateIpAddresses")
    def assign(self, call: ControlCall, request: AssignPrivateIpAddressesRequestTypeDef) -> ResponseMembers:
        """Add secondary addresses: the given ones, or the given number of free ones."""
        reject_unsupported(request, **_NO_PREFIXES)
        tx = call.transaction
        interface = _own(call, request["NetworkInterfaceId"])
        wanted, count = strings(request, "PrivateIpAddresses"), _secondary_count(request)
        if bool(wanted) == bool(count):
            raise AwsError(
                "InvalidParameterCombination", "Exactly one of privateIpAddresses and secondaryPrivateIpAddressCount must be given"
            )
        subnet = tx.require(model.Subnet, interface.subnet_id)
        if request.get("AllowReassignment"):
            _remove_from_others(call, interface, wanted)
        chosen = network_interfaces.chosen_addresses(tx, subnet, wanted, count=len(wanted) or count)
        _check_address_count(len(interface.addresses) + len(chosen))
        tx.put(replace(tx.require(NetworkInterface, interface.id), addresses=(*interface.addresses, *chosen)))
        return {"NetworkInterfaceId": interface.id, "AssignedPrivateIpAddresses": [{"PrivateIpAddress": each} for each in chosen]}

    @operation("UnassignPrivateIpAddresses")
    def unassign(self, call: ControlCall, request: UnassignPrivateIpAddressesRequestTypeDef) -> ResponseMembers:
        """Remove secondary addresses; elastic addresses associated with them are disassociated."""
        reject_unsupported(request, Ipv4Prefixes="delegated prefixes")
        interface = _own(call, request["NetworkInterfaceId"])
        removed = strings(request, "PrivateIpAddresses")
        if not removed:
            raise AwsError("MissingParameter", "The request must contain the parameter privateIpAddress")
        for address in removed:
            if address not in interface.addresses[1:]:
                raise AwsError("InvalidParameterValue", f"Some of [{', '.join(removed)}] are not assigned to interface {interface.id}")
        _remove_addresses(call, interface, removed)
        return {}


def _secondary_count(request: Mapping[str, Any]) -> int:
    """The number of secondary addresses to assign, 0 if none is given. Raises `InvalidParameterValue` for a negative number."""
    count = int(request.get("SecondaryPrivateIpAddressCount") or 0)
    if count < 0:
        raise AwsError("InvalidParameterValue", f"Value ({count}) for parameter secondaryPrivateIpAddressCount is invalid.")
    return count


def _create(call: ControlCall, request: CreateNetworkInterfaceRequestTypeDef) -> NetworkInterface:
    tx = call.transaction
    subnet = find(tx, model.Subnet, request["SubnetId"])
    groups = strings(request, "Groups") or [default_security_group(tx, subnet.vpc_id).id]
    wanted = _wanted_addresses(request)
    further = _secondary_count(request)
    if further and len(wanted) > 1:
        raise AwsError("InvalidParameterCombination", "secondaryPrivateIpAddressCount cannot be used with secondary privateIpAddresses")
    count = max(len(wanted), 1) + further
    _check_address_count(count)
    return network_interfaces.create(
        tx,
        subnet,
        network_interfaces.chosen_addresses(tx, subnet, wanted, count=count),
        network_interfaces.checked_groups(tx, subnet.vpc_id, groups),
        description=request.get("Description", ""),
        tags=given_tags(request, NetworkInterface),
    )


def _wanted_addresses(request: Mapping[str, object]) -> list[str]:
    """The addresses of a creation request, the primary one first."""
    listed = cast("list[Mapping[str, object]]", request.get("PrivateIpAddresses") or [])
    single = cast("str | None", request.get("PrivateIpAddress"))
    primary = [str(each.get("PrivateIpAddress")) for each in listed if each.get("Primary")]
    if len(primary) + (single is not None) > 1:
        raise AwsError("InvalidParameterCombination", "Only one primary private IP address can be specified.")
    if listed and not primary and single is None:
        raise AwsError("MissingParameter", "One of the privateIpAddresses must be marked as primary")
    others = [str(each.get("PrivateIpAddress")) for each in listed if not each.get("Primary")]
    return ([single] if single is not None else primary) + others


def _check_address_count(count: int) -> None:
    if count > MOST_ADDRESSES:
        raise AwsError("PrivateIpAddressLimitExceeded", f"An interface can have at most {MOST_ADDRESSES} private IPv4 addresses.")


def _own(call: ControlCall, id: str) -> NetworkInterface:
    """An interface that the customer may change. Raises `AuthFailure` for one that a service manages."""
    interface = find(call.transaction, NetworkInterface, id)
    check_own(interface)
    return interface


def _modified(call: ControlCall, interface: NetworkInterface, request: ModifyNetworkInterfaceAttributeRequestTypeDef) -> NetworkInterface:
    if "Description" in request:
        return replace(interface, description=request["Description"].get("Value") or "")
    if "SourceDestCheck" in request:
        return replace(interface, source_dest_check=bool(request["SourceDestCheck"].get("Value")))
    if "Groups" in request:
        if not request["Groups"]:
            raise AwsError("InvalidParameterValue", "An interface must belong to at least one security group")
        return replace(interface, group_ids=network_interfaces.checked_groups(call.transaction, interface.vpc_id, request["Groups"]))
    change = request["Attachment"]
    if interface.attachment is None or interface.attachment.id != change.get("AttachmentId"):
        raise AwsError("InvalidAttachmentID.NotFound", f"The interface attachment '{change.get('AttachmentId')}' does not exist.")
    reject_unsupported(change, EnaQueueCount="ENA queues", DefaultEnaQueueCount="ENA queues")
    ends = bool(change.get("DeleteOnTermination"))
    return replace(interface, attachment=replace(interface.attachment, delete_on_termination=ends))


def _remove_from_others(call: ControlCall, interface: NetworkInterface, wanted: list[str]) -> None:
    """Remove the wanted secondary addresses from the other interfaces of the subnet (`AllowReassignment`)."""
    for other in call.transaction.lookup(NetworkInterface, "subnet_id", interface.subnet_id):
        reassigned = [address for address in other.addresses[1:] if address in wanted]
        if reassigned and other.id != interface.id:
            _remove_addresses(call, _own(call, other.id), reassigned)


def _remove_addresses(call: ControlCall, interface: NetworkInterface, removed: list[str]) -> None:
    for elastic in addresses.associated_with(call.transaction, interface.id):
        if elastic.private_address in removed:
            addresses.disassociate(call.transaction, elastic)
    kept = tuple(address for address in interface.addresses if address not in removed)
    call.transaction.put(replace(interface, addresses=kept))
