"""S3's old presigned URLs, which boto3 still makes unless it is told `signature_version="s3v4"`.

`?AWSAccessKeyId=…&Expires=…&Signature=…`: an HMAC-SHA1 of method, three headers, AWS's headers, bucket, key and sub-resources.
Only the presigned form is taken; requests signed this way by a header are refused, as in regions younger than 2014.
(S3 User Guide, "Signing and authenticating REST requests (AWS signature version 2)".)
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import unquote

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import REGION
from zonal.wire.messages import Request, Signature

_SUBRESOURCES = re.compile(
    "accelerate|acl|cors|defaultObjectAcl|location|logging|partNumber|policy|requestPayment|torrent|versioning|versionId|versions|website"
    "|uploads|uploadId|response-content-type|response-content-language|response-expires|response-cache-control"
    "|response-content-disposition|response-content-encoding|delete|lifecycle|tagging|restore|storageClass|notification|replication"
    "|analytics|metrics|inventory|select|select-type|object-lock"
)


def is_signed(request: Request) -> bool:
    """Whether this is such a URL."""
    names = {word.partition("=")[0] for word in request.query.split("&")}
    return {"AWSAccessKeyId", "Signature", "Expires"} <= names


def verify(request: Request, secrets: Mapping[str, str], bucket: str, now: datetime) -> Signature:
    """What the signature says. `bucket` is the one in the host's name, else empty. Raises `AwsError`."""
    pairs = [word.partition("=") for word in request.query.split("&") if word]
    given = {name: unquote(value) for name, _, value in pairs}
    access_key, signature, expires = given["AWSAccessKeyId"], given["Signature"], given["Expires"]
    if not re.fullmatch(r"\d{1,11}", expires, re.ASCII):
        raise AwsError("AccessDenied", f"Invalid date (should be seconds since epoch): {expires[:40]}", status=403)
    if now.timestamp() > int(expires):
        fields = {"Expires": _iso(datetime.fromtimestamp(int(expires), UTC)), "ServerTime": _iso(now)}
        raise AwsError("AccessDenied", "Request has expired", status=403, fields=fields)
    if access_key not in secrets:
        words = "The AWS Access Key Id you provided does not exist in our records."
        raise AwsError("InvalidAccessKeyId", words, status=403, fields={"AWSAccessKeyId": access_key})
    to_sign = _string_to_sign(request, bucket, expires)
    expected = base64.b64encode(hmac.digest(secrets[access_key].encode(), to_sign.encode(), "sha1"))
    if not hmac.compare_digest(expected, signature.encode()):
        words = "The request signature we calculated does not match the signature you provided. Check your key and signing method."
        fields = {"AWSAccessKeyId": access_key, "StringToSign": to_sign, "SignatureProvided": signature}
        raise AwsError("SignatureDoesNotMatch", words, status=403, fields=fields)
    request.headers = hoisted(request)
    return Signature(access_key, REGION, "s3", expires, "", signature, b"", "UNSIGNED-PAYLOAD")


_HOISTED = re.compile(r"x-amz-[\w-]+")
_CHECKSUM = re.compile(r"x-amz-(sdk-)?checksum-.+")
_SIGNING_ONLY = {"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders", "x-amz-signature"}


def hoisted(request: Request) -> Mapping[str, str]:
    """The headers of a presigned request with those that whoever signed it put into the query string, as SDKs do.

    Checksums are left out, as S3 leaves them: SDKs that sign before there is a body put that of an empty one there
    (localstack issue 12169, aws-sdk issue 480, aws-sdk-go-v2 issue 2610).
    """
    pairs = [word.partition("=") for word in request.query.split("&") if word]
    given = {unquote(name).lower(): unquote(value) for name, _, value in pairs}
    found = {name: value for name, value in given.items() if _HOISTED.fullmatch(name) and name not in _SIGNING_ONLY}
    found = {name: value for name, value in found.items() if not _CHECKSUM.fullmatch(name)}
    return {**found, **request.headers} if found else request.headers


def _string_to_sign(request: Request, bucket: str, expires: str) -> str:
    headers = hoisted(request)
    own = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers) if name.startswith("x-amz-"))
    path = f"/{bucket}{request.path}" if bucket else request.path
    if path.count("/") == 1 and path != "/":
        path += "/"  # A bucket's own address is signed as botocore and S3 do, with a slash at its end.
    return "\n".join(
        [
            request.method,
            headers.get("content-md5", ""),
            headers.get("content-type", ""),
            expires,
            own + path + _subresources(request.query),
        ]
    )


def _subresources(query: str) -> str:
    words = [word.partition("=") for word in query.split("&") if _SUBRESOURCES.fullmatch(word.partition("=")[0])]
    named = [name + equals + unquote(value) for name, equals, value in sorted(words)]
    return f"?{'&'.join(named)}" if named else ""


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
