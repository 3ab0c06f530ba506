"""Lifecycle: the configuration, and the execution of its rules by the region's clock.

`LifecycleReconciler` periodically reads every bucket with rules and executes what is due: it expires current versions (by a delete marker
if the bucket has versioning), removes noncurrent versions and expired delete markers, and aborts incomplete multipart uploads.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from zonal.buckets.catalog import CURRENT, MARKER, CatalogChanges, VersionRow, decode
from zonal.buckets.records import NULL, Bucket, ObjectVersion
from zonal.foundation.clock import Clock
from zonal.foundation.errors import AwsError
from zonal.foundation.periodic import repeat
from zonal.services.operation import Call, operation
from zonal.services.s3 import lifecycle_rules as rules
from zonal.services.s3 import locks, versions
from zonal.services.s3.context import S3Context
from zonal.services.s3.lifecycle_rules import LifecycleRule

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        DeleteBucketLifecycleRequestTypeDef,
        GetBucketLifecycleConfigurationRequestTypeDef,
        PutBucketLifecycleConfigurationRequestTypeDef,
    )

PAUSE_SECONDS = 60.0
SHORTEST_PAUSE_SECONDS = 0.1
BATCH = 200


class Lifecycles:
    """Operations on lifecycle configurations."""

    def __init__(self, s3_context: S3Context) -> None:
        self._s3_context = s3_context

    @operation("GetBucketLifecycleConfiguration")
    async def get(self, call: Call, request: GetBucketLifecycleConfigurationRequestTypeDef) -> dict[str, Any]:
        bucket = self._s3_context.bucket(request["Bucket"])
        found = bucket.settings.get("lifecycle")
        if not found:
            raise rules.no_configuration(bucket.name)
        return {"Rules": found, "TransitionDefaultMinimumObjectSize": "all_storage_classes_128K"}

    @operation("PutBucketLifecycleConfiguration")
    async def put(self, call: Call, request: PutBucketLifecycleConfigurationRequestTypeDef) -> dict[str, Any]:
        configuration: Mapping[str, Any] = request.get("LifecycleConfiguration") or {}
        kept = rules.checked(configuration.get("Rules", []))
        await self._s3_context.set_configuration(request["Bucket"], "lifecycle", kept)
        return {"TransitionDefaultMinimumObjectSize": "all_storage_classes_128K"}

    @operation("DeleteBucketLifecycle")
    async def delete(self, call: Call, request: DeleteBucketLifecycleRequestTypeDef) -> None:
        await self._s3_context.set_configuration(request["Bucket"], "lifecycle", None)


class LifecycleReconciler:
    """Executes lifecycle rules while `run` runs."""

    def __init__(self, s3_context: S3Context, clock: Clock) -> None:
        self._s3_context = s3_context
        self._clock = clock

    async def run(self) -> None:
        """Execute due rules every `PAUSE_SECONDS` of the region's clock until cancelled."""
        pause = max(SHORTEST_PAUSE_SECONDS, PAUSE_SECONDS / getattr(self._clock, "speed", 1.0))
        await repeat(self._execute_all, what="s3 lifecycle", pause_seconds=pause)

    async def _execute_all(self) -> None:
        for bucket in self._s3_context.catalog.view.buckets():
            if bucket.settings.get("lifecycle"):
                await self.execute(bucket)

    async def execute(self, bucket: Bucket) -> int:
        """Execute what is due in a bucket; returns the number of changes."""
        found: list[LifecycleRule] = bucket.settings["lifecycle"]
        now, done, key = self._clock.now(), 0, b""
        while True:
            rows = _next_versions(self._s3_context, bucket, key)
            if not rows:
                break
            due = list(_due(found, bucket, rows, now))
            if due:
                done += await self._s3_context.catalog.change(partial(_expire, name=bucket.name, due=due, now=now))
            key = rows[-1][0] + b"\x00"
        return done + await self._abort(bucket, found, now)

    async def _abort(self, bucket: Bucket, found: list[LifecycleRule], now: datetime) -> int:
        count = 0
        for _, upload in list(self._s3_context.catalog.view.walk_uploads(bucket.number, b"", None)):
            begun = datetime.fromtimestamp(upload.initiated, UTC)
            for rule in found:
                abort = rule.get("AbortIncompleteMultipartUpload")
                if abort and rules.applies_to(rule, upload.template) and rules.due(begun, abort["DaysAfterInitiation"]) <= now:
                    await self._s3_context.catalog.change(partial(_delete_upload, bucket=bucket.number, id=upload.id))
                    count += 1
                    break
        return count


