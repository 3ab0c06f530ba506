"""Attribute values and items: their rules, their canonical form and their size as AWS counts it.

An attribute value is a dictionary of one type and its value, as on the wire: `{"S": "text"}`, `{"N": "1"}`, `{"B": "base64"}`.
`settle` visits a value once: it checks every rule, replaces numbers by their canonical form and sorts sets in DynamoDB's order, in place
(strings and binary values by their bytes, numbers by value), and returns the size that limits and capacity count. A settled value is stored
unchanged and not checked again.
(Developer Guide: "Supported data types and naming rules", "DynamoDB item sizes and formats", "Quotas": item size and nesting.)
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from typing import Any

from zonal.dynamo import numbers
from zonal.dynamo.error_messages import TwoMessages
from zonal.foundation.errors import AwsError

Value = dict[str, Any]
"""One attribute value: `{"S": "…"}`."""
Item = dict[str, Value]
"""Attribute names and their values."""

MAX_ITEM_SIZE = 400 * 1024
MAX_DEPTH = 32
"""Levels of an item's document; a scalar attribute is at the first."""
TYPES = ("S", "N", "B", "NULL", "BOOL", "SS", "NS", "BS", "L", "M")
MAX_NAME_LENGTH = 65_535
_EMPTY_NAME = "Empty attribute name"
_LONG_NAME = "Attribute name is too large, must be less than 65536 bytes"
_TOO_DEEP = "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"
_INVALID = "One or more parameter values were invalid: "


class WrongShape(Exception):
    """A JSON value has a type that the request's model does not allow. The service layer finds it and raises AWS's error."""


class EmptyName(AwsError):
    """A map within an item has a member with an empty name. AWS reports excessive depth before this."""

    def __init__(self) -> None:
        super().__init__("ValidationException", _EMPTY_NAME)


def validation(message: str) -> AwsError:
    """AWS's `ValidationException`."""
    return AwsError("ValidationException", message)


def settle_item(item: Item) -> int:
    """Check every attribute, make numbers canonical in place, and return the item's size in bytes."""
    if "" in item:
        raise validation(_EMPTY_NAME)
    size = 0
    try:
        for name, value in item.items():
            length = len(name) if name.isascii() else len(name.encode())
            if length > MAX_NAME_LENGTH:
                raise validation(_LONG_NAME)
            size += length + settle(value)
    except EmptyName:
        if any(_is_too_deep(value, 0) for value in item.values()):
            raise validation(_TOO_DEEP) from None
        raise
    return size


def settle(value: Value, depth: int = 0) -> int:
    """Check one value, make its numbers canonical in place, return its size. Raises `ValidationException` or `WrongShape`."""
    if type(value) is not dict:
        raise WrongShape
    if len(value) == 1:
        for kind, body in value.items():
            if kind == "S" and type(body) is str:
                return len(body) if body.isascii() else len(body.encode())
            if kind in _SETTLE and body is not None:
                return _SETTLE[kind](value, body, depth)
    return _settle_odd(value, depth)


