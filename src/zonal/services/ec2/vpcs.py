"""VPCs: creation with their initial resources, deletion, attributes, and additional CIDR blocks.

A new VPC has a main route table, a default network ACL, a default security group and the account's default DHCP options. It can be
deleted when it contains nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec.structs import replace

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import ACCOUNT, resource_id
from zonal.records.record_view import RecordView
from zonal.records.store import Transaction
from zonal.services.ec2 import cidrs, dhcp_options, model, network_acls, route_tables, security_groups
from zonal.services.ec2.listing import NO_IPAM, Listing, reject_unsupported
from zonal.services.ec2.lookups import find, gateway_of, has_dependencies, subnets
from zonal.services.ec2.model import CidrAssociation, FabricNetwork, Vpc
from zonal.services.ec2.tags import answer_tags, given_tags
from zonal.services.operation import ControlCall, ResponseMembers, operation

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import (
        AssociateVpcCidrBlockRequestTypeDef,
        CreateVpcRequestTypeDef,
        DeleteVpcRequestTypeDef,
        DescribeVpcAttributeRequestTypeDef,
        DescribeVpcsRequestTypeDef,
        DisassociateVpcCidrBlockRequestTypeDef,
        ModifyVpcAttributeRequestTypeDef,
        VpcTypeDef,
    )

MOST_VPCS = 5
MOST_RANGES = 5
"""AWS's default quotas: VPCs in a region, ranges of a VPC."""

_NO_IPV6_RANGES = {
    "Ipv6Pool": "IPv6",
    "Ipv6CidrBlock": "IPv6",
    "AmazonProvidedIpv6CidrBlock": "IPv6",
    "Ipv6CidrBlockNetworkBorderGroup": "IPv6",
}

_ATTRIBUTES = {
    "enableDnsSupport": ("EnableDnsSupport", "dns_support"),
    "enableDnsHostnames": ("EnableDnsHostnames", "dns_hostnames"),
    "enableNetworkAddressUsageMetrics": ("EnableNetworkAddressUsageMetrics", "address_usage_metrics"),
}

_LISTING = Listing(
    Vpc,
    ids="VpcIds",
    id="VpcId",
    answers="Vpcs",
    paths={
        "cidr": "CidrBlock",
        "cidr-block": "CidrBlock",
        "cidrBlock": "CidrBlock",
        "cidr-block-association.cidr-block": "CidrBlockAssociationSet.CidrBlock",
        "cidr-block-association.association-id": "CidrBlockAssociationSet.AssociationId",
        "cidr-block-association.state": "CidrBlockAssociationSet.CidrBlockState.State",
        "dhcp-options-id": "DhcpOptionsId",
        "dhcpOptionsId": "DhcpOptionsId",
        "ipv6-cidr-block-association.ipv6-cidr-block": "Ipv6CidrBlockAssociationSet.Ipv6CidrBlock",
        "ipv6-cidr-block-association.ipv6-pool": "Ipv6CidrBlockAssociationSet.Ipv6Pool",
        "ipv6-cidr-block-association.association-id": "Ipv6CidrBlockAssociationSet.AssociationId",
        "ipv6-cidr-block-association.state": "Ipv6CidrBlockAssociationSet.Ipv6CidrBlockState.State",
        "is-default": "IsDefault",
        "isDefault": "IsDefault",
        "owner-id": "OwnerId",
        "state": "State",
        "vpc-id": "VpcId",
    },
)


def create(transaction: Transaction, cidr: str, *, is_default: bool = False, tags: dict[str, str] | None = None) -> Vpc:
    """Create a VPC with its initial resources."""
    vpc = Vpc(
        id=resource_id("vpc"),
        cidrs=(CidrAssociation(resource_id("vpc-cidr-assoc"), cidr),),
        dhcp_options_id=dhcp_options.standard(transaction).id,
        is_default=is_default,
        dns_hostnames=is_default,
        tags=tags or {},
    )
    transaction.put(vpc)
    transaction.put(FabricNetwork(id=vpc.id))
    route_tables.create(transaction, vpc, is_main=True)
    network_acls.create(transaction, vpc.id, is_default=True)
    security_groups.create_default(transaction, vpc.id)
    return vpc


