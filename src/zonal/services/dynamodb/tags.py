"""Tags of tables: TagResource, UntagResource, ListTagsOfResource."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from zonal.dynamo.engine import Engine
from zonal.dynamo.items import validation
from zonal.dynamo.table import LAG_TAG, TableRecord, lag_of
from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import ACCOUNT, REGION
from zonal.records.store import Transaction
from zonal.services.operation import Call, operation

Request = dict[str, Any]
MAX_TAGS = 50
PAGE = 10
_ANY_ARN = re.compile(r".+:.+:.+:.+:.+:.+/.+")
_TAG_SIGNS, _TAG_LETTERS = frozenset("_.:/=+-@"), frozenset("LNZ")
_TAG_PATTERN = r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$"
_TABLE_ARN = re.compile(r"arn:aws:dynamodb:(.+):(\d+):table/([^/]{3,})")


class Tags:
    """Operations on the tags of tables."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @operation("TagResource")
    def tag(self, call: Call, request: Request) -> None:
        record = _tagged(call.transaction, request["ResourceArn"], "TagResource")
        if not request["Tags"]:
            raise validation("Atleast one Tag needs to be provided as Input.")
        tags = record.tags | tags_of(request["Tags"])
        _check_count(tags)
        call.transaction.put(replace(record, tags=tags))

    @operation("UntagResource")
    def untag(self, call: Call, request: Request) -> None:
        record = _tagged(call.transaction, request["ResourceArn"], "UntagResource")
        if not request["TagKeys"]:
            raise validation("Atleast one Tag Key needs to be provided as Input.")
        gone = set(request["TagKeys"])
        call.transaction.put(replace(record, tags={key: value for key, value in record.tags.items() if key not in gone}))

    @operation("ListTagsOfResource")
    def list(self, call: Call, request: Request) -> dict[str, Any]:
        record = _tagged(call.transaction, request["ResourceArn"], "ListTagsOfResource")
        start = request.get("NextToken")
        names = sorted(record.tags)
        names = [name for name in names if start is None or name > start]
        answer: dict[str, Any] = {"Tags": [{"Key": name, "Value": record.tags[name]} for name in names[:PAGE]]}
        if len(names) > PAGE:
            answer["NextToken"] = names[PAGE - 1]
        return answer


def tags_of(request: Sequence[Request]) -> dict[str, str]:
    """Tags as they are kept. Raises `ValidationException` for ones that are too many, for letters that no tag has, and for a value that
    means nothing where zonal gives its tag a meaning."""
    tags = {tag["Key"]: tag["Value"] for tag in request}
    _check_count(tags)
    for name, text in (each for tag in tags.items() for each in zip(("Key", "Value"), tag, strict=True)):
        if not all(letter in _TAG_SIGNS or unicodedata.category(letter)[0] in _TAG_LETTERS for letter in text):
            raise validation(
                f"One or more parameter values were invalid: Tag {name} must satisfy regular expression pattern: {_TAG_PATTERN}"
            )
    if LAG_TAG in tags:
        lag_of(tags[LAG_TAG])
    return tags


def _check_count(tags: dict[str, str]) -> None:
    if len(tags) > MAX_TAGS:
        raise validation(f"The number of tags exceeds the limit of {MAX_TAGS} tags per resource")


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
    """The error of who names what is not of this region and account."""
    caller = f"arn:aws:iam::{ACCOUNT}:root"
    message = f"User: {caller} is not authorized to perform: dynamodb:{operation} on resource: {arn or '*'}"
    return AwsError("AccessDeniedException", message)
