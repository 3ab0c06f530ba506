"""PutObject, GetObject and HeadObject.

A get reads the entry, then opens its content; if the object was replaced in between, it reads the entry again. A single plain segment is
returned as an open file, which the gateway sends by `sendfile`, small content as bytes, other content as a stream.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from zonal.buckets.blobs import BlobMissing
from zonal.buckets.records import Bucket, ObjectVersion
from zonal.foundation.errors import AwsError
from zonal.services.operation import Call, HandlerResponse, operation
from zonal.services.s3 import bodies, checksums, conditions, encryption, lifecycle_rules, locks, object_writes, versions
from zonal.services.s3.access import AccessControl
from zonal.services.s3.context import S3Context
from zonal.services.s3.encryption import CustomerKey
from zonal.services.s3.errors import access_denied, invalid_request
from zonal.wire import forms
from zonal.wire.http_messages import Body, FileBody, StreamBody

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        GetObjectRequestTypeDef,
        HeadObjectRequestTypeDef,
        PutObjectRequestTypeDef,
    )

_OVERRIDES = {
    "ResponseCacheControl": "cache-control",
    "ResponseContentDisposition": "content-disposition",
    "ResponseContentEncoding": "content-encoding",
    "ResponseContentLanguage": "content-language",
    "ResponseContentType": "content-type",
    "ResponseExpires": "expires",
}
_ATTEMPTS = 5


class ByteSpan(NamedTuple):
    """The requested bytes of an object. `whole`: the response is a 200 with all of them, not a 206."""

    offset: int
    size: int
    whole: bool


class Objects:
    """Operations on whole objects."""

    def __init__(self, s3_context: S3Context, access: AccessControl) -> None:
        self._s3_context = s3_context
        self._access = access

    @operation("PutObject")
    async def put(self, call: Call, request: PutObjectRequestTypeDef) -> dict[str, Any]:
        bucket = self._s3_context.bucket(request["Bucket"])
        headers = call.raw.headers
        key = encryption.for_writing(headers, bucket)
        entry = object_writes.template(self._s3_context, call, bucket, request, key)
        conditions.check_writing(headers, entry.key, partial(self._s3_context.catalog.view.current, bucket.number, entry.key))
        taken = await bodies.take(self._s3_context.store, call.raw, key=key)
        entry = taken.completed(entry)
        bucket, entry = await object_writes.put(self._s3_context, call, bucket.name, entry, taken.content)
        members = {"ETag": f'"{entry.etag}"', **checksums.members(entry.checksum), **encryption.response_members(entry, key)}
        return members | versions.members_of_new(bucket, entry) | _expiration(bucket, entry)

    @operation("GetObject")
    async def get(self, call: Call, request: GetObjectRequestTypeDef) -> HandlerResponse:
        for _ in range(_ATTEMPTS):
            bucket, entry, key, span = self._located(call, request, "GET")
            try:
                body = self._body(entry, key, span)
            except BlobMissing:
                self._s3_context.catalog.invalidate()  # The object was replaced: read its current entry.
                continue
            return self._answer(call, request, bucket, entry, key, span, body)
        raise AwsError("ServiceUnavailable", "Please reduce your request rate.", status=503)

    @operation("HeadObject")
    async def head(self, call: Call, request: HeadObjectRequestTypeDef) -> HandlerResponse:
        bucket, entry, key, span = self._located(call, request, "HEAD")
        return self._answer(call, request, bucket, entry, key, span, None)

    def _located(self, call: Call, request: Mapping[str, Any], method: str) -> tuple[Bucket, ObjectVersion, CustomerKey | None, ByteSpan]:
        bucket = self._s3_context.bucket(request["Bucket"])
        headers = call.raw.headers
        if "PartNumber" in request:
            _check_part(headers, request["PartNumber"])
        entry = self.found(call, request, bucket, method)
        key = encryption.check_reading(headers, entry)
        conditions.check_reading(headers, entry)
        return bucket, entry, key, _span(headers, request, entry)

    def found(self, call: Call, request: Mapping[str, Any], bucket: Bucket, method: str) -> ObjectVersion:
        """The requested version. Raises `AwsError`: AccessDenied in place of NoSuchKey if the caller may not list the bucket."""
        try:
            return self._s3_context.found(bucket, request["Key"], request.get("VersionId"), method=method)
        except AwsError as error:
            listing = {"Bucket": bucket.name, "Prefix": request["Key"]}  # A policy may allow listing of some prefixes only.
            if error.code == "NoSuchKey" and not self._access.may(bucket, "ListBucket", "", call, listing):
                raise access_denied() from None
            raise

    def _body(self, entry: ObjectVersion, key: CustomerKey | None, span: ByteSpan) -> Body:
        """The body of the response. Raises `BlobMissing`."""
        store = self._s3_context.store
        if span.size == 0:
            return b""
        if len(entry.segments) == 1 and key is None:
            segment = entry.segments[0]
            if not segment.small:
                return FileBody(store.file(segment), span.offset, span.size)
            content = store.small(segment)
            if content is None:
                raise BlobMissing(segment.blob)
            return content[span.offset : span.offset + span.size]
        if key is None:
            return StreamBody(_sendable(store.files(entry.segments, span.offset, span.size)), span.size)
        return StreamBody(self.content(entry, key, span.offset, span.size), span.size)

    def content(self, entry: ObjectVersion, key: CustomerKey | None, offset: int, size: int) -> AsyncIterator[bytes]:
        """Decrypted bytes of an object."""
        read = self._s3_context.store.read(entry.segments, offset, size)
        return read if key is None else encryption.decrypted(read, key, entry.segments, offset)

    def _answer(
        self,
        call: Call,
        request: Mapping[str, Any],
        bucket: Bucket,
        entry: ObjectVersion,
        key: CustomerKey | None,
        span: ByteSpan,
        body: Body | None,
    ) -> HandlerResponse:
        members = described(bucket, entry) | encryption.response_members(entry, key)
        if "VersionId" not in request:  # S3 omits the expiration if a version is named.
            members |= _expiration(bucket, entry)
        if entry.tags and not (call.access_key and self._access.may(bucket, "GetObjectTagging", entry.key, call, request)):
            members.pop("TagCount", None)
        if request.get("ChecksumMode", "").upper() == "ENABLED" and (span.size == entry.size or "PartNumber" in request):
            members |= _checksum(entry, request.get("PartNumber"))
        headers = self._headers(call, request, entry)
        if "PartNumber" in request and entry.parts:
            members["PartsCount"] = len(entry.parts)
        status = None
        if not span.whole:
            status = 206
            members["ContentRange"] = f"bytes {span.offset}-{span.offset + span.size - 1}/{entry.size}"
        if body is None:
            members["ContentLength"] = span.size
        else:
            members["Body"] = body
        return HandlerResponse(members, status, headers)

    def _headers(self, call: Call, request: Mapping[str, Any], entry: ObjectVersion) -> tuple[tuple[str, str], ...]:
        """The object's stored headers, with the overrides (`response-…`) of a signed request. Raises `AwsError`."""
        shown = entry.headers
        if not _OVERRIDES.keys().isdisjoint(request):
            if call.access_key is None:
                raise invalid_request("Request specific response headers cannot be used for anonymous GET requests.")
            given = forms.multiple(call.raw.query)
            shown = {**shown} | {header: given[f"response-{header}"][0] for name, header in _OVERRIDES.items() if name in request}
        return tuple((name.title(), value) for name, value in shown.items())


