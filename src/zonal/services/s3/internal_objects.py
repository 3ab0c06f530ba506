"""Objects that the region itself writes and reads: access logs, DynamoDB exports and imports.

They are written like all objects (content first, then the catalog's entry, both durable), but without a request: no preconditions, no
SSE-C, no ACL except the log target's grants.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from functools import partial

from msgspec.structs import replace

from zonal.buckets.catalog import CatalogChanges, decode
from zonal.buckets.records import Bucket, ObjectVersion
from zonal.buckets.store import Content
from zonal.foundation.clock import Clock
from zonal.services.s3 import bodies, versions
from zonal.services.s3.context import S3Context
from zonal.services.s3.errors import access_denied, no_such_bucket


class InternalObjects:
    """Implements `services.object_storage.ObjectStorage`. An account uses the buckets that it owns."""

    def __init__(self, s3_context: S3Context, clock: Clock) -> None:
        self._s3_context = s3_context
        self._clock = clock

    async def put(self, account: str, bucket: str, key: str, content: bytes, *, content_type: str) -> None:
        await write_object(self._s3_context, self._owned(account, bucket), self._entry(bucket, key, content_type), content)

    def keys(self, account: str, bucket: str, prefix: str) -> list[str]:
        found, low = self._owned(account, bucket), prefix.encode()
        entries = (decode(row) for row in self._s3_context.catalog.view.walk_current(found.number, low, None))
        keys = []
        for entry in entries:
            if not entry.key.startswith(prefix):
                break
            keys.append(entry.key)
        return keys

    async def read(self, account: str, bucket: str, key: str) -> AsyncIterator[bytes]:
        entry = self._s3_context.found(self._owned(account, bucket), key, None)
        async for piece in self._s3_context.store.read(entry.segments, 0, entry.size):
            yield piece

    def _owned(self, account: str, name: str) -> Bucket:
        bucket = self._s3_context.bucket(name)
        if bucket.owner != account:
            raise access_denied()
        return bucket

    def _entry(self, bucket: str, key: str, content_type: str) -> ObjectVersion:
        owner = self._s3_context.bucket(bucket).owner
        return ObjectVersion(
            key=key, version="", modified=self._clock.now().timestamp(), owner=owner, headers={"content-type": content_type}
        )


async def write_object(s3_context: S3Context, bucket: Bucket, entry: ObjectVersion, content: bytes) -> None:
    """Write `content` as the object that `entry` describes. Raises `AwsError` NoSuchBucket if the bucket is deleted meanwhile."""
    kept = await s3_context.store.receive(bodies.once(content), lambda _: None)
    etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
    entry = replace(entry, size=len(content), etag=etag, segments=(kept.segment,))
    try:
        await s3_context.catalog.change(partial(_put, name=bucket.name, entry=entry, content=kept))
    except Exception:
        s3_context.store.forget(kept)
        raise


def _put(changes: CatalogChanges, name: str, entry: ObjectVersion, content: Content) -> None:
    bucket = changes.bucket(name)
    if bucket is None:
        raise no_such_bucket(name)
    if content.small is not None:
        changes.add_small(content.segment.blob, content.small)
    changes.put(bucket.number, replace(entry, version=versions.new(bucket)))
