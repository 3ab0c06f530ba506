"""Tags of RDS's things: AddTagsToResource, RemoveTagsFromResource, ListTagsForResource, by ARN.

The rules are those of every AWS service: at most 50, keys of 1 to 128 characters that do not begin with `aws:`, values of at most 256
("Tagging Amazon RDS resources" in the RDS User Guide).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from msgspec.structs import replace

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import ACCOUNT, REGION, parse_arn
from zonal.records.view import View
from zonal.services.operation import Call, operation
from zonal.services.rds.lookups import Answer, filters, find_instance, find_subnet_group
from zonal.services.rds.model import DbInstance, SubnetGroup

if TYPE_CHECKING:
    from types_boto3_rds.type_defs import (
        AddTagsToResourceMessageTypeDef,
        ListTagsForResourceMessageTypeDef,
        RemoveTagsFromResourceMessageTypeDef,
        TagTypeDef,
    )

MOST_TAGS = 50


def merged(present: Mapping[str, str], added: Iterable[TagTypeDef]) -> dict[str, str]:
    """The tags after adding some. Raises `InvalidParameterValue`."""
    result = dict(present)
    for tag in added:
        key, value = tag.get("Key") or "", tag.get("Value") or ""
        if not 1 <= len(key) <= 128 or len(value) > 256:
            raise AwsError("InvalidParameterValue", f"Tag keys have 1 to 128 characters and values at most 256: '{key}'")
        if key.lower().startswith("aws:"):
            raise AwsError("InvalidParameterValue", f"Tag keys that begin with 'aws:' are reserved: '{key}'")
        result[key] = value
    if len(result) > MOST_TAGS:
        raise AwsError("InvalidParameterValue", f"A resource can have at most {MOST_TAGS} tags.")
    return result


def answer_tags(tags: Mapping[str, str]) -> list[TagTypeDef]:
    """Tags as every answer shows them, in the order of their keys."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


class Tags:
    """The operations on tags."""

    @operation("AddTagsToResource")
    def add(self, call: Call, request: AddTagsToResourceMessageTypeDef) -> Answer:
        record = _named(call.transaction, request["ResourceName"])
        call.transaction.put(replace(record, tags=merged(record.tags, request["Tags"])))
        return {}

    @operation("RemoveTagsFromResource")
    def remove(self, call: Call, request: RemoveTagsFromResourceMessageTypeDef) -> Answer:
        record = _named(call.transaction, request["ResourceName"])
        gone = set(request["TagKeys"])
        call.transaction.put(replace(record, tags={key: value for key, value in record.tags.items() if key not in gone}))
        return {}

    @operation("ListTagsForResource")
    def list(self, call: Call, request: ListTagsForResourceMessageTypeDef) -> Answer:
        filters(request, ())
        return {"TagList": answer_tags(_named(call.transaction, request["ResourceName"]).tags)}


def _named(view: View, name: str) -> DbInstance | SubnetGroup:
    parsed = parse_arn(name)
    if parsed is None or parsed[0] != "rds" or (parsed[1], parsed[2]) != (REGION, ACCOUNT):
        raise AwsError("InvalidParameterValue", f"Invalid resource name: {name}")
    kind, _, identifier = parsed[3].partition(":")
    if kind == "db":
        return find_instance(view, identifier)
    if kind == "subgrp":
        return find_subnet_group(view, identifier)
    raise AwsError("InvalidParameterValue", f"The specified resource name does not match an RDS resource in this region: {name}")
