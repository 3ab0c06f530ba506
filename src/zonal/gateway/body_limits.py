"""The maximum size of a request's body, by operation.

A body that is a document (JSON, CBOR, XML, a form) is stored in memory and parsed. Its limit is AWS's, or, if AWS publishes none, the
size of the largest request that the operation's other limits allow. The limit of control planes is 1 MiB, like that of AWS's HTTP front
ends and of API Gateway. Operations that stream have no limit here.

Sources: Amazon DynamoDB Developer Guide, "Service, account, and table quotas" (BatchWriteItem 16 MB; TransactWriteItems 4 MB of items;
an item 400 KB, whose JSON may be six times as long, where each byte is written as an escape; ExecuteStatement 8 KB and one item per
parameter); Amazon S3 API Reference, DeleteObjects (1,000 keys of up to 1,024 bytes, each byte of which may be written as a reference),
CompleteMultipartUpload (10,000 parts, each with an ETag and up to five checksums).
"""

from __future__ import annotations

from typing import NamedTuple

KIB = 1024
MIB = 1024 * KIB
CONTROL_PLANE_BYTES = MIB
"""The limit of operations that are not in the table."""


class BodyLimit(NamedTuple):
    """The maximum body of one operation, by botocore's names."""

    service: str
    operation: str
    size_bytes: int


TABLE = (
    BodyLimit("dynamodb", "BatchWriteItem", 16 * MIB),
    BodyLimit("dynamodb", "BatchExecuteStatement", 16 * MIB),
    BodyLimit("dynamodb", "BatchGetItem", 4 * MIB),
    BodyLimit("dynamodb", "ExecuteStatement", 4 * MIB),
    BodyLimit("dynamodb", "ExecuteTransaction", 16 * MIB),
    BodyLimit("dynamodb", "PutItem", 4 * MIB),
    BodyLimit("dynamodb", "TransactWriteItems", 16 * MIB),
    BodyLimit("dynamodb", "UpdateItem", 4 * MIB),
    BodyLimit("s3", "CompleteMultipartUpload", 6 * MIB),
    BodyLimit("s3", "DeleteObjects", 2 * MIB),
)
_BY_OPERATION = {(row.service, row.operation): row.size_bytes for row in TABLE}


def limit_of(service: str, operation: str) -> int:
    """The maximum body of an operation in bytes. The names are botocore's."""
    return _BY_OPERATION.get((service, operation), CONTROL_PLANE_BYTES)
