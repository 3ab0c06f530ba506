"""Tables on their way out to buckets and in from them: what the region remembers of exports and imports."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

import msgspec

from zonal.records.store import Record


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A bucket and the beginning of keys in it."""

    bucket: str
    prefix: str = ""


class ExportRecord(Record, frozen=True, kw_only=True):
    """An export of a table's state at a moment `at`; of what changed from `since` to `at`, where that is given. `id` is its ARN.

    `view` says what an incremental one tells of an item: NEW_IMAGE or NEW_AND_OLD_IMAGES.
    """

    kind: ClassVar[str] = "dynamodb-export"

    table: str
    table_id: str
    account: str
    target: Place
    at: datetime
    since: datetime | None = None
    view: str = "NEW_AND_OLD_IMAGES"
    started_at: datetime
    ended_at: datetime | None = None
    status: str = "IN_PROGRESS"
    failure: tuple[str, str] = ("", "")
    client_token: str = ""
    asked: dict[str, Any] = msgspec.field(default_factory=dict)
    items: int = 0
    size_bytes: int = 0


class ImportRecord(Record, frozen=True, kw_only=True):
    """An import into a new table. `id` is its ARN; `asked` the request; counts are of the attempt that is under way or was the last."""

    kind: ClassVar[str] = "dynamodb-import"

    table: str
    table_id: str
    account: str
    source: Place
    started_at: datetime
    ended_at: datetime | None = None
    status: str = "IN_PROGRESS"
    failure: tuple[str, str] = ("", "")
    client_token: str = ""
    asked: dict[str, Any] = msgspec.field(default_factory=dict)
    size_bytes: int = 0
    processed: int = 0
    imported: int = 0
    errors: int = 0