def answer_vpc(vpc: Vpc) -> VpcTypeDef:
    """A VPC as DescribeVpcs shows it."""
    return {
        "VpcId": vpc.id,
        "OwnerId": ACCOUNT,
        "State": "available",
        "CidrBlock": vpc.cidrs[0].cidr,
        "CidrBlockAssociationSet": [
            {"AssociationId": each.id, "CidrBlock": each.cidr, "CidrBlockState": {"State": "associated"}} for each in vpc.cidrs
        ],
        "DhcpOptionsId": vpc.dhcp_options_id,
        "InstanceTenancy": "default",
        "IsDefault": vpc.is_default,
        "Ipv6CidrBlockAssociationSet": [],
        "Tags": answer_tags(vpc),
    }


class Vpcs:
    """The operations on VPCs."""

    @operation("CreateVpc")
    def create(self, call: ControlCall, request: CreateVpcRequestTypeDef) -> ResponseMembers:
        tx = call.transaction
        reject_unsupported(request, **_NO_IPV6_RANGES, **NO_IPAM, VpcEncryptionControl="encryption controls")
        if request.get("InstanceTenancy", "default") != "default":
            raise AwsError(
                "InvalidParameterValue", "The instance tenancy must be default: zonal has no dedicated hardware; see docs/limits.md"
            )
        cidr = cidrs.vpc_range(_given_range(request))
        tags = given_tags(request, Vpc)
        check_quota(tx)
        return {"Vpc": answer_vpc(create(tx, cidr, tags=tags))}

    @operation("DeleteVpc")
    def delete(self, call: ControlCall, request: DeleteVpcRequestTypeDef) -> ResponseMembers:
        """Delete an empty VPC with its initial resources. The fabric removes its network afterwards (`model.FabricNetwork`)."""
        tx = call.transaction
        vpc = find(tx, Vpc, request["VpcId"])
        if _dependencies(tx, vpc):
            raise has_dependencies("vpc", vpc.id)
        for table in tx.lookup(model.RouteTable, "vpc_id", vpc.id):
            tx.delete(model.RouteTable, table.id)
        for acl in tx.lookup(model.NetworkAcl, "vpc_id", vpc.id):
            tx.delete(model.NetworkAcl, acl.id)
        for group in tx.lookup(model.SecurityGroup, "vpc_id", vpc.id):
            security_groups.remove(tx, group.id)
        tx.delete(Vpc, vpc.id)
        return {}

    @operation("DescribeVpcs")
    def describe(self, call: ControlCall, request: DescribeVpcsRequestTypeDef) -> ResponseMembers:
        return _LISTING.describe(call, request, answer_vpc)

    @operation("DescribeVpcAttribute")
    def describe_attribute(self, call: ControlCall, request: DescribeVpcAttributeRequestTypeDef) -> ResponseMembers:
        vpc = find(call.transaction, Vpc, request["VpcId"])
        if request["Attribute"] not in _ATTRIBUTES:
            raise AwsError(
                "InvalidParameterValue", f"Value ({request['Attribute']}) for parameter attribute is invalid. Unknown attribute."
            )
        member, field = _ATTRIBUTES[request["Attribute"]]
        return {"VpcId": vpc.id, member: {"Value": getattr(vpc, field)}}

    @operation("ModifyVpcAttribute")
    def modify_attribute(self, call: ControlCall, request: ModifyVpcAttributeRequestTypeDef) -> ResponseMembers:
        """Change one attribute: "You can't modify DNS resolution and DNS hostnames in the same request" (ModifyVpcAttribute)."""
        vpc = find(call.transaction, Vpc, request["VpcId"])
        given = {member: request.get(member) for member, _ in _ATTRIBUTES.values() if request.get(member) is not None}
        if not given:
            raise AwsError("MissingParameter", "The request must contain an attribute to modify")
        if len(given) > 1:
            names = ", ".join(name for name, (member, _) in _ATTRIBUTES.items() if member in given)
            raise AwsError("InvalidParameterCombination", f"Fields for multiple attribute types specified: {names}")
        if "EnableDnsSupport" in request:
            vpc = replace(vpc, dns_support=bool(request["EnableDnsSupport"].get("Value")))
        elif "EnableDnsHostnames" in request:
            vpc = replace(vpc, dns_hostnames=bool(request["EnableDnsHostnames"].get("Value")))
        elif request["EnableNetworkAddressUsageMetrics"].get("Value"):
            raise AwsError(
                "InvalidParameterValue", "The parameter enableNetworkAddressUsageMetrics is not supported: zonal has no CloudWatch"
            )
        call.transaction.put(vpc)
        return {}

    @operation("AssociateVpcCidrBlock")
    def associate_range(self, call: ControlCall, request: AssociateVpcCidrBlockRequestTypeDef) -> ResponseMembers:
        tx = call.transaction
        reject_unsupported(request, **_NO_IPV6_RANGES, **NO_IPAM)
        vpc = find(tx, Vpc, request["VpcId"])
        cidr = cidrs.further_vpc_range(_given_range(request), [each.cidr for each in vpc.cidrs])
        if len(vpc.cidrs) >= MOST_RANGES:
            raise AwsError("CidrLimitExceeded", f"This network '{vpc.id}' has met its maximum number of allowed CIDRs: {MOST_RANGES}")
        association = CidrAssociation(resource_id("vpc-cidr-assoc"), cidr)
        _check_routes_allow(tx, vpc, cidr)
        tx.put(replace(vpc, cidrs=(*vpc.cidrs, association)))
        route_tables.add_range(tx, vpc.id, cidr)
        return _answer_association(vpc, association, "associating")

    @operation("DisassociateVpcCidrBlock")
    def disassociate_range(self, call: ControlCall, request: DisassociateVpcCidrBlockRequestTypeDef) -> ResponseMembers:
        tx = call.transaction
        vpc, association = _association(tx, request["AssociationId"])
        if association is vpc.cidrs[0]:
            raise AwsError(
                "OperationNotPermitted",
                f"The vpc CIDR block with association ID {association.id} may not be disassociated. It is the primary IPv4 CIDR block"
                " of the VPC",
            )
        if any(cidrs.contains(association.cidr, subnet.cidr) for subnet in subnets(tx, vpc.id)):
            raise AwsError(
                "DependencyViolation",
                f"The vpc CIDR block with association ID {association.id} has dependencies and cannot be disassociated.",
            )
        tx.put(replace(vpc, cidrs=tuple(each for each in vpc.cidrs if each is not association)))
        route_tables.remove_range(tx, vpc.id, association.cidr)
        return _answer_association(vpc, association, "disassociating")


