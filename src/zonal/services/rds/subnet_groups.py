"""DB subnet groups: the subnets, in at least two zones, in which a DB instance's nodes may be placed.

A group named `default` with the default subnets of the default VPC is created with the first instance that names no group, as in
AWS ("Working with DB subnet groups" in the RDS User Guide).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from zonal.foundation.errors import AwsError
from zonal.records.record_view import RecordView
from zonal.records.store import Transaction
from zonal.services.common.subnet_groups import SubnetGroupRules, in_order
from zonal.services.ec2.lookups import default_vpc, subnets
from zonal.services.ec2.model import Subnet
from zonal.services.operation import ControlCall, ResponseMembers, operation
from zonal.services.rds.lookups import filters, find_subnet_group, page
from zonal.services.rds.model import DbInstance, SubnetGroup
from zonal.services.rds.tags import merged

if TYPE_CHECKING:
    from types_boto3_rds.type_defs import (
        CreateDBSubnetGroupMessageTypeDef,
        DBSubnetGroupTypeDef,
        DeleteDBSubnetGroupMessageTypeDef,
        DescribeDBSubnetGroupsMessageTypeDef,
        ModifyDBSubnetGroupMessageTypeDef,
    )

DEFAULT = "default"
RULES = SubnetGroupRules(
    "DB subnet group", quota="DBSubnetQuotaExceededFault", coverage="DBSubnetGroupDoesNotCoverEnoughAZs", in_use="SubnetAlreadyInUse"
)
_NAME = re.compile(r"[a-zA-Z][\w .-]{0,254}", re.ASCII)


def subnets_of(view: RecordView, group: SubnetGroup) -> list[Subnet]:
    """The group's subnets that exist, in the order of their zones."""
    return in_order(group.subnet_ids, lambda id: view.get(Subnet, id))


def default_group(transaction: Transaction) -> SubnetGroup:
    """The group `default`, created if it does not exist. Raises `DBSubnetGroupNotFoundFault` where there is no default VPC."""
    group = transaction.get(SubnetGroup, DEFAULT)
    if group is not None:
        return group
    vpc = default_vpc(transaction)
    if vpc is None:
        raise AwsError(
            "DBSubnetGroupNotFoundFault",
            "No default subnet detected in VPC. Please contact AWS Support to recreate default Subnets.",
            status=404,
        )
    chosen = [subnet for subnet in subnets(transaction, vpc.id) if subnet.is_default]
    RULES.check_coverage(chosen)
    group = SubnetGroup(id=DEFAULT, description=DEFAULT, vpc_id=vpc.id, subnet_ids=tuple(subnet.id for subnet in chosen))
    transaction.put(group)
    return group


def answer_group(view: RecordView, group: SubnetGroup) -> DBSubnetGroupTypeDef:
    """A group as DescribeDBSubnetGroups answers it."""
    return {
        "DBSubnetGroupName": group.id,
        "DBSubnetGroupDescription": group.description,
        "VpcId": group.vpc_id,
        "SubnetGroupStatus": "Complete",
        "Subnets": [
            {
                "SubnetIdentifier": subnet.id,
                "SubnetAvailabilityZone": {"Name": subnet.zone},
                "SubnetOutpost": {},
                "SubnetStatus": "Active",
            }
            for subnet in subnets_of(view, group)
        ],
        "DBSubnetGroupArn": group.arn,
        "SupportedNetworkTypes": ["IPV4"],
    }


class SubnetGroups:
    """The operations on DB subnet groups."""

    @operation("CreateDBSubnetGroup")
    def create(self, call: ControlCall, request: CreateDBSubnetGroupMessageTypeDef) -> ResponseMembers:
        name = request["DBSubnetGroupName"]
        if not _NAME.fullmatch(name):
            raise AwsError(
                "InvalidParameterValue",
                f"The parameter DBSubnetGroupName is not valid: {name}. It must begin with a letter and contain only letters, numbers,"
                " periods, underscores, spaces, or hyphens, at most 255.",
            )
        if name.lower() == DEFAULT:
            raise AwsError("InvalidParameterValue", "The DB subnet group name 'default' is reserved.")
        if call.transaction.get(SubnetGroup, name.lower()) is not None:
            raise AwsError("DBSubnetGroupAlreadyExists", f"The DB subnet group '{name}' already exists.")
        chosen = _chosen(call.transaction, request["SubnetIds"])
        group = SubnetGroup(
            id=name.lower(),
            description=request["DBSubnetGroupDescription"],
            vpc_id=chosen[0].vpc_id,
            subnet_ids=tuple(subnet.id for subnet in chosen),
            tags=merged({}, request.get("Tags") or ()),
        )
        call.transaction.put(group)
        return {"DBSubnetGroup": answer_group(call.transaction, group)}

    @operation("DescribeDBSubnetGroups")
    def describe(self, call: ControlCall, request: DescribeDBSubnetGroupsMessageTypeDef) -> ResponseMembers:
        filters(request, ())
        tx = call.transaction
        named = request.get("DBSubnetGroupName")
        groups = [find_subnet_group(tx, named)] if named else tx.select(SubnetGroup)
        return page(groups, request, "DBSubnetGroups", lambda group: group.id, lambda group: answer_group(tx, group))

    @operation("ModifyDBSubnetGroup")
    def modify(self, call: ControlCall, request: ModifyDBSubnetGroupMessageTypeDef) -> ResponseMembers:
        tx = call.transaction
        group = find_subnet_group(tx, request["DBSubnetGroupName"])
        chosen = _chosen(tx, request["SubnetIds"])
        if chosen[0].vpc_id != group.vpc_id:
            raise AwsError("InvalidParameterValue", "The new Subnets are not in the same Vpc as the existing subnet group")
        _check_free(tx, group, {subnet.id for subnet in chosen})
        description = request.get("DBSubnetGroupDescription") or group.description
        group = replace(group, description=description, subnet_ids=tuple(subnet.id for subnet in chosen))
        tx.put(group)
        return {"DBSubnetGroup": answer_group(tx, group)}

    @operation("DeleteDBSubnetGroup")
    def delete(self, call: ControlCall, request: DeleteDBSubnetGroupMessageTypeDef) -> ResponseMembers:
        tx = call.transaction
        group = find_subnet_group(tx, request["DBSubnetGroupName"])
        users = tx.select(DbInstance, lambda instance: instance.subnet_group == group.id)
        if users:
            raise AwsError(
                "InvalidDBSubnetGroupStateFault",
                f"Cannot delete the subnet group '{group.id}' because at least one database instance: {users[0].identifier} is still using"
                " it.",
            )
        tx.delete(SubnetGroup, group.id)
        return {}


def _chosen(view: RecordView, ids: Sequence[str]) -> list[Subnet]:
    """The subnets, which must be of one VPC and in at least two zones. Raises `InvalidSubnet`, `DBSubnetGroupDoesNotCoverEnoughAZs`."""
    return RULES.chosen(ids, lambda id: view.get(Subnet, id))


def _check_free(view: RecordView, group: SubnetGroup, kept: set[str]) -> None:
    for instance in view.select(DbInstance, lambda instance: instance.subnet_group == group.id):
        used = {interface.subnet_id for interface in instance.interfaces}
        RULES.check_unused(used - kept, f"the DB instance {instance.identifier}")
