"""The subset of CBOR (RFC 8949) that Smithy's RPC v2 uses: only the timestamp tag, definite and indefinite lengths, strings as keys.

Depth and the number of items are bounded, and decoding takes linear time.
"""

from __future__ import annotations

import struct
from datetime import datetime
from typing import Any

from zonal.wire.scalars import seconds, timestamp

DEPTH_LIMIT = 96
ITEM_LIMIT = 500_000
_BREAK = object()
_LENGTHS = {24: 1, 25: 2, 26: 4, 27: 8}
_FLOATS = {25: (">e", 2), 26: (">f", 4), 27: (">d", 8)}
_SIMPLE = {20: False, 21: True, 22: None, 23: None}


class NotCbor(Exception):
    """The bytes are not CBOR, or use CBOR that the protocol does not allow."""


def decode(raw: bytes) -> Any:
    """Decode exactly one item. Raises `NotCbor`."""
    reader = _Reader(raw)
    try:
        value = reader.item(0)
    except (IndexError, struct.error, UnicodeDecodeError, TypeError, ValueError, OverflowError) as error:
        raise NotCbor(f"malformed CBOR: {error}") from None
    if value is _BREAK or reader.position != len(raw):
        raise NotCbor("malformed CBOR: there is more than one item")
    return value


class _Reader:
    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._count = 0
        self.position = 0

    def item(self, depth: int) -> Any:
        if depth > DEPTH_LIMIT:
            raise NotCbor(f"malformed CBOR: nested more than {DEPTH_LIMIT} deep")
        self._count += 1
        if self._count > ITEM_LIMIT:
            raise NotCbor(f"malformed CBOR: more than {ITEM_LIMIT} items")
        first = self._raw[self.position]
        self.position += 1
        major, information = first >> 5, first & 31
        if major == 0:
            return self.length(information)
        if major == 1:
            return -1 - self.length(information)
        if major in (2, 3):
            return self.string(major, information)
        if major == 4:
            return self.array(information, depth)
        if major == 5:
            return self.map(information, depth)
        if major == 6:
            return self.tagged(information, depth)
        return self.simple(information)

    def length(self, information: int) -> int:
        if information < 24:
            return information
        if information not in _LENGTHS:
            raise NotCbor("malformed CBOR: a length is missing")
        return int.from_bytes(self.take(_LENGTHS[information]), "big")

    def take(self, count: int) -> bytes:
        end = self.position + count
        if end > len(self._raw):
            raise NotCbor("malformed CBOR: it ends too early")
        piece = self._raw[self.position : end]
        self.position = end
        return piece

    def string(self, major: int, information: int) -> bytes | str:
        if information != 31:
            piece = self.take(self.length(information))
            return piece if major == 2 else piece.decode()
        pieces = []
        while (first := self._raw[self.position]) != 0xFF:
            if first >> 5 != major or first & 31 == 31:
                raise NotCbor("malformed CBOR: a chunk of a string has another type")
            self.position += 1
            pieces.append(self.take(self.length(first & 31)))
        self.position += 1
        joined = b"".join(pieces)
        return joined if major == 2 else joined.decode()

    def array(self, information: int, depth: int) -> list[Any]:
        if information != 31:
            count = self.length(information)
            self.reject_impossible(count)
            return [self.value(depth) for _ in range(count)]
        items = []
        while (item := self.item(depth + 1)) is not _BREAK:
            items.append(item)
        return items

    def map(self, information: int, depth: int) -> dict[Any, Any]:
        values: dict[Any, Any] = {}
        if information != 31:
            count = self.length(information)
            self.reject_impossible(count)
            for _ in range(count):
                key = _key(self.value(depth))
                values[key] = self.value(depth)
            return values
        while (key := self.item(depth + 1)) is not _BREAK:
            values[_key(key)] = self.value(depth)
        return values

    def value(self, depth: int) -> Any:
        item = self.item(depth + 1)
        if item is _BREAK:
            raise NotCbor("malformed CBOR: it breaks off inside an item")
        return item

    def reject_impossible(self, count: int) -> None:
        if count > len(self._raw) - self.position:
            raise NotCbor("malformed CBOR: it ends too early")

    def tagged(self, information: int, depth: int) -> Any:
        tag, value = self.length(information), self.value(depth)
        if tag != 1 or not isinstance(value, int | float):
            raise NotCbor(f"malformed CBOR: tag {tag} is not expected")
        return timestamp(value)

    def simple(self, information: int) -> Any:
        if information in _SIMPLE:
            return _SIMPLE[information]
        if information in _FLOATS:
            format, count = _FLOATS[information]
            return struct.unpack(format, self.take(count))[0]
        if information == 31:
            return _BREAK
        raise NotCbor(f"malformed CBOR: simple value {information} is not expected")


def _key(item: Any) -> str:
    """A map's key, which must be a string (Smithy RPC v2 CBOR). Numbers could be chosen to collide in the hash table."""
    if type(item) is not str:
        raise NotCbor("malformed CBOR: a key is not a string")
    return item


def encode(value: Any) -> bytes:
    """Encode a value; timestamps as tag 1."""
    out = bytearray()
    _write(out, value)
    return bytes(out)


def _write(out: bytearray, value: Any) -> None:
    if value is None or isinstance(value, bool):
        out.append({None: 0xF6, True: 0xF5, False: 0xF4}[value])
    elif isinstance(value, int):
        _head(out, 0 if value >= 0 else 1, value if value >= 0 else -1 - value)
    elif isinstance(value, float):
        out += b"\xfb" + struct.pack(">d", value)
    elif isinstance(value, bytes):
        _head(out, 2, len(value))
        out += value
    elif isinstance(value, str):
        raw = value.encode()
        _head(out, 3, len(raw))
        out += raw
    elif isinstance(value, datetime):
        out.append(0xC1)
        _write(out, seconds(value))
    elif isinstance(value, dict):
        _head(out, 5, len(value))
        for key, item in value.items():
            _write(out, key)
            _write(out, item)
    else:
        _head(out, 4, len(value))
        for item in value:
            _write(out, item)


def _head(out: bytearray, major: int, number: int) -> None:
    if number < 24:
        out.append(major << 5 | number)
        return
    for information, count in _LENGTHS.items():
        if number < 1 << (8 * count):
            out.append(major << 5 | information)
            out += number.to_bytes(count, "big")
            return
    raise OverflowError(f"{number} is too large for CBOR")
