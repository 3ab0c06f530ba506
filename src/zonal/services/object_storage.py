"""The interface by which other services use buckets: tables are exported to and imported from them.

S3 implements it (`services.s3.internal_objects`). Services do not import each other, so `region` passes the implementation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol


class ObjectStorage(Protocol):
    """Access to buckets on behalf of an account. Every call raises `AwsError` NoSuchBucket or AccessDenied as S3 does."""

    async def put(self, account: str, bucket: str, key: str, content: bytes, *, content_type: str) -> None:
        """Write an object, durably."""
        ...

    def keys(self, account: str, bucket: str, prefix: str) -> list[str]:
        """The keys of current objects that begin with `prefix`, sorted."""
        ...

    def read(self, account: str, bucket: str, key: str) -> AsyncIterator[bytes]:
        """An object's content in pieces. Raises `AwsError` NoSuchKey too."""
        ...
