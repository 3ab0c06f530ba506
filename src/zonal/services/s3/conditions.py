"""Conditional requests: If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, and byte ranges.

Reads: If-Match takes precedence over If-Unmodified-Since, If-None-Match over If-Modified-Since; a failure of the first pair is 412, of the
second 304 (RFC 9110, "Precedence of preconditions"). Writes: S3 supports `If-None-Match: *` (409 and 412) and If-Match; they are evaluated
in the transaction of the write.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from zonal.buckets.records import ObjectVersion
from zonal.foundation.errors import AwsError
from zonal.services.s3.errors import no_such_key, precondition_failed

_NAMES = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")
_CONDITIONS = {prefix: frozenset(prefix + name for name in _NAMES) for prefix in ("", "x-amz-copy-source-")}


def check_reading(headers: Mapping[str, str], entry: ObjectVersion, *, prefix: str = "") -> None:
    """Raises `AwsError` 412 or 304 if a precondition of a read fails; always 412 with a `prefix` (for the source of a copy)."""
    if _CONDITIONS[prefix].isdisjoint(headers):
        return
    match, none_match = headers.get(f"{prefix}if-match"), headers.get(f"{prefix}if-none-match")
    since, unmodified = _date(headers.get(f"{prefix}if-modified-since")), _date(headers.get(f"{prefix}if-unmodified-since"))
    modified = entry.at.replace(microsecond=0)
    if match is not None:
        if not _matches(match, entry.etag):
            raise precondition_failed(f"{prefix.title()}If-Match")
    elif unmodified is not None and modified > unmodified:
        raise precondition_failed(f"{prefix.title()}If-Unmodified-Since")
    if none_match is not None:
        if _matches(none_match, entry.etag):
            raise precondition_failed(f"{prefix}If-None-Match") if prefix else _not_modified(entry)
    elif since is not None and modified <= since <= datetime.now(UTC):
        raise precondition_failed(f"{prefix}If-Modified-Since") if prefix else _not_modified(entry)


def check_writing(headers: Mapping[str, str], key: str, look: Callable[[], ObjectVersion | None]) -> None:
    """Raises `AwsError` if a precondition of a write fails. `look` returns the current version; only conditional writes call it."""
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    if match is None and none_match is None:
        return
    entry = look()
    there = entry if entry is not None and not entry.is_marker else None
    if match is not None and none_match is not None:
        raise _not_accepted("If-Match,If-None-Match", "Multiple conditional request headers present in the request")
    if none_match is not None:
        if none_match.strip() != "*":
            raise _not_accepted("If-None-Match", "We don't accept the provided value of If-None-Match header for this API")
        if there is not None:
            raise precondition_failed("If-None-Match")
    if match is not None:
        if match.strip() == "*":
            raise _not_accepted("If-Match", "We don't accept the provided value of If-Match header for this API")
        if there is None:
            raise no_such_key(key)
        if not _matches(match, there.etag):
            raise precondition_failed("If-Match")


def check_deleting(match: str, entry: ObjectVersion | None, key: str) -> None:
    """Raises `AwsError` if the If-Match of a delete (an ETag, or * for any) does not match the current version."""
    if entry is None or entry.is_marker:
        raise no_such_key(key)
    if not _matches(match, entry.etag):
        raise precondition_failed("If-Match")


def _not_accepted(header: str, why: str) -> AwsError:
    """AWS's error for a precondition that S3 does not support."""
    message = "A header you provided implies functionality that is not implemented"
    return AwsError("NotImplemented", message, status=501, fields={"Header": header, "additionalMessage": why})


def _matches(text: str, etag: str) -> bool:
    etags = [each.strip().removeprefix("W/").strip('"') for each in text.split(",")]
    return "*" in etags or etag in etags


def _not_modified(entry: ObjectVersion) -> AwsError:
    headers = {"ETag": f'"{entry.etag}"', "Last-Modified": format_datetime(entry.at, usegmt=True)}
    if entry.version != "null":
        headers["x-amz-version-id"] = entry.version
    return AwsError("NotModified", "Not Modified", status=304, headers=headers)


def _date(text: str | None) -> datetime | None:
    """An HTTP date; None if it is missing or malformed."""
    if text is None:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{0,20})\s*-\s*(\d{0,20})\s*", re.ASCII | re.IGNORECASE)


def byte_range(text: str | None, size: int) -> tuple[int, int] | None:
    """Offset and size of a `Range` header; None for the whole content. Raises `AwsError` InvalidRange (416).

    As on S3, a header that is not a single range of bytes is ignored.
    """
    match = _RANGE.fullmatch(text) if text else None
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        length = min(int(match[2]), size)
        if length == 0:
            raise _unsatisfiable(text or "", size)
        return size - length, length
    first = int(match[1])
    last = min(int(match[2]), size - 1) if match[2] else size - 1
    if match[2] and int(match[2]) < first:
        return None
    if first >= size:
        raise _unsatisfiable(text or "", size)
    return first, last - first + 1


def _unsatisfiable(text: str, size: int) -> AwsError:
    fields = {"RangeRequested": text.strip(), "ActualObjectSize": size}
    headers = {"Content-Range": f"bytes */{size}"}
    return AwsError("InvalidRange", "The requested range is not satisfiable", status=416, fields=fields, headers=headers)
