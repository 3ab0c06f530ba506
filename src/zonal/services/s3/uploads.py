"""ListMultipartUploads: the open uploads, ordered by key and upload id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from zonal.buckets.listing import ListingPage, page
from zonal.buckets.records import Upload
from zonal.services.operation import Call, operation
from zonal.services.s3.context import S3Context
from zonal.services.s3.listing import echoed, encoder, page_limit

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        ListMultipartUploadsRequestTypeDef,
    )

UploadRow = tuple[bytes, Upload]


class Uploads:
    """ListMultipartUploads."""

    def __init__(self, s3_context: S3Context) -> None:
        self._s3_context = s3_context

    @operation("ListMultipartUploads")
    async def list(self, call: Call, request: ListMultipartUploadsRequestTypeDef) -> dict[str, Any]:
        bucket = self._s3_context.bucket(request["Bucket"])
        limit = page_limit(request, "MaxUploads")
        marker = request.get("KeyMarker", "")
        id = request.get("UploadIdMarker", "") if marker else ""  # S3 ignores it without a key marker.
        found = self._page(bucket.number, request, marker, id, limit)
        encode = encoder(request)
        answer: dict[str, Any] = {
            "Bucket": bucket.name,
            "KeyMarker": encode(marker),
            "UploadIdMarker": id,
            "MaxUploads": limit,
            "IsTruncated": found.last is not None,
            "Uploads": [_shown(upload, self._s3_context.owner(upload.template.owner), encode) for _, upload in found.rows],
            "CommonPrefixes": [{"Prefix": encode(prefix)} for prefix in found.prefixes],
            **echoed(request, encode),
        }
        if found.last is not None:
            answer["NextKeyMarker"] = encode(found.last)
            if found.rows and found.rows[-1][1].template.key == found.last:
                answer["NextUploadIdMarker"] = found.rows[-1][1].id
        return answer

    def _page(self, bucket: int, request: Mapping[str, Any], marker: str, id: str, limit: int) -> ListingPage[UploadRow]:
        view = self._s3_context.catalog.view
        raw, delimiter, prefix = marker.encode(), request.get("Delimiter", ""), request.get("Prefix", "")

        def walk(start: bytes, end: bytes | None) -> Iterator[UploadRow]:
            return view.walk_uploads(bucket, start, end, id if start == raw else "")

        if limit == 0:
            return ListingPage([], [], None)
        start = raw if id or not marker else raw + b"\x00"
        return page(walk, _key, start=start, prefix=prefix, delimiter=delimiter, after=marker, limit=limit)


def _key(row: UploadRow) -> bytes:
    return row[0]


def _shown(upload: Upload, owner: Mapping[str, Any], encode: Any) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "Key": encode(upload.template.key),
        "UploadId": upload.id,
        "Initiated": datetime.fromtimestamp(upload.initiated, UTC),
        "StorageClass": upload.template.storage_class,
        "Owner": owner,
        "Initiator": owner,
    }
    if upload.algorithm:
        shown |= {"ChecksumAlgorithm": upload.algorithm, "ChecksumType": upload.checksum_type}
    return shown
