"""Verifies S3's Signature Version 2: presigned URLs, which boto3 still creates without `signature_version="s3v4"`, and headers.

`?AWSAccessKeyId=…&Expires=…&Signature=…` or `Authorization: AWS KEY:SIGNATURE`: an HMAC-SHA1 of method, three headers, AWS's headers,
bucket, key and sub-resources. us-east-1 accepts both, like all regions older than 2014.
(S3 User Guide, "Signing and authenticating REST requests (AWS signature version 2)".)
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import REGION
from zonal.wire.http_messages import HttpRequest, Signature
from zonal.wire.signature_errors import SKEW, invalid_token, mismatch, too_skewed, unknown_key

_SUBRESOURCES = re.compile(
    "accelerate|acl|cors|defaultObjectAcl|location|logging|partNumber|policy|requestPayment|torrent|versioning|versionId|versions|website"
    "|uploads|uploadId|response-content-type|response-content-language|response-expires|response-cache-control"
    "|response-content-disposition|response-content-encoding|delete|lifecycle|tagging|restore|storageClass|notification|replication"
    "|analytics|metrics|inventory|select|select-type|object-lock"
)


def is_presigned(request: HttpRequest) -> bool:
    """Whether the request has a presigned URL of version 2."""
    names = {word.partition("=")[0] for word in request.query.split("&")}
    return {"AWSAccessKeyId", "Signature", "Expires"} <= names


def verify_presigned(request: HttpRequest, secrets: Mapping[str, str], bucket: str, now: datetime) -> Signature:
    """Verify a presigned URL. `bucket` is the one in the host name, else empty. Raises `AwsError`."""
    pairs = [word.partition("=") for word in request.query.split("&") if word]
    given = {name: unquote(value) for name, _, value in pairs}
    expires = given["Expires"]
    if not re.fullmatch(r"\d{1,11}", expires, re.ASCII):
        raise AwsError("AccessDenied", f"Invalid date (should be seconds since epoch): {expires[:40]}", status=403)
    if now.timestamp() > int(expires):
        fields = {"Expires": _iso(datetime.fromtimestamp(int(expires), UTC)), "ServerTime": _iso(now)}
        raise AwsError("AccessDenied", "Request has expired", status=403, fields=fields)
    headers = hoisted(request)
    forms = _strings_to_sign(request, headers, bucket, expires)
    signature = _compared(given["AWSAccessKeyId"], given["Signature"], forms, headers, secrets, expires)
    request.headers = headers
    return signature


def is_header(authorization: str) -> bool:
    """Whether the request has an Authorization header of version 2."""
    return authorization.partition(" ")[0] == "AWS"


def verify_header(request: HttpRequest, secrets: Mapping[str, str], bucket: str, now: datetime) -> Signature:
    """Verify an Authorization header. `bucket` is the one in the host name, else empty. Raises `AwsError`."""
    headers = request.headers
    authorization = headers["authorization"]
    access_key, colon, signature = authorization.removeprefix("AWS").strip().rpartition(":")
    if not (access_key and colon and signature):
        message = "AWS authorization header is invalid.  Expected AwsAccessKeyId:signature"
        raise AwsError("InvalidArgument", message, fields={"ArgumentName": "Authorization", "ArgumentValue": authorization[:100]})
    date = headers.get("x-amz-date", headers.get("date", ""))
    moment = _parsed_timestamp(date)
    if moment is None:
        raise AwsError("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header", status=403)
    if abs(now - moment) > SKEW:
        raise too_skewed(date, now)
    forms = _strings_to_sign(request, headers, bucket, "" if "x-amz-date" in headers else date)
    return _compared(access_key, signature, forms, headers, secrets, date)


def _parsed_timestamp(date: str) -> datetime | None:
    """The time in a header, as an HTTP date or ISO 8601; None if it is missing, malformed or before 1970."""
    try:
        if not date.endswith("Z"):
            found = parsedate_to_datetime(date)
            moment = found if found.tzinfo else found.replace(tzinfo=UTC)
        else:
            moment = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return moment if moment.timestamp() >= 0 else None
    except (ValueError, OverflowError):
        return None


def _compared(
    access_key: str, signature: str, forms: list[str], headers: Mapping[str, str], secrets: Mapping[str, str], timestamp: str
) -> Signature:
    if access_key not in secrets:
        raise unknown_key(access_key)
    if "x-amz-security-token" in headers:
        raise invalid_token()
    secret = secrets[access_key].encode()
    expected = [base64.b64encode(hmac.digest(secret, form.encode("latin-1"), "sha1")) for form in forms]
    if not any(hmac.compare_digest(each, signature.encode()) for each in expected):
        raise mismatch(access_key, forms[0], signature)
    return Signature(access_key, REGION, "s3", timestamp, "", signature, b"", "UNSIGNED-PAYLOAD")


_HOISTED = re.compile(r"x-amz-[\w-]+")
_CHECKSUM = re.compile(r"x-amz-(sdk-)?checksum-.+")
_SIGNING_ONLY = {"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders", "x-amz-signature"}


def hoisted(request: HttpRequest) -> Mapping[str, str]:
    """The headers of a presigned request, with those that the SDK that signed it put into the query string.

    Checksums are ignored, as S3 ignores them: SDKs that sign before they have the body send that of an empty one
    (localstack issue 12169, aws-sdk issue 480, aws-sdk-go-v2 issue 2610).
    """
    pairs = [word.partition("=") for word in request.query.split("&") if word]
    given = {unquote(name).lower(): unquote(value, encoding="latin-1") for name, _, value in pairs}
    found = {name: value for name, value in given.items() if _HOISTED.fullmatch(name) and name not in _SIGNING_ONLY}
    found = {name: value for name, value in found.items() if not _CHECKSUM.fullmatch(name)}
    return {**found, **request.headers} if found else request.headers


def _strings_to_sign(request: HttpRequest, headers: Mapping[str, str], bucket: str, date: str) -> list[str]:
    """The strings that may have been signed, one character per byte: a bucket's own address with or without a trailing slash."""
    own = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers) if name.startswith("x-amz-"))
    path = f"/{bucket}{request.path}" if bucket else request.path
    paths = [path, f"{path}/"] if path.count("/") == 1 and path != "/" else [path]
    content = (headers.get("content-md5", ""), headers.get("content-type", ""))
    return ["\n".join([request.method, *content, date, own + each + _subresources(request.query)]) for each in paths]


def _subresources(query: str) -> str:
    pairs = [word.partition("=") for word in query.split("&") if _SUBRESOURCES.fullmatch(word.partition("=")[0])]
    named = [name + equals + unquote(value, encoding="latin-1") for name, equals, value in sorted(pairs)]
    return f"?{'&'.join(named)}" if named else ""


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
