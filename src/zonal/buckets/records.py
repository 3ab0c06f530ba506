"""The catalog's records: buckets, versions of objects, multipart uploads and their parts.

Records refer to content by `Segment`: a blob in the blob store, or a row of the catalog if it is small. An object from a multipart upload
keeps the segments of its parts.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

NULL = "null"
"""The version id of objects written while versioning is not enabled."""


class Segment(msgspec.Struct, frozen=True, array_like=True):
    """`size` bytes of content. `small`: stored in the catalog, else in the blob store. `nonce` is set for encrypted content."""

    blob: str
    size: int
    small: bool = False
    nonce: str = ""


class Checksum(msgspec.Struct, frozen=True, array_like=True):
    """An S3 checksum: `algorithm` such as `CRC64NVME`, `value` in base64 (plus `-N` if composite), `type` COMPOSITE or FULL_OBJECT."""

    algorithm: str
    value: str
    type: str = "FULL_OBJECT"


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part of a multipart upload, or of an object created by one."""

    number: int
    size: int
    etag: str
    segment: Segment
    modified: float = 0.0
    checksum: Checksum | None = None


class Retention(msgspec.Struct, frozen=True, array_like=True):
    mode: str
    until: datetime


class ObjectVersion(msgspec.Struct, frozen=True, omit_defaults=True):
    """One version of an object. A delete marker has no content (`is_marker`).

    `modified` is in seconds since 1970. `headers` are the headers returned as they were sent (`Content-Type`, …), by lower-case name.
    `grants` is the ACL if one was set. `hold_set`: a legal hold has been set explicitly, ON or OFF. `customer_key` is the salted digest of
    an SSE-C key (`encryption.CustomerKey.mark`). `upload` is the id of the multipart upload that created the object.
    """

    key: str
    version: str
    modified: float
    owner: str
    size: int = 0
    etag: str = ""
    segments: tuple[Segment, ...] = ()
    is_marker: bool = False
    headers: dict[str, str] = {}
    metadata: dict[str, str] = {}
    tags: dict[str, str] = {}
    checksum: Checksum | None = None
    parts: tuple[Part, ...] = ()
    grants: tuple[tuple[str, str], ...] | None = None
    storage_class: str = "STANDARD"
    customer_key: str = ""
    retention: Retention | None = None
    legal_hold: bool = False
    hold_set: bool = msgspec.field(default=False, name="hold_said")
    redirect: str = ""
    upload: str = ""

    @property
    def at(self) -> datetime:
        """The time of the write."""
        return datetime.fromtimestamp(self.modified, UTC)


class Upload(msgspec.Struct, frozen=True, omit_defaults=True):
    """An open multipart upload. `template` is the future object's entry, without content.

    `superseded`: the key has been deleted since the upload was created.
    """

    id: str
    bucket: str
    template: ObjectVersion
    initiated: float
    algorithm: str = ""
    checksum_type: str = ""
    superseded: bool = msgspec.field(default=False, name="overtaken")


class Bucket(msgspec.Struct, frozen=True, omit_defaults=True):
    """A bucket. `number` is never reused; `settings` holds its configuration documents, in boto3's shapes, by name."""

    name: str
    number: int
    created: float
    owner: str
    versioning: str = ""
    object_lock: bool = False
    ownership: str = "BucketOwnerEnforced"
    grants: tuple[tuple[str, str], ...] | None = None
    tags: dict[str, str] = {}
    settings: dict[str, Any] = {}

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.created, UTC)
