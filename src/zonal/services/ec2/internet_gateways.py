"""Internet gateways: a VPC's connection to the internet.

A gateway is attached to at most one VPC, and a VPC has at most one gateway. It translates public addresses one to one. A subnet is
public if its route table has a route to the gateway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import ACCOUNT, resource_id
from zonal.records.store import Transaction
from zonal.services.ec2 import model
from zonal.services.ec2.addresses import has_public_addresses
from zonal.services.ec2.listing import Listing
from zonal.services.ec2.lookups import find, gateway_of, has_dependencies
from zonal.services.ec2.model import InternetGateway
from zonal.services.ec2.tags import answer_tags, given_tags
from zonal.services.operation import ControlCall, ResponseMembers, operation

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import (
        AttachInternetGatewayRequestTypeDef,
        CreateInternetGatewayRequestTypeDef,
        DeleteInternetGatewayRequestTypeDef,
        DescribeInternetGatewaysRequestTypeDef,
        DetachInternetGatewayRequestTypeDef,
        InternetGatewayTypeDef,
    )

MOST_GATEWAYS = 5
"""AWS's default quota of internet gateways in a region."""

_LISTING = Listing(
    InternetGateway,
    ids="InternetGatewayIds",
    id="InternetGatewayId",
    answers="InternetGateways",
    paths={
        "attachment.state": "Attachments.State",
        "attachment.vpc-id": "Attachments.VpcId",
        "internet-gateway-id": "InternetGatewayId",
        "owner-id": "OwnerId",
    },
)


def create(transaction: Transaction, *, vpc_id: str | None = None, tags: dict[str, str] | None = None) -> InternetGateway:
    """Create a gateway, attached to a VPC or detached."""
    gateway = InternetGateway(id=resource_id("igw"), vpc_id=vpc_id, tags=tags or {})
    transaction.put(gateway)
    return gateway


def answer_gateway(gateway: InternetGateway) -> InternetGatewayTypeDef:
    """A gateway as DescribeInternetGateways shows it. EC2 returns `available` for an attachment's state, which its model lacks."""
    return {
        "InternetGatewayId": gateway.id,
        "OwnerId": ACCOUNT,
        "Attachments": [{"VpcId": gateway.vpc_id, "State": "available"}] if gateway.vpc_id else [],  # type: ignore[typeddict-item]
        "Tags": answer_tags(gateway),
    }


class InternetGateways:
    """The operations on internet gateways."""

    @operation("CreateInternetGateway")
    def create(self, call: ControlCall, request: CreateInternetGatewayRequestTypeDef) -> ResponseMembers:
        if len(call.transaction.select(InternetGateway)) >= MOST_GATEWAYS:
            raise AwsError("InternetGatewayLimitExceeded", "The maximum number of internet gateways has been reached.")
        gateway = create(call.transaction, tags=given_tags(request, InternetGateway))
        return {"InternetGateway": answer_gateway(gateway)}

    @operation("AttachInternetGateway")
    def attach(self, call: ControlCall, request: AttachInternetGatewayRequestTypeDef) -> ResponseMembers:
        tx = call.transaction
        gateway = find(tx, InternetGateway, request["InternetGatewayId"])
        vpc = find(tx, model.Vpc, request["VpcId"])
        if gateway.vpc_id is not None:
            raise AwsError("Resource.AlreadyAssociated", f"resource {gateway.id} is already attached to network {gateway.vpc_id}")
        if gateway_of(tx, vpc.id) is not None:
            raise AwsError("InvalidParameterValue", f"Network {vpc.id} already has an internet gateway attached")
        tx.put(replace(gateway, vpc_id=vpc.id))
        return {}

    @operation("DetachInternetGateway")
    def detach(self, call: ControlCall, request: DetachInternetGatewayRequestTypeDef) -> ResponseMembers:
        tx = call.transaction
        gateway = find(tx, InternetGateway, request["InternetGatewayId"])
        vpc = find(tx, model.Vpc, request["VpcId"])
        if gateway.vpc_id != vpc.id:
            raise AwsError("Gateway.NotAttached", f"resource {gateway.id} is not attached to network {vpc.id}")
        if has_public_addresses(tx, vpc.id):
            raise AwsError(
                "DependencyViolation",
                f"Network {vpc.id} has some mapped public address(es). Please unmap those public address(es) before detaching the gateway.",
            )
        tx.put(replace(gateway, vpc_id=None))
        return {}

    @operation("DeleteInternetGateway")
    def delete(self, call: ControlCall, request: DeleteInternetGatewayRequestTypeDef) -> ResponseMembers:
        gateway = find(call.transaction, InternetGateway, request["InternetGatewayId"])
        if gateway.vpc_id is not None:
            raise has_dependencies("internetGateway", gateway.id)
        call.transaction.delete(InternetGateway, gateway.id)
        return {}

    @operation("DescribeInternetGateways")
    def describe(self, call: ControlCall, request: DescribeInternetGatewaysRequestTypeDef) -> ResponseMembers:
        return _LISTING.describe(call, request, answer_gateway)
