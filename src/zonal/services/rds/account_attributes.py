"""DescribeAccountAttributes: the account's quotas of RDS, and their use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zonal.services.operation import ControlCall, ResponseMembers, operation
from zonal.services.rds.creation import MOST_INSTANCES
from zonal.services.rds.model import DbInstance, SubnetGroup

if TYPE_CHECKING:
    from types_boto3_rds.type_defs import DescribeDBInstancesMessageTypeDef


class AccountAttributes:
    """The operation on the account's quotas."""

    @operation("DescribeAccountAttributes")
    def describe(self, call: ControlCall, request: DescribeDBInstancesMessageTypeDef) -> ResponseMembers:
        instances, groups = call.transaction.select(DbInstance), call.transaction.select(SubnetGroup)
        quotas = [
            ("DBInstances", len(instances), MOST_INSTANCES),
            ("AllocatedStorage", sum(instance.allocated_storage for instance in instances), 100_000),
            ("DBSubnetGroups", len(groups), 50),
            ("SubnetsPerDBSubnetGroup", max((len(group.subnet_ids) for group in groups), default=0), 20),
        ]
        return {"AccountQuotas": [{"AccountQuotaName": name, "Used": used, "Max": most} for name, used, most in quotas]}
