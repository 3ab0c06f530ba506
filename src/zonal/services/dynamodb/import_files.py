"""Reads the items in files to import: DynamoDB JSON and CSV, plain or compressed by gzip.

A file is read in pieces and its items are returned one by one, so memory is bounded by the longest line (`MAX_LINE_BYTES`) and by
`PLAIN_BYTES` of decompressed content. Items are settled here, those of long lines in a thread. What cannot be imported is returned as an
error. (Developer Guide, "DynamoDB import formats quotas and validation".)
"""

from __future__ import annotations

import asyncio
import csv
import json
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from zonal.dynamo.items import MAX_ITEM_SIZE, Item, WrongShape, settle_item
from zonal.foundation.errors import AwsError
from zonal.services.dynamodb.large_requests import LARGE_BYTES

GZIP_WINDOW = 47
"""`wbits` of zlib for a stream with gzip's header."""
PLAIN_BYTES = 64 * 1024
"""The most that one call of zlib decompresses: a piece of a file may hold a thousand times its size."""
MAX_LINE_BYTES = 4 * 1024 * 1024
"""An item of 400 KB in its longest form: each byte of a string written as an escape of six, or a list of `{"NULL":true}`."""
STEP_LINES = 500
T = TypeVar("T")

csv.field_size_limit(MAX_LINE_BYTES)  # A cell may be as long as a line; Python's own limit is 128 KiB.


class FoundItem(NamedTuple):
    """A settled item of a file and its size in bytes, or the error for which it cannot be stored."""

    item: Item
    size: int
    error: str = ""


Found = FoundItem | str
"""An item, or why something in the file is not one."""


async def documents(pieces: AsyncIterator[bytes], sizes: list[int], *, is_compressed: bool) -> AsyncIterator[Found]:
    """The items of a file of DynamoDB JSON: documents in sequence, each `{"Item": {...}}`. Appends the plain bytes read to `sizes`.

    Like AWS, it stops reading the file at the first document of another shape. Raises `ValueError` as `_lines` does.
    """
    async for line in _lines(pieces, sizes, is_compressed=is_compressed):
        for found in await _of_line(line, lambda text: list(_documents_of(text))):
            yield found
            if isinstance(found, str):
                return


async def rows(
    pieces: AsyncIterator[bytes], sizes: list[int], *, is_compressed: bool, types: Mapping[str, str], options: Mapping[str, Any]
) -> AsyncIterator[Found]:
    """The items of a CSV file: key attributes have their types, every other attribute is a string; an empty cell is left out.

    Appends the plain bytes read to `sizes`. Raises `ValueError` as `_lines` does, and for a header that is not CSV.
    """
    header: list[str] = list(options.get("HeaderList") or ())
    delimiter = options.get("Delimiter") or ","

    def item_of(line: str) -> Found:
        try:
            cells = _cells(line, delimiter)
        except ValueError as error:
            return str(error)
        if len(cells) > len(header):
            return f"a row has {len(cells)} cells, the header {len(header)}"
        return _settled({name: {types.get(name, "S"): cell} for name, cell in zip(header, cells, strict=False) if cell})

    async for line in _lines(pieces, sizes, is_compressed=is_compressed):
        if not header:
            header = _cells(line, delimiter)
        else:
            yield await _of_line(line, item_of)


async def _of_line(line: str, read: Callable[[str], T]) -> T:
    return await asyncio.to_thread(read, line) if len(line) > LARGE_BYTES else read(line)


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        [cells] = csv.reader([line], delimiter=delimiter)
    except csv.Error as error:
        raise ValueError(f"a row is not CSV: {error}") from None
    return cells


def _documents_of(line: str) -> Iterator[Found]:
    decoder, at = json.JSONDecoder(), 0
    line = line.strip()
    while at < len(line):
        try:
            document, at = decoder.raw_decode(line, at)
        except (ValueError, RecursionError) as error:
            yield f"a line is not JSON: {error}"
            return
        while at < len(line) and line[at].isspace():
            at += 1
        if isinstance(document, dict) and set(document) == {"Item"} and isinstance(document["Item"], dict):
            yield _settled(document["Item"])
        else:
            yield "a document is not an object with one member, Item"


def _settled(item: Item) -> FoundItem:
    try:
        size = settle_item(item)
    except AwsError as error:
        return FoundItem(item, 0, error.message)
    except WrongShape:
        return FoundItem(item, 0, "an attribute value has the wrong JSON type")
    return FoundItem(item, size, "Item size has exceeded the maximum allowed size" if size > MAX_ITEM_SIZE else "")


async def _lines(pieces: AsyncIterator[bytes], sizes: list[int], *, is_compressed: bool) -> AsyncIterator[str]:
    """The lines of a file that are not blank, in a time that grows with the file's size whatever the lengths of its lines.

    Raises `ValueError` for a line of more than `MAX_LINE_BYTES`, one that is not UTF-8, and a file that is not gzip or ends early.
    """
    line: list[bytes] = []
    length = count = 0
    async for piece in _plain(pieces, sizes, is_compressed=is_compressed):
        end, *following = piece.split(b"\n")
        line.append(end)
        length += len(end)
        if length > MAX_LINE_BYTES:
            raise ValueError(f"a line has more than {MAX_LINE_BYTES} bytes")
        for beginning in following:
            if text := b"".join(line).decode().strip():
                yield text
            line, length, count = [beginning], len(beginning), count + 1
            if count % STEP_LINES == 0:
                await asyncio.sleep(0)  # Blank lines give the importer nothing to wait for.
    if rest := b"".join(line).decode().strip():
        yield rest


async def _plain(pieces: AsyncIterator[bytes], sizes: list[int], *, is_compressed: bool) -> AsyncIterator[bytes]:
    decompressor = zlib.decompressobj(GZIP_WINDOW)
    is_started = False
    async for whole in pieces:
        for at in range(0, len(whole), PLAIN_BYTES):
            piece = whole[at : at + PLAIN_BYTES]
            if not is_compressed:
                sizes.append(len(piece))
                yield piece
                continue
            is_started = True
            while piece:
                if decompressor.eof:  # A file may consist of several gzip streams.
                    decompressor = zlib.decompressobj(GZIP_WINDOW)
                try:
                    plain = decompressor.decompress(piece, PLAIN_BYTES)
                except zlib.error as error:
                    raise ValueError(f"the file is not gzip: {error}") from None
                sizes.append(len(plain))
                yield plain
                piece = decompressor.unused_data if decompressor.eof else decompressor.unconsumed_tail
                await asyncio.sleep(0)
    if is_started and not decompressor.eof:
        raise ValueError("the gzip stream ends early")
