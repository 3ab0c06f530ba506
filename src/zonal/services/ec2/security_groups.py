"""Security groups: stateful sets of permissions that interfaces belong to.

Every VPC has a group named `default` that admits its own members and lets everything out; a new group admits nobody and lets
everything out. A rule may name another group of the VPC: then it means the interfaces that belong to it at the moment a
connection is made. Groups compile into the VPC's plan (`convergence`), where ingress and egress are two gates of every interface.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, cast

from msgspec.structs import replace

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import ACCOUNT, arn, resource_id
from zonal.records.store import Transaction
from zonal.records.view import View
from zonal.services.ec2 import model
from zonal.services.ec2.listing import Answer, Listing, needed, strings
from zonal.services.ec2.lookups import find, require_default_vpc, rules_of
from zonal.services.ec2.model import SecurityGroup, SecurityGroupRule
from zonal.services.ec2.security_group_rules import (
    MOST_RULES,
    Permission,
    answer_permissions,
    answer_rule,
    peer_group,
    permission,
    permissions,
)
from zonal.services.ec2.tags import answer_tags, given_tags
from zonal.services.operation import Call, operation

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import (
        AuthorizeSecurityGroupEgressRequestTypeDef,
        AuthorizeSecurityGroupIngressRequestTypeDef,
        CreateSecurityGroupRequestTypeDef,
        DeleteSecurityGroupRequestTypeDef,
        DescribeSecurityGroupReferencesRequestTypeDef,
        DescribeSecurityGroupRulesRequestTypeDef,
        DescribeSecurityGroupsRequestTypeDef,
        GetSecurityGroupsForVpcRequestTypeDef,
        ModifySecurityGroupRulesRequestTypeDef,
        RevokeSecurityGroupEgressRequestTypeDef,
        RevokeSecurityGroupIngressRequestTypeDef,
        SecurityGroupTypeDef,
        UpdateSecurityGroupRuleDescriptionsEgressRequestTypeDef,
        UpdateSecurityGroupRuleDescriptionsIngressRequestTypeDef,
    )

MOST_GROUPS = 2500
"""AWS's default quota of groups in a region."""

_EVERYWHERE = Permission("-1", None, None, "0.0.0.0/0", None)


def create_default(transaction: Transaction, vpc_id: str) -> SecurityGroup:
    """The group that a new VPC has: admits its own members, lets everything out."""
    group = SecurityGroup(id=resource_id("sg"), vpc_id=vpc_id, name="default", description="default VPC security group")
    transaction.put(group)
    _add(transaction, group, Permission("-1", None, None, None, group.id), is_egress=False)
    _add(transaction, group, _EVERYWHERE, is_egress=True)
    return group


def remove(transaction: Transaction, group_id: str) -> None:
    """Remove a group and its rules, whoever uses it."""
    for rule in rules_of(transaction, group_id):
        transaction.delete(SecurityGroupRule, rule.id)
    transaction.delete(SecurityGroup, group_id)


def _add(
    transaction: Transaction, group: SecurityGroup, wanted: Permission, *, is_egress: bool, tags: Mapping[str, str] | None = None
) -> SecurityGroupRule:
    rule = SecurityGroupRule(
        id=resource_id("sgr"),
        group_id=group.id,
        is_egress=is_egress,
        protocol=wanted.protocol,
        from_port=wanted.from_port,
        to_port=wanted.to_port,
        cidr=wanted.cidr,
        referenced_group_id=wanted.group_id,
        description=wanted.description,
        tags=dict(tags or {}),
    )
    transaction.put(rule)
    return rule


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
_RULES = Listing(
    SecurityGroupRule,
    ids="SecurityGroupRuleIds",
    id="SecurityGroupRuleId",
    answers="SecurityGroupRules",
    paths={"group-id": "GroupId", "security-group-rule-id": "SecurityGroupRuleId"},
)
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


