"""Encodes primary keys as bytes that order items as DynamoDB does.

Every item of a table or index is stored under one key:

    keyspace (4)  partition (16)  sort key, order-preserving  [primary key's digest (16), in an index]

*keyspace* is the number of the table or index. *partition* consists of two digests of the partition key: MD5 over "Outliers" and the
key's bytes, which is the order in which AWS returns a scan, and BLAKE2. The sort key's bytes compare as DynamoDB compares
its values (numbers by magnitude, strings by UTF-8, binary unsigned), so a Query reads adjacent keys. An index may contain several
items with one key; the digest of the table's primary key distinguishes them.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from zonal.dynamo import numbers
from zonal.dynamo.items import Item, Value, decode_binary, kind_and_body, validation
from zonal.foundation.errors import AwsError

PARTITION_LENGTH = 16
KEYSPACE_LENGTH = 4
_SURELY_FITS = 250
_MISMATCH = "The provided key element does not match the schema"
_EMPTY = "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty"
_INVALID = "One or more parameter values were invalid: "
_LONG_PARTITION_KEY = _INVALID + "Size of hashkey has exceeded the maximum size limit of2048 bytes"
_LONG_SORT_KEY = _INVALID + "Aggregated size of all range keys has exceeded the size limit of 1024 bytes"


class KeyPart(NamedTuple):
    """One key attribute: its name and scalar type (S, N or B)."""

    name: str
    type: str


class Schema(NamedTuple):
    """The key of a table or index: partition key attributes and sort key attributes (several of each only in a GSI)."""

    keyspace: bytes
    partition: tuple[KeyPart, ...]
    sort: tuple[KeyPart, ...]

    @property
    def parts(self) -> tuple[KeyPart, ...]:
        return self.partition + self.sort

    def partition_prefix(self, values: Sequence[Value]) -> bytes:
        """The beginning of every key in the partition of these values."""
        return self.keyspace + partition_digest(values)

    def key(self, item: Item) -> bytes:
        """The key under which a table stores the item, which must have all key attributes, of the right types."""
        prefix = self.partition_prefix([item[part.name] for part in self.partition])
        return prefix + b"".join(encode(item[part.name]) for part in self.sort) if self.sort else prefix

    def covers(self, item: Item) -> bool:
        """Whether the item has a valid value for every key attribute, and so has an entry in the index."""
        for part in self.parts:
            value = item.get(part.name)
            body = None if value is None else value.get(part.type)
            if not body or self.excess(part, body):
                return False
        return True

    def limit(self, part: KeyPart) -> int:
        """The most bytes of a key attribute."""
        return 2048 if part in self.partition else 1024

    def excess(self, part: KeyPart, body: str) -> int:
        """The size of a key attribute in bytes if it exceeds the limit, otherwise 0."""
        if len(body) <= _SURELY_FITS or part.type == "N":
            return 0
        size = len(body.encode()) if part.type == "S" else len(decode_binary(body))
        return size if size > self.limit(part) else 0


def partition_digest(values: Sequence[Value]) -> bytes:
    """The sixteen bytes of a partition in a key."""
    return _placed(_hashed(values[0]) if len(values) == 1 else b"".join(map(encode, values)))


@functools.lru_cache(4096)
def _placed(raw: bytes) -> bytes:
    """The digest of a partition key's bytes, cached because programs use the same partitions repeatedly."""
    return hashlib.md5(b"Outliers" + raw, usedforsecurity=False).digest()[:8] + hashlib.blake2b(raw, digest_size=8).digest()


def tie_digest(item: Item, table: Schema) -> bytes:
    """Sixteen bytes that distinguish items with one index key and order them as AWS does: by a hash of the whole primary key."""
    raw = b"".join(_hashed(item[part.name]) for part in table.parts)
    exact = b"".join(encode(item[part.name]) for part in table.parts)
    return hashlib.md5(b"Outliers" + raw, usedforsecurity=False).digest()[:8] + hashlib.blake2b(exact, digest_size=8).digest()


def encode(value: Value) -> bytes:
    """Bytes that compare as the values do. No encoding is a prefix of another one of its type."""
    kind, body = kind_and_body(value)
    if kind == "N":
        return numbers.encode(body)
    raw = body.encode() if kind == "S" else decode_binary(body)
    return _escape(raw) + b"\x00\x01"


def encode_beginning(value: Value) -> bytes:
    """The common prefix of the encodings of all strings or binary values with this beginning."""
    kind, body = kind_and_body(value)
    return _escape(body.encode() if kind == "S" else decode_binary(body))


def after(prefix: bytes) -> bytes:
    """The smallest bytes greater than all that begin with `prefix`."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1])


class EmptyKey(AwsError):
    """A key attribute is empty. In a transaction this rejects the request; other invalid keys are a reason for cancellation."""


def check_key(key: Item, schema: Schema) -> None:
    """Require that a `Key` has exactly the schema's attributes and types, neither empty nor too long. Raises `ValidationException`."""
    if len(key) != len(schema.parts):
        raise validation(_MISMATCH)
    for part in schema.parts:
        if part.name not in key or part.type not in key[part.name]:
            raise validation(_MISMATCH)
    check_lengths(key, schema)


def check_item(item: Item, schema: Schema) -> None:
    """Require that an item has the table's key attributes and types, neither empty nor too long. Raises `ValidationException`."""
    for part in schema.parts:
        value = item.get(part.name)
        if value is None:
            raise validation(f"{_INVALID}Missing the key {part.name} in the item")
        if part.type not in value:
            raise validation(f"{_INVALID}Type mismatch for key {part.name} expected: {part.type} actual: {kind_and_body(value)[0]}")
    check_lengths(item, schema)


def check_key_of_item(item: Item, schema: Schema) -> None:
    """Like `check_key`, for an item that may have other attributes."""
    check_key({part.name: item[part.name] for part in schema.parts if part.name in item}, schema)


def check_lengths(item: Item, schema: Schema) -> None:
    """Require that the key attributes in `item` are not empty and have at most 2048 (partition) or 1024 (sort) bytes."""
    for part in schema.parts:
        if part.type == "N":
            continue
        body = item[part.name][part.type]
        if not body:
            raise EmptyKey("ValidationException", f"{_EMPTY} {'string' if part.type == 'S' else 'binary'} value. Key: {part.name}")
        if schema.excess(part, body):
            raise validation(_LONG_PARTITION_KEY if part in schema.partition else _LONG_SORT_KEY)


def _escape(raw: bytes) -> bytes:
    return raw.replace(b"\x00", b"\x00\xff") if b"\x00" in raw else raw


_HASHED: dict[str, Callable[[str], bytes]] = {"S": str.encode, "N": numbers.hash_bytes, "B": decode_binary}


def _hashed(value: Value) -> bytes:
    kind, body = kind_and_body(value)
    return _HASHED[kind](body)
