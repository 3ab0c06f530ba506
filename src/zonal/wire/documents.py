"""Reads and writes JSON and CBOR bodies by their shapes.

The protocols differ only in bytes, timestamps and special numbers. Each shape compiles once into a small function per protocol
(`reader(shape, cbor=False)`), and these functions call each other.
"""

from __future__ import annotations

import base64
import binascii
import functools
import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

from zonal.wire.scalars import RANGES, SPECIAL, Malformed, real_text, seconds, timestamp, timestamp_text
from zonal.wire.service_models import Shape

Function = Callable[[Any], Any]


@functools.cache
def reader(shape: Shape, *, cbor: bool = False) -> Function:
    """A function that converts a decoded document to boto3's shape, and raises `Malformed`."""
    if shape.definition.document:
        return _as_it_is
    if shape.type == "structure":
        return _structure_reader(shape, cbor)
    if shape.type == "list":
        return _list_reader(shape, cbor)
    if shape.type == "map":
        return _map_reader(shape, cbor)
    if shape.type == "blob":
        return _bytes_reader if cbor else _base64_reader
    if shape.type == "integer":
        return _integer_reader
    if shape.type == "long":
        return _long_reader
    return {
        "string": _string_reader,
        "boolean": _boolean_reader,
        "float": _real_reader,
        "double": _real_reader,
        "timestamp": _timestamp_reader,
    }[shape.type]


@functools.cache
def body_members(shape: Shape) -> dict[str, Shape]:
    """The members of a structure that are in the body, by their names in the model."""
    return {name: member for name, member in shape.members.items() if member.location in (None, "body")}


def _structure_reader(shape: Shape, cbor: bool) -> Function:
    members: dict[str, tuple[str, Function]] = {}

    def read(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise _unexpected(value, "structure")
        if not members:  # Compiled at first use, because shapes may be recursive.
            members.update(
                {member.location_name or name: (name, reader(member, cbor=cbor)) for name, member in body_members(shape).items()}
            )
        result = {}
        for key, item in value.items():
            found = members.get(key)
            if found is None or item is None:
                continue
            try:
                result[found[0]] = found[1](item)
            except Malformed as problem:
                raise problem.under(found[0]) from None
        return result

    return read


def _list_reader(shape: Shape, cbor: bool) -> Function:
    def read(value: Any) -> list[Any]:
        if type(value) is not list:
            raise _unexpected(value, "list")
        member = reader(shape.member, cbor=cbor)
        return [None if item is None else member(item) for item in value]

    return read


def _map_reader(shape: Shape, cbor: bool) -> Function:
    def read(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise _unexpected(value, "map")
        member = reader(shape.value, cbor=cbor)
        return {_string_reader(key): None if item is None else member(item) for key, item in value.items()}

    return read


def _as_it_is(value: Any) -> Any:
    return value


def _string_reader(value: Any) -> str:
    if type(value) is not str:
        raise _unexpected(value, "String")
    return value


def _boolean_reader(value: Any) -> bool:
    if type(value) is not bool:
        raise _unexpected(value, "Boolean")
    return value


def _integer_reader(value: Any) -> int:
    return _whole(value, "integer", "Integer")


def _long_reader(value: Any) -> int:
    return _whole(value, "long", "Long")


def _whole(value: Any, kind: str, name: str) -> int:
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int:
        raise _unexpected(value, name)
    low, high = RANGES[kind]
    if not low <= value <= high:
        raise Malformed("", f"NUMBER_VALUE cannot be converted to {name}", text=str(value)[:40], type=name)
    return value


def _real_reader(value: Any) -> float:
    if type(value) is str and value in SPECIAL:
        return SPECIAL[value]
    if type(value) not in (int, float):
        raise _unexpected(value, "Double")
    try:
        return float(value)
    except OverflowError:
        raise _unexpected(value, "Double") from None


def _timestamp_reader(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if type(value) not in (int, float, str):
        raise _unexpected(value, "Timestamp")
    try:
        return timestamp(value)
    except (ValueError, OverflowError):
        raise _unexpected(value, "Timestamp") from None


def _base64_reader(value: Any) -> bytes:
    if type(value) is not str:
        raise _unexpected(value, "ByteBuffer")
    try:
        return base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error):
        raise Malformed("", "Invalid Base64 in a blob", text=value[:40], type="blob") from None


def _bytes_reader(value: Any) -> bytes:
    if type(value) is not bytes:
        raise _unexpected(value, "ByteBuffer")
    return value


def _unexpected(value: Any, expected: str) -> Malformed:
    """The error for a value of another type, with the message of AWS's deserialiser."""
    if isinstance(value, dict):
        reason = "Start of structure or map found where not expected"
    elif isinstance(value, list):
        reason = "Start of list found where not expected"
    elif expected in ("structure", "list", "map"):
        reason = "Unexpected field type" if value is not None else "Expected non-null value"
    elif isinstance(value, bool):
        reason = f"{'TRUE' if value else 'FALSE'}_VALUE cannot be converted to {expected}"
    elif isinstance(value, int):
        reason = f"NUMBER_VALUE cannot be converted to {expected}"
    elif isinstance(value, float):
        reason = f"DECIMAL_VALUE cannot be converted to {expected}"
    else:
        reason = f"STRING_VALUE cannot be converted to {expected}"
    return Malformed("", reason, type=expected)


@functools.cache
def writer(shape: Shape, *, cbor: bool = False) -> Function:
    """A function that converts a handler's result to a document. A member that is not in the model is an `AssertionError`."""
    if shape.definition.document:
        return _as_it_is
    if shape.type == "structure":
        return _structure_writer(shape, cbor)
    if shape.type in ("list", "map"):
        return _list_writer(shape, cbor) if shape.type == "list" else _map_writer(shape, cbor)
    if shape.type == "timestamp" and not cbor:
        return _timestamp_writer(shape.timestamp_format or "unixTimestamp")
    if shape.type in ("float", "double"):
        return _as_it_is if cbor else _real_writer
    return _as_it_is  # msgspec writes bytes as base64, and `wire.cbor` writes bytes and timestamps.


def _structure_writer(shape: Shape, cbor: bool) -> Function:
    members: dict[str, tuple[str, Function]] = {}

    def write(value: Any) -> dict[str, Any]:
        if not members:
            members.update(
                {name: (member.location_name or name, writer(member, cbor=cbor)) for name, member in body_members(shape).items()}
            )
        result = {}
        for name, item in value.items():
            if item is None:
                continue
            found = members.get(name)
            if found is None:
                assert name in shape.members, f"{shape.name} has no member {name}"
                continue  # It is written to the headers or the status.
            result[found[0]] = found[1](item)
        return result

    return write


def _list_writer(shape: Shape, cbor: bool) -> Function:
    def write(value: Any) -> list[Any]:
        member = writer(shape.member, cbor=cbor)
        return [None if item is None else member(item) for item in value]

    return write


def _map_writer(shape: Shape, cbor: bool) -> Function:
    def write(value: Any) -> dict[str, Any]:
        member = writer(shape.value, cbor=cbor)
        return {key: None if item is None else member(item) for key, item in value.items()}

    return write


def _timestamp_writer(format: str) -> Function:
    if format in ("unixTimestamp", "unixtimestamp"):
        return lambda value: seconds(value) if isinstance(value, datetime) else value
    return lambda value: timestamp_text(value, format)


def _real_writer(value: float) -> float | str:
    return value if math.isfinite(value) else real_text(value)
