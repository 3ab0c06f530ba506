"""The policy of an upload form: its expiration, conditions on the fields, and bounds of the file's size.

The author of a form signs this document; its conditions must cover every field of the form except a few. The file's size is known only when
it has been received, so `check` returns the bounds, and `Bounds.watched` enforces them. (S3 API Reference, "Creating a POST policy".)
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from zonal.foundation.errors import AwsError
from zonal.services.s3.bodies import LARGEST_BYTES
from zonal.services.s3.errors import too_large, too_small
from zonal.wire.scalars import timestamp

_UNCHECKED = ("policy", "x-amz-signature", "signature", "awsaccesskeyid", "file")
_FREE = ("x-ignore-", "x-amz-checksum-")
"""Prefixes of field names that need no condition."""


class Bounds(NamedTuple):
    """The smallest and the largest size of a file, in bytes."""

    least: int = 0
    most: int = LARGEST_BYTES

    def within(self, condition: list[Any]) -> Bounds:
        """The intersection with a `content-length-range` condition. Raises `AwsError` InvalidPolicyDocument."""
        try:
            least, most = int(condition[1]), int(condition[2])
        except (TypeError, ValueError):
            raise _failed(condition) from None
        if least < 0 or most < least:
            raise _invalid("Invalid Policy: Invalid content-length-range: bounds are out of order.")
        return Bounds(max(self.least, least), min(self.most, most))

    async def watched(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The file's pieces. Raises `AwsError` if the file is too large or, at its end, too small."""
        size = 0
        async for piece in pieces:
            size += len(piece)
            if size > self.most:
                raise too_large(size, self.most)
            yield piece
        if size < self.least:
            raise too_small(size, self.least)


def check(fields: Mapping[str, str], bucket: str, now: datetime) -> Bounds:
    """The bounds of the file's size. Raises `AwsError` if the policy is malformed, expired, or does not allow these fields."""
    policy = _document(fields["policy"])
    if policy["expiration"] <= now:
        raise _refused("Policy expired.")
    values = {**fields, "bucket": bucket}
    left = {name for name in values if name not in _UNCHECKED and not name.startswith(_FREE)}
    bounds = Bounds()
    for condition in policy["conditions"]:
        if _is_size(condition):
            bounds = bounds.within(condition)
        else:
            left -= _hold(condition, values)
    if left:
        raise _refused(f"Extra input fields: {', '.join(sorted(left))}")
    return bounds


def _is_size(condition: Any) -> bool:
    return isinstance(condition, list) and len(condition) == 3 and str(condition[0]).lower() == "content-length-range"


def _document(encoded: str) -> dict[str, Any]:
    """The decoded policy, its expiration as a datetime. Raises `AwsError` InvalidPolicyDocument."""
    try:
        policy = json.loads(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise _invalid("Invalid Policy: Invalid JSON.") from None
    if not isinstance(policy, dict):
        raise _invalid("Invalid Policy: Invalid JSON.")
    if not isinstance(policy.get("expiration"), str):
        raise _invalid("Invalid Policy: Policy missing expiration.")
    if not isinstance(policy.get("conditions"), list) or not policy["conditions"]:
        raise _invalid("Invalid Policy: Policy missing conditions.")
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", policy["expiration"]):
        raise _invalid(f"Invalid Policy: Invalid 'expiration' value: '{policy['expiration'][:40]}'")
    try:
        return policy | {"expiration": timestamp(policy["expiration"])}
    except ValueError:
        raise _invalid("Invalid Policy: Invalid 'expiration' value") from None


def _hold(condition: Any, values: Mapping[str, str]) -> set[str]:
    """The fields that a condition covers. Raises `AwsError` if it is malformed or does not hold."""
    if isinstance(condition, dict):
        if len(condition) != 1:
            raise _invalid("Invalid Policy: Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")
        for name, value in condition.items():
            if not isinstance(value, str):
                raise _invalid("Invalid Policy: Invalid Simple-Condition: value must be a string.")
            if values.get(name.lower(), "") != str(value):
                raise _failed(["eq", f"${name}", value])
        return {name.lower() for name in condition}
    if not isinstance(condition, list) or len(condition) != 3:
        raise _invalid("Invalid Policy: Invalid Condition: the number of its arguments is wrong.")
    operator, name, value = condition
    operator = str(operator).lower()
    if operator not in ("eq", "starts-with"):
        raise _invalid(f"Invalid Policy: Invalid Condition: unknown operation '{operator[:40]}'.")
    if not str(name).startswith("$"):
        raise _failed(condition)
    field = str(name)[1:].lower()
    given = values.get(field, "")
    if given != str(value) if operator == "eq" else not given.startswith(str(value)):
        raise _failed(condition)
    return {field}


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidPolicyDocument", message)


def _refused(why: str) -> AwsError:
    return AwsError("AccessDenied", f"Invalid according to Policy: {why}", status=403)


def _failed(condition: Any) -> AwsError:
    return _refused(f"Policy Condition failed: {json.dumps(condition)}")
