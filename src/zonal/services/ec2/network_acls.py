"""Network ACLs: stateless, numbered rules for packets that enter or leave a subnet.

Every subnet has exactly one ACL: the VPC's default ACL, which allows everything, until another replaces it. An ACL's entries are evaluated
in the order of their numbers, and the first match decides; the last entry, 32767, denies everything and cannot be changed. Packets
within a subnet are not filtered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, cast

from msgspec.structs import replace

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import ACCOUNT, resource_id
from zonal.records.store import Transaction
from zonal.services.ec2 import associations, model
from zonal.services.ec2.idempotency import once
from zonal.services.ec2.listing import Listing, reject_unsupported
from zonal.services.ec2.lookups import find, has_dependencies
from zonal.services.ec2.model import NetworkAcl, NetworkAclAssociation, NetworkAclEntry
from zonal.services.ec2.tags import answer_tags, given_tags
from zonal.services.operation import ControlCall, ResponseMembers, operation

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import (
        CreateNetworkAclEntryRequestTypeDef,
        CreateNetworkAclRequestTypeDef,
        DeleteNetworkAclEntryRequestTypeDef,
        DeleteNetworkAclRequestTypeDef,
        DescribeNetworkAclsRequestTypeDef,
        NetworkAclEntryTypeDef,
        NetworkAclTypeDef,
        ReplaceNetworkAclAssociationRequestTypeDef,
        ReplaceNetworkAclEntryRequestTypeDef,
    )

LAST_NUMBER = 32766
DENY_REST = 32767
MOST_ENTRIES = 20
"""AWS's default quota of entries per direction, without the final one."""

_PROTOCOL_NUMBERS = {"tcp": "6", "udp": "17", "icmp": "1", "all": "-1"}


def create(transaction: Transaction, vpc_id: str, *, is_default: bool = False, tags: dict[str, str] | None = None) -> NetworkAcl:
    """Create an ACL: the default one allows everything, any other denies everything."""
    entries = [_everything(DENY_REST, is_egress=egress, allow=False) for egress in (False, True)]
    if is_default:
        entries += [_everything(100, is_egress=egress, allow=True) for egress in (False, True)]
    acl = NetworkAcl(id=resource_id("acl"), vpc_id=vpc_id, is_default=is_default, entries=_ordered(entries), tags=tags or {})
    transaction.put(acl)
    return acl


def associate_default(transaction: Transaction, subnet: model.Subnet) -> None:
    """Associate a new subnet with its VPC's default ACL."""
    acl = _default(transaction, subnet.vpc_id)
    association = NetworkAclAssociation(resource_id("aclassoc"), subnet.id)
    transaction.put(replace(acl, associations=(*acl.associations, association)))


def _default(transaction: Transaction, vpc_id: str) -> NetworkAcl:
    return next(acl for acl in transaction.lookup(NetworkAcl, "vpc_id", vpc_id) if acl.is_default)


def _everything(number: int, *, is_egress: bool, allow: bool) -> NetworkAclEntry:
    return NetworkAclEntry(number, is_egress, allow, "-1", "0.0.0.0/0")


def _ordered(entries: Iterable[NetworkAclEntry]) -> tuple[NetworkAclEntry, ...]:
    return tuple(sorted(entries, key=lambda entry: (not entry.is_egress, entry.number)))


_LISTING = Listing(
    NetworkAcl,
    ids="NetworkAclIds",
    id="NetworkAclId",
    answers="NetworkAcls",
    paths={
        "association.association-id": "Associations.NetworkAclAssociationId",
        "association.network-acl-id": "Associations.NetworkAclId",
        "association.subnet-id": "Associations.SubnetId",
        "default": "IsDefault",
        "entry.cidr": "Entries.CidrBlock",
        "entry.ipv6-cidr": "Entries.Ipv6CidrBlock",
        "entry.icmp.code": "Entries.IcmpTypeCode.Code",
        "entry.icmp.type": "Entries.IcmpTypeCode.Type",
        "entry.port-range.from": "Entries.PortRange.From",
        "entry.port-range.to": "Entries.PortRange.To",
        "entry.protocol": "Entries.Protocol",
        "entry.rule-action": "Entries.RuleAction",
        "entry.egress": "Entries.Egress",
        "entry.rule-number": "Entries.RuleNumber",
        "network-acl-id": "NetworkAclId",
        "owner-id": "OwnerId",
        "vpc-id": "VpcId",
    },
)


