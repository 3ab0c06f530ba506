"""NAT gateways: outbound connections of private subnets.

A NAT gateway has an interface in a subnet and replaces the source address of packets that are routed to it by its own. A public one
reaches the internet through an elastic address; a private one uses its private address. It becomes `available` only after the fabric has
configured it; `vpc_reconciler` fires the lifecycle's events. A deleted one is described for another hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msgspec.structs import replace

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import resource_id
from zonal.records.lifecycle import Lifecycle, LifecycleRow
from zonal.records.record_view import RecordView
from zonal.records.store import Transaction
from zonal.services.ec2 import addresses, network_interfaces
from zonal.services.ec2.idempotency import once
from zonal.services.ec2.listing import Listing, needed, reject_unsupported
from zonal.services.ec2.lookups import find, gateway_of
from zonal.services.ec2.model import ElasticAddress, NatAddress, NatGateway, Subnet
from zonal.services.ec2.tags import answer_tags, given_tags
from zonal.services.operation import ControlCall, ResponseMembers, operation

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import (
        CreateNatGatewayRequestTypeDef,
        DeleteNatGatewayRequestTypeDef,
        DescribeNatGatewaysRequestTypeDef,
        NatGatewayAddressTypeDef,
        NatGatewayTypeDef,
    )

LIFECYCLE = Lifecycle(
    "NAT gateway",
    initial="pending",
    ends={"deleted"},
    rows=[
        LifecycleRow("pending", "forwards", "available", "the fabric has applied a plan that contains it"),
        LifecycleRow("pending", "fail", "failed", "a public one needs an internet gateway in its VPC"),
        LifecycleRow("pending", "delete", "deleting", "DeleteNatGateway"),
        LifecycleRow("available", "delete", "deleting", "DeleteNatGateway"),
        LifecycleRow("failed", "delete", "deleting", "DeleteNatGateway"),
        LifecycleRow("failed", "expire", "deleted", "AWS removes failed ones after about an hour"),
        LifecycleRow("deleting", "removed", "deleted", "the fabric has applied a plan without it"),
    ],
)

SHOWN_AFTER_DELETION = timedelta(hours=1)
MOST_IN_ZONE = 5
"""AWS's default quota of NAT gateways in a zone."""

_LISTING = Listing(
    NatGateway,
    ids="NatGatewayIds",
    id="NatGatewayId",
    answers="NatGateways",
    filters_in="Filter",
    paths={"nat-gateway-id": "NatGatewayId", "state": "State", "subnet-id": "SubnetId", "vpc-id": "VpcId"},
)


def in_vpc(view: RecordView, vpc_id: str) -> list[NatGateway]:
    return view.lookup(NatGateway, "vpc_id", vpc_id)


def became_available(transaction: Transaction, nat: NatGateway) -> None:
    """Record that the fabric has configured it."""
    transaction.put(replace(nat, state=LIFECYCLE.next(nat.state, "forwards")))
    transaction.note("nat_gateway.available", nat.id)


def failed(transaction: Transaction, nat: NatGateway, *, now: datetime) -> None:
    """Record that it cannot be created, with the reason; its interface is deleted and its elastic address released for other use."""
    network_interfaces.delete(transaction, nat.interface_id)
    message = f"Network {nat.vpc_id} has no Internet gateway attached"
    transaction.put(
        replace(
            nat,
            state=LIFECYCLE.next(nat.state, "fail"),
            failure_code="Gateway.NotAttached",
            failure_message=message,
            deleted=now,
        )
    )
    transaction.note("nat_gateway.failed", nat.id, reason=message)


def removed(transaction: Transaction, nat: NatGateway, *, now: datetime) -> None:
    """Record that the fabric has removed it; its interface is deleted and its elastic address released for other use."""
    network_interfaces.delete(transaction, nat.interface_id)
    transaction.put(replace(nat, state=LIFECYCLE.next(nat.state, "removed"), deleted=now))
    transaction.note("nat_gateway.deleted", nat.id)


def has_expired(nat: NatGateway, now: datetime) -> bool:
    """Whether a deleted or failed one is past the time for which it is described."""
    return nat.state in ("deleted", "failed") and nat.deleted is not None and now - nat.deleted > SHOWN_AFTER_DELETION


def answer_nat(nat: NatGateway) -> NatGatewayTypeDef:
    """A NAT gateway as DescribeNatGateways shows it."""
    shown: NatGatewayTypeDef = {
        "NatGatewayId": nat.id,
        "VpcId": nat.vpc_id,
        "SubnetId": nat.subnet_id,
        "State": nat.state,  # type: ignore[typeddict-item]
        "CreateTime": nat.created,
        "ConnectivityType": nat.connectivity,  # type: ignore[typeddict-item]
        "AvailabilityMode": "zonal",
        "NatGatewayAddresses": [_answer_address(nat, each, is_primary=each is nat.addresses[0]) for each in nat.addresses],
        "Tags": answer_tags(nat),
    }
    if nat.deleted is not None and nat.state == "deleted":
        shown["DeleteTime"] = nat.deleted
    if nat.failure_code is not None and nat.failure_message is not None:
        shown["FailureCode"], shown["FailureMessage"] = nat.failure_code, nat.failure_message
    return shown


