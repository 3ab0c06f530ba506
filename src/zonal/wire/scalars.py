"""Scalars: strings, numbers, booleans, timestamps and blobs, as each protocol writes them.

`from_text` parses them where everything is text (forms, headers, labels, XML). `timestamp` parses any of AWS's three formats, as AWS does
whatever the model declares; `timestamp_text` writes one.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache
from typing import Any

from zonal.wire.service_models import Shape

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RANGES = {"integer": (-(2**31), 2**31 - 1), "long": (-(2**63), 2**63 - 1)}
SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class Malformed(Exception):
    """A value does not have its type. `path` is built from the model's member names; `text` is the value, for messages."""

    def __init__(self, path: str, reason: str, *, text: str = "", type: str = "") -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
        self.text = text
        self.type = type

    def under(self, name: str) -> Malformed:
        """The same error with a path that begins one level higher."""
        self.path = f"{name}.{self.path}" if self.path else name
        return self


def from_text(shape: Shape, text: str) -> Any:
    """Parse a scalar. Raises `Malformed`."""
    kind = shape.type
    if kind == "string":
        return text
    try:
        if kind in RANGES:
            return whole(kind, text)
        if kind == "boolean":
            return {"true": True, "false": False, "True": True, "False": False}[text]
        if kind in ("float", "double"):
            return real(text)
        if kind == "timestamp":
            return timestamp(text)
        if kind == "blob":
            return base64.b64decode(text, validate=True)
    except (ValueError, KeyError, OverflowError, binascii.Error):
        raise Malformed("", f"'{text[:100]}' is not a valid {kind}", text=text[:100], type=kind) from None
    raise Malformed("", f"a {kind} is not allowed here", type=kind)


def whole(kind: str, text: str) -> int:
    """Parse an `integer` or `long` within its range. Raises `ValueError`."""
    if len(text) > 20 or not re.fullmatch(r"[+-]?\d+", text, re.ASCII):
        raise ValueError(text[:30])
    number = int(text)
    low, high = RANGES[kind]
    if not low <= number <= high:
        raise ValueError(text)
    return number


def real(text: str) -> float:
    """Parse a floating-point number, or one of AWS's names of special values. Raises `ValueError`."""
    if text in SPECIAL:
        return SPECIAL[text]
    if len(text) > 400 or not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", text, re.ASCII):
        raise ValueError(text[:30])
    return float(text)


def timestamp(value: str | float) -> datetime:
    """Parse a timestamp: seconds since 1970, ISO 8601 or RFC 822. Raises `ValueError`."""
    if isinstance(value, int | float):
        return _EPOCH + timedelta(seconds=value)
    if re.fullmatch(r"-?\d{1,13}(\.\d{1,9})?", value, re.ASCII):
        return _EPOCH + timedelta(seconds=float(value))
    if len(value) > 40:
        raise ValueError(value[:40])
    if value[:1].isalpha():
        found = parsedate_to_datetime(value)
    else:
        found = datetime.fromisoformat(value)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


@lru_cache(1024)
def timestamp_text(value: datetime, format: str) -> str:
    """A timestamp as `iso8601`, `rfc822` or `unixTimestamp`; a naive datetime counts as UTC."""
    if format == "rfc822":
        return _http_date(value)
    value = _utc(value)
    if format in ("unixTimestamp", "unixtimestamp"):
        return str(seconds(value))
    return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"


@lru_cache(1024)
def _http_date(value: datetime) -> str:
    """A timestamp as headers write it. Cached, because an object that is read often sends the same one each time."""
    return format_datetime(_utc(value), usegmt=True)


def _utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def seconds(value: datetime) -> int | float:
    """Seconds since 1970 with milliseconds; an integer if they are whole."""
    value = value.replace(tzinfo=UTC) if value.tzinfo is None else value
    milliseconds = (value - _EPOCH) // timedelta(milliseconds=1)
    return milliseconds // 1000 if milliseconds % 1000 == 0 else milliseconds / 1000


def real_text(value: float) -> str:
    """A floating-point number as text, with AWS's names of special values."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(float(value))
