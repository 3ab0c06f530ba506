"""Security groups: stateful packet filters assigned to network interfaces.

Every VPC has a group named `default`, which allows traffic between its members and all outbound traffic; a new group allows outbound
traffic only. A rule may reference another group of the VPC: it then matches the interfaces that belong to that group when a connection is
opened. Groups are compiled into the VPC's plan (`vpc_reconciler`), where every interface has an ingress and an egress filter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import ACCOUNT, arn, resource_id
from zonal.records.record_view import RecordView
from zonal.records.store import Transaction
from zonal.services.ec2 import model
from zonal.services.ec2.listing import Listing, strings
from zonal.services.ec2.lookups import find, group_named, require_default_vpc, rules_of
from zonal.services.ec2.model import SecurityGroup, SecurityGroupRule
from zonal.services.ec2.permissions import Permission, answer_permissions
from zonal.services.ec2.security_group_rules import add_rule
from zonal.services.ec2.tags import answer_tags, given_tags
from zonal.services.operation import ControlCall, ResponseMembers, operation

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import (
        CreateSecurityGroupRequestTypeDef,
        DeleteSecurityGroupRequestTypeDef,
        DescribeSecurityGroupReferencesRequestTypeDef,
        DescribeSecurityGroupsRequestTypeDef,
        GetSecurityGroupsForVpcRequestTypeDef,
        SecurityGroupTypeDef,
    )

MOST_GROUPS = 2500
"""AWS's default quota of groups in a region."""

_EVERYWHERE = Permission("-1", None, None, "0.0.0.0/0", None)


def create_default(transaction: Transaction, vpc_id: str) -> SecurityGroup:
    """Create a VPC's default group: it allows traffic between its members and all outbound traffic."""
    group = SecurityGroup(id=resource_id("sg"), vpc_id=vpc_id, name="default", description="default VPC security group")
    transaction.put(group)
    add_rule(transaction, group, Permission("-1", None, None, None, group.id), is_egress=False)
    add_rule(transaction, group, _EVERYWHERE, is_egress=True)
    return group


def remove(transaction: Transaction, group_id: str) -> None:
    """Remove a group and its rules without checking whether it is used."""
    for rule in rules_of(transaction, group_id):
        transaction.delete(SecurityGroupRule, rule.id)
    transaction.delete(SecurityGroup, group_id)


_GROUP_PATHS = {
    "description": "Description",
    "group-id": "GroupId",
    "group-name": "GroupName",
    "owner-id": "OwnerId",
    "vpc-id": "VpcId",
} | {
    f"{prefix}ip-permission.{name}": f"{member}.{path}"
    for prefix, member in (("", "IpPermissions"), ("egress.", "IpPermissionsEgress"))
    for name, path in (
        ("cidr", "IpRanges.CidrIp"),
        ("from-port", "FromPort"),
        ("to-port", "ToPort"),
        ("protocol", "IpProtocol"),
        ("group-id", "UserIdGroupPairs.GroupId"),
        ("group-name", "UserIdGroupPairs.GroupName"),
        ("user-id", "UserIdGroupPairs.UserId"),
        ("ipv6-cidr", "Ipv6Ranges.CidrIpv6"),
        ("prefix-list-id", "PrefixListIds.PrefixListId"),
    )
}
_GROUPS = Listing(SecurityGroup, ids="GroupIds", id="GroupId", answers="SecurityGroups", paths=_GROUP_PATHS)
_FOR_VPC = Listing(
    SecurityGroup,
    ids="GroupIds",
    id="GroupId",
    answers="SecurityGroupForVpcs",
    paths={
        "group-id": "GroupId",
        "description": "Description",
        "group-name": "GroupName",
        "owner-id": "OwnerId",
        "primary-vpc-id": "PrimaryVpcId",
    },
)


def answer_group(group: SecurityGroup, view: RecordView) -> SecurityGroupTypeDef:
    """A group as DescribeSecurityGroups shows it."""
    rules = rules_of(view, group.id)
    return {
        "GroupId": group.id,
        "GroupName": group.name,
        "Description": group.description,
        "OwnerId": ACCOUNT,
        "VpcId": group.vpc_id,
        "SecurityGroupArn": arn("ec2", f"security-group/{group.id}"),
        "IpPermissions": answer_permissions(rule for rule in rules if not rule.is_egress),
        "IpPermissionsEgress": answer_permissions(rule for rule in rules if rule.is_egress),
        "Tags": answer_tags(group),
    }


