"""Subnets: ranges of a VPC, each in one zone.

A subnet uses the VPC's main route table and default network ACL until it is associated with others. The default VPC has one *default
subnet* in each zone, for resources created without a subnet.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from msgspec.structs import replace

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import ACCOUNT, arn, resource_id
from zonal.records.record_view import RecordView
from zonal.records.store import Transaction
from zonal.services.ec2 import associations, cidrs, model, network_acls
from zonal.services.ec2.availability_zones import ZONES, zone_named
from zonal.services.ec2.listing import NO_IPAM, Listing, needed, reject_unsupported
from zonal.services.ec2.lookups import default_vpc, find, has_dependencies, interfaces_in, subnets
from zonal.services.ec2.model import Subnet
from zonal.services.ec2.network_interfaces import free_address_count
from zonal.services.ec2.tags import answer_tags, given_tags
from zonal.services.operation import ControlCall, ResponseMembers, operation

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import (
        CreateDefaultSubnetRequestTypeDef,
        CreateSubnetRequestTypeDef,
        DeleteSubnetRequestTypeDef,
        DescribeSubnetsRequestTypeDef,
        ModifySubnetAttributeRequestTypeDef,
        SubnetTypeDef,
    )

MOST_SUBNETS = 200
"""AWS's default quota of subnets in a VPC."""

DEFAULT_PREFIX = 20
"""A default subnet has 4,096 addresses."""

_LISTING = Listing(
    Subnet,
    ids="SubnetIds",
    id="SubnetId",
    answers="Subnets",
    paths={
        "availability-zone": "AvailabilityZone",
        "availabilityZone": "AvailabilityZone",
        "availability-zone-id": "AvailabilityZoneId",
        "availabilityZoneId": "AvailabilityZoneId",
        "available-ip-address-count": "AvailableIpAddressCount",
        "cidr-block": "CidrBlock",
        "cidr": "CidrBlock",
        "cidrBlock": "CidrBlock",
        "customer-owned-ipv4-pool": "CustomerOwnedIpv4Pool",
        "default-for-az": "DefaultForAz",
        "defaultForAz": "DefaultForAz",
        "enable-dns64": "EnableDns64",
        "enable-lni-at-device-index": "EnableLniAtDeviceIndex",
        "ipv6-cidr-block-association.ipv6-cidr-block": "Ipv6CidrBlockAssociationSet.Ipv6CidrBlock",
        "ipv6-cidr-block-association.association-id": "Ipv6CidrBlockAssociationSet.AssociationId",
        "ipv6-cidr-block-association.state": "Ipv6CidrBlockAssociationSet.Ipv6CidrBlockState.State",
        "ipv6-native": "Ipv6Native",
        "map-customer-owned-ip-on-launch": "MapCustomerOwnedIpOnLaunch",
        "map-public-ip-on-launch": "MapPublicIpOnLaunch",
        "mapPublicIpOnLaunch": "MapPublicIpOnLaunch",
        "outpost-arn": "OutpostArn",
        "owner-id": "OwnerId",
        "private-dns-name-options-on-launch.hostname-type": "PrivateDnsNameOptionsOnLaunch.HostnameType",
        "private-dns-name-options-on-launch.enable-resource-name-dns-a-record": (
            "PrivateDnsNameOptionsOnLaunch.EnableResourceNameDnsARecord"
        ),
        "private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record": (
            "PrivateDnsNameOptionsOnLaunch.EnableResourceNameDnsAAAARecord"
        ),
        "state": "State",
        "subnet-arn": "SubnetArn",
        "subnet-id": "SubnetId",
        "vpc-id": "VpcId",
    },
)


def create(
    transaction: Transaction, vpc: model.Vpc, zone: str, cidr: str, *, is_default: bool = False, tags: dict[str, str] | None = None
) -> Subnet:
    """Create a subnet; `cidr` must be validated. A default subnet has `MapPublicIpOnLaunch`."""
    subnet = Subnet(
        id=resource_id("subnet"),
        vpc_id=vpc.id,
        zone=zone,
        cidr=cidr,
        is_default=is_default,
        maps_public_address=is_default,
        tags=tags or {},
    )
    transaction.put(subnet)
    network_acls.associate_default(transaction, subnet)
    return subnet