def _answer_address(nat: NatGateway, address: NatAddress, *, is_primary: bool) -> NatGatewayAddressTypeDef:
    shown: NatGatewayAddressTypeDef = {
        "NetworkInterfaceId": nat.interface_id,
        "PrivateIp": address.private,
        "IsPrimary": is_primary,
        "Status": "failed" if nat.state == "failed" else "succeeded",
    }
    if address.public and address.allocation_id:
        shown["PublicIp"], shown["AllocationId"] = address.public, address.allocation_id
    if address.association_id:
        shown["AssociationId"] = address.association_id
    return shown


class NatGateways:
    """The operations on NAT gateways."""

    @operation("CreateNatGateway")
    def create(self, call: ControlCall, request: CreateNatGatewayRequestTypeDef) -> ResponseMembers:
        reject_unsupported(
            request,
            SecondaryAllocationIds="secondary addresses of NAT gateways",
            SecondaryPrivateIpAddresses="secondary addresses of NAT gateways",
            SecondaryPrivateIpAddressCount="secondary addresses of NAT gateways",
            AvailabilityZoneAddresses="regional NAT gateways",
            VpcId="regional NAT gateways",
        )
        if request.get("AvailabilityMode", "zonal") != "zonal":
            raise AwsError(
                "InvalidParameterValue",
                "The availability mode regional is not supported: zonal's NAT gateways are zonal; see docs/limits.md",
            )
        nat = once(call, request, NatGateway, lambda: _create(call, request))
        return {"NatGateway": answer_nat(nat), "ClientToken": request.get("ClientToken", "")}

    @operation("DeleteNatGateway")
    def delete(self, call: ControlCall, request: DeleteNatGatewayRequestTypeDef) -> ResponseMembers:
        """Start a deletion; the interface and addresses are released when the state is `deleted`. A repeated call changes nothing."""
        tx = call.transaction
        nat = find(tx, NatGateway, request["NatGatewayId"])
        if nat.state == "deleted":
            raise AwsError("NatGatewayNotFound", f"The Nat Gateway {nat.id} was not found")
        if LIFECYCLE.allows(nat.state, "delete"):
            tx.put(replace(nat, state=LIFECYCLE.next(nat.state, "delete")))
            tx.note("nat_gateway.deleting", nat.id)
        return {"NatGatewayId": nat.id}

    @operation("DescribeNatGateways")
    def describe(self, call: ControlCall, request: DescribeNatGatewaysRequestTypeDef) -> ResponseMembers:
        return _LISTING.describe(call, request, answer_nat, where=lambda nat: not has_expired(nat, call.now))


def _create(call: ControlCall, request: CreateNatGatewayRequestTypeDef) -> NatGateway:
    tx = call.transaction
    tags = given_tags(request, NatGateway)
    subnet = find(tx, Subnet, needed(request, "SubnetId"))
    connectivity = request.get("ConnectivityType", "public")
    elastic = _elastic_address(tx, request, connectivity)
    living = [nat for nat in in_vpc(tx, subnet.vpc_id) if nat.state in ("pending", "available", "deleting")]
    if sum(tx.require(Subnet, nat.subnet_id).zone == subnet.zone for nat in living) >= MOST_IN_ZONE:
        raise AwsError("NatGatewayLimitExceeded", f"Performing this operation would exceed the limit of {MOST_IN_ZONE} NAT gateways")
    id = resource_id("nat")
    interface = network_interfaces.create_managed(
        tx,
        subnet,
        (),
        requester="amazon-vpc-nat",
        description=f"Interface for NAT Gateway {id}",
        interface_type="nat_gateway",
        private_address=request.get("PrivateIpAddress"),
    )
    address = NatAddress(interface.addresses[0])
    # Without an internet gateway the address is not associated; the reconciler then sets the state `failed`, as AWS does.
    if elastic is not None and gateway_of(tx, subnet.vpc_id) is not None:
        tied = addresses.associate(tx, elastic, interface, interface.addresses[0])
        address = NatAddress(interface.addresses[0], elastic.address, elastic.id, tied.association_id)
    elif elastic is not None:
        address = NatAddress(interface.addresses[0], elastic.address, elastic.id)
    nat = NatGateway(
        id=id,
        vpc_id=subnet.vpc_id,
        subnet_id=subnet.id,
        interface_id=interface.id,
        connectivity=connectivity,
        state=LIFECYCLE.initial,
        created=call.now,
        addresses=(address,),
        tags=tags,
    )
    tx.put(nat)
    tx.note("nat_gateway.pending", nat.id, subnet=subnet.id)
    return nat


def _elastic_address(view: RecordView, request: Mapping[str, object], connectivity: str) -> ElasticAddress | None:
    """The elastic address of a public NAT gateway, None for a private one. Raises `AwsError`."""
    id = request.get("AllocationId")
    if connectivity == "private":
        if id:
            raise AwsError("InvalidParameterCombination", "The parameter AllocationId cannot be used with connectivity type private")
        return None
    if connectivity != "public":
        raise AwsError("InvalidParameterValue", f"Value ({connectivity}) for parameter connectivityType is invalid.")
    if not id:
        raise AwsError(
            "MissingParameter", "The request must include the AllocationId parameter. Add the required parameter and retry the request."
        )
    address = find(view, ElasticAddress, str(id))
    if address.association_id is not None:
        raise AwsError("Resource.AlreadyAssociated", f"Elastic IP address [{address.id}] is already associated")
    return address