def answer_group(group: SecurityGroup, view: View) -> SecurityGroupTypeDef:
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
    """The operations on security groups and their rules."""

    @operation("CreateSecurityGroup")
    def create(self, call: Call, request: CreateSecurityGroupRequestTypeDef) -> Answer:
        tx = call.transaction
        name, description = request["GroupName"], request["Description"]
        _check_text("GroupName", name)
        _check_text("GroupDescription", description)
        if name.startswith("sg-"):
            raise AwsError("InvalidParameterValue", f"Invalid group name '{name}'. Group names may not be in the format sg-*.")
        vpc = find(tx, model.Vpc, request["VpcId"]) if request.get("VpcId") else require_default_vpc(tx)
        if name == "default":
            raise AwsError("InvalidParameterValue", "Cannot use reserved security group name: default")
        if any(group.vpc_id == vpc.id and group.name == name for group in tx.select(SecurityGroup)):
            raise AwsError("InvalidGroup.Duplicate", f"The security group '{name}' already exists for VPC '{vpc.id}'")
        if len(tx.select(SecurityGroup)) >= MOST_GROUPS:
            raise AwsError("SecurityGroupLimitExceeded", "The maximum number of security groups has been reached.")
        tags = given_tags(request, SecurityGroup)
        group = SecurityGroup(id=resource_id("sg"), vpc_id=vpc.id, name=name, description=description, tags=tags)
        tx.put(group)
        _add(tx, group, _EVERYWHERE, is_egress=True)
        return {"GroupId": group.id, "SecurityGroupArn": arn("ec2", f"security-group/{group.id}"), "Tags": answer_tags(group)}

    @operation("DeleteSecurityGroup")
    def delete(self, call: Call, request: DeleteSecurityGroupRequestTypeDef) -> Answer:
        """Delete a group that no interface belongs to and no other group's rule names."""
        tx = call.transaction
        group = _named(call, request)
        if group.name == "default":
            raise AwsError("CannotDelete", f'the specified group: "{group.id}" name: "default" cannot be deleted by a user')
        used = tx.select(model.NetworkInterface, lambda interface: group.id in interface.group_ids)
        named = tx.select(SecurityGroupRule, lambda rule: rule.referenced_group_id == group.id and rule.group_id != group.id)
        if used or named:
            raise AwsError("DependencyViolation", f"resource {group.id} has a dependent object")
        remove(tx, group.id)
        return {"Return": True, "GroupId": group.id}

    @operation("DescribeSecurityGroups")
    def describe(self, call: Call, request: DescribeSecurityGroupsRequestTypeDef) -> Answer:
        names = strings(request, "GroupNames")
        if not names:
            return _GROUPS.describe(call, request, lambda group: answer_group(group, call.transaction))
        vpc = require_default_vpc(call.transaction)
        present = {group.name for group in call.transaction.select(SecurityGroup, lambda group: group.vpc_id == vpc.id)}
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
    def for_vpc(self, call: Call, request: GetSecurityGroupsForVpcRequestTypeDef) -> Answer:
        """The groups that interfaces of a VPC may belong to: its own ones, since groups are not shared here."""
        vpc = find(call.transaction, model.Vpc, request["VpcId"])
        return _FOR_VPC.describe(call, request, _answer_for_vpc, where=lambda group: group.vpc_id == vpc.id)

    @operation("DescribeSecurityGroupReferences")
    def references(self, call: Call, request: DescribeSecurityGroupReferencesRequestTypeDef) -> Answer:
        """Which VPCs *on the other side of a peering* refer to these groups: none, because there is no peering."""
        for id in request["GroupId"]:
            find(call.transaction, SecurityGroup, id)
        return {"SecurityGroupReferenceSet": []}

    @operation("AuthorizeSecurityGroupIngress")
    def authorize_ingress(self, call: Call, request: AuthorizeSecurityGroupIngressRequestTypeDef) -> Answer:
        return _authorize(call, request, is_egress=False)

    @operation("AuthorizeSecurityGroupEgress")
    def authorize_egress(self, call: Call, request: AuthorizeSecurityGroupEgressRequestTypeDef) -> Answer:
        return _authorize(call, request, is_egress=True)

    @operation("RevokeSecurityGroupIngress")
    def revoke_ingress(self, call: Call, request: RevokeSecurityGroupIngressRequestTypeDef) -> Answer:
        return _revoke(call, request, is_egress=False)

    @operation("RevokeSecurityGroupEgress")
    def revoke_egress(self, call: Call, request: RevokeSecurityGroupEgressRequestTypeDef) -> Answer:
        return _revoke(call, request, is_egress=True)

    @operation("DescribeSecurityGroupRules")
    def describe_rules(self, call: Call, request: DescribeSecurityGroupRulesRequestTypeDef) -> Answer:
        return _RULES.describe(call, request, lambda rule: answer_rule(rule, call.transaction))

    @operation("ModifySecurityGroupRules")
    def modify_rules(self, call: Call, request: ModifySecurityGroupRulesRequestTypeDef) -> Answer:
        """Replace whole rules, keeping their ids, direction and tags; the result may hold no two alike."""
        tx = call.transaction
        group = find(tx, SecurityGroup, request["GroupId"])
        for update in request["SecurityGroupRules"]:
            rule = _rule_of(call, group, update["SecurityGroupRuleId"])
            wanted = _replacement(tx, group, cast("Mapping[str, object]", update.get("SecurityGroupRule") or {}))
            tx.put(_changed(rule, wanted))
        _check_distinct(rules_of(tx, group.id))
        return {"Return": True}

    @operation("UpdateSecurityGroupRuleDescriptionsIngress")
    def describe_ingress_anew(self, call: Call, request: UpdateSecurityGroupRuleDescriptionsIngressRequestTypeDef) -> Answer:
        return _update_descriptions(call, request, is_egress=False)

    @operation("UpdateSecurityGroupRuleDescriptionsEgress")
    def describe_egress_anew(self, call: Call, request: UpdateSecurityGroupRuleDescriptionsEgressRequestTypeDef) -> Answer:
        return _update_descriptions(call, request, is_egress=True)


