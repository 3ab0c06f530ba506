"""Objects in buckets, as other services see them: what a table is exported to and imported from.

S3 implements it (`services.s3.internal_objects`); services know nothing of each other, so the region hands it over.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol


class ObjectStorage(Protocol):
    """Buckets, used in the name of an account. Every call raises `AwsError` NoSuchBucket or AccessDenied as S3 would."""

    async def put(self, account: str, bucket: str, key: str, content: bytes, *, content_type: str) -> None:
        """Write an object, durably."""
        ...

    def keys(self, account: str, bucket: str, prefix: str) -> list[str]:
        """The keys of current objects that begin with `prefix`, in order."""
        ...

    def read(self, account: str, bucket: str, key: str) -> AsyncIterator[bytes]:
        """An object's content in pieces. Raises `AwsError` NoSuchKey too."""
        ...
