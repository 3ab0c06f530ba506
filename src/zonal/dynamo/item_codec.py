"""The stored form of an item: its size, then the JSON that GetItem returns, so that a read need not decode it.

    size (4 bytes)  JSON of the item

The size is the one that AWS counts, computed at the write. Capacity and pages are computed from it.
"""

from __future__ import annotations

import msgspec

from zonal.dynamo.items import Item

_HEADER = 4
_decode = msgspec.json.Decoder(dict[str, dict]).decode  # type: ignore[type-arg]
_encode = msgspec.json.Encoder().encode


def pack(item: Item, size: int) -> bytes:
    """The stored form of a settled item."""
    return size.to_bytes(_HEADER, "big") + _encode(item)


def item_of(stored: bytes) -> Item:
    """The item, decoded."""
    return _decode(stored[_HEADER:])


def json_of(stored: bytes) -> bytes:
    """The item's JSON, as responses contain it."""
    return stored[_HEADER:]


def size_of(stored: bytes | None) -> int:
    """The size that AWS counts; 0 for no item."""
    return 0 if stored is None else int.from_bytes(stored[:_HEADER], "big")
