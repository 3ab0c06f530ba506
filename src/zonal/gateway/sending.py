"""An answer as bytes: its head, and its body piece by piece."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from zonal.wire.messages import FileBody, Response, StreamBody

PIECE_BYTES = 1024 * 1024


def head_of(method: str, response: Response, *, keep_alive: bool) -> bytes:
    """The status line and headers, with those that belong to the connection."""
    lines = [f"HTTP/1.1 {response.status} {_phrase(response.status)}"]
    lines += [f"{name}: {_clean(value)}" for name, value in response.headers if name.lower() != "content-length" or method == "HEAD"]
    lines.append(f"Date: {_date(int(time.time()))}")
    if response.status not in (204, 304):
        size = _size(response)
        if size is None:
            lines.append("Transfer-Encoding: chunked")
        elif not any(name.lower() == "content-length" for name, _ in response.headers) or method != "HEAD":
            lines.append(f"Content-Length: {size}")
    if not keep_alive:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def _size(response: Response) -> int | None:
    return len(response.body) if isinstance(response.body, bytes) else response.body.size_bytes


def _clean(value: str) -> str:
    """A header's value on one line, whatever is in it."""
    return value if value.isprintable() else "".join(letter if letter.isprintable() else " " for letter in value)


@lru_cache(2)
def _date(now: int) -> str:
    return formatdate(now, usegmt=True)


@lru_cache(64)
def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


async def send_body(
    body: FileBody | StreamBody, write: Callable[[bytes], None], drain: Callable[[], Awaitable[None]], *, skip: bool = False
) -> None:
    """Write a body that is not in memory, waiting for the client where it is slow. Its source is closed however this ends."""
    if isinstance(body, FileBody):
        await _send_file(body, write, drain, skip=skip)
        return
    try:
        async for piece in body.pieces:
            if skip:
                break
            if piece:
                write(piece if body.size_bytes is not None else b"%x\r\n%b\r\n" % (len(piece), piece))
            await drain()
        if body.size_bytes is None and not skip:
            write(b"0\r\n\r\n")
    finally:
        close = getattr(body.pieces, "aclose", None)
        if close is not None:
            await close()


async def _send_file(body: FileBody, write: Callable[[bytes], None], drain: Callable[[], Awaitable[None]], *, skip: bool) -> None:
    """A file goes by pieces read in a thread: uvloop has no `sendfile`, and a slow disk must not stop the region."""
    with body.file as file:
        file.seek(body.offset)
        left = 0 if skip else body.size_bytes
        while left:
            piece = await asyncio.to_thread(file.read, min(left, PIECE_BYTES))
            if not piece:
                raise ConnectionAbortedError(f"the file ended {left} bytes early")
            left -= len(piece)
            write(piece)
            await drain()