def _given_range(request: Mapping[str, object]) -> str:
    """The IPv4 range that a request gives. Raises `MissingParameter`."""
    if not request.get("CidrBlock"):
        raise AwsError("MissingParameter", "Either 'cidrBlock' or 'ipv4IpamPoolId' should be provided.")
    return str(request["CidrBlock"])


def check_quota(view: RecordView) -> None:
    """Raises `VpcLimitExceeded` if the account has reached its quota of VPCs."""
    if len(view.select(Vpc)) >= MOST_VPCS:
        raise AwsError("VpcLimitExceeded", "The maximum number of VPCs has been reached.")


def _dependencies(view: RecordView, vpc: Vpc) -> bool:
    """Whether a VPC contains anything but its initial resources."""
    return bool(
        subnets(view, vpc.id)
        or gateway_of(view, vpc.id)
        or view.lookup(model.NetworkInterface, "vpc_id", vpc.id)
        or any(group.name != "default" for group in view.lookup(model.SecurityGroup, "vpc_id", vpc.id))
        or any(not table.is_main for table in view.lookup(model.RouteTable, "vpc_id", vpc.id))
        or any(not acl.is_default for acl in view.lookup(model.NetworkAcl, "vpc_id", vpc.id))
    )


def _check_routes_allow(view: RecordView, vpc: Vpc, cidr: str) -> None:
    """Raises if a new range equals or contains the destination of a route ("VPC CIDR blocks" in the VPC User Guide)."""
    for table in view.lookup(model.RouteTable, "vpc_id", vpc.id):
        for route in table.routes:
            if route.target != route_tables.LOCAL and cidrs.contains(cidr, route.cidr):
                raise AwsError("InvalidVpc.Range", f"The CIDR '{cidr}' conflicts with the route to {route.cidr} in {table.id}.")


def _association(view: RecordView, id: str) -> tuple[Vpc, CidrAssociation]:
    for vpc in view.select(Vpc):
        for association in vpc.cidrs:
            if association.id == id:
                return vpc, association
    raise AwsError("InvalidVpcCidrBlockAssociationID.NotFound", f"The vpc CIDR block association ID '{id}' does not exist")


def _answer_association(vpc: Vpc, association: CidrAssociation, state: str) -> ResponseMembers:
    shown = {"AssociationId": association.id, "CidrBlock": association.cidr, "CidrBlockState": {"State": state}}
    return {"VpcId": vpc.id, "CidrBlockAssociation": shown}
