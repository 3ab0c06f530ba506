"""Permissions of security groups: parsing them from requests, comparing them with rules, rendering them.

A request gives permissions either as `IpPermissions` or by the flat members `CidrIp`, `IpProtocol`, `FromPort`, `ToPort` and
`SourceSecurityGroupName`. Each pair of a port range and a peer (a CIDR block or another group) is one rule with its own id. Two rules of
a group are equal if direction, protocol, ports and peer are equal; the description is not compared.

IPv6 ranges and prefix lists are rejected when a rule is added, because zonal's networks carry IPv4 only and the rule could never match. In
requests that name existing rules (revoke, update descriptions) such a permission is valid and matches no rule, so that the response is
`InvalidPermission.NotFound`: Terraform revokes `::/0` from every new group and relies on this code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, NamedTuple, cast

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import ACCOUNT, arn
from zonal.records.record_view import RecordView
from zonal.services.ec2 import model
from zonal.services.ec2.listing import needed
from zonal.services.ec2.lookups import find
from zonal.services.ec2.model import SecurityGroupRule
from zonal.services.ec2.tags import answer_tags

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import IpPermissionOutputTypeDef, SecurityGroupRuleTypeDef

MOST_RULES = 60
"""AWS's default quota of rules per direction of a group."""

_PROTOCOLS = {
    "tcp": "tcp",
    "6": "tcp",
    "udp": "udp",
    "17": "udp",
    "icmp": "icmp",
    "1": "icmp",
    "-1": "-1",
    "all": "-1",
    "icmpv6": "icmpv6",
    "58": "icmpv6",
}


class Permission(NamedTuple):
    """A rule without id and direction. A permission with `ipv6_cidr` or `prefix_list_id` equals no rule."""

    protocol: str
    from_port: int | None
    to_port: int | None
    cidr: str | None
    group_id: str | None
    description: str | None = None
    ipv6_cidr: str | None = None
    prefix_list_id: str | None = None

    def same_as(self, rule: SecurityGroupRule) -> bool:
        if self.ipv6_cidr or self.prefix_list_id:
            return False
        return self[:5] == (rule.protocol, rule.from_port, rule.to_port, rule.cidr, rule.referenced_group_id)

    def __str__(self) -> str:
        """The permission as in EC2's messages."""
        peer = self.cidr or self.group_id
        if self.protocol == "-1":
            return f"peer: {peer}, ALL, ALLOW"
        if self.from_port is None:
            return f"peer: {peer}, protocol: {self.protocol}, ALLOW"
        if self.protocol == "icmp":
            return f"peer: {peer}, ICMP, type: {self.from_port}, code: {self.to_port}, ALLOW"
        return f"peer: {peer}, {self.protocol.upper()}, from port: {self.from_port}, to port: {self.to_port}, ALLOW"


def permissions(view: RecordView, group: model.SecurityGroup, request: Mapping[str, object], *, existing: bool = False) -> list[Permission]:
    """The permissions of a request that adds rules, or (`existing`) of one that names existing rules.

    Raises `MissingParameter`, `InvalidParameterValue`, `InvalidGroup.NotFound`.
    """
    structured = cast("list[Mapping[str, object]] | None", request.get("IpPermissions"))
    flat = [name for name in ("CidrIp", "IpProtocol", "SourceSecurityGroupName") if request.get(name) is not None]
    if structured and flat:
        raise AwsError("InvalidParameterCombination", "The parameter 'ipPermissions' may not be used in combination with flat parameters")
    if structured:
        return [each for permission in structured for each in _structured(view, group, permission, existing=existing)]
    if not flat:
        raise AwsError("MissingParameter", "The request must contain the parameter ipPermissions")
    return [_flat(view, group, request)]


