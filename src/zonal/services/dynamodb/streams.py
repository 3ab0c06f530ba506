"""DynamoDB Streams: ListStreams, DescribeStream, GetShardIterator, GetRecords.

A stream has one shard, open as long as the stream is. An iterator is a position in the shard, returned as an opaque text that expires
after fifteen minutes. Records expire after twenty-four hours. (API Reference, "Amazon DynamoDB Streams".)
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from zonal.dynamo import keys, streams
from zonal.dynamo.engine import DynamoEngine, table_name
from zonal.dynamo.error_messages import enveloped
from zonal.dynamo.items import validation
from zonal.dynamo.table import Stream, TableRecord, keyspace_prefix
from zonal.foundation.errors import AwsError
from zonal.records.store import Transaction
from zonal.services.dynamodb.descriptions import seconds, stream_arn
from zonal.services.operation import Call, ControlCall, Parameters, operation

ITERATOR_SECONDS = 15 * 60
MAX_STREAMS = 100
MAX_RECORDS = 1000
MAX_BYTES = 1024 * 1024
_ARN = re.compile(r"arn:[^:]+:dynamodb:[^:]*:\d+:table/[^/]+/stream/.+")


class Iterator(msgspec.Struct, frozen=True, array_like=True):
    """A position in a stream: the next record has this sequence number or a larger one."""

    arn: str
    sequence: int
    made_at: float


class Streams:
    """Operations on streams."""

    def __init__(self, engine: DynamoEngine) -> None:
        self._engine = engine

    @operation("ListStreams")
    def list(self, call: ControlCall, request: Parameters) -> dict[str, Any]:
        name, start = request.get("TableName"), request.get("ExclusiveStartStreamArn")
        limit = _limit(request, MAX_STREAMS)
        if start is not None:
            _check_arn(start)
        members = [
            {"StreamArn": stream_arn(record.id, stream.label), "TableName": record.id, "StreamLabel": stream.label}
            for record in call.transaction.select(TableRecord)
            for stream in record.streams
            if name is None or record.id == table_name(name)
        ]
        members = sorted((each for each in members if start is None or each["StreamArn"] > start), key=lambda each: each["StreamArn"])
        answer: dict[str, Any] = {"Streams": members[:limit]}
        if len(members) > limit:
            answer["LastEvaluatedStreamArn"] = members[limit - 1]["StreamArn"]
        return answer

    @operation("DescribeStream")
    def describe(self, call: ControlCall, request: Parameters) -> dict[str, Any]:
        record, stream = _stream(call.transaction, request["StreamArn"])
        begins = _sequence_at(stream.created_at)
        numbers = {"StartingSequenceNumber": streams.sequence_text(begins)}
        if stream.closed_at is not None:
            numbers["EndingSequenceNumber"] = streams.sequence_text(max(begins, self._last_sequence(stream)))
        shards = [{"ShardId": shard_id(stream), "SequenceNumberRange": numbers}]
        if request.get("ExclusiveStartShardId") is not None or request.get("ShardFilter") is not None:
            shards = []  # There is one shard: none follows it, and it has no children.
        return {
            "StreamDescription": {
                "StreamArn": request["StreamArn"],
                "StreamLabel": stream.label,
                "StreamStatus": "ENABLED" if stream.closed_at is None else "DISABLED",
                "StreamViewType": stream.view,
                "CreationRequestDateTime": seconds(stream.created_at),
                "TableName": record.id,
                "KeySchema": [{"AttributeName": element.name, "KeyType": element.role} for element in record.keys],
                "Shards": shards,
            }
        }

    @operation("GetShardIterator")
    def iterator(self, call: ControlCall, request: Parameters) -> dict[str, Any]:
        _, stream = _stream(call.transaction, request["StreamArn"])
        if request["ShardId"] != shard_id(stream):
            raise AwsError("ResourceNotFoundException", f"Requested resource not found: Shard: {request['ShardId']} not found")
        kind, number = request["ShardIteratorType"], request.get("SequenceNumber")
        if kind in ("TRIM_HORIZON", "LATEST", "AT_TIMESTAMP") and number is not None:
            raise validation(f"The SequenceNumber parameter must not be specified for ShardIteratorType {kind}")
        if kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
            if number is None or not number.isdigit():
                raise AwsError("ValidationException", f"The SequenceNumber parameter is required for ShardIteratorType {kind}")
            sequence = int(number) + (kind == "AFTER_SEQUENCE_NUMBER")
            if sequence < _sequence_at(call.now) - streams.RETENTION_SECONDS * 10**9:
                raise AwsError("TrimmedDataAccessException", "The operation attempted to read past the oldest stream record")
        elif kind == "AT_TIMESTAMP":
            sequence = _sequence_at(_timestamp(request, call.now))
        elif kind == "LATEST":
            sequence = self._last_sequence(stream) + 1
        else:
            sequence = 0
        return {"ShardIterator": _written(Iterator(request["StreamArn"], sequence, call.now.timestamp()))}

    @operation("GetRecords")
    async def records(self, call: Call, request: Parameters) -> bytes:
        place = _read(request["ShardIterator"])
        if call.now.timestamp() - place.made_at > ITERATOR_SECONDS:
            message = "The shard iterator has expired and can no longer be used to retrieve stream records"
            raise AwsError("ExpiredIteratorException", message)
        with self._engine.store.transaction() as tx:
            _, stream = _stream(tx, place.arn)
        limit = _limit(request, MAX_RECORDS)
        oldest = call.now.timestamp() - streams.RETENTION_SECONDS
        found, sequence, size, ends = [], place.sequence, 0, stream.closed_at is not None
        keyspace = keyspace_prefix(stream.keyspace)
        for key, value in self._engine.storage.range(streams.record_key(stream, place.sequence), keys.after(keyspace)):
            sequence = streams.sequence_of(key) + 1
            if streams.time_of(value) >= oldest:
                found.append(streams.record_of(value))
                size += len(value)
            if len(found) == limit or size >= MAX_BYTES:
                ends = False
                break
        parts = [b'{"Records":[', b",".join(found), b"]"]
        if not ends:
            following = _written(Iterator(place.arn, sequence, call.now.timestamp()))
            parts += [b',"NextShardIterator":', msgspec.json.encode(following)]
        return b"".join([*parts, b"}"])

    def _last_sequence(self, stream: Stream) -> int:
        keyspace = keyspace_prefix(stream.keyspace)
        last = next(iter(self._engine.storage.range(keyspace, keys.after(keyspace), reverse=True)), None)
        return _sequence_at(stream.created_at) if last is None else streams.sequence_of(last[0])


def shard_id(stream: Stream) -> str:
    """The id of a stream's shard, in AWS's form."""
    return f"shardId-{int(stream.created_at.timestamp() * 1000):020d}-{stream.keyspace:08x}"


def _limit(request: Parameters, most: int) -> int:
    limit: int = request.get("Limit", most)
    if limit > most:
        raise enveloped(
            validation(f"Value '{limit}' at 'limit' failed to satisfy constraint: Member must have value less than or equal to {most}")
        )
    return limit


def _check_arn(arn: str) -> None:
    if not _ARN.fullmatch(arn):
        raise validation(f"Invalid StreamArn: {arn}")


def _stream(transaction: Transaction, arn: str) -> tuple[TableRecord, Stream]:
    _check_arn(arn)
    record = transaction.get(TableRecord, table_name(arn))
    label = arn.rpartition("/stream/")[2]
    for stream in record.streams if record is not None else ():
        if stream.label == label and record is not None:
            return record, stream
    raise AwsError("ResourceNotFoundException", f"Requested resource not found: Stream: {arn} not found")


def _timestamp(request: Parameters, now: datetime) -> datetime:
    seconds_since_1970 = request.get("Timestamp")
    if seconds_since_1970 is None:
        raise validation("The Timestamp parameter is required for ShardIteratorType AT_TIMESTAMP")
    if seconds_since_1970 > now.timestamp():
        raise validation("The Timestamp parameter must not be in the future")
    return datetime.fromtimestamp(max(seconds_since_1970, 0), UTC)


def _sequence_at(moment: datetime) -> int:
    return int(moment.timestamp() * 1000) * 1_000_000


def _written(iterator: Iterator) -> str:
    return f"{iterator.arn}|1|{base64.b64encode(msgspec.json.encode(iterator)).decode()}"


def _read(text: str) -> Iterator:
    try:
        return msgspec.json.decode(base64.b64decode(text.rpartition("|")[2], validate=True), type=Iterator)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise AwsError("ValidationException", "Invalid ShardIterator") from None
