"""The items in files that are imported: DynamoDB JSON and CSV, plain or compressed by gzip.

Files are read in pieces and items come one by one, so that their size does not matter. What is no item is told as the error that it is.
(Developer Guide, "Import formats in Amazon DynamoDB".)
"""

from __future__ import annotations

import csv
import json
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from zonal.dynamo.items import Item

GZIP_WINDOW = 47
"""What tells zlib to expect gzip's header."""

Found = Item | str
"""An item, or why something in the file is none."""


async def documents(pieces: AsyncIterator[bytes], sizes: list[int], *, is_compressed: bool) -> AsyncIterator[Found]:
    """The items of a file of DynamoDB JSON: documents in a row, each `{"Item": {...}}`. `sizes` takes the bytes that were read.

    What is no such document ends the reading of its file, as AWS has it.
    """
    async for line in _lines(pieces, sizes, is_compressed=is_compressed):
        for found in _documents_of(line):
            yield found
            if isinstance(found, str):
                return


async def rows(
    pieces: AsyncIterator[bytes], sizes: list[int], *, is_compressed: bool, types: Mapping[str, str], options: Mapping[str, Any]
) -> AsyncIterator[Found]:
    """The items of a CSV file: key attributes have their types, every other attribute is a string. An empty cell is no attribute."""
    header: list[str] = list(options.get("HeaderList") or ())
    delimiter = options.get("Delimiter") or ","
    async for line in _lines(pieces, sizes, is_compressed=is_compressed):
        if not line.strip():
            continue
        [cells] = csv.reader([line], delimiter=delimiter)
        if not header:
            header = cells
        elif len(cells) > len(header):
            yield f"a row has {len(cells)} cells, the header {len(header)}"
        else:
            yield {name: {types.get(name, "S"): cell} for name, cell in zip(header, cells, strict=False) if cell}


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
            yield document["Item"]
        else:
            yield "a document is no item"


async def _lines(pieces: AsyncIterator[bytes], sizes: list[int], *, is_compressed: bool) -> AsyncIterator[str]:
    """The lines of a file, in time that grows with its size whatever the lines' lengths are.

    Raises `ValueError` where it is not compressed as was said, or is no UTF-8.
    """
    line: list[bytes] = []
    async for piece in _plain(pieces, sizes, is_compressed=is_compressed):
        end, *following = piece.split(b"\n")
        line.append(end)
        for beginning in following:
            yield b"".join(line).decode()
            line = [beginning]
    if rest := b"".join(line):
        yield rest.decode()


async def _plain(pieces: AsyncIterator[bytes], sizes: list[int], *, is_compressed: bool) -> AsyncIterator[bytes]:
    decompressor = zlib.decompressobj(GZIP_WINDOW)
    async for piece in pieces:
        if not is_compressed:
            sizes.append(len(piece))
            yield piece
            continue
        try:
            while piece:
                plain = decompressor.decompress(piece)
                sizes.append(len(plain))
                yield plain
                piece = decompressor.unused_data
                if piece:  # A file may be several, one behind the other.
                    decompressor = zlib.decompressobj(GZIP_WINDOW)
        except zlib.error as error:
            raise ValueError(f"the file is not gzip: {error}") from None
