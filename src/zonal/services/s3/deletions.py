"""DeleteObject and DeleteObjects: objects, versions and delete markers.

Without a version id, a delete removes the object (no versioning), adds a delete marker (versioning enabled), or replaces the null version
by a null delete marker (suspended). With a version id it removes that version permanently, unless a lock protects it. Deleting a key or
version that does not exist succeeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from zonal.buckets.catalog import CatalogChanges
from zonal.buckets.records import NULL, Bucket, ObjectVersion
from zonal.foundation.errors import AwsError
from zonal.services.operation import Call, operation
from zonal.services.s3 import conditions, locks, object_writes, versions
from zonal.services.s3.access import AccessControl
from zonal.services.s3.context import S3Context
from zonal.services.s3.errors import invalid_request, malformed_xml, no_such_bucket, no_such_version, not_built, precondition_failed

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        DeleteObjectRequestTypeDef,
        DeleteObjectsRequestTypeDef,
    )

LIMIT = 1000


class DeletionResult(NamedTuple):
    """The result of a deletion. `version` is the removed version or the new delete marker."""

    version: str
    is_marker: bool


class Deletions:
    """DeleteObject and DeleteObjects."""

    def __init__(self, s3_context: S3Context, access: AccessControl) -> None:
        self._s3_context = s3_context
        self._access = access

    @operation("DeleteObject")
    async def delete(self, call: Call, request: DeleteObjectRequestTypeDef) -> dict[str, Any]:
        if "BypassGovernanceRetention" in request and not self._s3_context.bucket(request["Bucket"]).object_lock:
            message = "x-amz-bypass-governance-retention is only applicable to Object Lock enabled buckets."
            raise AwsError("InvalidArgument", message, fields={"ArgumentName": "x-amz-bypass-governance-retention"})
        bypass = self._bypass(call, request, request["Key"])
        for name in ("IfMatchLastModifiedTime", "IfMatchSize"):
            if name in request:
                raise not_built("conditions of directory buckets")

        def condition(entry: ObjectVersion | None) -> None:
            if request.get("IfMatch"):
                conditions.check_deleting(request["IfMatch"], entry, request["Key"])

        def work(changes: CatalogChanges) -> tuple[Bucket, DeletionResult]:
            bucket = _bucket(changes, request["Bucket"])
            return bucket, remove(changes, bucket, request["Key"], request.get("VersionId"), call, bypass=bypass, condition=condition)

        bucket, deleted = await self._s3_context.catalog.change(work)
        members: dict[str, Any] = {"VersionId": deleted.version} if bucket.versioning and deleted.version else {}
        return members | ({"DeleteMarker": True} if deleted.is_marker else {})

    @operation("DeleteObjects")
    async def delete_many(self, call: Call, request: DeleteObjectsRequestTypeDef) -> dict[str, Any]:
        wanted = request["Delete"]["Objects"]
        if not 1 <= len(wanted) <= LIMIT:
            raise malformed_xml()
        headers = call.raw.headers
        if "content-md5" not in headers and not any(name.startswith(("x-amz-checksum-", "x-amz-sdk-checksum")) for name in headers):
            raise invalid_request("Missing required header for this request: Content-MD5")
        bucket = self._s3_context.bucket(request["Bucket"])
        allowed, errors = [], []
        for each in wanted:
            action = "DeleteObjectVersion" if each.get("VersionId") else "DeleteObject"
            named = {"Bucket": bucket.name, **each}
            if self._access.may(bucket, action, each["Key"], call, named):
                allowed.append((each, self._bypass(call, request, each["Key"])))
            else:
                errors.append(_failed(each, AwsError("AccessDenied", "Access Denied")))

        def work(changes: CatalogChanges) -> list[dict[str, Any]]:
            now = _bucket(changes, bucket.name)
            return [_one(changes, now, each, call, bypass) for each, bypass in allowed]

        outcomes = await self._s3_context.catalog.change(work) if allowed else []
        errors += [each for each in outcomes if "Code" in each]
        deleted = [] if request["Delete"].get("Quiet") else [each for each in outcomes if "Code" not in each]
        return ({"Deleted": deleted} if deleted else {}) | ({"Errors": errors} if errors else {})

    def _bypass(self, call: Call, request: Mapping[str, Any], key: str) -> bool:
        """Whether the caller requests to bypass GOVERNANCE retention and is allowed to."""
        if not request.get("BypassGovernanceRetention"):
            return False
        bucket = self._s3_context.bucket(request["Bucket"])
        return self._access.may(bucket, "BypassGovernanceRetention", key, call, request)


def _bucket(changes: CatalogChanges, name: str) -> Bucket:
    bucket = changes.bucket(name)
    if bucket is None:
        raise no_such_bucket(name)
    return bucket


def _one(changes: CatalogChanges, bucket: Bucket, wanted: Mapping[str, Any], call: Call, bypass: bool) -> dict[str, Any]:
    """Delete one of many: returns its `Deleted` or `Error` members."""
    version = wanted.get("VersionId") or None

    def condition(entry: ObjectVersion | None) -> None:
        if wanted.get("ETag"):
            conditions.check_deleting(wanted["ETag"], entry, wanted["Key"])
        if wanted.get("Size") is not None and (entry is None or entry.size != wanted["Size"]):
            raise precondition_failed("Size")
        if wanted.get("LastModifiedTime") and (entry is None or entry.at.replace(microsecond=0) != wanted["LastModifiedTime"]):
            raise precondition_failed("LastModifiedTime")

    try:
        deleted = remove(changes, bucket, wanted["Key"], version, call, bypass=bypass, condition=condition)
    except AwsError as error:
        if error.code == "InvalidArgument" and version:
            error = no_such_version(wanted["Key"], version)  # As DeleteObjects reports it.
        return _failed(wanted, error)
    outcome: dict[str, Any] = {"Key": wanted["Key"]} | ({"VersionId": version} if version else {})
    if deleted.is_marker:
        outcome |= {"DeleteMarker": True, "DeleteMarkerVersionId": deleted.version}
    return outcome


def _failed(wanted: Mapping[str, Any], error: AwsError) -> dict[str, Any]:
    version = {"VersionId": wanted["VersionId"]} if wanted.get("VersionId") else {}
    return {"Key": wanted["Key"], **version, "Code": error.code, "Message": error.message}


def remove(
    changes: CatalogChanges,
    bucket: Bucket,
    key: str,
    version: str | None,
    call: Call,
    *,
    bypass: bool = False,
    condition: Callable[[ObjectVersion | None], None] = lambda entry: None,
) -> DeletionResult:
    """Delete a key, or one version of it. Raises `AwsError` if a lock or `condition`, called with the present version, forbids it."""
    object_writes.check_key(key)
    if version is not None and changes.version(bucket.number, key, version) is None:
        versions.check(bucket, version)
    current = changes.current(bucket.number, key)
    if version is not None:
        entry = changes.version(bucket.number, key, version)
        condition(entry)
        if entry is None:
            return DeletionResult(version, False)
        locks.check_deletion(entry, call.now, bypass=bypass)
        changes.delete(bucket.number, key, version)
        return DeletionResult(version, entry.is_marker)
    condition(current)
    if not bucket.versioning:
        changes.delete(bucket.number, key, NULL)
        changes.supersede_uploads(bucket.number, key)
        return DeletionResult("", False)
    marker = ObjectVersion(key=key, version=versions.new(bucket), modified=call.now.timestamp(), owner=bucket.owner, is_marker=True)
    changes.put(bucket.number, marker)
    changes.supersede_uploads(bucket.number, key)
    return DeletionResult(marker.version, True)
