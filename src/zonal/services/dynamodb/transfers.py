"""What exports and imports have in common: their names, the tokens that keep a call from being made twice, pages of them, how they fail."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any, TypeVar

from msgspec.structs import replace

from zonal.dynamo.engine import table_name
from zonal.dynamo.transfers import TransferRecord
from zonal.foundation.errors import AwsError
from zonal.services.operation import Call

T = TypeVar("T", bound=TransferRecord)
TOKEN_LIFE = timedelta(hours=8)
_FAILURES = {"NoSuchBucket": "S3NoSuchBucket", "AccessDenied": "S3AccessDenied"}


def new_number(call: Call) -> str:
    """The last part of a new transfer's ARN: milliseconds since 1970, so that ARNs of one table are in order, and a random part."""
    return f"{int(call.now.timestamp() * 1000):014d}-{secrets.token_hex(4)}"


def asked_before(call: Call, kind: type[T], request: dict[str, Any]) -> T | None:
    """What the request's `ClientToken` has asked for already in the last hours; None for a new token, or none."""
    if not (token := request.get("ClientToken")):
        return None
    found = call.transaction.select(kind, lambda one: one.client_token == token and call.now - one.started_at < TOKEN_LIFE)
    return next(iter(found), None)


def page(call: Call, kind: type[T], request: dict[str, Any], limit: int) -> tuple[list[T], dict[str, str]]:
    """The next transfers of a table or of all, and the answer's `NextToken`, if more are to come."""
    table, after = request.get("TableArn"), request.get("NextToken")
    found = [
        one
        for one in call.transaction.select(kind)
        if (table is None or one.table == table_name(table)) and (after is None or one.id > after)
    ]
    return found[:limit], {"NextToken": found[limit - 1].id} if len(found) > limit else {}


def failed(transfer: T, error: AwsError) -> T:
    """The record of a transfer that came to nothing."""
    return replace(transfer, status="FAILED", failure=(_FAILURES.get(error.code, "UNKNOWN"), error.message))
