"""The format of a line of a server access log.

Fields and their order follow the S3 User Guide ("Amazon S3 server access log format"). Fields without a value here (processing times, TLS,
access points) are `-`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple
from urllib.parse import parse_qsl, quote

from zonal.foundation.identifiers import REGION
from zonal.services.s3.bucket_address import website_of
from zonal.wire.http_messages import FileBody, HttpRequest, HttpResponse

_RESOURCES = {
    "acl": "ACL",
    "attributes": "OBJECT_ATTRIBUTES",
    "accelerate": "ACCELERATE",
    "cors": "CORS",
    "delete": "MULTI_OBJECT_DELETE",
    "encryption": "ENCRYPTION",
    "legal-hold": "LEGAL_HOLD",
    "lifecycle": "LIFECYCLE",
    "location": "LOCATION",
    "logging": "LOGGING_STATUS",
    "notification": "NOTIFICATION",
    "object-lock": "OBJECT_LOCK_CONFIGURATION",
    "ownershipControls": "OWNERSHIP_CONTROLS",
    "policy": "BUCKETPOLICY",
    "policyStatus": "BUCKETPOLICYSTATUS",
    "publicAccessBlock": "PUBLIC_ACCESS_BLOCK",
    "replication": "REPLICATION",
    "requestPayment": "REQUEST_PAYMENT",
    "retention": "RETENTION",
    "uploads": "UPLOADS",
    "versioning": "VERSIONING",
    "versions": "BUCKETVERSIONS",
    "website": "WEBSITE",
}
"""Subresources (query parameters) and their names in the log."""


class LogRecord(NamedTuple):
    """The values of a line besides request and response. Accounts are canonical user ids; `requester` is empty if anonymous."""

    owner: str
    bucket: str
    key: str
    requester: str
    at: datetime


def line(record: LogRecord, request: HttpRequest, response: HttpResponse) -> str:
    """The log line of one request."""
    answered = {name.lower(): value for name, value in response.headers}
    query = dict(parse_qsl(request.query, keep_blank_values=True))
    fields = (
        record.owner,
        record.bucket,
        record.at.strftime("[%d/%b/%Y:%H:%M:%S +0000]"),
        request.peer,
        record.requester,
        answered.get("x-amz-request-id", ""),
        operation(request, record.key, query),
        quote(record.key, safe="/"),
        _quoted(f"{request.method} {request.path}{'?' + request.query if request.query else ''} HTTP/1.1"),
        str(response.status),
        _error_code(response),
        _bytes_sent(response),
        _object_size(request, response, answered),
        "",  # Total time.
        "",  # Turn-around time.
        _quoted(request.headers.get("referer", "")),
        _quoted(request.headers.get("user-agent", "")),
        answered.get("x-amz-version-id", query.get("versionId", "")),
        answered.get("x-amz-id-2", ""),
        _signature_version(request),
        "",  # Cipher suite.
        _authentication(request),
        request.headers.get("host", ""),
        "",  # TLS version.
        "",  # Access point.
        "",  # Whether an ACL was needed.
        REGION,
    )
    return " ".join(field or "-" for field in fields)


def operation(request: HttpRequest, key: str, query: Mapping[str, str]) -> str:
    """The operation's name in the log: `REST.GET.OBJECT`, `WEBSITE.GET.OBJECT`."""
    if website_of(request.host):
        return f"WEBSITE.{request.method}.OBJECT"
    if request.method == "OPTIONS":
        return "REST.OPTIONS.PREFLIGHT"
    if "uploadId" in query:
        is_part = "partNumber" in query
        copies = is_part and "x-amz-copy-source" in request.headers
        return "REST.COPY.PART" if copies else f"REST.{request.method}.{'PART' if is_part else 'UPLOAD'}"
    if "tagging" in query:
        return f"REST.{request.method}.{'OBJECT_TAGGING' if key else 'TAGGING'}"
    for name, resource in _RESOURCES.items():
        if name in query:
            return f"REST.{request.method}.{resource}"
    if key and "x-amz-copy-source" in request.headers:
        return "REST.COPY.OBJECT"
    return f"REST.{request.method}.{'OBJECT' if key else 'BUCKET'}"


def _error_code(response: HttpResponse) -> str:
    if response.status < 300 or not isinstance(response.body, bytes):
        return ""
    found = re.search(rb"<Code>([A-Za-z0-9]+)</Code>", response.body)
    return found[1].decode() if found else ""


def _bytes_sent(response: HttpResponse) -> str:
    body = response.body
    size = len(body) if isinstance(body, bytes) else body.size_bytes
    return str(size) if size else ""


def _object_size(request: HttpRequest, response: HttpResponse, answered: Mapping[str, str]) -> str:
    """The size of the whole object, if the request read or wrote an object's content."""
    if response.status >= 300 or request.query:
        return ""
    if "content-range" in answered:
        return answered["content-range"].rpartition("/")[2]
    if request.method == "HEAD":
        return answered.get("content-length", "")
    if request.method == "PUT":
        return request.headers.get("x-amz-decoded-content-length", request.headers.get("content-length", ""))
    return str(response.body.size_bytes) if isinstance(response.body, FileBody) else ""


def _signature_version(request: HttpRequest) -> str:
    if request.signature is None:
        return ""
    return "SigV4" if request.signature.key else "SigV2"


def _authentication(request: HttpRequest) -> str:
    if request.signature is None:
        return ""
    return "AuthHeader" if "authorization" in request.headers else "QueryString"


def _quoted(text: str) -> str:
    """A quoted field; characters that would end the quotes or the line are escaped."""
    safe = "".join(letter if " " <= letter != '"' else quote(letter) for letter in text)
    return f'"{safe}"' if safe else '"-"'
