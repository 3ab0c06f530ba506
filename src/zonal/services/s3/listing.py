"""ListObjects, ListObjectsV2 and ListObjectVersions: markers, tokens, limits and the encoding of keys.

`buckets.listing` does the listing itself.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from zonal.buckets.catalog import CURRENT, MARKER, VersionRow, decode
from zonal.buckets.listing import ListingPage, page
from zonal.buckets.records import ObjectVersion
from zonal.services.operation import Call, operation
from zonal.services.s3.context import S3Context
from zonal.services.s3.errors import invalid_argument

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        ListObjectsRequestTypeDef,
        ListObjectsV2RequestTypeDef,
        ListObjectVersionsRequestTypeDef,
    )

OwnerMembers = Callable[[str], dict[str, str]]
LIMIT = 1000


class Listings:
    """Operations that list."""

    def __init__(self, s3_context: S3Context) -> None:
        self._s3_context = s3_context

    @operation("ListObjects")
    async def objects(self, call: Call, request: ListObjectsRequestTypeDef) -> dict[str, Any]:
        marker, limit = request.get("Marker", ""), page_limit(request, "MaxKeys")
        found = self._objects(request, marker, limit)
        encode = encoder(request)
        answer = _head(request, limit, encode) | {"Marker": encode(marker), "IsTruncated": found.last is not None}
        answer["Prefix"] = request.get("Prefix", "")  # Clients decode it in ListObjectsV2's responses only.
        if found.last is not None and request.get("Delimiter"):
            answer["NextMarker"] = encode(found.last)
        return answer | _contents(found, encode, self._s3_context.owner)

    @operation("ListObjectsV2")
    async def objects_v2(self, call: Call, request: ListObjectsV2RequestTypeDef) -> dict[str, Any]:
        start, limit, token = request.get("StartAfter", ""), page_limit(request, "MaxKeys"), request.get("ContinuationToken")
        after = start if token is None else _key_of(token)
        found = self._objects(request, after, limit)
        encode = encoder(request)
        answer = _head(request, limit, encode) | {"KeyCount": len(found.rows) + len(found.prefixes), "IsTruncated": found.last is not None}
        if "StartAfter" in request and token is None:
            answer["StartAfter"] = encode(start)
        if token is not None:
            answer["ContinuationToken"] = token
        if found.last is not None:
            answer["NextContinuationToken"] = base64.urlsafe_b64encode(b"1" + found.last.encode()).decode()
        return answer | _contents(found, encode, self._s3_context.owner if request.get("FetchOwner") else None)

    @operation("ListObjectVersions")
    async def versions(self, call: Call, request: ListObjectVersionsRequestTypeDef) -> dict[str, Any]:
        bucket = self._s3_context.bucket(request["Bucket"])
        marker, version, limit = request.get("KeyMarker", ""), request.get("VersionIdMarker"), page_limit(request, "MaxKeys")
        if version is not None and not marker:
            raise invalid_argument("A version-id marker cannot be specified without a key marker.", "version-id-marker", version)
        view = self._s3_context.catalog.view
        place = view.order(bucket.number, marker, version) if version else None

        def walk(start: bytes, end: bytes | None) -> Iterator[VersionRow]:
            return view.walk_versions(bucket.number, start, end, place if start == marker.encode() else None)

        start = marker.encode() + (b"" if place is not None else b"\x00") if marker else b""
        found = _page(walk, request, start, marker, limit)
        encode = encoder(request)
        answer = _head(request, limit, encode) | {"KeyMarker": encode(marker), "VersionIdMarker": version or ""}
        answer |= {"IsTruncated": found.last is not None}
        shown = [_version(row, encode, self._s3_context.owner) for row in found.rows]
        answer["Versions"] = [one for one in shown if "Size" in one]
        answer["DeleteMarkers"] = [one for one in shown if "Size" not in one]
        answer["CommonPrefixes"] = [{"Prefix": encode(prefix)} for prefix in found.prefixes]
        if found.last is not None:
            answer["NextKeyMarker"] = encode(found.last)
            if found.rows and found.rows[-1][0].decode() == found.last:
                answer["NextVersionIdMarker"] = decode(found.rows[-1]).version
        return answer

    def _objects(self, request: Mapping[str, Any], after: str, limit: int) -> ListingPage[VersionRow]:
        bucket = self._s3_context.bucket(request["Bucket"])
        view = self._s3_context.catalog.view

        def walk(start: bytes, end: bytes | None) -> Iterator[VersionRow]:
            return view.walk_current(bucket.number, start, end)

        return _page(walk, request, after.encode() + b"\x00" if after else b"", after, limit)


def _page(walk: Any, request: Mapping[str, Any], start: bytes, after: str, limit: int) -> ListingPage[VersionRow]:
    if limit == 0:
        return ListingPage([], [], None)
    prefix, delimiter = request.get("Prefix", ""), request.get("Delimiter", "")
    return page(walk, _key, start=start, prefix=prefix, delimiter=delimiter, after=after, limit=limit)


def _key(row: VersionRow) -> bytes:
    return row[0]


def page_limit(request: Mapping[str, Any], name: str) -> int:
    """The size of a page, at most 1000. Raises `AwsError` if the request's is negative."""
    limit: int = request.get(name, LIMIT)
    if limit < 0:
        member = {"MaxKeys": "maxKeys", "MaxUploads": "max-uploads", "MaxParts": "max-parts"}[name]
        raise invalid_argument(f"Argument {member} must be an integer between 0 and 2147483647", member, limit)
    return min(limit, LIMIT)