def permission(
    protocol: object, from_port: object, to_port: object, *, cidr: str | None, group_id: str | None, description: str | None
) -> Permission:
    """A validated permission in canonical form. Raises `MissingParameter` and `InvalidParameterValue`."""
    name = _protocol(needed({"IpProtocol": protocol}, "IpProtocol"))
    if name == "icmpv6":
        raise AwsError("InvalidParameterValue", "The protocol icmpv6 is not supported: zonal has no IPv6; see docs/limits.md")
    ports = _ports(name, cast("int | None", from_port), cast("int | None", to_port))
    if description is not None and not re.fullmatch(r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{0,255}", description):
        raise AwsError(
            "InvalidParameterValue",
            "Invalid rule description. Valid descriptions are strings less than 256 characters from the "
            "following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*",
        )
    return Permission(name, *ports, _cidr(cidr) if cidr is not None else None, group_id, description or None)


def unsupported_peer() -> AwsError:
    """The error for a rule with an IPv6 range or a prefix list."""
    message = "IPv6 ranges and prefix lists are not supported: a rule may have IPv4 ranges and security groups; see docs/limits.md"
    return AwsError("InvalidParameterValue", message)


def peer_group(view: RecordView, group: model.SecurityGroup, *, id: str | None, name: str | None) -> str:
    """The id of the group that a rule references by id or by name, in the same VPC. Raises `InvalidGroup.NotFound`."""
    if id is not None:
        if find(view, model.SecurityGroup, id).vpc_id != group.vpc_id:
            raise AwsError(
                "InvalidGroup.NotFound", f"You have specified two resources that belong to different networks. ({group.id}, {id})"
            )
        return id
    for other in view.lookup(model.SecurityGroup, "vpc_id", group.vpc_id):
        if other.name == name:
            return other.id
    raise AwsError("InvalidGroup.NotFound", f"The security group '{name}' does not exist in VPC '{group.vpc_id}'")


def _structured(view: RecordView, group: model.SecurityGroup, given: Mapping[str, object], *, existing: bool) -> list[Permission]:
    unsupported = _unsupported(given)
    if unsupported and not existing:
        raise unsupported_peer()
    peers: list[tuple[str | None, str | None, str | None]] = []
    for each in cast("list[dict[str, str]]", given.get("IpRanges") or []):
        peers.append((needed(each, "CidrIp"), None, each.get("Description")))
    for pair in cast("list[dict[str, str]]", given.get("UserIdGroupPairs") or []):
        if pair.get("VpcPeeringConnectionId"):
            raise AwsError("InvalidParameterValue", "Groups of peered VPCs are not supported: zonal has no VPC peering; see docs/limits.md")
        if pair.get("GroupId") is None and pair.get("GroupName") is None:
            raise AwsError("MissingParameter", "Missing source specification: include source security group or CIDR information")
        peers.append((None, peer_group(view, group, id=pair.get("GroupId"), name=pair.get("GroupName")), pair.get("Description")))
    if not peers and not unsupported:
        raise AwsError("MissingParameter", "Missing source specification: include source security group or CIDR information")
    protocol, low, high = given.get("IpProtocol"), given.get("FromPort"), given.get("ToPort")
    if existing and protocol is not None and _protocol(str(protocol)) == "icmpv6":
        return unsupported
    return [permission(protocol, low, high, cidr=cidr, group_id=id, description=note) for cidr, id, note in peers] + unsupported


def _unsupported(given: Mapping[str, object]) -> list[Permission]:
    """The permissions whose peer is an IPv6 range or a prefix list. Raises `InvalidParameterValue`, `MissingParameter`."""
    ranges, lists = (
        cast("list[dict[str, str]]", given.get("Ipv6Ranges") or []),
        cast("list[dict[str, str]]", given.get("PrefixListIds") or []),
    )
    if not ranges and not lists:
        return []
    protocol = _protocol(needed(given, "IpProtocol"))
    low, high = _ports(protocol, cast("int | None", given.get("FromPort")), cast("int | None", given.get("ToPort")))
    blank = Permission(protocol, low, high, cidr=None, group_id=None)
    by_range = [blank._replace(ipv6_cidr=_cidr(needed(each, "CidrIpv6"), IPv6Network)) for each in ranges]
    return by_range + [blank._replace(prefix_list_id=needed(each, "PrefixListId")) for each in lists]


def _flat(view: RecordView, group: model.SecurityGroup, request: Mapping[str, object]) -> Permission:
    source, cidr = request.get("SourceSecurityGroupName"), request.get("CidrIp")
    if source is not None:
        group_id = peer_group(view, group, id=None, name=str(source))
        return permission(
            request.get("IpProtocol") or "-1",
            request.get("FromPort"),
            request.get("ToPort"),
            cidr=None,
            group_id=group_id,
            description=None,
        )
    if cidr is None:
        raise AwsError("MissingParameter", "Missing source specification: include source security group or CIDR information")
    return permission(
        request.get("IpProtocol"), request.get("FromPort"), request.get("ToPort"), cidr=str(cidr), group_id=None, description=None
    )


def _protocol(text: str) -> str:
    lower = text.lower()
    if lower in _PROTOCOLS:
        return _PROTOCOLS[lower]
    if re.fullmatch(r"\d{1,3}", lower) and int(lower) < 256:
        return str(int(lower))
    raise AwsError("InvalidParameterValue", f"Invalid value '{text}' for IP protocol. Unknown protocol.")


def _ports(protocol: str, low: int | None, high: int | None) -> tuple[int | None, int | None]:
    if protocol in ("tcp", "udp"):
        if low is None or high is None:
            raise AwsError("InvalidParameterValue", "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.")
        if not 0 <= low <= high <= 65535:
            raise AwsError("InvalidParameterValue", f"Invalid TCP/UDP port range ({low}:{high})")
        return low, high
    if protocol == "icmp":
        kind, code = -1 if low is None else low, -1 if high is None else high
        if not -1 <= kind <= 255 or not -1 <= code <= 255 or (kind == -1 and code != -1):
            raise AwsError("InvalidParameterValue", f"ICMP code ({code}) and type ({kind}) are not a valid combination")
        return kind, code
    return None, None


def _cidr(text: str, family: type[IPv4Network | IPv6Network] = IPv4Network) -> str:
    try:
        if "/" not in text:
            raise ValueError(text)
        return str(family(text, strict=False))
    except ValueError:
        raise AwsError("InvalidParameterValue", f"CIDR block {text} is malformed") from None


def answer_rule(rule: SecurityGroupRule, view: RecordView) -> SecurityGroupRuleTypeDef:
    """A rule as DescribeSecurityGroupRules shows it; the ports of a protocol without ports are -1."""
    shown: SecurityGroupRuleTypeDef = {
        "SecurityGroupRuleId": rule.id,
        "GroupId": rule.group_id,
        "GroupOwnerId": ACCOUNT,
        "IsEgress": rule.is_egress,
        "IpProtocol": rule.protocol,
        "FromPort": -1 if rule.from_port is None else rule.from_port,
        "ToPort": -1 if rule.to_port is None else rule.to_port,
        "Tags": answer_tags(rule),
        "SecurityGroupRuleArn": arn("ec2", f"security-group-rule/{rule.id}"),
    }
    if rule.cidr is not None:
        shown["CidrIpv4"] = rule.cidr
    if rule.referenced_group_id is not None:
        vpc_id = view.require(model.SecurityGroup, rule.referenced_group_id).vpc_id
        shown["ReferencedGroupInfo"] = {"GroupId": rule.referenced_group_id, "UserId": ACCOUNT, "VpcId": vpc_id}
    if rule.description is not None:
        shown["Description"] = rule.description
    return shown


def answer_permissions(rules: Iterable[SecurityGroupRule]) -> list[IpPermissionOutputTypeDef]:
    """Rules grouped as DescribeSecurityGroups shows them: one entry per protocol and port range."""

    grouped: dict[tuple[str, int | None, int | None], IpPermissionOutputTypeDef] = {}
    for rule in rules:
        key = (rule.protocol, rule.from_port, rule.to_port)
        entry = grouped.setdefault(key, _entry(*key))
        note = {"Description": rule.description} if rule.description is not None else {}
        if rule.cidr is not None:
            entry["IpRanges"] = [*entry.get("IpRanges", ()), {"CidrIp": rule.cidr, **note}]  # type: ignore[typeddict-item]
        elif rule.referenced_group_id is not None:
            pair = {"GroupId": rule.referenced_group_id, "UserId": ACCOUNT, **note}
            entry["UserIdGroupPairs"] = [*entry.get("UserIdGroupPairs", ()), pair]  # type: ignore[list-item]
    return list(grouped.values())


def _entry(protocol: str, low: int | None, high: int | None) -> IpPermissionOutputTypeDef:
    entry: IpPermissionOutputTypeDef = {
        "IpProtocol": protocol,
        "IpRanges": [],
        "UserIdGroupPairs": [],
        "Ipv6Ranges": [],
        "PrefixListIds": [],
    }
    if low is not None and high is not None:
        entry["FromPort"], entry["ToPort"] = low, high
    return entry
