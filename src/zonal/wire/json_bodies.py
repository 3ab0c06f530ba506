"""Decodes untrusted JSON with msgspec, with bounds on the depth and the number of values.

The bounds are checked on the bytes before decoding, in linear time. msgspec holds the interpreter lock while it decodes, so a large
document is decoded member by member; other threads, including the event loop's, run in between.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import msgspec

DEPTH_LIMIT = 160
"""Levels of objects and arrays. A DynamoDB item has at most 32 levels of maps and lists, about 70 levels of JSON. The rest leaves room to
decode an item that is too deep and to report DynamoDB's own error: a handler uses up to five Python frames for each level."""
VALUE_LIMIT = 4_000_000
"""Values in one document; 16 MiB of items have fewer."""
PIECE_BYTES = 128 * 1024
SPLIT_LEVELS = 7
"""The depth to which a large document is split: the attributes of a batch's items."""
_DEPTHS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_ALL_BUT_BRACKETS = bytes(byte for byte in range(256) if byte not in _DEPTHS)
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
_decode = msgspec.json.Decoder().decode


class NotJson(Exception):
    """The bytes are not JSON, or exceed the bounds."""


def decode(raw: bytes) -> Any:
    """Decode one value. Raises `NotJson`."""
    try:
        size = len(raw)
        if size > DEPTH_LIMIT and (size > PIECE_BYTES or _may_be_deep(raw)):
            _check_bounds(raw)
        return _decode(raw) if size <= PIECE_BYTES else _in_pieces(raw, SPLIT_LEVELS)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotJson(str(error)) from None


def _may_be_deep(raw: bytes) -> bool:
    """Whether there are more opening brackets than allowed levels, nested or not, in strings too: an upper bound.

    Searching for the few brackets of a typical document takes 1 µs for 12 KB; `bytes.count` takes 30 µs.
    """
    left = DEPTH_LIMIT
    for bracket in (b"{", b"["):
        at = raw.find(bracket)
        while at >= 0:
            if not left:
                return True
            left -= 1
            at = raw.find(bracket, at + 1)
    return False


def _check_bounds(raw: bytes) -> None:
    structure = b"".join(raw.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')[::2])  # Without strings: they may contain brackets.
    if _count_values(structure) > VALUE_LIMIT:
        raise NotJson(f"there are more than {VALUE_LIMIT} values")
    if _depth(structure) > DEPTH_LIMIT:
        raise NotJson(f"values are nested more than {DEPTH_LIMIT} deep")


def _count_values(structure: bytes) -> int:
    """An upper bound of the number of values."""
    return structure.count(b",") + structure.count(b"[") + structure.count(b"{") + 1


def _depth(structure: bytes) -> int:
    brackets = structure.translate(None, _ALL_BUT_BRACKETS)
    deepest = depth = 0
    for start in range(0, len(brackets), PIECE_BYTES):
        depths = list(accumulate(map(_DEPTHS.__getitem__, brackets[start : start + PIECE_BYTES]), initial=depth))
        deepest, depth = max(deepest, *depths), depths[-1]
    return deepest


def _in_pieces(raw: bytes | msgspec.Raw, levels: int) -> Any:
    """Decode a value, member by member if it is large and `levels` is not 0."""
    view = memoryview(raw)
    if len(view) <= PIECE_BYTES or not levels:
        return _decode(view)
    first = bytes(view[:64]).lstrip()[:1]
    if first == b"{":
        return {key: _in_pieces(value, levels - 1) for key, value in _MEMBERS.decode(view).items()}
    if first == b"[":
        return [_in_pieces(value, levels - 1) for value in _ELEMENTS.decode(view)]
    return _decode(view)