def encoder(request: Mapping[str, Any]) -> Any:
    """The function that encodes keys for the response. Raises `AwsError` for an unknown encoding type."""
    kind = request.get("EncodingType")
    if kind not in (None, "", "url"):
        raise invalid_argument("Invalid Encoding Method specified in Request", "encoding-type", kind)
    if not kind:
        return lambda text: text
    return lambda text: quote(text, safe="/-_.*~").replace("%20", "+")


def _head(request: Mapping[str, Any], limit: int, encode: Any) -> dict[str, Any]:
    return {"Name": request["Bucket"], "MaxKeys": limit, **echoed(request, encode)}


def echoed(request: Mapping[str, Any], encode: Any) -> dict[str, Any]:
    """The prefix, delimiter and encoding type that a list's response repeats; the last two only if the request has them."""
    members = {"Prefix": encode(request.get("Prefix", ""))}
    if request.get("Delimiter"):
        members["Delimiter"] = encode(request["Delimiter"])
    if request.get("EncodingType"):
        members["EncodingType"] = request["EncodingType"]
    return members


def _contents(found: ListingPage[VersionRow], encode: Any, owner: OwnerMembers | None) -> dict[str, Any]:
    contents = [_object(decode(row), encode, owner) for row in found.rows]
    return {"Contents": contents, "CommonPrefixes": [{"Prefix": encode(prefix)} for prefix in found.prefixes]}


def _object(entry: ObjectVersion, encode: Any, owner: OwnerMembers | None) -> dict[str, Any]:
    shown: dict[str, Any] = {"Key": encode(entry.key), "LastModified": entry.at, "ETag": f'"{entry.etag}"', "Size": entry.size}
    shown["StorageClass"] = entry.storage_class
    if entry.checksum is not None:
        shown |= {"ChecksumAlgorithm": [entry.checksum.algorithm], "ChecksumType": entry.checksum.type}
    if owner is not None:
        shown["Owner"] = owner(entry.owner)
    return shown


def _version(row: VersionRow, encode: Any, owner: OwnerMembers) -> dict[str, Any]:
    entry = decode(row)
    latest = {"VersionId": entry.version, "IsLatest": row[2] in (CURRENT, MARKER)}
    if entry.is_marker:
        return {"Key": encode(entry.key), "LastModified": entry.at, "Owner": owner(entry.owner), **latest}
    return _object(entry, encode, owner) | latest


def _key_of(token: str) -> str:
    """The key in a continuation token. Raises `AwsError`."""
    try:
        raw = base64.urlsafe_b64decode(token)
        if raw[:1] != b"1":
            raise ValueError(token)
        return raw[1:].decode()
    except (binascii.Error, ValueError):
        raise invalid_argument("The continuation token provided is incorrect", "continuation-token", token[:100]) from None