def _delete_upload(changes: CatalogChanges, bucket: int, id: str) -> None:
    changes.delete_upload(bucket, id)


def _next_versions(s3_context: S3Context, bucket: Bucket, key: bytes) -> list[VersionRow]:
    """All versions of the next keys: about `BATCH` rows, with every key complete."""
    rows: list[VersionRow] = []
    walk = s3_context.catalog.view.walk_versions(bucket.number, key, None)
    for row in walk:
        if len(rows) >= BATCH and row[0] != rows[-1][0]:
            break
        rows.append(row)
    return rows


Due = tuple[str, str]


def _due(found: list[LifecycleRule], bucket: Bucket, rows: list[VersionRow], now: datetime) -> list[Due]:
    """Keys and versions to expire; an empty version means the current one."""
    due: list[Due] = []
    by_key: dict[bytes, list[tuple[ObjectVersion, int]]] = {}
    for row in rows:
        by_key.setdefault(row[0], []).append((decode(row), row[2]))
    for found_versions in by_key.values():
        newest, state = found_versions[0]
        for rule in found:
            if state == CURRENT and rules.applies_to(rule, newest):
                moment = rules.expires(rule, newest)
                if moment is not None and moment <= now:
                    due.append((newest.key, ""))
            elif state == MARKER and len(found_versions) == 1 and rules.applies_to(rule, newest) and _clears_markers(rule, newest, now):
                due.append((newest.key, newest.version))
            due += _noncurrent(rule, found_versions, now)
    return list(dict.fromkeys(due))


def _clears_markers(rule: Mapping[str, Any], marker: ObjectVersion, now: datetime) -> bool:
    """Whether a rule removes an expired delete marker (one without noncurrent versions)."""
    expiration = rule.get("Expiration") or {}
    moment = rules.expires(rule, marker)
    return bool(expiration.get("ExpiredObjectDeleteMarker")) or (moment is not None and moment <= now)


def _noncurrent(rule: Mapping[str, Any], found: list[tuple[ObjectVersion, int]], now: datetime) -> list[Due]:
    action = rule.get("NoncurrentVersionExpiration")
    if not action:
        return []
    kept = action.get("NewerNoncurrentVersions", 0)
    due: list[Due] = []
    for at, (entry, _) in enumerate(found[1:], start=1):
        since = found[at - 1][0].at  # A version becomes noncurrent when the next one is written.
        if at > kept and rules.applies_to(rule, entry) and rules.due(since, action["NoncurrentDays"]) <= now:
            due.append((entry.key, entry.version))
    return due


def _expire(changes: CatalogChanges, name: str, due: list[Due], now: datetime) -> int:
    """Expire the given versions that are still due; returns the number of changes."""
    bucket = changes.bucket(name)
    count = 0
    for key, version in due if bucket is not None else ():
        assert bucket is not None
        entry = changes.version(bucket.number, key, version) if version else changes.current(bucket.number, key)
        if entry is None or (not version and entry.is_marker):
            continue
        if not version and bucket.versioning:
            marker = ObjectVersion(key=key, version=versions.new(bucket), modified=now.timestamp(), owner=bucket.owner, is_marker=True)
            changes.put(bucket.number, marker)
        else:
            try:
                locks.check_deletion(entry, now, bypass=False)
            except AwsError:
                continue
            changes.delete(bucket.number, key, version or NULL)
        count += 1
    return count
