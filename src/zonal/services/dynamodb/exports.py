"""Exports: writes a table's state at a time, or the changes between two times, into a bucket.

The state is read from a snapshot and the recovery log, so an export consumes no capacity, and an interrupted one is repeated with the same
content. Files have AWS's layout: `PREFIX/AWSDynamoDB/ID/data/*.json.gz`, and the manifests beside `data`.
(Developer Guide, "DynamoDB table export output format".)
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec.structs import replace

from zonal.dynamo import item_codec
from zonal.dynamo.engine import DynamoEngine, table_name
from zonal.dynamo.error_messages import enveloped
from zonal.dynamo.items import validation
from zonal.dynamo.storage.storage import Snapshot
from zonal.dynamo.streams import undo_of, undo_range
from zonal.dynamo.table import Recovery, Table, TableRecord
from zonal.dynamo.table_copy import changes_since, state_at
from zonal.dynamo.transfers import BucketLocation, ExportRecord
from zonal.foundation.errors import AwsError
from zonal.records.store import Record
from zonal.services.dynamodb import transfers
from zonal.services.dynamodb.descriptions import seconds, table_arn
from zonal.services.dynamodb.unsupported import reject_unsupported
from zonal.services.object_storage import ObjectStorage
from zonal.services.operation import ControlCall, operation

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import (
        DescribeExportInputTypeDef,
        ExportTableToPointInTimeInputTypeDef,
        ListExportsInputTypeDef,
    )

PART_BYTES = 16 * 1024 * 1024
STEP_LINES = 500
_SHORTEST, _LONGEST = timedelta(minutes=15), timedelta(hours=24)


class Exports:
    """Operations on exports."""

    @operation("ExportTableToPointInTime")
    def create(self, call: ControlCall, request: ExportTableToPointInTimeInputTypeDef) -> dict[str, Any]:
        if not request["TableArn"].startswith("arn:"):
            raise validation(f"Invalid TableArn: Invalid ResourceArn provided as input {request['TableArn']}")
        if request.get("S3Prefix") == "":
            at_least = "Member must have length greater than or equal to 1"
            raise enveloped(validation(f"Value '' at 's3Prefix' failed to satisfy constraint: {at_least}"))
        name = table_name(request["TableArn"])
        if (known := _same(call, name, request)) is not None:
            return {"ExportDescription": _description(known)}
        record = call.transaction.get(TableRecord, name)
        if record is None or record.status not in ("ACTIVE", "UPDATING"):
            raise AwsError("TableNotFoundException", f"Table not found: {request['TableArn']}")
        if record.recovery is None:
            raise AwsError("PointInTimeRecoveryUnavailableException", f"Point in time recovery is not enabled for table '{name}'")
        reject_unsupported("ExportTableToPointInTime", request)
        since, at = _period(record.recovery, call.now, request)
        export = ExportRecord(
            id=f"{table_arn(name)}/export/{transfers.new_number(call)}",
            table=name,
            table_id=record.table_id,
            account=call.account,
            target=BucketLocation(bucket=request["S3Bucket"], prefix=request.get("S3Prefix") or ""),
            at=at,
            since=since,
            view=(request.get("IncrementalExportSpecification") or {}).get("ExportViewType") or "NEW_AND_OLD_IMAGES",
            started_at=call.now,
            client_token=request.get("ClientToken") or "",
            asked=dict(request),
        )
        call.transaction.put(export)
        call.transaction.note("dynamodb.export.started", name, bucket=export.target.bucket)
        return {"ExportDescription": _description(export)}

    @operation("DescribeExport")
    def describe(self, call: ControlCall, request: DescribeExportInputTypeDef) -> dict[str, Any]:
        return {"ExportDescription": _description(transfers.known(call, ExportRecord, request["ExportArn"], "Export"))}

    @operation("ListExports")
    def list(self, call: ControlCall, request: ListExportsInputTypeDef) -> dict[str, Any]:
        def is_of_current_table(export: ExportRecord) -> bool:
            """Whether the table still exists; the exports of a deleted table are not listed under its ARN."""
            table = call.transaction.get(TableRecord, export.table)
            return table is not None and table.table_id == export.table_id

        page = transfers.page(call, ExportRecord, request, "MaxResults", shows=is_of_current_table)
        return page.of(map(_summary, page.items)).members("ExportSummaries", "NextToken")


class ExportReconciler:
    """Writes the files of exports."""

    name = "dynamodb-exports"
    kinds: Sequence[type[Record]] = (ExportRecord,)

    def __init__(self, engine: DynamoEngine, objects: ObjectStorage) -> None:
        self._engine = engine
        self._objects = objects

    def key_of(self, kind: str, id: str) -> str:
        return id

    async def converge(self, key: str) -> float | None:
        export = self._engine.store.get(ExportRecord, key)
        if export is None or export.status != "IN_PROGRESS":
            return None
        try:
            ended = await self._write(export)
        except AwsError as error:
            ended = transfers.failed(export, error)
        with self._engine.store.transaction() as tx:
            tx.put(replace(ended, ended_at=self._engine.now()))
            tx.note(f"dynamodb.export.{ended.status.lower()}", export.table, bucket=export.target.bucket)
        return None

    async def _write(self, export: ExportRecord) -> ExportRecord:
        """Write all files; returns the record of the completed export. Raises `AwsError`."""
        await self._put(export, "_started", b"", "text/plain")
        table = self._engine.any_table(export.table)
        if table is None or table.record.recovery is None:
            raise AwsError("TableNotFoundException", f"Table not found: {table_arn(export.table)}")
        await self._engine.settled()
        snapshot = self._engine.storage.snapshot()
        try:
            manifest, items, size = await self._write_data(export, _lines(snapshot, table, table.record.recovery, export))
        finally:
            snapshot.close()
        done = replace(export, status="COMPLETED", items=items, size_bytes=size)
        await self._put_with_sum(done, "manifest-files.json", manifest)
        await self._put_with_sum(done, "manifest-summary.json", msgspec.json.encode(_manifest(done, self._engine.now())))
        return done

    async def _write_data(self, export: ExportRecord, lines: Iterator[tuple[bytes, int]]) -> tuple[bytes, int, int]:
        """Write the data files. Returns the manifest of the files, the number of items, and their size in bytes."""
        manifest, held, held_bytes = b"", list[bytes](), 0
        items = size = 0
        for number, (line, item_size) in enumerate(lines, start=1):
            held.append(line)
            held_bytes += len(line)
            items, size = items + 1, size + item_size
            if held_bytes >= PART_BYTES:
                manifest += await self._write_part(export, manifest.count(b"\n"), held)
                held, held_bytes = [], 0
            if number % STEP_LINES == 0:
                await asyncio.sleep(0)
        if held or not items:
            manifest += await self._write_part(export, manifest.count(b"\n"), held)
        return manifest, items, size

    async def _write_part(self, export: ExportRecord, number: int, lines: list[bytes]) -> bytes:
        """Write a data file and return its line of the manifest. A repeated part has the same name and content."""
        content = await asyncio.to_thread(lambda: gzip.compress(b"".join(lines), compresslevel=6, mtime=0))
        name = base64.b32encode(hashlib.sha256(f"{export.id} {number}".encode()).digest())[:26].decode().lower()
        key = await self._put(export, f"data/{name}.json.gz", content, "application/octet-stream")
        digest = hashlib.md5(content, usedforsecurity=False)
        members = {
            "itemCount": len(lines),
            "md5Checksum": base64.b64encode(digest.digest()).decode(),
            "etag": digest.hexdigest(),
            "dataFileS3Key": key,
        }
        return msgspec.json.encode(members) + b"\n"

    async def _put_with_sum(self, export: ExportRecord, name: str, content: bytes) -> None:
        await self._put(export, name, content, "application/json")
        digest = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest())
        await self._put(export, f"{name.removesuffix('.json')}.md5", digest, "text/plain")

    async def _put(self, export: ExportRecord, name: str, content: bytes, content_type: str) -> str:
        key = f"{_folder(export)}/{name}"
        await self._objects.put(export.account, export.target.bucket, key, content, content_type=content_type)
        return key


def _lines(snapshot: Snapshot, table: Table, recovery: Recovery, export: ExportRecord) -> Iterator[tuple[bytes, int]]:
    """The lines of an export, each with the size of its item in bytes."""
    undo = changes_since(snapshot, recovery, export.at)
    if export.since is None:
        for _, packed in state_at(snapshot, table.keyspace, undo):
            yield b'{"Item":' + item_codec.json_of(packed) + b"}\n", item_codec.size_of(packed)
        return
    for key, change in _changes_between(snapshot, recovery, export.since, export.at).items():
        after = undo[key] if key in undo else next((value for _, value in snapshot.range(key, key + b"\x00")), None)
        yield _change_line(table, export.view, change, after), max(item_codec.size_of(change.before), item_codec.size_of(after))


class ExportedChange(NamedTuple):
    """The change of an item between two times: its value at the first, the time of its last change, and one of its values."""

    before: bytes | None
    micros: int
    known: bytes | None


def _changes_between(snapshot: Snapshot, recovery: Recovery, since: datetime, at: datetime) -> dict[bytes, ExportedChange]:
    """The changes between two times, by key."""
    low, _ = undo_range(recovery, since)
    high, _ = undo_range(recovery, at)
    found: dict[bytes, ExportedChange] = {}
    for log_key, value in snapshot.range(low, high):
        undo, micros = undo_of(value), int.from_bytes(log_key[4:12], "big")
        first = found.get(undo.key)
        found[undo.key] = ExportedChange(undo.before if first is None else first.before, micros, undo.before or (first and first.known))
    return found


def _change_line(table: Table, view: str, change: ExportedChange, after: bytes | None) -> bytes:
    """One item of an incremental export. An item that was created and deleted within the period has its keys only."""
    known = after or change.known
    assert known is not None, "a key that held nothing before, in between, or after did not change"
    keys = {name: value for name, value in item_codec.item_of(known).items() if name in table.key_names}
    members: dict[str, Any] = {"Metadata": {"WriteTimestampMicros": {"N": str(change.micros)}}, "Keys": keys}
    if change.before is not None and view == "NEW_AND_OLD_IMAGES":
        members["OldImage"] = msgspec.Raw(item_codec.json_of(change.before))
    if after is not None:
        members["NewImage"] = msgspec.Raw(item_codec.json_of(after))
    return msgspec.json.encode(members) + b"\n"


def _same(call: ControlCall, table: str, request: Mapping[str, Any]) -> ExportRecord | None:
    """The earlier export with this token. Raises `ExportConflictException` if its request was different."""
    export = transfers.asked_before(call, ExportRecord, request)
    if export is not None and (export.table != table or export.asked != request):
        raise AwsError("ExportConflictException", transfers.CONFLICT)
    return export


def _period(recovery: Recovery, now: datetime, request: Mapping[str, Any]) -> tuple[datetime | None, datetime]:
    """The start (None: a full export) and the end of the period. Raises `InvalidExportTimeException` or `ValidationException`."""
    earliest = max(recovery.since, now - timedelta(days=recovery.days))
    if request.get("ExportType") != "INCREMENTAL_EXPORT":
        if request.get("IncrementalExportSpecification"):
            raise validation("IncrementalExportSpecification is only valid for ExportType INCREMENTAL_EXPORT")
        at = _moment(request.get("ExportTime")) or now
        _check_within(earliest, at, now)
        return None, at
    asked = request.get("IncrementalExportSpecification") or {}
    since, at = _moment(asked.get("ExportFromTime")), _moment(asked.get("ExportToTime")) or now
    if since is None:
        raise validation("ExportFromTime must be specified for ExportType INCREMENTAL_EXPORT")
    if not _SHORTEST <= at - since <= _LONGEST:
        wrong = "less than 15 minutes" if at - since < _SHORTEST else "more than 24 hours"
        raise AwsError("InvalidExportTimeException", f"Difference between export period from time and to time is {wrong}")
    _check_within(earliest, since, now)
    _check_within(earliest, at, now)
    return since, at


def _check_within(earliest: datetime, moment: datetime, now: datetime) -> None:
    # Timestamps have milliseconds at best, so a client's "now" may be slightly before recovery was enabled.
    if not earliest - timedelta(seconds=1) <= moment <= now:
        raise AwsError("InvalidExportTimeException", "The specified ExportTime is outside of the point in time recovery window")


def _moment(value: float | None) -> datetime | None:
    return None if value is None else datetime.fromtimestamp(value, UTC)


def _folder(export: ExportRecord) -> str:
    prefix = f"{export.target.prefix}/" if export.target.prefix else ""
    return f"{prefix}AWSDynamoDB/{export.id.rpartition('/')[2]}"


def _type(export: ExportRecord) -> str:
    return "FULL_EXPORT" if export.since is None else "INCREMENTAL_EXPORT"


def _summary(export: ExportRecord) -> dict[str, Any]:
    return {"ExportArn": export.id, "ExportStatus": export.status, "ExportType": _type(export)}


def _description(export: ExportRecord) -> dict[str, Any]:
    members: dict[str, Any] = {
        "ExportArn": export.id,
        "ExportStatus": export.status,
        "StartTime": seconds(export.started_at),
        "TableArn": table_arn(export.table),
        "TableId": export.table_id,
        "ClientToken": export.client_token or export.id.rpartition("/")[2],
        "S3Bucket": export.target.bucket,
        "S3SseAlgorithm": "AES256",
        "ExportFormat": "DYNAMODB_JSON",
    }
    if "ExportType" in export.asked:
        members["ExportType"] = export.asked["ExportType"]
    if export.target.prefix:
        members["S3Prefix"] = export.target.prefix
    if export.since is None:
        members["ExportTime"] = seconds(export.at)
    else:
        members["IncrementalExportSpecification"] = {
            "ExportFromTime": seconds(export.since),
            "ExportToTime": seconds(export.at),
            "ExportViewType": export.view,
        }
    if owner := export.asked.get("S3BucketOwner"):
        members["S3BucketOwner"] = owner
    if export.ended_at is not None:
        members["EndTime"] = seconds(export.ended_at)
    if export.status == "COMPLETED":
        members |= {
            "ItemCount": export.items,
            "BilledSizeBytes": export.size_bytes,
            "ExportManifest": f"{_folder(export)}/manifest-summary.json",
        }
    if export.status == "FAILED":
        members |= {"FailureCode": export.failure[0], "FailureMessage": export.failure[1]}
    return members


def _manifest(export: ExportRecord, now: datetime) -> dict[str, Any]:
    """The content of manifest-summary.json."""
    members: dict[str, Any] = {
        "version": "2020-06-30" if export.since is None else "2023-08-01",
        "exportArn": export.id,
        "startTime": _written(export.started_at),
        "endTime": _written(now),
        "tableArn": table_arn(export.table),
        "tableId": export.table_id,
        "s3Bucket": export.target.bucket,
        "s3Prefix": export.target.prefix or None,
        "s3SseAlgorithm": "AES256",
        "s3SseKmsKeyId": None,
        "manifestFilesS3Key": f"{_folder(export)}/manifest-files.json",
        "billedSizeBytes": export.size_bytes,
        "itemCount": export.items,
        "outputFormat": "DYNAMODB_JSON",
        "exportType": _type(export),
    }
    if export.since is None:
        return members | {"exportTime": _written(export.at)}
    return members | {"exportFromTime": _written(export.since), "exportToTime": _written(export.at), "outputView": export.view}


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