def answer_acl(acl: NetworkAcl) -> NetworkAclTypeDef:
    """An ACL as DescribeNetworkAcls shows it."""
    return {
        "NetworkAclId": acl.id,
        "VpcId": acl.vpc_id,
        "IsDefault": acl.is_default,
        "OwnerId": ACCOUNT,
        "Entries": list(map(_answer_entry, acl.entries)),
        "Associations": [
            {"NetworkAclAssociationId": each.id, "NetworkAclId": acl.id, "SubnetId": each.subnet_id} for each in acl.associations
        ],
        "Tags": answer_tags(acl),
    }


def _answer_entry(entry: NetworkAclEntry) -> NetworkAclEntryTypeDef:
    shown: NetworkAclEntryTypeDef = {
        "RuleNumber": entry.number,
        "Egress": entry.is_egress,
        "RuleAction": "allow" if entry.allow else "deny",
        "Protocol": entry.protocol,
        "CidrBlock": entry.cidr,
    }
    if entry.from_port is not None and entry.to_port is not None:
        if entry.protocol == "1":
            shown["IcmpTypeCode"] = {"Type": entry.from_port, "Code": entry.to_port}
        else:
            shown["PortRange"] = {"From": entry.from_port, "To": entry.to_port}
    return shown


class NetworkAcls:
    """The operations on network ACLs."""

    @operation("CreateNetworkAcl")
    def create(self, call: ControlCall, request: CreateNetworkAclRequestTypeDef) -> ResponseMembers:
        tx = call.transaction
        vpc = find(tx, model.Vpc, request["VpcId"])
        acl = once(call, request, NetworkAcl, lambda: create(tx, vpc.id, tags=given_tags(request, NetworkAcl)))
        return {"NetworkAcl": answer_acl(acl), "ClientToken": request.get("ClientToken", "")}

    @operation("DeleteNetworkAcl")
    def delete(self, call: ControlCall, request: DeleteNetworkAclRequestTypeDef) -> ResponseMembers:
        acl = find(call.transaction, NetworkAcl, request["NetworkAclId"])
        if acl.is_default:
            raise AwsError("InvalidParameterValue", f"cannot delete default network ACL {acl.id}")
        if acl.associations:
            raise has_dependencies("networkAcl", acl.id)
        call.transaction.delete(NetworkAcl, acl.id)
        return {}

    @operation("DescribeNetworkAcls")
    def describe(self, call: ControlCall, request: DescribeNetworkAclsRequestTypeDef) -> ResponseMembers:
        return _LISTING.describe(call, request, answer_acl)

    @operation("CreateNetworkAclEntry")
    def create_entry(self, call: ControlCall, request: CreateNetworkAclEntryRequestTypeDef) -> ResponseMembers:
        acl = find(call.transaction, NetworkAcl, request["NetworkAclId"])
        entry = _entry(request)
        if _at(acl, entry.number, is_egress=entry.is_egress):
            raise AwsError("NetworkAclEntryAlreadyExists", f"The network acl entry identified by {entry.number} already exists.")
        if sum(each.is_egress == entry.is_egress for each in acl.entries) > MOST_ENTRIES:
            raise AwsError("NetworkAclEntryLimitExceeded", "The maximum number of network acl entries has been reached.")
        call.transaction.put(replace(acl, entries=_ordered([*acl.entries, entry])))
        return {}

    @operation("ReplaceNetworkAclEntry")
    def replace_entry(self, call: ControlCall, request: ReplaceNetworkAclEntryRequestTypeDef) -> ResponseMembers:
        acl = find(call.transaction, NetworkAcl, request["NetworkAclId"])
        entry = _entry(request)
        old = _required(acl, entry.number, is_egress=entry.is_egress)
        call.transaction.put(replace(acl, entries=_ordered([*(each for each in acl.entries if each is not old), entry])))
        return {}

    @operation("DeleteNetworkAclEntry")
    def delete_entry(self, call: ControlCall, request: DeleteNetworkAclEntryRequestTypeDef) -> ResponseMembers:
        acl = find(call.transaction, NetworkAcl, request["NetworkAclId"])
        _check_number(request["RuleNumber"])
        old = _required(acl, request["RuleNumber"], is_egress=request["Egress"])
        call.transaction.put(replace(acl, entries=tuple(each for each in acl.entries if each is not old)))
        return {}

    @operation("ReplaceNetworkAclAssociation")
    def replace_association(self, call: ControlCall, request: ReplaceNetworkAclAssociationRequestTypeDef) -> ResponseMembers:
        """Associate the subnet of an association with another ACL of its VPC."""
        tx = call.transaction
        target = find(tx, NetworkAcl, request["NetworkAclId"])
        source = associations.owner_of(tx, NetworkAcl, request["AssociationId"])
        if source.vpc_id != target.vpc_id:
            raise AwsError("InvalidParameterValue", f"network ACL {target.id} and the association's subnet belong to different networks")
        return {"NewAssociationId": associations.move(tx, source, request["AssociationId"], target)}