class SecurityGroups:
    """The operations on security groups; those on their rules are in `security_group_rules`."""

    @operation("CreateSecurityGroup")
    def create(self, call: ControlCall, request: CreateSecurityGroupRequestTypeDef) -> ResponseMembers:
        tx = call.transaction
        name, description = request["GroupName"], request["Description"]
        _check_text("GroupName", name)
        _check_text("GroupDescription", description)
        if name.startswith("sg-"):
            raise AwsError("InvalidParameterValue", f"Invalid group name '{name}'. Group names may not be in the format sg-*.")
        vpc = find(tx, model.Vpc, request["VpcId"]) if request.get("VpcId") else require_default_vpc(tx)
        if name == "default":
            raise AwsError("InvalidParameterValue", "Cannot use reserved security group name: default")
        if any(group.name == name for group in tx.lookup(SecurityGroup, "vpc_id", vpc.id)):
            raise AwsError("InvalidGroup.Duplicate", f"The security group '{name}' already exists for VPC '{vpc.id}'")
        if len(tx.select(SecurityGroup)) >= MOST_GROUPS:
            raise AwsError("SecurityGroupLimitExceeded", "The maximum number of security groups has been reached.")
        tags = given_tags(request, SecurityGroup)
        group = SecurityGroup(id=resource_id("sg"), vpc_id=vpc.id, name=name, description=description, tags=tags)
        tx.put(group)
        add_rule(tx, group, _EVERYWHERE, is_egress=True)
        return {"GroupId": group.id, "SecurityGroupArn": arn("ec2", f"security-group/{group.id}"), "Tags": answer_tags(group)}

    @operation("DeleteSecurityGroup")
    def delete(self, call: ControlCall, request: DeleteSecurityGroupRequestTypeDef) -> ResponseMembers:
        """Delete a group that no interface belongs to and no other group's rule references."""
        tx = call.transaction
        group = group_named(call.transaction, request)
        if group.name == "default":
            raise AwsError("CannotDelete", f'the specified group: "{group.id}" name: "default" cannot be deleted by a user')
        used = any(group.id in interface.group_ids for interface in tx.lookup(model.NetworkInterface, "vpc_id", group.vpc_id))
        named = tx.select(SecurityGroupRule, lambda rule: rule.referenced_group_id == group.id and rule.group_id != group.id)
        if used or named:
            raise AwsError("DependencyViolation", f"resource {group.id} has a dependent object")
        remove(tx, group.id)
        return {"Return": True, "GroupId": group.id}

    @operation("DescribeSecurityGroups")
    def describe(self, call: ControlCall, request: DescribeSecurityGroupsRequestTypeDef) -> ResponseMembers:
        names = strings(request, "GroupNames")
        if not names:
            return _GROUPS.describe(call, request, lambda group: answer_group(group, call.transaction))
        vpc = require_default_vpc(call.transaction)
        present = {group.name for group in call.transaction.lookup(SecurityGroup, "vpc_id", vpc.id)}
        for name in names:
            if name not in present:
                raise AwsError("InvalidGroup.NotFound", f"The security group '{name}' does not exist in default VPC '{vpc.id}'")
        return _GROUPS.describe(
            call,
            request,
            lambda group: answer_group(group, call.transaction),
            where=lambda group: group.vpc_id == vpc.id and group.name in names,
        )

    @operation("GetSecurityGroupsForVpc")
    def for_vpc(self, call: ControlCall, request: GetSecurityGroupsForVpcRequestTypeDef) -> ResponseMembers:
        """The groups that interfaces of a VPC may belong to: only its own groups, because zonal does not share groups between VPCs."""
        vpc = find(call.transaction, model.Vpc, request["VpcId"])
        return _FOR_VPC.describe(call, request, _answer_for_vpc, where=lambda group: group.vpc_id == vpc.id)

    @operation("DescribeSecurityGroupReferences")
    def references(self, call: ControlCall, request: DescribeSecurityGroupReferencesRequestTypeDef) -> ResponseMembers:
        """The peered VPCs that reference these groups: none, because zonal has no VPC peering."""
        for id in request["GroupId"]:
            find(call.transaction, SecurityGroup, id)
        return {"SecurityGroupReferenceSet": []}


def _check_text(parameter: str, text: str) -> None:
    if not text.isascii():
        raise AwsError(
            "InvalidParameterValue", f"Value ({text}) for parameter {parameter} is invalid. Character sets beyond ASCII are not supported."
        )
    if not text or len(text) > 255:
        raise AwsError("InvalidParameterValue", f"Value ({text}) for parameter {parameter} is invalid. It must have 1 to 255 characters.")


def _answer_for_vpc(group: SecurityGroup) -> Mapping[str, object]:
    return {
        "GroupId": group.id,
        "GroupName": group.name,
        "Description": group.description,
        "OwnerId": ACCOUNT,
        "PrimaryVpcId": group.vpc_id,
        "Tags": answer_tags(group),
    }
