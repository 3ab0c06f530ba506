"""The operations on security group rules: authorize, revoke, modify, describe.

A request names a group by id, or by name in the default VPC, and its rules by id or by value (`permissions`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, cast

from msgspec.structs import replace

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import resource_id
from zonal.records.record_view import RecordView
from zonal.records.store import Transaction
from zonal.services.ec2 import model
from zonal.services.ec2.listing import Listing, needed, strings
from zonal.services.ec2.lookups import find, group_named, rules_of
from zonal.services.ec2.model import SecurityGroup, SecurityGroupRule
from zonal.services.ec2.permissions import (
    MOST_RULES,
    Permission,
    answer_permissions,
    answer_rule,
    peer_group,
    permission,
    permissions,
    unsupported_peer,
)
from zonal.services.ec2.tags import given_tags
from zonal.services.operation import ControlCall, ResponseMembers, operation

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import (
        AuthorizeSecurityGroupEgressRequestTypeDef,
        AuthorizeSecurityGroupIngressRequestTypeDef,
        DescribeSecurityGroupRulesRequestTypeDef,
        IpPermissionOutputTypeDef,
        ModifySecurityGroupRulesRequestTypeDef,
        RevokeSecurityGroupEgressRequestTypeDef,
        RevokeSecurityGroupIngressRequestTypeDef,
        UpdateSecurityGroupRuleDescriptionsEgressRequestTypeDef,
        UpdateSecurityGroupRuleDescriptionsIngressRequestTypeDef,
    )

_RULES = Listing(
    SecurityGroupRule,
    ids="SecurityGroupRuleIds",
    id="SecurityGroupRuleId",
    answers="SecurityGroupRules",
    paths={"group-id": "GroupId", "security-group-rule-id": "SecurityGroupRuleId"},
)


def add_rule(
    transaction: Transaction, group: SecurityGroup, wanted: Permission, *, is_egress: bool, tags: Mapping[str, str] | None = None
) -> SecurityGroupRule:
    """Add a rule to a group without checking for duplicates."""
    rule = _rule(resource_id("sgr"), group.id, wanted, is_egress=is_egress, tags=tags)
    transaction.put(rule)
    return rule


def _rule(id: str, group_id: str, wanted: Permission, *, is_egress: bool, tags: Mapping[str, str] | None = None) -> SecurityGroupRule:
    """The record of a permission."""
    return SecurityGroupRule(
        id=id,
        group_id=group_id,
        is_egress=is_egress,
        protocol=wanted.protocol,
        from_port=wanted.from_port,
        to_port=wanted.to_port,
        cidr=wanted.cidr,
        referenced_group_id=wanted.group_id,
        description=wanted.description,
        tags=dict(tags or {}),
    )


class SecurityGroupRules:
    """The operations on the rules of groups."""

    @operation("AuthorizeSecurityGroupIngress")
    def authorize_ingress(self, call: ControlCall, request: AuthorizeSecurityGroupIngressRequestTypeDef) -> ResponseMembers:
        return _authorize(call, request, is_egress=False)

    @operation("AuthorizeSecurityGroupEgress")
    def authorize_egress(self, call: ControlCall, request: AuthorizeSecurityGroupEgressRequestTypeDef) -> ResponseMembers:
        return _authorize(call, request, is_egress=True)

    @operation("RevokeSecurityGroupIngress")
    def revoke_ingress(self, call: ControlCall, request: RevokeSecurityGroupIngressRequestTypeDef) -> ResponseMembers:
        return _revoke(call, request, is_egress=False)

    @operation("RevokeSecurityGroupEgress")
    def revoke_egress(self, call: ControlCall, request: RevokeSecurityGroupEgressRequestTypeDef) -> ResponseMembers:
        return _revoke(call, request, is_egress=True)

    @operation("DescribeSecurityGroupRules")
    def describe(self, call: ControlCall, request: DescribeSecurityGroupRulesRequestTypeDef) -> ResponseMembers:
        return _RULES.describe(call, request, lambda rule: answer_rule(rule, call.transaction))

    @operation("ModifySecurityGroupRules")
    def modify(self, call: ControlCall, request: ModifySecurityGroupRulesRequestTypeDef) -> ResponseMembers:
        """Replace rules, keeping their ids, directions and tags. Raises `InvalidPermission.Duplicate` if two become equal."""
        tx = call.transaction
        group = find(tx, SecurityGroup, request["GroupId"])
        for update in request["SecurityGroupRules"]:
            rule = _rule_of(call, group, update["SecurityGroupRuleId"])
            wanted = _replacement(tx, group, cast("Mapping[str, object]", update.get("SecurityGroupRule") or {}))
            tx.put(_rule(rule.id, group.id, wanted, is_egress=rule.is_egress, tags=rule.tags))
        _check_distinct(rules_of(tx, group.id))
        return {"Return": True}

    @operation("UpdateSecurityGroupRuleDescriptionsIngress")
    def update_ingress_descriptions(
        self, call: ControlCall, request: UpdateSecurityGroupRuleDescriptionsIngressRequestTypeDef
    ) -> ResponseMembers:
        return _update_descriptions(call, request, is_egress=False)

    @operation("UpdateSecurityGroupRuleDescriptionsEgress")
    def update_egress_descriptions(
        self, call: ControlCall, request: UpdateSecurityGroupRuleDescriptionsEgressRequestTypeDef
    ) -> ResponseMembers:
        return _update_descriptions(call, request, is_egress=True)


def _authorize(call: ControlCall, request: Mapping[str, object], *, is_egress: bool) -> ResponseMembers:
    """Add all rules, or none if one of them exists already."""
    tx = call.transaction
    group = group_named(call.transaction, request)
    tags = given_tags(request, SecurityGroupRule)
    present = [rule for rule in rules_of(tx, group.id) if rule.is_egress == is_egress]
    added: list[SecurityGroupRule] = []
    for wanted in permissions(tx, group, request):
        if any(wanted.same_as(rule) for rule in present + added):
            raise AwsError("InvalidPermission.Duplicate", f'the specified rule "{wanted}" already exists')
        added.append(add_rule(tx, group, wanted, is_egress=is_egress, tags=tags))
    if len(present) + len(added) > MOST_RULES:
        raise AwsError("RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached.")
    return {"Return": True, "SecurityGroupRules": [answer_rule(rule, tx) for rule in added]}


def _revoke(call: ControlCall, request: Mapping[str, object], *, is_egress: bool) -> ResponseMembers:
    """Remove rules by id or by value.

    For values that match no rule, the response of a default VPC's group lists them as unknown; any other group rejects the request: "For a
    non-default VPC, if the values you specify do not match the existing rule's values, an InvalidPermission.NotFound client error is
    returned, and no rules are revoked" (RevokeSecurityGroupIngress).
    """
    tx = call.transaction
    group = group_named(call.transaction, request)
    ids = strings(request, "SecurityGroupRuleIds")
    unknown: list[Permission] = []
    if ids:
        gone = [_rule_of(call, group, id, is_egress=is_egress) for id in ids]
    else:
        present = [rule for rule in rules_of(tx, group.id) if rule.is_egress == is_egress]
        wanted = permissions(tx, group, request, existing=True)
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
    shown = answer_permissions(_rule("", group.id, each._replace(description=None), is_egress=False) for each in unknown)
    for entry in shown:
        same = [each for each in unknown if (each.protocol, each.from_port, each.to_port) == _ports_of(entry)]
        entry["Ipv6Ranges"] = [{"CidrIpv6": each.ipv6_cidr} for each in same if each.ipv6_cidr]
        entry["PrefixListIds"] = [{"PrefixListId": each.prefix_list_id} for each in same if each.prefix_list_id]
    return list(shown)


def _ports_of(entry: IpPermissionOutputTypeDef) -> tuple[str | None, int | None, int | None]:
    return entry.get("IpProtocol"), entry.get("FromPort"), entry.get("ToPort")


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


def _rule_of(call: ControlCall, group: SecurityGroup, id: str, *, is_egress: bool | None = None) -> SecurityGroupRule:
    rule = find(call.transaction, SecurityGroupRule, id)
    if rule.group_id != group.id or is_egress not in (None, rule.is_egress):
        raise AwsError(
            "InvalidSecurityGroupRuleId.NotFound", f"The security group rule ID '{id}' does not exist in the security group '{group.id}'"
        )
    return rule


def _replacement(view: RecordView, group: SecurityGroup, given: Mapping[str, object]) -> Permission:
    if given.get("CidrIpv6") or given.get("PrefixListId"):
        raise unsupported_peer()
    cidr, other = cast("str | None", given.get("CidrIpv4")), cast("str | None", given.get("ReferencedGroupId"))
    if (cidr is None) == (other is None):
        raise AwsError("InvalidParameterCombination", "Exactly one of CidrIpv4, CidrIpv6, PrefixListId and ReferencedGroupId must be given")
    group_id = peer_group(view, group, id=other, name=None) if other is not None else None
    note = cast("str | None", given.get("Description"))
    return permission(given.get("IpProtocol"), given.get("FromPort"), given.get("ToPort"), cidr=cidr, group_id=group_id, description=note)


def _check_distinct(rules: Iterable[SecurityGroupRule]) -> None:
    seen: set[tuple[bool, Permission]] = set()
    for rule in rules:
        wanted = Permission(rule.protocol, rule.from_port, rule.to_port, rule.cidr, rule.referenced_group_id)
        if (rule.is_egress, wanted) in seen:
            raise AwsError("InvalidPermission.Duplicate", f'the specified rule "{wanted}" already exists')
        seen.add((rule.is_egress, wanted))


def _update_descriptions(call: ControlCall, request: Mapping[str, object], *, is_egress: bool) -> ResponseMembers:
    """Set or (if none is given) remove the descriptions of existing rules, named by id or by value."""
    tx = call.transaction
    group = group_named(call.transaction, request)
    by_id = cast("list[Mapping[str, str]]", request.get("SecurityGroupRuleDescriptions") or [])
    if by_id:
        for each in by_id:
            rule = _rule_of(call, group, needed(each, "SecurityGroupRuleId"), is_egress=is_egress)
            tx.put(replace(rule, description=each.get("Description") or None))
        return {"Return": True}
    present = [rule for rule in rules_of(tx, group.id) if rule.is_egress == is_egress]
    for wanted in permissions(tx, group, request, existing=True):
        found = next((rule for rule in present if wanted.same_as(rule)), None)
        if found is None:
            raise AwsError("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
        tx.put(replace(found, description=wanted.description))
    return {"Return": True}
