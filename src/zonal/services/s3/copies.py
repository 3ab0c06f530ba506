"""Copies of objects (CopyObject), and of ranges of objects as parts of an upload (for UploadPartCopy).

A copy is a new object with its own content; it is a single part, however many parts the source has.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from zonal.buckets.blobs import BlobMissing
from zonal.buckets.records import Bucket, ObjectVersion
from zonal.foundation.errors import AwsError
from zonal.services.operation import Call, HandlerResponse, operation
from zonal.services.s3 import bodies, checksums, conditions, encryption, object_writes, tags, versions
from zonal.services.s3.access import source_of
from zonal.services.s3.context import S3Context
from zonal.services.s3.encryption import CustomerKey
from zonal.services.s3.errors import invalid_argument, invalid_request, no_such_key
from zonal.services.s3.objects import Objects

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        CopyObjectRequestTypeDef,
    )


class Copies:
    """CopyObject, and the source of UploadPartCopy."""

    def __init__(self, s3_context: S3Context, objects: Objects) -> None:
        self._s3_context = s3_context
        self._objects = objects

    @operation("CopyObject")
    async def copy(self, call: Call, request: CopyObjectRequestTypeDef) -> HandlerResponse:
        headers = call.raw.headers
        bucket = self._s3_context.bucket(request["Bucket"])
        origin, source, source_key = self.source(call, request)
        key = encryption.for_writing(headers, bucket)
        entry = self._entry(call, request, bucket, source, key)
        check_copied_size(source.size)
        conditions.check_writing(headers, entry.key, partial(self._s3_context.catalog.view.current, bucket.number, entry.key))
        default = source.checksum.algorithm if source.checksum else checksums.DEFAULT
        asked = request.get("ChecksumAlgorithm")
        hashes = checksums.Hashes(checksums.known(asked) if asked else default)
        pieces = self.content(source, source_key, 0, source.size)
        taken = await bodies.keep(self._s3_context.store, pieces, hashes, key)
        entry = taken.completed(entry)
        bucket, entry = await object_writes.put(self._s3_context, call, bucket.name, entry, taken.content)
        result = {"ETag": f'"{entry.etag}"', "LastModified": entry.at, **checksums.members(entry.checksum)}
        members: dict[str, Any] = (
            {"CopyObjectResult": result} | encryption.response_members(entry, key) | versions.members_of_new(bucket, entry)
        )
        if origin.versioning:
            members["CopySourceVersionId"] = source.version
        return HandlerResponse(members)

    def source(self, call: Call, request: Mapping[str, Any]) -> tuple[Bucket, ObjectVersion, CustomerKey | None]:
        """The source's bucket, entry and encryption key, after its preconditions. Raises `AwsError`."""
        name, key, version = source_of(request["CopySource"])
        bucket = self._s3_context.bucket(name)
        try:
            source = self._s3_context.found(bucket, key, version)
        except AwsError as error:
            if error.code == "MethodNotAllowed":
                raise invalid_request("The source of a copy request may not specifically refer to a delete marker by version id.") from None
            raise
        conditions.check_reading(call.raw.headers, source, prefix="x-amz-copy-source-")
        return bucket, source, encryption.check_reading(call.raw.headers, source, source=True)

    async def content(self, source: ObjectVersion, key: CustomerKey | None, offset: int, size: int) -> AsyncIterator[bytes]:
        """The source's decrypted content. Raises `AwsError` NoSuchKey if it is removed meanwhile."""
        try:
            async for piece in self._objects.content(source, key, offset, size):
                yield piece
        except BlobMissing:
            raise no_such_key(source.key) from None

    def _entry(
        self, call: Call, request: Mapping[str, Any], bucket: Bucket, source: ObjectVersion, key: CustomerKey | None
    ) -> ObjectVersion:
        """The copy's entry without content; headers, metadata and tags come from the source unless the request replaces them."""
        entry = object_writes.template(self._s3_context, call, bucket, request, key)
        directive, tagging = request.get("MetadataDirective", "COPY"), request.get("TaggingDirective", "COPY")
        for name, value in (("MetadataDirective", directive), ("TaggingDirective", tagging)):
            if value not in ("COPY", "REPLACE"):
                raise invalid_argument(f"Unknown {name} directive.", name, value)
        _check_self_copy(request, bucket, directive)
        if directive == "COPY":
            entry = replace(entry, headers=source.headers, metadata=source.metadata)
        kept = source.tags if tagging == "COPY" else tags.from_header(request.get("Tagging", ""))
        return replace(entry, tags=kept)


def _check_self_copy(request: Mapping[str, Any], bucket: Bucket, directive: str) -> None:
    """Raises `AwsError` if an object is copied to itself without a change."""
    name, key, version = source_of(request["CopySource"])
    changes = ("StorageClass", "WebsiteRedirectLocation", "ServerSideEncryption", "SSECustomerAlgorithm", "ChecksumAlgorithm")
    if (
        (name, key) == (request["Bucket"], request["Key"])
        and version is None
        and directive == "COPY"
        and not any(map(request.get, changes))
        and not encryption.is_configured(bucket)
    ):
        message = "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata,"
        raise invalid_request(f"{message} storage class, website redirect location or encryption attributes.")


def check_copied_size(size: int) -> None:
    """Raises `AwsError` InvalidRequest if one operation would copy more than 5 GiB."""
    if size > bodies.LARGEST_BYTES:
        raise invalid_request("The specified copy source is larger than the maximum allowable size for a copy source: 5368709120")


def copy_range(text: str | None, size: int) -> tuple[int, int]:
    """Offset and size of an `x-amz-copy-source-range` header. Raises `AwsError`."""
    if text is None:
        return 0, size
    match = re.fullmatch(r"bytes=(\d{1,20})-(\d{1,20})", text, re.ASCII)
    if match is None or int(match[2]) < int(match[1]):
        message = "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets"
        raise invalid_argument(f"{message} of the first and last bytes to copy", "x-amz-copy-source-range", text[:100])
    first, last = int(match[1]), int(match[2])
    if first >= size:
        raise invalid_request("The specified copy range is invalid for the source object size")
    if last >= size:
        raise invalid_argument(f"Range specified is not valid for source object of size: {size}", "x-amz-copy-source-range", text)
    return first, last - first + 1
