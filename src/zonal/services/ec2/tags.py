"""EC2's tags: validation, the tags of a creation (`TagSpecifications`), and CreateTags, DeleteTags, DescribeTags.

The limits are those of all services (`common.tags`); codes and messages are EC2's ("Tag your Amazon EC2 resources" in the EC2 User Guide).
Tags are stored in the record of the tagged resource.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import replace

from zonal.foundation.errors import AwsError
from zonal.services.common import tags as common_tags
from zonal.services.common.tags import LONGEST_KEY, LONGEST_VALUE, TagRules, is_reserved
from zonal.services.ec2 import filters, model
from zonal.services.ec2.listing import PAGING
from zonal.services.ec2.lookups import ID_ERRORS, find
from zonal.services.ec2.model import Tagged
from zonal.services.operation import ControlCall, ResponseMembers, operation

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import (
        ClientCreateTagsRequestTypeDef,
        ClientDeleteTagsRequestTypeDef,
        DescribeTagsRequestTypeDef,
        TagTypeDef,
    )

TAGGABLE: tuple[type[Tagged], ...] = (
    model.Vpc,
    model.Subnet,
    model.RouteTable,
    model.InternetGateway,
    model.SecurityGroup,
    model.SecurityGroupRule,
    model.NetworkAcl,
    model.NetworkInterface,
    model.ElasticAddress,
    model.NatGateway,
    model.DhcpOptions,
)

_PATHS = {"key": "Key", "resource-id": "ResourceId", "resource-type": "ResourceType", "value": "Value"}


def given_tags(request: Mapping[str, object], kind: type[Tagged]) -> dict[str, str]:
    """The validated tags of a creation's `TagSpecifications`. Raises `InvalidParameterValue` for those of another resource type."""
    found: list[TagTypeDef] = []
    for specification in cast("list[Mapping[str, object]]", request.get("TagSpecifications") or []):
        named = specification.get("ResourceType")
        if named is None:
            raise AwsError("MissingParameter", "The request must contain the parameter resourceType")
        if named != kind.kind:
            raise AwsError("InvalidParameterValue", f"'{named}' is not a valid taggable resource type for this operation.")
        found += cast("list[TagTypeDef]", specification.get("Tags") or [])
    return merged({}, found)


def merged(present: Mapping[str, str], added: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The existing tags plus the added ones. Raises `InvalidParameterValue` and `TagLimitExceeded`."""
    return _RULES.merged(present, added)


def answer_tags(record: Tagged) -> list[TagTypeDef]:
    """A record's tags in a response's form, ordered by key."""
    return cast("list[TagTypeDef]", common_tags.shown(record.tags))


def _checked(key: str | None, value: str | None) -> AwsError | None:
    if not key:
        return AwsError("InvalidParameterValue", "Tag key cannot be empty.")
    if is_reserved(key):
        return AwsError("InvalidParameterValue", f"Tag keys starting with 'aws:' are reserved for internal use: '{key}'")
    if len(key) > LONGEST_KEY:
        return AwsError("InvalidParameterValue", f"Tag key exceeds the maximum length of 128 characters: '{key}'")
    if len(value or "") > LONGEST_VALUE:
        return AwsError("InvalidParameterValue", f"Tag value exceeds the maximum length of 256 characters: '{value}'")
    return None


_RULES = TagRules(
    checks=(_checked,),
    too_many=lambda count: AwsError("TagLimitExceeded", "The maximum number of Tags for a resource has been reached."),
    repeated=lambda key: AwsError("InvalidParameterValue", "Duplicate tag keys found. Please note that Tag keys are case insensitive."),
    repeats_first=True,
)


class Ec2Tags:
    """The operations on tags of all EC2 resources."""

    @operation("CreateTags")
    def create(self, call: ControlCall, request: ClientCreateTagsRequestTypeDef) -> ResponseMembers:
        """Add or overwrite tags of up to 1000 resources; none is changed if one does not exist."""
        for record in self._resources(call, request["Resources"]):
            call.transaction.put(replace(record, tags=merged(record.tags, request["Tags"])))
        return {}

    @operation("DeleteTags")
    def delete(self, call: ControlCall, request: ClientDeleteTagsRequestTypeDef) -> ResponseMembers:
        """Remove tags by key, or by key and value; without `Tags` all except the reserved ones."""
        for record in self._resources(call, request["Resources"]):
            call.transaction.put(replace(record, tags=_without(record.tags, request.get("Tags"))))
        return {}

    @operation("DescribeTags")
    def describe(self, call: ControlCall, request: DescribeTagsRequestTypeDef) -> ResponseMembers:
        rows: list[Mapping[str, object]] = [
            {"Key": tag["Key"], "Value": tag["Value"], "ResourceId": record.id, "ResourceType": kind.kind, "Tags": [tag]}
            for kind in TAGGABLE
            for record in call.transaction.select(kind)
            for tag in answer_tags(record)
        ]
        asked = list(request.get("Filters") or ())
        passed = sorted(filters.passing(rows, asked, _PATHS), key=_order)
        found = PAGING.page(passed, request, issuer=call.operation, key=_order)
        shown = [{name: value for name, value in row.items() if name != "Tags"} for row in found.items]
        return found.of(shown).members("Tags", "NextToken")

    def _resources(self, call: ControlCall, ids: Iterable[str]) -> list[Tagged]:
        return [_resource(call, id) for id in dict.fromkeys(ids)]


def _resource(call: ControlCall, id: str) -> Tagged:
    prefix = id.rpartition("-")[0]
    for kind in TAGGABLE:
        if ID_ERRORS[kind].prefix == prefix:
            return find(call.transaction, kind, id)
    raise AwsError("InvalidID", f"The ID '{id}' is not valid")


def _without(present: Mapping[str, str], tags: Iterable[TagTypeDef] | None) -> dict[str, str]:
    if not tags:
        return {key: value for key, value in present.items() if key.lower().startswith("aws:")}
    gone = {tag.get("Key"): tag.get("Value") for tag in tags}
    return {key: value for key, value in present.items() if key not in gone or gone[key] not in (None, value)}


def _order(row: Mapping[str, object]) -> str:
    return f"{row['ResourceId']}\0{row['Key']}"