def free_default_range(view: RecordView, vpc: model.Vpc) -> str:
    """The first /20 of the default VPC that overlaps no subnet. Raises `InvalidSubnet.Range` if there is none."""
    taken = [subnet.cidr for subnet in subnets(view, vpc.id)]
    for candidate in IPv4Network(vpc.cidrs[0].cidr).subnets(new_prefix=DEFAULT_PREFIX):
        if not any(cidrs.overlap(str(candidate), each) for each in taken):
            return str(candidate)
    raise AwsError("InvalidSubnet.Range", f"The default VPC {vpc.id} has no free /{DEFAULT_PREFIX} range left.")


def answer_subnet(subnet: Subnet, view: RecordView) -> SubnetTypeDef:
    """A subnet as DescribeSubnets shows it."""
    return {
        "SubnetId": subnet.id,
        "SubnetArn": arn("ec2", f"subnet/{subnet.id}"),
        "VpcId": subnet.vpc_id,
        "OwnerId": ACCOUNT,
        "State": "available",
        "CidrBlock": subnet.cidr,
        "AvailabilityZone": subnet.zone,
        "AvailabilityZoneId": ZONES[subnet.zone],
        "AvailableIpAddressCount": free_address_count(view, subnet),
        "DefaultForAz": subnet.is_default,
        "MapPublicIpOnLaunch": subnet.maps_public_address,
        "MapCustomerOwnedIpOnLaunch": False,
        "AssignIpv6AddressOnCreation": False,
        "Ipv6CidrBlockAssociationSet": [],
        "Ipv6Native": False,
        "EnableDns64": False,
        "PrivateDnsNameOptionsOnLaunch": {
            "HostnameType": "ip-name",
            "EnableResourceNameDnsARecord": False,
            "EnableResourceNameDnsAAAARecord": False,
        },
        "Tags": answer_tags(subnet),
    }