def _settle_odd(value: Value, depth: int) -> int:
    known = [kind for kind in value if kind in _SETTLE and value[kind] is not None]
    if not known:
        raise validation("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
    size = 0
    for kind in known:
        size = _SETTLE[kind](value, value[kind], depth)
    if len(known) > 1:
        raise validation("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
    for kind in list(value):
        if kind not in known:
            del value[kind]
    return size


def _string(value: Value, body: Any, depth: int) -> int:
    return len(_text(body).encode())


def _number(value: Value, body: Any, depth: int) -> int:
    text = value["N"] = numbers.canonical(_text(body))
    return numbers.size(text)


def _binary(value: Value, body: Any, depth: int) -> int:
    return len(decode_binary(body))


def _null(value: Value, body: Any, depth: int) -> int:
    if not _truth(body):
        raise validation(_INVALID + "Null attribute value types must have the value of true")
    value["NULL"] = True
    return 1


def _boolean(value: Value, body: Any, depth: int) -> int:
    value["BOOL"] = _truth(body)
    return 1


def _string_set(value: Value, body: Any, depth: int) -> int:
    members = [_text(member) for member in _list(body)]
    if not members:
        raise validation(_INVALID + "An string set  may not be empty")
    if len(set(members)) != len(members):
        quoted = ", ".join(f'"{member}"' for member in _until_repeated(members))
        raise TwoMessages(
            f"{_INVALID}Input collection [{', '.join(members)}] contains duplicates.",
            f"{_INVALID}Input collection [{quoted}] contains duplicates.",
        )
    members.sort()
    value["SS"] = members
    return sum(len(member.encode()) for member in members)


def _number_set(value: Value, body: Any, depth: int) -> int:
    if not _list(body):
        raise validation(_INVALID + "An number set  may not be empty")
    members = value["NS"] = [numbers.canonical(_text(member)) for member in body]
    if len(set(members)) != len(members):
        raise TwoMessages("Input collection contains duplicates", f"{_INVALID}Input collection contains duplicates.")
    members.sort(key=numbers.encode)
    return sum(map(numbers.size, members))


def _binary_set(value: Value, body: Any, depth: int) -> int:
    if not _list(body):
        raise validation(_INVALID + "Binary sets should not be empty")
    size = sum(len(decode_binary(member)) for member in body)
    if len(set(body)) != len(body):
        quoted = ",".join(f'"{member}"' for member in _until_repeated(body, decode_binary))
        raise TwoMessages(
            f"{_INVALID}Input collection [{', '.join(body)}]of type BS contains duplicates.",
            f"{_INVALID}Input collection [{quoted}]of type BS contains duplicates.",
        )
    body.sort(key=decode_binary)
    return size


def _until_repeated(members: list[str], order: Callable[[str], bytes] = str.encode) -> list[str]:
    """A set's members as the newer message lists them: in byte order up to the first repeated one, then in the order of the request."""
    first: dict[str, int] = {}
    at = next(at for at, member in enumerate(members) if first.setdefault(member, at) != at)
    return sorted(members[:at], key=order) + members[at:]


def _elements(value: Value, body: Any, depth: int) -> int:
    _check_depth(depth)
    return 3 + sum(1 + settle(element, depth + 1) for element in _list(body))


def _members(value: Value, body: Any, depth: int) -> int:
    _check_depth(depth)
    if type(body) is not dict:
        raise WrongShape
    if "" in body:
        raise EmptyName
    return 3 + sum(1 + len(name.encode()) + settle(member, depth + 1) for name, member in body.items())


_SETTLE: dict[str, Callable[[Value, Any, int], int]] = {
    "S": _string,
    "N": _number,
    "B": _binary,
    "NULL": _null,
    "BOOL": _boolean,
    "SS": _string_set,
    "NS": _number_set,
    "BS": _binary_set,
    "L": _elements,
    "M": _members,
}


def _check_depth(depth: int) -> None:
    if depth >= MAX_DEPTH - 1:
        raise validation(_TOO_DEEP)


def _is_too_deep(value: Any, depth: int) -> bool:
    """Whether an unsettled value has too many levels."""
    body = (value.get("M") or value.get("L")) if isinstance(value, dict) else None
    if not isinstance(body, dict | list):
        return False
    return depth >= MAX_DEPTH - 1 or any(_is_too_deep(each, depth + 1) for each in (body.values() if isinstance(body, dict) else body))


def _text(body: Any) -> str:
    if type(body) is not str:
        raise WrongShape
    return body


def _list(body: Any) -> list[Any]:
    if type(body) is not list:
        raise WrongShape
    return body


def _truth(body: Any) -> bool:
    """The boolean of a JSON value; AWS also accepts the strings true, yes and 1, and their opposites."""
    if type(body) is bool:
        return body
    if type(body) is str and body.lower() in ("true", "yes", "1", "false", "no", "0"):
        return body.lower() in ("true", "yes", "1")
    raise WrongShape


def decode_binary(body: Any) -> bytes:
    """The bytes of a `B` value, from strict base64. Raises `WrongShape`."""
    if type(body) is not str:
        raise WrongShape
    try:
        return binascii.a2b_base64(body, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise WrongShape from error


def encode_binary(body: bytes) -> str:
    """The base64 text of a `B` value."""
    return binascii.b2a_base64(body, newline=False).decode()


def item_size(item: Item) -> int:
    """The size of a settled item."""
    return sum(len(name.encode()) + size(value) for name, value in item.items())


def size(value: Value) -> int:
    """The size of a settled value."""
    kind, body = kind_and_body(value)
    if kind == "S":
        return len(body.encode())
    if kind == "N":
        return numbers.size(body)
    if kind == "NS":
        return sum(map(numbers.size, body))
    if kind == "L":
        return 3 + sum(1 + size(element) for element in body)
    if kind == "M":
        return 3 + sum(1 + len(name.encode()) + size(member) for name, member in body.items())
    return _SETTLE[kind](value, body, 0)


def kind_and_body(value: Value) -> tuple[str, Any]:
    """The type of a settled value, and its content."""
    for kind, body in value.items():
        return kind, body
    raise validation("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")


def equal(left: Value, right: Value) -> bool:
    """Whether two settled values are the same; sets have no order."""
    if left == right:
        return True
    (kind, first), (other, second) = kind_and_body(left), kind_and_body(right)
    if kind != other:
        return False
    if kind in ("SS", "NS", "BS"):
        return set(first) == set(second)
    if kind == "L":
        return len(first) == len(second) and all(map(equal, first, second))
    if kind == "M":
        return first.keys() == second.keys() and all(equal(first[name], second[name]) for name in first)
    return False


def set_union(members: list[str], more: list[str]) -> list[str]:
    """The members of two settled sets, each once, in linear time."""
    return list(dict.fromkeys([*members, *more]))


def set_difference(members: list[str], removed: list[str]) -> list[str]:
    """The members of a settled set that are not in another, in linear time."""
    gone = set(removed)
    return [member for member in members if member not in gone]


def order(left: Value, right: Value) -> int | None:
    """Negative, zero or positive, as DynamoDB orders two values of one scalar type; None for values that have no order."""
    (kind, first), (other, second) = kind_and_body(left), kind_and_body(right)
    if kind != other:
        return None
    if kind == "N":
        return numbers.compare(first, second)
    if kind not in ("S", "B"):
        return None
    a: bytes = first.encode() if kind == "S" else decode_binary(first)
    b: bytes = second.encode() if kind == "S" else decode_binary(second)
    return (a > b) - (a < b)
