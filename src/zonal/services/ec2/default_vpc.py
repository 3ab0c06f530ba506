"""The default VPC: the network that a fresh AWS account finds in each region.

172.31.0.0/16 with a /20 default subnet in every zone, an internet gateway, and a main route table with a route to it, so that resources
created without a network are in a public subnet ("Default VPCs" in the Amazon VPC User Guide). `bootstrap` creates it once, in a new
store; after it has been deleted, CreateDefaultVpc creates another.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from zonal.foundation.errors import AwsError
from zonal.records.store import Transaction
from zonal.services.ec2 import internet_gateways, route_tables, subnets, vpcs
from zonal.services.ec2.availability_zones import ZONES
from zonal.services.ec2.lookups import default_vpc, main_route_table
from zonal.services.ec2.model import RegionDefaults, RouteEntry, Vpc
from zonal.services.operation import ControlCall, ResponseMembers, operation

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import CreateDefaultVpcRequestTypeDef

RANGE = "172.31.0.0/16"


def bootstrap(transaction: Transaction, now: datetime) -> None:
    """Create the default VPC of a new region. Does nothing if this was done before, even if the VPC has been deleted since."""
    if transaction.get(RegionDefaults, "account") is not None:
        return
    transaction.put(RegionDefaults(id="account", made=now))
    vpc = create(transaction)
    transaction.note("vpc.default_created", vpc.id, cidr=RANGE)


def create(transaction: Transaction) -> Vpc:
    """Create a default VPC with its subnets and gateway."""
    vpc = vpcs.create(transaction, RANGE, is_default=True)
    gateway = internet_gateways.create(transaction, vpc_id=vpc.id)
    route_tables.add_route(transaction, main_route_table(transaction, vpc.id).id, RouteEntry("0.0.0.0/0", gateway.id))
    for zone in ZONES:
        subnets.create(transaction, vpc, zone, subnets.free_default_range(transaction, vpc), is_default=True)
    return vpc


class DefaultVpc:
    """CreateDefaultVpc."""

    @operation("CreateDefaultVpc")
    def create(self, call: ControlCall, request: CreateDefaultVpcRequestTypeDef) -> ResponseMembers:
        if default_vpc(call.transaction) is not None:
            raise AwsError("DefaultVpcAlreadyExists", "A Default VPC already exists for this account in this region.")
        vpcs.check_quota(call.transaction)
        return {"Vpc": vpcs.answer_vpc(create(call.transaction))}