async def _sendable(pieces: Iterator[bytes | tuple[IO[bytes], int, int]]) -> AsyncIterator[bytes | FileBody]:
    for piece in pieces:
        yield piece if isinstance(piece, bytes) else FileBody(*piece)


def described(bucket: Bucket, entry: ObjectVersion) -> dict[str, Any]:
    """The members that describe an object in GetObject and HeadObject."""
    members: dict[str, Any] = {
        "AcceptRanges": "bytes",
        "LastModified": entry.at.replace(microsecond=0),
        "ETag": f'"{entry.etag}"',
        "Metadata": entry.metadata,
        **locks.shown(entry),
        **versions.members(bucket, entry),
    }
    if entry.storage_class != "STANDARD":
        members["StorageClass"] = entry.storage_class
    if entry.redirect:
        members["WebsiteRedirectLocation"] = entry.redirect
    if entry.tags:
        members["TagCount"] = len(entry.tags)
    return members


def _check_part(headers: Mapping[str, str], number: int) -> None:
    """Raises `AwsError` for an invalid part number or one with a `Range`. S3 checks this before it looks up the key."""
    if "range" in headers:
        raise invalid_request("Cannot specify both Range header and partNumber query parameter")
    object_writes.check_part_number(number)


def _span(headers: Mapping[str, str], request: Mapping[str, Any], entry: ObjectVersion) -> ByteSpan:
    """The requested bytes. Raises `AwsError` InvalidRange or InvalidPartNumber."""
    number = request.get("PartNumber")
    if number is None:
        found = conditions.byte_range(headers.get("range"), entry.size)
        return ByteSpan(0, entry.size, True) if found is None else ByteSpan(*found, False)
    if not entry.parts and number == 1:
        return ByteSpan(0, entry.size, entry.size == 0)
    if number > len(entry.parts):
        message = "The requested partnumber is not satisfiable"
        raise AwsError("InvalidPartNumber", message, status=416, fields={"ActualPartCount": max(1, len(entry.parts))})
    offset = sum(part.size for part in entry.parts[: number - 1])
    return ByteSpan(offset, entry.parts[number - 1].size, False)


def _checksum(entry: ObjectVersion, number: int | None) -> dict[str, str]:
    if number is None or not entry.parts:
        return checksums.members(entry.checksum)
    shown = checksums.members(entry.parts[number - 1].checksum, with_type=False)
    return shown | {"ChecksumType": entry.checksum.type} if shown and entry.checksum is not None else shown


def _expiration(bucket: Bucket, entry: ObjectVersion) -> dict[str, Any]:
    found = lifecycle_rules.expiration(bucket, entry)
    return {"Expiration": found} if found else {}
