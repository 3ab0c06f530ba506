"""The store and the accounts, with look-ups and changes that raise S3's errors; every module of operations uses it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from zonal.buckets.catalog import CatalogChanges
from zonal.buckets.records import Bucket, ObjectVersion
from zonal.buckets.store import BucketStore
from zonal.foundation.credentials import Accounts
from zonal.services.s3 import versions
from zonal.services.s3.errors import method_not_allowed, no_such_bucket, no_such_key
from zonal.services.s3.owners import owner


class S3Context:
    """The store and the accounts, for S3's operations."""

    def __init__(self, store: BucketStore, accounts: Accounts) -> None:
        self.store = store
        self.catalog = store.catalog
        self.accounts = accounts

    def owner(self, account: str) -> dict[str, str]:
        """The `Owner` member of an account, given by its number."""
        return owner(self.accounts.of(account))

    def bucket(self, name: str) -> Bucket:
        """The bucket. Raises `AwsError` NoSuchBucket."""
        bucket = self.catalog.view.bucket(name)
        if bucket is None:
            raise no_such_bucket(name)
        return bucket

    def entry(self, request: Mapping[str, Any], *, method: str = "") -> tuple[Bucket, ObjectVersion]:
        """The version of a request (`Bucket`, `Key`, `VersionId`), never a delete marker. Raises `AwsError`.

        If the newest version is a delete marker, the error is MethodNotAllowed with a `method` (as S3 does for tags), else NoSuchKey.
        """
        bucket = self.bucket(request["Bucket"])
        if method and request.get("VersionId") is None:
            newest = self.catalog.view.current(bucket.number, request["Key"])
            if newest is not None and newest.is_marker:
                raise method_not_allowed(method, headers={"x-amz-delete-marker": "true", "x-amz-version-id": newest.version})
        return bucket, self.found(bucket, request["Key"], request.get("VersionId"), method=method or "GET")

    def found(self, bucket: Bucket, key: str, version: str | None, *, method: str = "GET") -> ObjectVersion:
        """A version, by default the newest; never a delete marker. Raises `AwsError`."""
        view = self.catalog.view
        if version is not None:
            entry = view.version(bucket.number, key, version)
            if entry is None:
                raise versions.unknown(bucket, key, version)
            if entry.is_marker:
                headers = {"x-amz-delete-marker": "true", "x-amz-version-id": version, "Allow": "DELETE"}
                raise method_not_allowed(method, headers=headers)
            return entry
        entry = view.current(bucket.number, key)
        if entry is None:
            raise no_such_key(key)
        if entry.is_marker:
            raise no_such_key(key, headers={"x-amz-delete-marker": "true", "x-amz-version-id": entry.version})
        return entry

    async def change_bucket(self, name: str, change: Callable[[Bucket], Bucket]) -> Bucket:
        """Change a bucket's record durably; `change` may raise `AwsError` to reject the change."""

        def work(changes: CatalogChanges) -> Bucket:
            bucket = changes.bucket(name)
            if bucket is None:
                raise no_such_bucket(name)
            changed = change(bucket)
            changes.put_bucket(changed)
            return changed

        return await self.catalog.change(work)

    async def set_configuration(self, bucket: str, name: str, document: Any) -> None:
        """Set one configuration document of a bucket, or remove it (None). Raises `AwsError` NoSuchBucket."""

        def change(present: Bucket) -> Bucket:
            others = {each: kept for each, kept in present.settings.items() if each != name}
            return replace(present, settings=others if document is None else others | {name: document})

        await self.change_bucket(bucket, change)

    async def change_entry(self, bucket: Bucket, entry: ObjectVersion, change: Callable[[ObjectVersion], ObjectVersion]) -> ObjectVersion:
        """Change a version in place; `change` gets its current record and may raise `AwsError` to reject the change."""

        def work(changes: CatalogChanges) -> ObjectVersion:
            now = changes.version(bucket.number, entry.key, entry.version)
            if now is None:
                raise no_such_key(entry.key)
            changed = change(now)
            changes.change(bucket.number, changed)
            return changed

        return await self.catalog.change(work)
