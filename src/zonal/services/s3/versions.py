"""Version ids: 32 characters, which the bucket that issued them can recognise even after the version has been deleted.

S3 returns `NoSuchVersion` for an id that the bucket once issued and `InvalidArgument` for any other. An id therefore consists of sixteen
random bytes and eight bytes of a digest over them and the bucket's number, in base64.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets

from zonal.buckets.records import NULL, Bucket, ObjectVersion
from zonal.foundation.errors import AwsError
from zonal.services.s3.errors import invalid_argument, no_such_version


def new(bucket: Bucket) -> str:
    """The version id of a new version: a new id if versioning is enabled, else `null`."""
    if bucket.versioning != "Enabled":
        return NULL
    head = secrets.token_bytes(16)
    return base64.urlsafe_b64encode(head + _proof(head, bucket)).decode()


def check(bucket: Bucket, version: str) -> None:
    """Raises `AwsError` InvalidArgument if the bucket never issued this id."""
    if not version:
        raise invalid_argument("Version id cannot be the empty string", "versionId", "")
    if version == NULL:
        return
    try:
        raw = base64.b64decode(version.encode(), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 24 or raw[16:] != _proof(raw[:16], bucket):
        raise invalid_argument("Invalid version id specified", "versionId", version[:1024])


def unknown(bucket: Bucket, key: str, version: str) -> AwsError:
    """The error for a version that does not exist: NoSuchVersion. Raises InvalidArgument if the bucket never issued the id."""
    check(bucket, version)
    return no_such_version(key, version)


def members(bucket: Bucket, entry: ObjectVersion) -> dict[str, str]:
    """The version id of a read's response; empty if the bucket never had versioning."""
    return {"VersionId": entry.version} if bucket.versioning else {}


def members_of_new(bucket: Bucket, entry: ObjectVersion) -> dict[str, str]:
    """The version id of a write's response; empty unless versioning is enabled."""
    return {"VersionId": entry.version} if bucket.versioning == "Enabled" else {}


def _proof(head: bytes, bucket: Bucket) -> bytes:
    return hashlib.blake2b(head + bucket.number.to_bytes(8, "big"), digest_size=8).digest()