def _check_text(parameter: str, text: str) -> None:
    if not text.isascii():
        raise AwsError(
            "InvalidParameterValue", f"Value ({text}) for parameter {parameter} is invalid. Character sets beyond ASCII are not supported."
        )
    if not text or len(text) > 255:
        raise AwsError("InvalidParameterValue", f"Value ({text}) for parameter {parameter} is invalid. It must have 1 to 255 characters.")


def _named(call: Call, request: Mapping[str, object]) -> SecurityGroup:
    """The group that a request names by id, or by name in the default VPC."""
    id, name = request.get("GroupId"), request.get("GroupName")
    if id is not None:
        return find(call.transaction, SecurityGroup, str(id))
    if name is None:
        raise AwsError("MissingParameter", "The request must contain the parameter groupName or groupId")
    vpc = require_default_vpc(call.transaction)
    for group in call.transaction.select(SecurityGroup, lambda group: group.vpc_id == vpc.id):
        if group.name == name:
            return group
    raise AwsError("InvalidGroup.NotFound", f"The security group '{name}' does not exist in default VPC '{vpc.id}'")


def _authorize(call: Call, request: Mapping[str, object], *, is_egress: bool) -> Answer:
    """Add rules: all of them, or none where one is there already."""
    tx = call.transaction
    group = _named(call, request)
    tags = given_tags(request, SecurityGroupRule)
    present = [rule for rule in rules_of(tx, group.id) if rule.is_egress == is_egress]
    added: list[SecurityGroupRule] = []
    for wanted in permissions(tx, group, request):
        if any(wanted.same_as(rule) for rule in present + added):
            raise AwsError("InvalidPermission.Duplicate", f'the specified rule "{wanted}" already exists')
        added.append(_add(tx, group, wanted, is_egress=is_egress, tags=tags))
    if len(present) + len(added) > MOST_RULES:
        raise AwsError("RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached.")
    return {"Return": True, "SecurityGroupRules": [answer_rule(rule, tx) for rule in added]}


