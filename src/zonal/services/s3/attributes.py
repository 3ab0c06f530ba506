"""GetObjectAttributes: an object's metadata and, in pages, its parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zonal.buckets.records import Checksum, ObjectVersion
from zonal.services.operation import Call, operation
from zonal.services.s3 import checksums, conditions, encryption, versions
from zonal.services.s3.context import S3Context
from zonal.services.s3.errors import invalid_argument
from zonal.services.s3.objects import Objects

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        GetObjectAttributesRequestTypeDef,
    )

NAMES = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")
LIMIT = 1000


class Attributes:
    """GetObjectAttributes."""

    def __init__(self, s3_context: S3Context, objects: Objects) -> None:
        self._s3_context = s3_context
        self._objects = objects

    @operation("GetObjectAttributes")
    async def get(self, call: Call, request: GetObjectAttributesRequestTypeDef) -> dict[str, Any]:
        wanted = [name for name in request["ObjectAttributes"] if name]
        if not wanted or any(name not in NAMES for name in wanted):
            raise invalid_argument("Invalid attribute name specified.", "x-amz-object-attributes", ",".join(wanted)[:100])
        bucket = self._s3_context.bucket(request["Bucket"])
        entry = self._objects.found(call, request, bucket, "GET")
        encryption.check_reading(call.raw.headers, entry)
        conditions.check_reading(call.raw.headers, entry)
        answer: dict[str, Any] = {"LastModified": entry.at.replace(microsecond=0), **versions.members(bucket, entry)}
        if "ETag" in wanted:
            answer["ETag"] = entry.etag
        if "Checksum" in wanted and entry.checksum is not None:
            answer["Checksum"] = checksums.members(_without_count(entry.checksum))
        if "ObjectParts" in wanted and entry.parts:
            answer["ObjectParts"] = _parts(entry, request)
        if "StorageClass" in wanted:
            answer["StorageClass"] = entry.storage_class
        if "ObjectSize" in wanted:
            answer["ObjectSize"] = entry.size
        return answer


def _without_count(checksum: Checksum) -> Checksum:
    """A composite checksum without the number of parts that is appended to it in all other responses."""
    return Checksum(checksum.algorithm, checksum.value.partition("-")[0], checksum.type)


def _parts(entry: ObjectVersion, request: Mapping[str, Any]) -> dict[str, Any]:
    """A page of parts. As on S3, the parts are listed only if they have checksums (COMPOSITE)."""
    after, limit = request.get("PartNumberMarker", 0), min(request.get("MaxParts", LIMIT), LIMIT)
    if after < 0:
        message = "Argument x-amz-part-number-marker must be an integer between 0 and 2147483647"
        raise invalid_argument(message, "x-amz-part-number-marker", after)
    if limit < 0:
        raise invalid_argument("Argument x-amz-max-parts must be an integer between 0 and 2147483647", "x-amz-max-parts", limit)
    left = [part for part in entry.parts if part.number > after]
    shown = left[:limit]
    answer: dict[str, Any] = {"TotalPartsCount": len(entry.parts)}
    if entry.checksum is not None and entry.checksum.type == "COMPOSITE":
        answer |= {"PartNumberMarker": after, "NextPartNumberMarker": shown[-1].number if shown else 0, "MaxParts": limit}
        answer |= {"IsTruncated": len(left) > limit}
        answer["Parts"] = [
            {"PartNumber": part.number, "Size": part.size, **checksums.members(part.checksum, with_type=False)} for part in shown
        ]
    return answer
