"""Tags of tables: TagResource, UntagResource, ListTagsOfResource."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from zonal.dynamo.engine import DynamoEngine
from zonal.dynamo.items import validation
from zonal.dynamo.table import LAG_TAG, TableRecord, lag_of
from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import ACCOUNT, REGION
from zonal.records.store import Transaction
from zonal.services.common.tags import LONGEST_KEY, LONGEST_VALUE, TagRules, is_reserved, shown, without
from zonal.services.operation import ControlCall, operation

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import (
        ListTagsOfResourceInputTypeDef,
        TagResourceInputTypeDef,
        UntagResourceInputTypeDef,
    )

_ANY_ARN = re.compile(r".+:.+:.+:.+:.+:.+/.+")
_TAG_SIGNS, _TAG_LETTERS = frozenset("_.:/=+-@"), frozenset("LNZ")
_TABLE_ARN = re.compile(r"arn:aws:dynamodb:(.+):(\d+):table/([^/]{3,})")


class TableTags:
    """Operations on the tags of tables."""

    def __init__(self, engine: DynamoEngine) -> None:
        self._engine = engine

    @operation("TagResource")
    def tag(self, call: ControlCall, request: TagResourceInputTypeDef) -> None:
        record = _tagged(call.transaction, request["ResourceArn"], "TagResource")
        if not request["Tags"]:
            raise validation("Atleast one Tag needs to be provided as Input.")
        tags = record.tags | tags_of(request["Tags"])
        _RULES.check_count(len(tags))
        call.transaction.put(replace(record, tags=tags))

    @operation("UntagResource")
    def untag(self, call: ControlCall, request: UntagResourceInputTypeDef) -> None:
        record = _tagged(call.transaction, request["ResourceArn"], "UntagResource")
        if not request["TagKeys"]:
            raise validation("Atleast one Tag Key needs to be provided as Input.")
        removed = set(request["TagKeys"])
        for key in removed:
            _RULES.check(key)
        _RULES.check_count(len(removed))
        call.transaction.put(replace(record, tags=without(record.tags, removed)))

    @operation("ListTagsOfResource")
    def list(self, call: ControlCall, request: ListTagsOfResourceInputTypeDef) -> dict[str, Any]:
        record = _tagged(call.transaction, request["ResourceArn"], "ListTagsOfResource")
        return {"Tags": shown(record.tags)}


def tags_of(request: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The tags of a request. Raises `ValidationException` for repeated, invalid or too many tags, and for an invalid lag."""
    tags = _RULES.merged({}, request)
    if LAG_TAG in tags:
        lag_of(tags[LAG_TAG])
    return tags


def _checked_key(key: str | None, value: str | None) -> AwsError | None:
    if not key or not _fits(key, LONGEST_KEY):
        return validation(f"The Tag Key provided is invalid, Key: {'null' if key is None else key}")
    return validation(f"Tag Key cannot be prefixed with aws:, Key: {key}") if is_reserved(key) else None


def _checked_value(key: str | None, value: str | None) -> AwsError | None:
    if value is None or not _fits(value, LONGEST_VALUE):
        return validation(f"The Tag Value provided is invalid, Value: {'null' if value is None else value}")
    return None


def _fits(text: str, most: int) -> bool:
    return len(text) <= most and all(letter in _TAG_SIGNS or unicodedata.category(letter)[0] in _TAG_LETTERS for letter in text)


_RULES = TagRules(
    checks=(_checked_key, _checked_value),
    too_many=lambda count: validation("Number of Tags exceed the current limit for the provided ResourceArn"),
    repeated=lambda key: validation(f"Duplicate Tag Keys provided as input: Duplicate Tag Key found {key}"),
)


def _tagged(transaction: Transaction, arn: str, operation: str) -> TableRecord:
    if ":" in arn and not _ANY_ARN.fullmatch(arn):
        raise denied(arn, operation)
    match = _TABLE_ARN.fullmatch(arn)
    if match is None:
        raise validation(f"Invalid TableArn: Invalid ResourceArn provided as input {arn}")
    region, account, name = match.groups()
    if (region, account) != (REGION, ACCOUNT):
        raise denied(arn, operation)
    record = transaction.get(TableRecord, name)
    if record is None:
        more = "" if operation == "UntagResource" else f": ResourcArn: {arn} not found"
        raise AwsError("ResourceNotFoundException", f"Requested resource not found{more}")
    return record


def denied(arn: str, operation: str) -> AwsError:
    """The error for a resource of another region or account."""
    caller = f"arn:aws:iam::{ACCOUNT}:root"
    message = f"User: {caller} is not authorized to perform: dynamodb:{operation} on resource: {arn or '*'}"
    return AwsError("AccessDeniedException", message)
