"""Version ids: 32 letters that a bucket gives out and can tell from any others, even when the version is gone.

S3 answers `NoSuchVersion` for an id that was one of the bucket's, and `InvalidArgument` for what never was: its ids carry a proof of
where they come from. Here sixteen bytes are random and eight are a digest of them with the bucket's number.
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
    """The version id of what is written now: one of the bucket's own where versioning is enabled, else `null`."""
    if bucket.versioning != "Enabled":
        return NULL
    head = secrets.token_bytes(16)
    return base64.urlsafe_b64encode(head + _proof(head, bucket)).decode()


def check(bucket: Bucket, version: str) -> None:
    """Raises `AwsError` InvalidArgument where this cannot be a version of the bucket's."""
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
    """What to say of a version that is not there. Raises where it never can have been."""
    check(bucket, version)
    return no_such_version(key, version)


def members(bucket: Bucket, entry: ObjectVersion) -> dict[str, str]:
    """The version id, where the bucket has versions."""
    return {"VersionId": entry.version} if bucket.versioning else {}


def members_of_new(bucket: Bucket, entry: ObjectVersion) -> dict[str, str]:
    """The version id as the answer to a write tells it: a bucket whose versioning is suspended does not."""
    return {"VersionId": entry.version} if bucket.versioning == "Enabled" else {}


def _proof(head: bytes, bucket: Bucket) -> bytes:
    return hashlib.blake2b(head + bucket.number.to_bytes(8, "big"), digest_size=8).digest()
