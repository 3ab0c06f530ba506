"""Shared by exports and imports: ARNs, client tokens, pages of lists, and failures."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from msgspec.structs import replace

from zonal.dynamo.engine import table_name
from zonal.dynamo.items import validation
from zonal.dynamo.transfers import TransferRecord
from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import ACCOUNT, REGION
from zonal.services.common.paging import Page, Paging
from zonal.services.dynamodb.tags import denied
from zonal.services.operation import Call, ControlCall

T = TypeVar("T", bound=TransferRecord)
TOKEN_LIFE = timedelta(hours=8)
CONFLICT = "Duplicate request detected with conflicting parameters"
_ARN = re.compile(r"arn:([^:]*:[^:]*:[^:]*:[^:]*):table/.*")
_FAILURES = {"NoSuchBucket": "S3NoSuchBucket", "AccessDenied": "S3AccessDenied"}


def new_number(call: Call) -> str:
    """The last part of a new transfer's ARN: milliseconds since 1970, which order a table's ARNs, and a random part."""
    return f"{int(call.now.timestamp() * 1000):014d}-{secrets.token_hex(4)}"


def asked_before(call: ControlCall, kind: type[T], request: Mapping[str, Any]) -> T | None:
    """The transfer with the request's `ClientToken` of the last hours; None for a new token or no token."""
    if not (token := request.get("ClientToken")):
        return None
    found = call.transaction.select(kind, lambda one: one.client_token == token and call.now - one.started_at < TOKEN_LIFE)
    return next(iter(found), None)


def known(call: ControlCall, kind: type[T], arn: str, word: str) -> T:
    """The transfer of this ARN; `word` is Export or Import. Raises AWS's error for a missing one and for another account's ARN."""
    match = _ARN.fullmatch(arn)
    if match is not None and match[1] != f"aws:dynamodb:{REGION}:{ACCOUNT}":
        raise denied(arn, f"Describe{word}")
    if match is None or not re.fullmatch(rf".*:table/[a-zA-Z0-9_.-]{{3,255}}/{word.lower()}/[^/]+", arn):
        raise validation(f"Invalid {word} ARN")
    found = call.transaction.get(kind, arn)
    if found is None:
        raise AwsError(f"{word}NotFoundException", f"{word} not found: {arn}")
    return found


def page(
    call: ControlCall, kind: type[T], request: Mapping[str, Any], size_name: str, *, shows: Callable[[T], bool] = lambda one: True
) -> Page[T]:
    """A page of the transfers of one table or of all, each table's newest first. `size_name` is the parameter with the page's size."""
    table = request.get("TableArn")
    found = [one for one in call.transaction.select(kind) if table is None or (one.table == table_name(table) and shows(one))]
    found.sort(key=lambda one: one.id, reverse=True)
    found.sort(key=lambda one: one.table)
    return _PAGING._replace(size_name=size_name).page(found, request, issuer=kind.kind, key=lambda one: one.id)


_PAGING = Paging(
    size_name="MaxResults",
    token_name="NextToken",
    fewest=1,
    most=25,
    default=25,
    out_of_bounds=lambda size, fewest, most: validation(f"The size of a page is {fewest} to {most}"),
    wrong_token=lambda token: validation("The NextToken is not one of this list"),
    digest=lambda id: hashlib.sha512(id.encode()).hexdigest(),
)
"""The model checks sizes, and the token's form: at least seven groups of sixteen hexadecimal digits."""


def failed(transfer: T, error: AwsError) -> T:
    """The record of a failed transfer."""
    return replace(transfer, status="FAILED", failure=(_FAILURES.get(error.code, "UNKNOWN"), error.message))
