"""Tags of tables: TagResource, UntagResource, ListTagsOfResource."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from zonal.dynamo.engine import Engine
from zonal.dynamo.items import validation
from zonal.dynamo.table import TableRecord
from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import ACCOUNT, REGION
from zonal.records.store import Transaction
from zonal.services.operation import Call, operation

Request = dict[str, Any]
MAX_TAGS = 50
PAGE = 10


class Tags:
    """Operations on the tags of tables."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @operation("TagResource")
    def tag(self, call: Call, request: Request) -> None:
        record = _tagged(call.transaction, request["ResourceArn"], "TagResource")
        if not request["Tags"]:
            raise validation("Atleast one Tag needs to be provided as Input.")
        tags = record.tags | {tag["Key"]: tag["Value"] for tag in request["Tags"]}
        if len(tags) > MAX_TAGS:
            raise validation(f"The number of tags exceeds the limit of {MAX_TAGS} tags per resource")
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


def _tagged(transaction: Transaction, arn: str, operation: str) -> TableRecord:
    parts = arn.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn" or parts[2] != "dynamodb" or not parts[5].startswith("table/") or len(parts[5]) < 9:
        raise validation(f"Invalid TableArn: Invalid ResourceArn provided as input {arn}")
    if (parts[3], parts[4]) != (REGION, ACCOUNT):
        raise AwsError(
            "AccessDeniedException",
            f"User: arn:aws:iam::{ACCOUNT}:root is not authorized to perform: dynamodb:{operation} on resource: {arn}",
        )
    record = transaction.get(TableRecord, parts[5].removeprefix("table/"))
    if record is None:
        raise AwsError("ResourceNotFoundException", f"Requested resource not found: ResourcArn: {arn} not found")
    return record
