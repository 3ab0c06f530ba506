"""The condition keys of a call with their values, for the evaluation of bucket policies.

Keys that no caller here can have (of a VPC endpoint, an organization, TLS) are absent, as they are for such a caller on AWS.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from zonal.buckets.records import Bucket, ObjectVersion
from zonal.services.operation import Call
from zonal.wire.scalars import timestamp_text

Context = dict[str, list[str]]
_QUERY_KEYS = {"Prefix": "s3:prefix", "Delimiter": "s3:delimiter", "MaxKeys": "s3:max-keys", "VersionId": "s3:versionid"}
_HEADER_KEYS = (
    "x-amz-acl",
    "x-amz-copy-source",
    "x-amz-metadata-directive",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-storage-class",
    "x-amz-content-sha256",
    "x-amz-grant-read",
    "x-amz-grant-write",
    "x-amz-grant-read-acp",
    "x-amz-grant-write-acp",
    "x-amz-grant-full-control",
    "x-amz-website-redirect-location",
    "if-match",
    "if-none-match",
)
_CREATES = {  # Whether an operation with the action s3:PutObject creates an object or only prepares one.
    "PutObject": "true",
    "CopyObject": "true",
    "CompleteMultipartUpload": "true",
    "CreateMultipartUpload": "false",
    "UploadPart": "false",
    "UploadPartCopy": "false",
}


def context_of(call: Call, request: Mapping[str, Any], bucket: Bucket, entry: ObjectVersion | None) -> Context:
    """The condition keys of a call, in lower case; `entry` is the existing object that it names, or None.

    Dates are region time, except the signature's age: signatures are dated by the machine's clock.
    """
    context = {
        "aws:securetransport": ["false"],
        "aws:currenttime": [call.now.isoformat()],
        "aws:epochtime": [str(call.now.timestamp())],
        "aws:requestedregion": [call.region],
        "aws:resourceaccount": [bucket.owner],
        "aws:principalisawsservice": ["false"],
        "aws:viaawsservice": ["false"],
        "s3:resourceaccount": [bucket.owner],
    }
    if call.access_key is not None:
        context["aws:principalaccount"] = [call.account]
        context["aws:principalarn"] = [f"arn:aws:iam::{call.account}:root"]
        context["aws:principaltype"] = ["Account"]
        context["aws:userid"] = [call.account]
    else:
        context["aws:principaltype"] = ["Anonymous"]
    if call.raw is not None:
        context["aws:sourceip"] = [call.raw.peer or "127.0.0.1"]
        context |= _of_headers(call.raw.headers) | _of_signature(call.raw)
    for name, key in _QUERY_KEYS.items():
        if request.get(name) is not None:
            context[key] = [str(request[name])]
    if call.operation in _CREATES:
        context["s3:objectcreationoperation"] = [_CREATES[call.operation]]
    if entry is not None:
        context |= {f"s3:existingobjecttag/{key.lower()}": [value] for key, value in entry.tags.items()}
    return context | _of_lock(request, call.now) | _of_tags(request)


def _of_headers(headers: Mapping[str, str]) -> Context:
    found = {f"s3:{name}": [headers[name]] for name in _HEADER_KEYS if name in headers}
    if "x-amz-copy-source" in headers:
        found["s3:x-amz-copy-source"] = [unquote(headers["x-amz-copy-source"]).lstrip("/")]  # Clients send it with or without a slash.
    for name, key in (("referer", "aws:referer"), ("user-agent", "aws:useragent")):
        if name in headers:
            found[key] = [headers[name]]
    return found


def _of_signature(raw: Any) -> Context:
    signature = raw.signature
    if signature is None:
        return {}
    presigned = "authorization" not in raw.headers
    found = {
        "s3:authtype": ["REST-QUERY-STRING" if presigned else "REST-HEADER"],
        "s3:signatureversion": ["AWS4-HMAC-SHA256" if signature.key else "AWS"],
    }
    if signature.key:
        signed = datetime.strptime(signature.timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        found["s3:signatureage"] = [str(max(0, round((datetime.now(UTC) - signed).total_seconds() * 1000)))]
    return found


def _of_lock(request: Mapping[str, Any], now: datetime) -> Context:
    """The retention and the legal hold in a request."""
    retention, hold = request.get("Retention") or {}, request.get("LegalHold") or {}
    mode = retention.get("Mode") or request.get("ObjectLockMode")
    until = retention.get("RetainUntilDate") or request.get("ObjectLockRetainUntilDate")
    status = hold.get("Status") or request.get("ObjectLockLegalHoldStatus")
    found = {"s3:object-lock-mode": [mode]} if mode else {}
    if until is not None:
        found["s3:object-lock-retain-until-date"] = [timestamp_text(until, "iso8601")]
        found["s3:object-lock-remaining-retention-days"] = [str(math.ceil((until - now).total_seconds() / 86400))]
    return found | ({"s3:object-lock-legal-hold": [status]} if status else {})


def _of_tags(request: Mapping[str, Any]) -> Context:
    """The tags in a request."""
    tagging = request.get("Tagging")
    if isinstance(tagging, dict):
        pairs = [(tag["Key"], tag["Value"]) for tag in tagging.get("TagSet", [])]
    elif isinstance(tagging, str):
        pairs = [(unquote(key), unquote(value)) for key, _, value in (pair.partition("=") for pair in tagging.split("&") if pair)]
    else:
        return {}
    found = {f"s3:requestobjecttag/{key.lower()}": [value] for key, value in pairs}
    return found | {"s3:requestobjecttagkeys": [key for key, _ in pairs]}