def _at(acl: NetworkAcl, number: int, *, is_egress: bool) -> NetworkAclEntry | None:
    return next((entry for entry in acl.entries if (entry.number, entry.is_egress) == (number, is_egress)), None)


def _required(acl: NetworkAcl, number: int, *, is_egress: bool) -> NetworkAclEntry:
    entry = _at(acl, number, is_egress=is_egress)
    if entry is None:
        raise AwsError("InvalidNetworkAclEntry.NotFound", f"The network acl entry identified by {number} does not exist.")
    return entry


def _check_number(number: int) -> None:
    if not 1 <= number <= LAST_NUMBER:
        raise AwsError("InvalidParameterValue", f"Invalid value '{number}' for rule number. It must be between 1 and {LAST_NUMBER}.")


def _entry(request: Mapping[str, object]) -> NetworkAclEntry:
    """The entry of a request. Raises `InvalidParameterValue` and `MissingParameter`."""
    reject_unsupported(request, Ipv6CidrBlock="IPv6")
    number = cast("int", request["RuleNumber"])
    _check_number(number)
    protocol = _protocol(str(request["Protocol"]))
    if request.get("CidrBlock") is None:
        raise AwsError("MissingParameter", "The request must contain the parameter cidrBlock")
    action = request["RuleAction"]
    if action not in ("allow", "deny"):
        raise AwsError("InvalidParameterValue", f"Invalid value '{action}' for RuleAction. It must be 'allow' or 'deny'.")
    low, high = _ports(protocol, request)
    return NetworkAclEntry(number, bool(request["Egress"]), action == "allow", protocol, _cidr(str(request["CidrBlock"])), low, high)


def _protocol(text: str) -> str:
    number = _PROTOCOL_NUMBERS.get(text.lower(), text)
    if number != "-1" and not (number.isascii() and number.isdigit() and int(number) < 256):
        raise AwsError("InvalidParameterValue", f"Invalid value '{text}' for IP protocol. Unknown protocol.")
    if number == "58":
        raise AwsError("InvalidParameterValue", "The protocol icmpv6 is not supported: zonal has no IPv6; see docs/limits.md")
    return str(int(number))


def _ports(protocol: str, request: Mapping[str, object]) -> tuple[int | None, int | None]:
    if protocol in ("6", "17"):
        ports = cast("Mapping[str, int]", request.get("PortRange") or {})
        low, high = ports.get("From"), ports.get("To")
        if low is None or high is None:
            raise AwsError("MissingParameter", "The request must contain the parameter PortRange")
        if not 0 <= low <= high <= 65535:
            raise AwsError("InvalidParameterValue", f"Invalid TCP/UDP port range ({low}:{high})")
        return low, high
    if protocol == "1":
        icmp = cast("Mapping[str, int]", request.get("IcmpTypeCode") or {})
        if "Type" not in icmp or "Code" not in icmp:
            raise AwsError("MissingParameter", "The request must contain the parameter icmpTypeCode")
        if not -1 <= icmp["Type"] <= 255 or not -1 <= icmp["Code"] <= 255:
            raise AwsError("InvalidParameterValue", f"ICMP code ({icmp['Code']}) and type ({icmp['Type']}) are not a valid combination")
        return icmp["Type"], icmp["Code"]
    return None, None


def _cidr(text: str) -> str:
    try:
        return str(IPv4Network(text, strict=False))
    except ValueError:
        raise AwsError("InvalidParameterValue", f"CIDR block {text} is malformed") from None
