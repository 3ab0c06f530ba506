"""AddTagsToResource, RemoveTagsFromResource and ListTagsForResource: tags of RDS's resources, by ARN.

The rules are those of every AWS service (`common.tags`; "Tagging Amazon RDS resources" in the RDS User Guide).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import replace

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import ACCOUNT, REGION, parse_arn
from zonal.records.record_view import RecordView
from zonal.services.common import tags as common_tags
from zonal.services.common.tags import LONGEST_KEY, LONGEST_VALUE, MOST_TAGS, TagRules, is_reserved
from zonal.services.operation import ControlCall, ResponseMembers, operation
from zonal.services.rds.lookups import filters, find_instance, find_subnet_group
from zonal.services.rds.model import DbInstance, SubnetGroup

if TYPE_CHECKING:
    from types_boto3_rds.type_defs import (
        AddTagsToResourceMessageTypeDef,
        ListTagsForResourceMessageTypeDef,
        RemoveTagsFromResourceMessageTypeDef,
        TagTypeDef,
    )


def merged(present: Mapping[str, str], added: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The tags after adding some. Raises `InvalidParameterValue`."""
    return _RULES.merged(present, added)


def _checked(key: str | None, value: str | None) -> AwsError | None:
    if not key or len(key) > LONGEST_KEY or len(value or "") > LONGEST_VALUE:
        return AwsError("InvalidParameterValue", f"Tag keys have 1 to 128 characters and values at most 256: '{key or ''}'")
    if is_reserved(key):
        return AwsError("InvalidParameterValue", f"Tag keys that begin with 'aws:' are reserved: '{key}'")
    return None


_RULES = TagRules(
    checks=(_checked,), too_many=lambda count: AwsError("InvalidParameterValue", f"A resource can have at most {MOST_TAGS} tags.")
)


def answer_tags(tags: Mapping[str, str]) -> list[TagTypeDef]:
    """Tags as every response lists them, in the order of their keys."""
    return cast("list[TagTypeDef]", common_tags.shown(tags))


class RdsTags:
    """The operations on tags."""

    @operation("AddTagsToResource")
    def add(self, call: ControlCall, request: AddTagsToResourceMessageTypeDef) -> ResponseMembers:
        record = _named(call.transaction, request["ResourceName"])
        call.transaction.put(replace(record, tags=merged(record.tags, request["Tags"])))
        return {}

    @operation("RemoveTagsFromResource")
    def remove(self, call: ControlCall, request: RemoveTagsFromResourceMessageTypeDef) -> ResponseMembers:
        record = _named(call.transaction, request["ResourceName"])
        call.transaction.put(replace(record, tags=common_tags.without(record.tags, request["TagKeys"])))
        return {}

    @operation("ListTagsForResource")
    def list(self, call: ControlCall, request: ListTagsForResourceMessageTypeDef) -> ResponseMembers:
        filters(request, ())
        return {"TagList": answer_tags(_named(call.transaction, request["ResourceName"]).tags)}


def _named(view: RecordView, name: str) -> DbInstance | SubnetGroup:
    parsed = parse_arn(name)
    if parsed is None or parsed[0] != "rds" or (parsed[1], parsed[2]) != (REGION, ACCOUNT):
        raise AwsError("InvalidParameterValue", f"Invalid resource name: {name}")
    kind, _, identifier = parsed[3].partition(":")
    if kind == "db":
        return find_instance(view, identifier)
    if kind == "subgrp":
        return find_subnet_group(view, identifier)
    raise AwsError("InvalidParameterValue", f"The specified resource name does not match an RDS resource in this region: {name}")
