"""Multipart uploads: create, upload and copy parts, list parts, complete, abort.

Each part is separate content, durable when it is acknowledged. Completion writes no content: the object consists of its parts' segments.
The ETag is the MD5 of the parts' MD5s and their number; the checksum is COMPOSITE (of the parts' checksums) or FULL_OBJECT (combined from
the parts' CRCs). A repeated completion returns the same response. (S3 User Guide, "Uploading and copying objects using multipart upload".)
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from zonal.buckets.catalog import CatalogChanges, decode
from zonal.buckets.records import Bucket, Checksum, ObjectVersion, Part, Upload
from zonal.foundation.errors import AwsError
from zonal.services.operation import Call, HandlerResponse, operation
from zonal.services.s3 import bodies, checksums, encryption, object_writes, versions
from zonal.services.s3.bodies import StoredBody
from zonal.services.s3.context import S3Context
from zonal.services.s3.copies import Copies, check_copied_size, copy_range
from zonal.services.s3.encryption import CustomerKey
from zonal.services.s3.errors import invalid_argument, invalid_request, malformed_xml, no_such_upload, too_small
from zonal.services.s3.listing import page_limit

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        AbortMultipartUploadRequestTypeDef,
        CompleteMultipartUploadRequestTypeDef,
        CreateMultipartUploadRequestTypeDef,
        ListPartsRequestTypeDef,
        UploadPartCopyRequestTypeDef,
        UploadPartRequestTypeDef,
    )

SMALLEST_PART_BYTES = 5 * 1024 * 1024


class Multipart:
    """Operations on multipart uploads."""

    def __init__(self, s3_context: S3Context, copies: Copies) -> None:
        self._s3_context = s3_context
        self._copies = copies

    @operation("CreateMultipartUpload")
    async def create(self, call: Call, request: CreateMultipartUploadRequestTypeDef) -> dict[str, Any]:
        bucket = self._s3_context.bucket(request["Bucket"])
        key = encryption.for_writing(call.raw.headers, bucket)
        algorithm = checksums.known(request["ChecksumAlgorithm"]) if request.get("ChecksumAlgorithm") else ""
        kind = checksums.check_type(algorithm, request.get("ChecksumType", ""))
        template = object_writes.template(self._s3_context, call, bucket, request, key)
        upload = Upload(_new_id(call), bucket.name, template, call.now.timestamp(), algorithm, kind)
        await self._s3_context.catalog.change(lambda changes: changes.add_upload(bucket.number, upload))
        answer: dict[str, Any] = {
            "Bucket": bucket.name,
            "Key": template.key,
            "UploadId": upload.id,
            **encryption.response_members(template, key),
        }
        if algorithm:
            answer |= {"ChecksumAlgorithm": algorithm, "ChecksumType": kind}
        return answer

    @operation("UploadPart")
    async def upload(self, call: Call, request: UploadPartRequestTypeDef) -> dict[str, Any]:
        bucket, upload = self._upload(request)
        object_writes.check_part_number(request["PartNumber"])
        headers = call.raw.headers
        key = _part_key(encryption.customer_key(headers), upload)
        _check_algorithm(headers, upload)
        default = upload.algorithm or checksums.DEFAULT
        taken = await bodies.take(self._s3_context.store, call.raw, key=key, default=default, combines=not upload.algorithm)
        part = await self._keep(call, bucket, upload, request["PartNumber"], taken)
        shown = checksums.members(taken.checksum, with_type=False)
        return {"ETag": f'"{part.etag}"', **shown, **encryption.response_members(upload.template, key)}

    @operation("UploadPartCopy")
    async def copy(self, call: Call, request: UploadPartCopyRequestTypeDef) -> HandlerResponse:
        bucket, upload = self._upload(request)
        object_writes.check_part_number(request["PartNumber"])
        key = _part_key(encryption.customer_key(call.raw.headers), upload)
        origin, source, source_key = self._copies.source(call, request)
        offset, size = copy_range(request.get("CopySourceRange"), source.size)
        check_copied_size(size)
        hashes = checksums.Hashes(upload.algorithm or checksums.DEFAULT)
        taken = await bodies.keep(self._s3_context.store, self._copies.content(source, source_key, offset, size), hashes, key)
        part = await self._keep(call, bucket, upload, request["PartNumber"], taken)
        shown = checksums.members(part.checksum, with_type=False) if upload.algorithm else {}
        result = {"ETag": f'"{part.etag}"', "LastModified": call.now, **shown}
        members: dict[str, Any] = {"CopyPartResult": result, **encryption.response_members(upload.template, key)}
        if origin.versioning:
            members["CopySourceVersionId"] = source.version
        return HandlerResponse(members)

    @operation("CompleteMultipartUpload")
    async def complete(self, call: Call, request: CompleteMultipartUploadRequestTypeDef) -> dict[str, Any]:
        bucket = self._s3_context.bucket(request["Bucket"])
        if (done := self._done(bucket, request)) is not None:
            return self._completion(call, bucket, done)
        _, upload = self._upload(request)
        wanted = _wanted(request)
        headers = call.raw.headers
        _part_key(encryption.customer_key(headers), upload, optional=not upload.algorithm)
        stored = {part.number: part for part in self._s3_context.catalog.view.parts(upload.id)}
        parts = _chosen(wanted, stored, upload)
        entry = _assembled(upload, parts)
        self._check_claims(request, headers, entry, upload)
        kept = frozenset(part.segment.blob for part in parts)

        def check(changes: CatalogChanges, now: Bucket) -> None:
            _check_superseded(headers, changes.upload(now.number, upload.id), changes.current(now.number, entry.key))

        def close(changes: CatalogChanges, now: Bucket) -> None:
            if changes.upload(now.number, upload.id) is None:
                raise no_such_upload(upload.id)
            for part in parts:
                if changes.part(upload.id, part.number) != stored[part.number]:
                    raise _invalid_part(upload, part.number)
            changes.delete_upload(now.number, upload.id, kept=kept)

        bucket, entry = await object_writes.put(self._s3_context, call, bucket.name, entry, None, first=check, also=close)
        return self._completion(call, bucket, entry)

    @operation("AbortMultipartUpload")
    async def abort(self, call: Call, request: AbortMultipartUploadRequestTypeDef) -> None:
        bucket, upload = self._upload(request)

        def work(changes: CatalogChanges) -> None:
            if changes.upload(bucket.number, upload.id) is None:
                raise no_such_upload(upload.id)
            changes.delete_upload(bucket.number, upload.id)

        await self._s3_context.catalog.change(work)

    @operation("ListParts")
    async def list(self, call: Call, request: ListPartsRequestTypeDef) -> dict[str, Any]:
        bucket, upload = self._upload(request)
        after, limit = request.get("PartNumberMarker", 0), page_limit(request, "MaxParts")
        if after < 0:
            message = "Argument part-number-marker must be an integer between 0 and 2147483647"
            raise invalid_argument(message, "part-number-marker", after)
        parts = self._s3_context.catalog.view.parts(upload.id, after, limit + 1)
        shown = parts[:limit]
        answer: dict[str, Any] = {
            "Bucket": bucket.name,
            "Key": upload.template.key,
            "UploadId": upload.id,
            "Initiator": self._s3_context.owner(upload.template.owner),
            "Owner": self._s3_context.owner(upload.template.owner),
            "StorageClass": upload.template.storage_class,
            "PartNumberMarker": after,
            "NextPartNumberMarker": shown[-1].number if shown else 0,
            "MaxParts": limit,
            "IsTruncated": len(parts) > limit,
            "Parts": [_part_shown(part, upload) for part in shown],
        }
        if upload.algorithm:
            answer |= {"ChecksumAlgorithm": upload.algorithm, "ChecksumType": upload.checksum_type}
        return answer

    def _upload(self, request: Mapping[str, Any]) -> tuple[Bucket, Upload]:
        bucket = self._s3_context.bucket(request["Bucket"])
        upload = self._s3_context.catalog.view.upload(bucket.number, request["UploadId"])
        if upload is None or upload.template.key != request["Key"]:
            raise no_such_upload(request["UploadId"])
        return bucket, upload

    async def _keep(self, call: Call, bucket: Bucket, upload: Upload, number: int, taken: StoredBody) -> Part:
        part = Part(
            number, taken.segment.size, taken.etag, taken.segment, call.now.timestamp(), taken.checksum if upload.algorithm else taken.joint
        )

        def work(changes: CatalogChanges) -> None:
            if changes.upload(bucket.number, upload.id) is None:
                raise no_such_upload(upload.id)
            if taken.content.small is not None:
                changes.add_small(taken.segment.blob, taken.content.small)
            changes.put_part(upload.id, part)

        try:
            await self._s3_context.catalog.change(work)
        except Exception:
            self._s3_context.store.forget(taken.content)
            raise
        return part

    def _check_claims(self, request: Mapping[str, Any], headers: Any, entry: ObjectVersion, upload: Upload) -> None:
        """Raises `AwsError` if the size or checksum in a completion does not match the object."""
        size = request.get("MpuObjectSize")
        if size is not None and size != entry.size:
            raise invalid_request("The provided 'x-amz-mp-object-size' header does not match what was computed.")
        kind = request.get("ChecksumType")
        if kind and upload.checksum_type and kind != upload.checksum_type:
            message = f"The upload was created using the {upload.checksum_type} checksum mode."
            raise invalid_request(f"{message} The complete request must use the same checksum mode.")
        checksum = entry.checksum
        for name in checksums.SIZES:
            claimed = headers.get(f"x-amz-checksum-{name.lower()}")
            if claimed is None or checksum is None:
                continue
            if name != checksum.algorithm or claimed.partition("-")[0] != checksum.value.partition("-")[0]:
                raise checksums.mismatch(name)

    def _done(self, bucket: Bucket, request: Mapping[str, Any]) -> ObjectVersion | None:
        """The object that an identical earlier completion created, or None: clients repeat a completion whose response was lost."""
        view, id = self._s3_context.catalog.view, request["UploadId"]
        if view.upload(bucket.number, id) is not None:
            return None
        key, parts = request["Key"].encode(), (request.get("MultipartUpload") or {}).get("Parts") or []
        wanted = [part.get("ETag", "").strip('"') for part in parts]
        for row in view.walk_versions(bucket.number, key, key + b"\x00"):
            entry = decode(row)
            if entry.upload == id and [part.etag for part in entry.parts] == wanted:
                return entry
        return None

    def _completion(self, call: Call, bucket: Bucket, entry: ObjectVersion) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "Location": f"http://{call.raw.headers.get('host', 's3')}/{bucket.name}/{entry.key}",
            "Bucket": bucket.name,
            "Key": entry.key,
            "ETag": f'"{entry.etag}"',
            **checksums.members(entry.checksum),
            **versions.members_of_new(bucket, entry),
        }
        return answer if entry.customer_key else answer | {"ServerSideEncryption": "AES256"}


_PART_KEY = (
    "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate encryption parameters."
)
RequestedParts = list[tuple[int, str, dict[str, Any]]]


def _new_id(call: Call) -> str:
    """A new upload id. It begins with the time, so that uploads of one key are listed in order of creation."""
    return f"{int(call.now.timestamp() * 1_000_000):014x}{secrets.token_urlsafe(36)}"


def _wanted(request: Mapping[str, Any]) -> RequestedParts:
    """Number, ETag and members of each part in a completion. Raises `AwsError`."""
    parts = (request.get("MultipartUpload") or {}).get("Parts")
    if not parts or any("PartNumber" not in part for part in parts):
        raise malformed_xml()
    wanted = [(part["PartNumber"], part.get("ETag", "").strip('"'), part) for part in parts]
    numbers = [number for number, _, _ in wanted]
    if numbers != sorted(set(numbers)):
        message = "The list of parts was not in ascending order. The parts list must be specified in order by part number."
        raise AwsError("InvalidPartOrder", message)
    return wanted


def _chosen(wanted: RequestedParts, stored: dict[int, Part], upload: Upload) -> list[Part]:
    chosen = []
    for number, etag, claims in wanted:
        part = stored.get(number)
        if part is None or part.etag != etag:
            raise _invalid_part(upload, number)
        claimed = claims.get(f"Checksum{part.checksum.algorithm}") if part.checksum else None
        if claimed is not None and part.checksum is not None and claimed != part.checksum.value:
            raise _invalid_part(upload, number)
        chosen.append(part)
    for part in chosen[:-1]:
        if part.size < SMALLEST_PART_BYTES:
            raise too_small(part.size, SMALLEST_PART_BYTES, PartNumber=part.number, ETag=part.etag)
    return chosen


def _check_superseded(headers: Any, upload: Upload | None, current: ObjectVersion | None) -> None:
    """Raises `AwsError` 409 if the key of a conditional completion was written or deleted after the upload was created."""
    if upload is None:
        return
    for name in ("If-Match", "If-None-Match"):
        is_written = current is not None and not current.is_marker and current.modified >= upload.initiated
        if name.lower() in headers and (is_written if name == "If-Match" else upload.superseded):
            message = "The conditional request cannot succeed due to a conflicting operation against this resource."
            fields = {"Condition": name, "Key": upload.template.key}
            raise AwsError("ConditionalRequestConflict", message, status=409, fields=fields)


def _invalid_part(upload: Upload, number: int) -> AwsError:
    message = "One or more of the specified parts could not be found."
    more = "The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."
    return AwsError("InvalidPart", f"{message}  {more}", fields={"UploadId": upload.id, "PartNumber": number})


def _assembled(upload: Upload, parts: list[Part]) -> ObjectVersion:
    """The entry of the object that consists of these parts."""
    digest = hashlib.md5(b"".join(bytes.fromhex(part.etag) for part in parts), usedforsecurity=False).hexdigest()
    return replace(
        upload.template,
        size=sum(part.size for part in parts),
        etag=f"{digest}-{len(parts)}",
        upload=upload.id,
        segments=tuple(part.segment for part in parts),
        checksum=_checksum(upload, parts),
        parts=tuple(replace(part, number=at) for at, part in enumerate(parts, start=1)),
    )


def _checksum(upload: Upload, parts: list[Part]) -> Checksum | None:
    algorithm = upload.algorithm or checksums.DEFAULT
    if any(part.checksum is None or part.checksum.algorithm != algorithm for part in parts):
        return None
    return checksums.composite(parts, algorithm) if upload.checksum_type == "COMPOSITE" else checksums.full(parts, algorithm)


def _part_key(key: CustomerKey | None, upload: Upload, *, optional: bool = False) -> CustomerKey | None:
    """The part's encryption key. Raises `AwsError` if it is not the upload's."""
    mark = upload.template.customer_key
    if not mark:
        if key is not None:
            raise invalid_request(_PART_KEY)
        return None
    if key is None and not optional:
        raise invalid_request(_PART_KEY)
    if key is not None and not key.is_of(mark):
        raise invalid_request("The provided encryption parameters did not match the ones used originally.")
    return key


def _check_algorithm(headers: Any, upload: Upload) -> None:
    """Raises `AwsError` if a part's checksum has another algorithm than the upload's."""
    given = checksums.wanted(headers, checksums.claimed(headers), "")
    if upload.algorithm and given and given != upload.algorithm:
        message = (
            f"Checksum Type mismatch occurred, expected checksum Type: {upload.algorithm.lower()}, actual checksum Type: {given.lower()}"
        )
        raise invalid_request(message)


def _part_shown(part: Part, upload: Upload) -> dict[str, Any]:
    shown: dict[str, Any] = {"PartNumber": part.number, "LastModified": datetime.fromtimestamp(part.modified, UTC)}
    shown |= {"ETag": f'"{part.etag}"', "Size": part.size}
    return shown | (checksums.members(part.checksum, with_type=False) if upload.algorithm else {})