class Subnets:
    """The operations on subnets."""

    @operation("CreateSubnet")
    def create(self, call: ControlCall, request: CreateSubnetRequestTypeDef) -> ResponseMembers:
        """Create a subnet in the given zone, by default in the zone with the fewest subnets of the VPC."""
        tx = call.transaction
        reject_unsupported(request, Ipv6CidrBlock="IPv6", Ipv6Native="IPv6", OutpostArn="Outposts", **NO_IPAM)
        vpc = find(tx, model.Vpc, request["VpcId"])
        zone = zone_named(name=request.get("AvailabilityZone"), id=request.get("AvailabilityZoneId"))
        present = subnets(tx, vpc.id)
        cidr = cidrs.subnet_range(
            needed(request, "CidrBlock"),
            within=[association.cidr for association in vpc.cidrs],
            beside=[subnet.cidr for subnet in present],
        )
        if len(present) >= MOST_SUBNETS:
            raise AwsError("SubnetLimitExceeded", "The maximum number of subnets has been reached.")
        subnet = create(tx, vpc, zone or _emptiest(present), cidr, tags=given_tags(request, Subnet))
        return {"Subnet": answer_subnet(subnet, tx)}

    @operation("CreateDefaultSubnet")
    def create_default(self, call: ControlCall, request: CreateDefaultSubnetRequestTypeDef) -> ResponseMembers:
        tx = call.transaction
        reject_unsupported(request, Ipv6Native="IPv6")
        zone = zone_named(name=request.get("AvailabilityZone"), id=request.get("AvailabilityZoneId"))
        if zone is None:
            raise AwsError("MissingParameter", "The request must contain the parameter availabilityZone or availabilityZoneId")
        vpc = default_vpc(tx)
        if vpc is None:
            raise AwsError("DefaultVpcDoesNotExist", "There is no default VPC for this account in this region.")
        for subnet in subnets(tx, vpc.id):
            if subnet.is_default and subnet.zone == zone:
                raise AwsError("DefaultSubnetAlreadyExistsInAvailabilityZone", f"'{subnet.id}' is already the default subnet in {zone}.")
        subnet = create(tx, vpc, zone, free_default_range(tx, vpc), is_default=True)
        return {"Subnet": answer_subnet(subnet, tx)}

    @operation("DeleteSubnet")
    def delete(self, call: ControlCall, request: DeleteSubnetRequestTypeDef) -> ResponseMembers:
        """Delete a subnet without interfaces, and its associations."""
        tx = call.transaction
        subnet = find(tx, Subnet, request["SubnetId"])
        if interfaces_in(tx, subnet.id):
            raise has_dependencies("subnet", subnet.id)
        associations.remove_subnet(tx, model.RouteTable, subnet)
        associations.remove_subnet(tx, model.NetworkAcl, subnet)
        tx.delete(Subnet, subnet.id)
        return {}

    @operation("DescribeSubnets")
    def describe(self, call: ControlCall, request: DescribeSubnetsRequestTypeDef) -> ResponseMembers:
        return _LISTING.describe(call, request, lambda subnet: answer_subnet(subnet, call.transaction))

    @operation("ModifySubnetAttribute")
    def modify(self, call: ControlCall, request: ModifySubnetAttributeRequestTypeDef) -> ResponseMembers:
        """Change `MapPublicIpOnLaunch`; a change of any other attribute is rejected."""
        given = [name for name in request if name != "SubnetId"]
        if not given:
            raise AwsError("MissingParameter", "The request must contain an attribute to modify")
        if len(given) > 1:
            raise AwsError("InvalidParameterCombination", f"Fields for multiple attribute types specified: {', '.join(sorted(given))}")
        subnet = find(call.transaction, Subnet, request["SubnetId"])
        _reject_attributes(request)
        if "MapPublicIpOnLaunch" in request:
            wanted = bool(request["MapPublicIpOnLaunch"].get("Value"))
            call.transaction.put(replace(subnet, maps_public_address=wanted))
        return {}


def _reject_attributes(request: ModifySubnetAttributeRequestTypeDef) -> None:
    reject_unsupported(
        {
            "AssignIpv6AddressOnCreation": request.get("AssignIpv6AddressOnCreation", {}).get("Value"),
            "EnableDns64": request.get("EnableDns64", {}).get("Value"),
            "MapCustomerOwnedIpOnLaunch": request.get("MapCustomerOwnedIpOnLaunch", {}).get("Value"),
            "CustomerOwnedIpv4Pool": request.get("CustomerOwnedIpv4Pool"),
            "EnableResourceNameDnsARecordOnLaunch": request.get("EnableResourceNameDnsARecordOnLaunch", {}).get("Value"),
            "EnableResourceNameDnsAAAARecordOnLaunch": request.get("EnableResourceNameDnsAAAARecordOnLaunch", {}).get("Value"),
            "PrivateDnsHostnameTypeOnLaunch": request.get("PrivateDnsHostnameTypeOnLaunch", "ip-name") != "ip-name",
            "EnableLniAtDeviceIndex": request.get("EnableLniAtDeviceIndex"),
        },
        AssignIpv6AddressOnCreation="IPv6",
        EnableDns64="IPv6",
        MapCustomerOwnedIpOnLaunch="Outposts",
        CustomerOwnedIpv4Pool="Outposts",
        EnableResourceNameDnsARecordOnLaunch="resource names",
        EnableResourceNameDnsAAAARecordOnLaunch="resource names",
        PrivateDnsHostnameTypeOnLaunch="resource names",
        EnableLniAtDeviceIndex="Outposts",
    )


def _emptiest(present: list[Subnet]) -> str:
    return min(ZONES, key=lambda zone: (sum(subnet.zone == zone for subnet in present), zone))
