"""CORS: the configuration, preflight requests, and the CORS headers of responses.

A preflight (OPTIONS) is answered from the bucket's rules before authentication, because browsers do not sign it. The response to any other
request with an `Origin` gets the headers of the first matching rule. (S3 User Guide, "Using cross-origin resource sharing".)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zonal.foundation.errors import AwsError
from zonal.services.operation import Call, operation
from zonal.services.s3.access import source_of
from zonal.services.s3.bucket_address import bucket_and_key
from zonal.services.s3.context import S3Context
from zonal.services.s3.errors import absent, invalid_request, malformed_xml
from zonal.wire.http_messages import HttpRequest as HttpRequest
from zonal.wire.http_messages import HttpResponse
from zonal.wire.service_models import Operation

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        DeleteBucketCorsRequestTypeDef,
        GetBucketCorsRequestTypeDef,
        PutBucketCorsRequestTypeDef,
    )

CorsHeaders = list[tuple[str, str]]
OBJECT_PATH = "{Key+}"
"""What the URI template of an operation on an object contains in S3's model."""
_ALSO_ON_OBJECTS = frozenset(("DeleteObjects", "HeadBucket", "ListMultipartUploads", "ListObjectVersions", "ListObjects", "ListObjectsV2"))
"""Operations that name a bucket only, but read or delete its objects."""
METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD")


