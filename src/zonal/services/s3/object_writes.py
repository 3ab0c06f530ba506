"""Shared steps of all object writes: the entry that a request describes, and the catalog change that makes it visible."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from msgspec.structs import replace

from zonal.buckets.catalog import CatalogChanges
from zonal.buckets.records import Bucket, ObjectVersion
from zonal.buckets.store import Content
from zonal.foundation.credentials import ANONYMOUS
from zonal.foundation.errors import AwsError
from zonal.services.operation import Call
from zonal.services.s3 import acls, conditions, locks, tags, versions
from zonal.services.s3.context import S3Context
from zonal.services.s3.encryption import CustomerKey
from zonal.services.s3.errors import invalid_argument, no_such_bucket, not_built

KEY_BYTES = 1024
METADATA_BYTES = 2048
KEPT_HEADERS = ("cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "expires")
STORAGE_CLASSES = ("STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR")
_UNBUILT_CLASSES = ("GLACIER", "DEEP_ARCHIVE", "OUTPOSTS", "SNOW", "EXPRESS_ONEZONE", "FSX_OPENZFS", "FSX_ONTAP")


def template(s3_context: S3Context, call: Call, bucket: Bucket, request: Mapping[str, Any], key: CustomerKey | None) -> ObjectVersion:
    """The entry that a request describes, without content and version id. Raises `AwsError`."""
    headers: Mapping[str, str] = call.raw.headers
    check_key(request["Key"])
    if "WriteOffsetBytes" in request:
        raise not_built("appending to an object")
    retention, hold = locks.for_new(bucket, request, call.now)
    owner = bucket.owner if bucket.ownership == "BucketOwnerEnforced" else call.account if call.access_key else ANONYMOUS
    grants = acls.asked(call, request, bucket, owner, s3_context.accounts)
    if bucket.ownership == "BucketOwnerPreferred" and request.get("ACL") == "bucket-owner-full-control":
        owner, grants = bucket.owner, None
    return ObjectVersion(
        key=request["Key"],
        version="",
        modified=0.0,
        owner=owner,
        headers=kept_headers(headers),
        metadata=metadata(request),
        tags=tags.from_header(request.get("Tagging", "")),
        grants=grants,
        storage_class=storage_class(request.get("StorageClass")),
        customer_key=key.mark() if key else "",
        retention=retention,
        legal_hold=hold,
        hold_set="ObjectLockLegalHoldStatus" in request,
        redirect=_redirect(request.get("WebsiteRedirectLocation")),
    )


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that are stored and returned unchanged, without `aws-chunked`, which is a transfer encoding."""
    kept = {name: headers[name] for name in KEPT_HEADERS if name in headers}
    if "aws-chunked" in kept.get("content-encoding", "").lower():
        encodings = [each.strip() for each in kept["content-encoding"].split(",")]
        kept["content-encoding"] = ",".join(each for each in encodings if each and each.lower() != "aws-chunked")
    if not kept.get("content-encoding", "").strip():
        kept.pop("content-encoding", None)
    kept.setdefault("content-type", "binary/octet-stream")
    return kept


def metadata(request: Mapping[str, Any]) -> dict[str, str]:
    """The user-defined metadata. Raises `AwsError` MetadataTooLarge."""
    found: dict[str, str] = request.get("Metadata") or {}
    size = sum(len(key.encode()) + len(value.encode("latin-1", "replace")) for key, value in found.items())
    if size > METADATA_BYTES:
        message = "Your metadata headers exceed the maximum allowed metadata size"
        raise AwsError("MetadataTooLarge", message, fields={"Size": size, "MaxSizeAllowed": METADATA_BYTES})
    return found


def check_key(key: str) -> None:
    if len(key.encode("utf-8", "surrogateescape")) > KEY_BYTES:
        raise AwsError("KeyTooLongError", "Your key is too long", fields={"Size": len(key.encode()), "MaxSizeAllowed": KEY_BYTES})


def storage_class(name: str | None) -> str:
    if name in _UNBUILT_CLASSES:
        raise not_built(f"the storage class {name}")
    if name is not None and name not in STORAGE_CLASSES:
        raise AwsError("InvalidStorageClass", "The storage class you specified is not valid", fields={"StorageClassRequested": name})
    return name or "STANDARD"


def _redirect(location: str | None) -> str:
    if location and not re.match(r"/|https?://", location):
        message = "The website redirect location must have a prefix of 'http://' or 'https://' or '/'."
        raise AwsError("InvalidRedirectLocation", message)
    return location or ""


async def put(
    s3_context: S3Context, call: Call, name: str, entry: ObjectVersion, content: Content | None, *, first: Any = None, also: Any = None
) -> tuple[Bucket, ObjectVersion]:
    """Make an entry visible, with its small content, if the request's preconditions hold; on an error its content is removed.

    `first` and `also` are called with the changes and the bucket before and after the write, in the same transaction.
    """

    def work(changes: CatalogChanges) -> tuple[Bucket, ObjectVersion]:
        bucket = changes.bucket(name)
        if bucket is None:
            raise no_such_bucket(name)
        conditions.check_writing(call.raw.headers, entry.key, partial(changes.current, bucket.number, entry.key))
        if first is not None:
            first(changes, bucket)
        if content is not None and content.small is not None:
            changes.add_small(content.segment.blob, content.small)
        whole = replace(entry, version=versions.new(bucket), modified=call.now.timestamp())
        changes.put(bucket.number, whole)
        if also is not None:
            also(changes, bucket)
        return bucket, whole

    try:
        return await s3_context.catalog.change(work)
    except Exception:
        if content is not None:
            s3_context.store.forget(content)
        raise


def check_part_number(number: int) -> None:
    if not 1 <= number <= 10_000:
        raise invalid_argument("Part number must be an integer between 1 and 10000, inclusive", "partNumber", number)