def _revoke(call: Call, request: Mapping[str, object], *, is_egress: bool) -> Answer:
    """Remove rules by id or by value.

    For values that no rule has, a default VPC's group answers with what it did not know, any other refuses everything: "For a
    non-default VPC, if the values you specify do not match the existing rule's values, an InvalidPermission.NotFound client error is
    returned, and no rules are revoked" (RevokeSecurityGroupIngress).
    """
    tx = call.transaction
    group = _named(call, request)
    ids = strings(request, "SecurityGroupRuleIds")
    unknown: list[Permission] = []
    if ids:
        gone = [_rule_of(call, group, id, is_egress=is_egress) for id in ids]
    else:
        present = [rule for rule in rules_of(tx, group.id) if rule.is_egress == is_egress]
        wanted = permissions(tx, group, request)
        unknown = [each for each in wanted if not any(each.same_as(rule) for rule in present)]
        gone = [rule for rule in present if any(each.same_as(rule) for each in wanted)]
    if unknown and not find(tx, model.Vpc, group.vpc_id).is_default:
        raise AwsError("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
    for rule in gone:
        tx.delete(SecurityGroupRule, rule.id)
    return {
        "Return": True,
        "UnknownIpPermissions": _answer_unknown(group, unknown),
        "RevokedSecurityGroupRules": list(map(_answer_revoked, gone)),
    }


def _answer_unknown(group: SecurityGroup, unknown: Iterable[Permission]) -> list[Mapping[str, object]]:
    rules = [
        SecurityGroupRule(
            id="",
            group_id=group.id,
            is_egress=False,
            protocol=each.protocol,
            from_port=each.from_port,
            to_port=each.to_port,
            cidr=each.cidr,
            referenced_group_id=each.group_id,
        )
        for each in unknown
    ]
    return list(answer_permissions(rules))


def _answer_revoked(rule: SecurityGroupRule) -> Mapping[str, object]:
    shown: dict[str, object] = {
        "SecurityGroupRuleId": rule.id,
        "GroupId": rule.group_id,
        "IsEgress": rule.is_egress,
        "IpProtocol": rule.protocol,
        "FromPort": -1 if rule.from_port is None else rule.from_port,
        "ToPort": -1 if rule.to_port is None else rule.to_port,
    }
    optional = {"CidrIpv4": rule.cidr, "ReferencedGroupId": rule.referenced_group_id, "Description": rule.description}
    return shown | {name: value for name, value in optional.items() if value is not None}


def _answer_for_vpc(group: SecurityGroup) -> Mapping[str, object]:
    return {
        "GroupId": group.id,
        "GroupName": group.name,
        "Description": group.description,
        "OwnerId": ACCOUNT,
        "PrimaryVpcId": group.vpc_id,
        "Tags": answer_tags(group),
    }


def _rule_of(call: Call, group: SecurityGroup, id: str, *, is_egress: bool | None = None) -> SecurityGroupRule:
    rule = find(call.transaction, SecurityGroupRule, id)
    if rule.group_id != group.id or is_egress not in (None, rule.is_egress):
        raise AwsError(
            "InvalidSecurityGroupRuleId.NotFound", f"The security group rule ID '{id}' does not exist in the security group '{group.id}'"
        )
    return rule


def _replacement(view: View, group: SecurityGroup, given: Mapping[str, object]) -> Permission:
    if given.get("CidrIpv6") or given.get("PrefixListId"):
        raise AwsError("InvalidParameterValue", "zonal has neither IPv6 nor prefix lists: a rule may name IPv4 ranges and security groups")
    cidr, other = cast("str | None", given.get("CidrIpv4")), cast("str | None", given.get("ReferencedGroupId"))
    if (cidr is None) == (other is None):
        raise AwsError("InvalidParameterCombination", "Exactly one of CidrIpv4, CidrIpv6, PrefixListId and ReferencedGroupId must be given")
    group_id = peer_group(view, group, id=other, name=None) if other is not None else None
    note = cast("str | None", given.get("Description"))
    return permission(given.get("IpProtocol"), given.get("FromPort"), given.get("ToPort"), cidr=cidr, group_id=group_id, description=note)


def _changed(rule: SecurityGroupRule, wanted: Permission) -> SecurityGroupRule:
    return replace(
        rule,
        protocol=wanted.protocol,
        from_port=wanted.from_port,
        to_port=wanted.to_port,
        cidr=wanted.cidr,
        referenced_group_id=wanted.group_id,
        description=wanted.description,
    )


def _check_distinct(rules: Iterable[SecurityGroupRule]) -> None:
    seen: set[tuple[bool, Permission]] = set()
    for rule in rules:
        wanted = Permission(rule.protocol, rule.from_port, rule.to_port, rule.cidr, rule.referenced_group_id)
        if (rule.is_egress, wanted) in seen:
            raise AwsError("InvalidPermission.Duplicate", f'the specified rule "{wanted}" already exists')
        seen.add((rule.is_egress, wanted))


def _update_descriptions(call: Call, request: Mapping[str, object], *, is_egress: bool) -> Answer:
    """Change, add or (where none is given) remove the descriptions of existing rules, named by id or by value."""
    tx = call.transaction
    group = _named(call, request)
    by_id = cast("list[Mapping[str, str]]", request.get("SecurityGroupRuleDescriptions") or [])
    if by_id:
        for each in by_id:
            rule = _rule_of(call, group, needed(each, "SecurityGroupRuleId"), is_egress=is_egress)
            tx.put(replace(rule, description=each.get("Description") or None))
        return {"Return": True}
    present = [rule for rule in rules_of(tx, group.id) if rule.is_egress == is_egress]
    for wanted in permissions(tx, group, request):
        found = next((rule for rule in present if wanted.same_as(rule)), None)
        if found is None:
            raise AwsError("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
        tx.put(replace(found, description=wanted.description))
    return {"Return": True}
