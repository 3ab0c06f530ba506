"""Static website hosting of a bucket, at the host name `BUCKET.s3-website.localhost`.

Requests are anonymous, so the objects must be public (by a policy or ACL; public access block off). A path that ends in a slash maps to the
index document, errors return the error document, and routing rules and objects may redirect. (S3 User Guide, "Hosting a static website".)
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import format_datetime
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from zonal.buckets.records import Bucket, ObjectVersion
from zonal.foundation.clock import Clock
from zonal.foundation.errors import AwsError
from zonal.services.operation import Call, HandlerResponse, operation
from zonal.services.s3.access import AccessControl
from zonal.services.s3.bucket_address import website_of
from zonal.services.s3.context import S3Context
from zonal.services.s3.errors import absent, access_denied, invalid_argument, malformed_xml, no_such_key
from zonal.services.s3.objects import Objects
from zonal.wire.http_messages import HttpRequest as HttpRequest
from zonal.wire.http_messages import HttpResponse

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        DeleteBucketWebsiteRequestTypeDef,
        GetBucketWebsiteRequestTypeDef,
        GetObjectRequestTypeDef,
        PutBucketWebsiteRequestTypeDef,
    )

_PHRASES = {400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed"}


class Websites:
    """Operations on website configurations, and the responses of websites."""

    def __init__(self, s3_context: S3Context, access: AccessControl, objects: Objects, clock: Clock) -> None:
        self._s3_context = s3_context
        self._access = access
        self._objects = objects
        self._clock = clock

    @operation("GetBucketWebsite")
    async def get(self, call: Call, request: GetBucketWebsiteRequestTypeDef) -> dict[str, Any]:
        bucket = self._s3_context.bucket(request["Bucket"])
        if "website" not in bucket.settings:
            raise absent("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration", bucket.name)
        found: dict[str, Any] = bucket.settings["website"]
        return found

    @operation("PutBucketWebsite")
    async def put(self, call: Call, request: PutBucketWebsiteRequestTypeDef) -> None:
        website = request["WebsiteConfiguration"]
        _check(website)
        await self._s3_context.set_configuration(request["Bucket"], "website", website)

    @operation("DeleteBucketWebsite")
    async def delete(self, call: Call, request: DeleteBucketWebsiteRequestTypeDef) -> None:
        await self._s3_context.set_configuration(request["Bucket"], "website", None)

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """The response to a request for a website."""
        website: dict[str, Any] = {}
        bucket: Bucket | None = None
        try:
            bucket = self._s3_context.bucket(website_of(request.host))
            website = bucket.settings.get("website") or {}
            if not website:
                raise absent("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration", bucket.name)
            return await self._page(request, bucket, website)
        except AwsError as error:
            return await self._error(request, bucket, website, error)

    async def _page(self, request: HttpRequest, bucket: Bucket, website: Mapping[str, Any]) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            raise AwsError("MethodNotAllowed", "The specified method is not allowed against this resource.", status=405)
        path = unquote(request.path)[1:]
        if everything := website.get("RedirectAllRequestsTo"):
            return _redirect(f"{everything.get('Protocol', 'http')}://{everything['HostName']}/{quote(path)}", 301)
        for rule in website.get("RoutingRules", ()):
            condition = rule.get("Condition") or {}
            if "HttpErrorCodeReturnedEquals" not in condition and path.startswith(condition.get("KeyPrefixEquals", "")):
                return _by_rule(rule, path, request.host)
        suffix = website["IndexDocument"]["Suffix"]
        key = path + suffix if not path or path.endswith("/") else path
        entry = self._s3_context.catalog.view.current(bucket.number, key)
        if (entry is None or entry.is_marker) and not key.endswith(suffix):
            index = self._s3_context.catalog.view.current(bucket.number, f"{key}/{suffix}")
            if index is not None and not index.is_marker and self._readable(request, bucket, f"{key}/{suffix}"):
                return _redirect(f"/{quote(key)}/", 302)
        if not self._readable(request, bucket, key):
            raise access_denied()
        if entry is None or entry.is_marker:
            may_list = self._access.may(bucket, "ListBucket", "", self._call(request), {"Bucket": bucket.name})
            raise no_such_key(key) if may_list else access_denied()
        if entry.redirect:
            return _redirect(entry.redirect, 301)
        return await self._object(request, entry, bucket)

    def _call(self, request: HttpRequest) -> Call:
        return Call("s3", "GetObject", self._clock.now(), "", None, raw=request)

    def _readable(self, request: HttpRequest, bucket: Bucket, key: str) -> bool:
        return self._access.may(bucket, "GetObject", key, self._call(request), {"Bucket": bucket.name, "Key": key})

    async def _object(self, request: HttpRequest, entry: ObjectVersion, bucket: Bucket) -> HttpResponse:
        asked: GetObjectRequestTypeDef = {"Bucket": bucket.name, "Key": entry.key}
        answer: HandlerResponse = await self._objects.get(self._call(request), asked)
        members = answer.members
        headers = [*answer.headers, ("ETag", members["ETag"]), ("Last-Modified", _http_date(members["LastModified"]))]
        if "ContentRange" in members:
            headers.append(("Content-Range", members["ContentRange"]))
        return HttpResponse(answer.status or 200, headers, members.get("Body", b""))

    async def _error(self, request: HttpRequest, bucket: Bucket | None, website: Mapping[str, Any], error: AwsError) -> HttpResponse:
        if error.status == 304:
            return HttpResponse(304, list(error.headers.items()), b"")
        path = unquote(request.path)[1:]
        for rule in website.get("RoutingRules", ()):
            condition = rule.get("Condition") or {}
            wanted = condition.get("HttpErrorCodeReturnedEquals") == str(error.status)
            if wanted and path.startswith(condition.get("KeyPrefixEquals", "")):
                return _by_rule(rule, path, request.host)
        document = (website.get("ErrorDocument") or {}).get("Key")
        if document and bucket is not None:
            entry = self._s3_context.catalog.view.current(bucket.number, document)
            if entry is not None and not entry.is_marker and self._readable(request, bucket, document):
                plain = HttpRequest("GET", request.path, "", {"host": request.host}, peer=request.peer)
                return (await self._object(plain, entry, bucket))._replace(status=error.status)
        title = f"{error.status} {_PHRASES.get(error.status, error.code)}"
        body = f"<html>\n<head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n<ul>\n<li>Code: {escape(error.code)}</li>\n"
        body += f"<li>Message: {escape(error.message)}</li>\n</ul>\n<hr/>\n</body>\n</html>\n"
        headers = [("Content-Type", "text/html; charset=utf-8"), ("x-amz-error-code", error.code), ("x-amz-error-message", error.message)]
        return HttpResponse(error.status, headers, body.encode())


def is_website(host: str) -> bool:
    return bool(website_of(host))


def _check(website: Mapping[str, Any]) -> None:
    """Raises `AwsError` if a website configuration is not valid."""

    everything, index = website.get("RedirectAllRequestsTo"), website.get("IndexDocument")
    if everything is not None:
        if index or website.get("ErrorDocument") or website.get("RoutingRules"):
            message = "RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules."
            raise AwsError("InvalidArgument", message)
        _check_protocol(everything)
        return
    if index is None or not index.get("Suffix") or "/" in index["Suffix"]:
        raise invalid_argument("The IndexDocument Suffix is not well formed", "IndexDocument", (index or {}).get("Suffix", "null"))
    if website.get("ErrorDocument") is not None and not website["ErrorDocument"].get("Key"):
        raise malformed_xml()
    for rule in website.get("RoutingRules", ()):
        redirect = rule.get("Redirect") or {}
        if not redirect or ("ReplaceKeyWith" in redirect and "ReplaceKeyPrefixWith" in redirect):
            raise malformed_xml()
        _check_protocol(redirect)
        code = redirect.get("HttpRedirectCode", "301")
        if code not in ("301", "302", "303", "304", "305", "307", "308"):
            raise AwsError("InvalidRequest", f"The provided HTTP redirect code ({code}) is not valid. Valid codes are 3XX except 300.")


def _check_protocol(redirect: Mapping[str, Any]) -> None:
    if redirect.get("Protocol", "http") not in ("http", "https"):
        message = "Invalid protocol, protocol can be http or https. If not defined the protocol will be selected automatically."
        raise AwsError("InvalidRequest", message)


def _by_rule(rule: Mapping[str, Any], path: str, host: str) -> HttpResponse:
    redirect, condition = rule["Redirect"], rule.get("Condition") or {}
    if "ReplaceKeyWith" in redirect:
        path = redirect["ReplaceKeyWith"]
    elif "ReplaceKeyPrefixWith" in redirect:
        path = redirect["ReplaceKeyPrefixWith"] + path[len(condition.get("KeyPrefixEquals", "")) :]
    location = f"{redirect.get('Protocol', 'http')}://{redirect.get('HostName', host)}/{quote(path)}"
    return _redirect(location, int(redirect.get("HttpRedirectCode", "301")))


def _redirect(location: str, status: int) -> HttpResponse:
    return HttpResponse(status, [("Location", location)], b"")


def _http_date(moment: Any) -> str:
    return format_datetime(moment, usegmt=True)
