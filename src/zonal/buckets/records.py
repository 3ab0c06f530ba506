"""What the catalog keeps: buckets, versions of objects, uploads in parts.

Content is named, not held: a `Segment` is a piece of content in the blob store, or beside the entry where it is small. An object that was
uploaded in parts keeps its parts' segments as they are.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

NULL = "null"
"""The version id of what was written while versioning was not enabled."""


class Segment(msgspec.Struct, frozen=True, array_like=True):
    """`size` bytes of content. `small`: kept in the catalog itself, else in the blob store."""

    blob: str
    size: int
    small: bool = False
    nonce: str = ""


class Checksum(msgspec.Struct, frozen=True, array_like=True):
    """A checksum as S3 tells it: `algorithm` as in `CRC64NVME`, `value` in base64 (with `-N` when composite), COMPOSITE or FULL_OBJECT."""

    algorithm: str
    value: str
    type: str = "FULL_OBJECT"


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part of an upload, or of an object made of one."""

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

    `modified` is in seconds since 1970. `headers` are those given back as they came (`Content-Type`, …) by their lower-case names. `grants`
    is the ACL where one was given. `hold_said`: a legal hold was put on it or taken off it. `customer_key` is the MD5 of an SSE-C key, for
    an object that is encrypted with it. `upload` is the id of the upload that it was made by in parts.
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
    hold_said: bool = False
    redirect: str = ""
    upload: str = ""

    @property
    def at(self) -> datetime:
        """When it was written."""
        return datetime.fromtimestamp(self.modified, UTC)


class Upload(msgspec.Struct, frozen=True, omit_defaults=True):
    """A multipart upload that is open. `template` is the entry that it is going to be, without content.

    `superseded`: somebody has deleted the key since it was begun.
    """

    id: str
    bucket: str
    template: ObjectVersion
    initiated: float
    algorithm: str = ""
    checksum_type: str = ""
    superseded: bool = msgspec.field(default=False, name="overtaken")


class Bucket(msgspec.Struct, frozen=True, omit_defaults=True):
    """A bucket. `number` is never used again; `settings` holds its configuration documents, in boto3's shapes, by their names."""

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