class Cors:
    """Operations on CORS configurations, preflights, and response headers."""

    def __init__(self, s3_context: S3Context) -> None:
        self._s3_context = s3_context

    @operation("GetBucketCors")
    async def get(self, call: Call, request: GetBucketCorsRequestTypeDef) -> dict[str, Any]:
        bucket = self._s3_context.bucket(request["Bucket"])
        if "cors" not in bucket.settings:
            raise absent("NoSuchCORSConfiguration", "The CORS configuration does not exist", bucket.name)
        return {"CORSRules": bucket.settings["cors"]}

    @operation("PutBucketCors")
    async def put(self, call: Call, request: PutBucketCorsRequestTypeDef) -> None:
        rules = request["CORSConfiguration"].get("CORSRules", [])
        if not 1 <= len(rules) <= 100:
            raise malformed_xml()
        for rule in rules:
            _check(rule)
        await self._s3_context.set_configuration(request["Bucket"], "cors", rules)

    @operation("DeleteBucketCors")
    async def delete(self, call: Call, request: DeleteBucketCorsRequestTypeDef) -> None:
        await self._s3_context.set_configuration(request["Bucket"], "cors", None)

    def allows(self, request: HttpRequest, origin: str, operation: Operation) -> bool:
        """Whether the buckets of a request allow pages of this origin to send it. Raises `AwsError` for a malformed copy source.

        A rule allows operations on objects, not changes of a bucket's configuration (its rules included). The source of a copy needs a rule
        of its own bucket for GET.
        """
        if OBJECT_PATH not in operation.http.request_uri and operation.name not in _ALSO_ON_OBJECTS:
            return False
        name, _ = bucket_and_key(request)
        if (copy_source := request.headers.get("x-amz-copy-source")) is not None:
            source_bucket, _, _ = source_of(copy_source)
            if not self._has_rule(source_bucket, origin, "GET"):
                return False
        return self._has_rule(name, origin, request.method)

    def allows_form(self, request: HttpRequest, origin: str) -> bool:
        """Whether the bucket that a browser's form is sent to has a rule for pages of this origin."""
        name, _ = bucket_and_key(request)
        return self._has_rule(name, origin, "POST")

    def _has_rule(self, name: str, origin: str, method: str) -> bool:
        bucket = self._s3_context.catalog.view.bucket(name) if name else None
        return bucket is not None and _matching_rule(bucket.settings.get("cors", []), origin, method, []) is not None

    def preflight(self, request: HttpRequest) -> HttpResponse:
        """The response to an OPTIONS request. Raises `AwsError`."""
        origin, method = request.headers.get("origin"), request.headers.get("access-control-request-method")
        if origin is None:
            raise AwsError("BadRequest", "Insufficient information. Origin request header needed.")
        if method not in METHODS:
            raise AwsError("BadRequest", f"Invalid Access-Control-Request-Method: {method}")
        wanted = [name.strip().lower() for name in request.headers.get("access-control-request-headers", "").split(",") if name.strip()]
        name, _ = bucket_and_key(request)
        bucket = self._s3_context.bucket(name)
        rules = bucket.settings.get("cors")
        if not rules:
            raise _forbidden("CORSResponse: CORS is not enabled for this bucket.", method)
        rule = _matching_rule(rules, origin, method, wanted)
        if rule is None:
            message = "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method /"
            raise _forbidden(f"{message} Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted", method)
        headers = _headers(rule, origin)
        if wanted:
            headers.append(("Access-Control-Allow-Headers", ", ".join(wanted)))
        if rule.get("MaxAgeSeconds") is not None:
            headers.append(("Access-Control-Max-Age", str(rule["MaxAgeSeconds"])))
        return HttpResponse(200, headers, b"")

    def add_cors_headers(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """The response with the CORS headers of the first matching rule."""

        origin = request.headers.get("origin")
        if origin is None or request.method == "OPTIONS":
            return response
        name, _ = bucket_and_key(request)
        bucket = self._s3_context.catalog.view.bucket(name) if name else None
        method = request.headers.get("access-control-request-method", request.method)
        rule = _matching_rule(bucket.settings.get("cors", []), origin, method, []) if bucket else None
        return response if rule is None else response._replace(headers=[*response.headers, *_headers(rule, origin)])


def _check(rule: Mapping[str, Any]) -> None:
    for method in rule["AllowedMethods"]:
        if method not in METHODS:
            message = f"Found unsupported HTTP method in CORS config. Unsupported method is {method}"
            raise invalid_request(message)
    for name in ("AllowedOrigins", "AllowedHeaders"):
        for text in rule.get(name, []):
            if text.count("*") > 1:
                kind = "AllowedOrigin" if name == "AllowedOrigins" else "AllowedHeader"
                raise invalid_request(f'{kind} "{text}" can not have more than one wildcard.')
    if any("*" in text for text in rule.get("ExposeHeaders", [])):
        raise invalid_request("ExposeHeader contains wildcard. We currently do not support wildcard for ExposeHeader.")


def _matching_rule(rules: list[Mapping[str, Any]], origin: str, method: str, wanted: list[str]) -> Mapping[str, Any] | None:
    for rule in rules:
        allowed = [text.lower() for text in rule.get("AllowedHeaders", [])]
        if (
            method in rule["AllowedMethods"]
            and any(_like(text, origin) for text in rule["AllowedOrigins"])
            and all(any(_like(text, name) for text in allowed) for name in wanted)
        ):
            return rule
    return None


def _like(pattern: str, text: str) -> bool:
    head, star, tail = pattern.partition("*")
    return re.fullmatch(re.escape(head) + (".*" if star else "") + re.escape(tail), text, re.DOTALL) is not None


def _headers(rule: Mapping[str, Any], origin: str) -> CorsHeaders:
    everybody = "*" in rule["AllowedOrigins"]
    headers = [("Access-Control-Allow-Origin", "*" if everybody else origin)]
    headers.append(("Access-Control-Allow-Methods", ", ".join(rule["AllowedMethods"])))
    if rule.get("ExposeHeaders"):
        headers.append(("Access-Control-Expose-Headers", ", ".join(rule["ExposeHeaders"])))
    if not everybody:
        headers.append(("Access-Control-Allow-Credentials", "true"))
    headers.append(("Vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"))
    return headers


def _forbidden(message: str, method: str) -> AwsError:
    return AwsError("AccessForbidden", message, status=403, fields={"Method": method, "ResourceType": "BUCKET"})
