"""Records of exports of tables to buckets and imports from buckets."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

import msgspec

from zonal.records.store import Record


class BucketLocation(msgspec.Struct, frozen=True, kw_only=True):
    """A bucket and a key prefix in it."""

    bucket: str
    prefix: str = ""


class TransferRecord(Record, frozen=True, kw_only=True):
    """An export or import. `id` is its ARN, `asked` the request; `failure` is the code and message of a FAILED one."""

    table: str
    table_id: str
    account: str
    started_at: datetime
    ended_at: datetime | None = None
    status: str = "IN_PROGRESS"
    failure: tuple[str, str] = ("", "")
    client_token: str = ""
    asked: dict[str, Any] = msgspec.field(default_factory=dict)
    size_bytes: int = 0


class ExportRecord(TransferRecord, frozen=True, kw_only=True):
    """An export of a table's state at the time `at`, or with `since` of the changes from `since` to `at`.

    `view` is NEW_IMAGE or NEW_AND_OLD_IMAGES: what an incremental export contains of an item.
    """

    kind: ClassVar[str] = "dynamodb-export"

    target: BucketLocation
    at: datetime
    since: datetime | None = None
    view: str = "NEW_AND_OLD_IMAGES"
    items: int = 0


class ImportRecord(TransferRecord, frozen=True, kw_only=True):
    """An import into a new table. The counts are those of the current or last attempt."""

    kind: ClassVar[str] = "dynamodb-import"

    source: BucketLocation
    processed: int = 0
    imported: int = 0
    errors: int = 0
