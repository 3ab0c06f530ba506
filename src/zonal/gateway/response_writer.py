"""Writes responses: the head, and the body from memory, from a stream, or from a file.

A file is sent with `sendfile`, from the page cache to the socket. uvloop has no `sendfile`, so it is called on a duplicate descriptor of
the connection's socket while the transport has nothing to write. The event loop's thread sends only what is in the page cache; other parts
are first read by another thread, because a slow disk must not block the event loop.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from zonal.wire.http_messages import FileBody, HttpResponse, StreamBody

PIECE_BYTES = 1024 * 1024
_NOWAIT = getattr(os, "RWF_NOWAIT", None)


def head_of(method: str, response: HttpResponse, *, keep_alive: bool) -> bytes:
    """The status line and headers, with those that belong to the connection."""
    status = response.status
    lines = [f"HTTP/1.1 {status} {_phrase(status)}"]
    length: str | None = None
    for name, value in response.headers:
        if name.lower() == "content-length":
            length = value
        else:
            lines.append(f"{name}: {value if value.isprintable() else _clean(value)}")
    lines.append(f"Date: {_date(int(time.time()))}")
    if length is not None and method == "HEAD":
        lines.append(f"Content-Length: {length}")
    elif status not in (204, 304):
        size = _size(response)
        lines.append("Transfer-Encoding: chunked" if size is None else f"Content-Length: {size}")
    lines.append("\r\n" if keep_alive else "Connection: close\r\n\r\n")
    return "\r\n".join(lines).encode("latin-1", "replace")


def _size(response: HttpResponse) -> int | None:
    return len(response.body) if isinstance(response.body, bytes) else response.body.size_bytes


def _clean(value: str) -> str:
    """A header's value without control characters, which could start another line."""
    return "".join(" " if letter < " " or letter == "\x7f" else letter for letter in value)


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
    transport: asyncio.Transport,
    head: bytes,
    body: FileBody | StreamBody,
    drain: Callable[[], Awaitable[None]],
    *,
    within_seconds: float,
    skip: bool = False,
) -> None:
    """Send a head and a body that is not in memory, at the client's speed. The body's source is always closed.

    With `skip` only the head is sent. Raises what `send_file` raises.
    """
    is_chunked = isinstance(body, StreamBody) and body.size_bytes is None
    pieces = body.pieces if isinstance(body, StreamBody) else _single_file(body)
    try:
        async for piece in pieces:
            if skip:
                break
            if isinstance(piece, FileBody):
                assert not is_chunked, "a file has a known size, so its response is not chunked"
                if not await send_file(transport, head, piece, within_seconds=within_seconds):
                    transport.write(head)
                    await _send_read(piece, transport.write, drain)
                head = b""
            elif piece:
                transport.write(head + (b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece))
                head = b""
                await drain()
        if head or is_chunked:
            transport.write(head + (b"0\r\n\r\n" if is_chunked and not skip else b""))
    finally:
        close = getattr(pieces, "aclose", None)
        if close is not None:
            await close()


async def _single_file(body: FileBody) -> AsyncIterator[FileBody]:
    with body.file:
        yield body


async def _send_read(body: FileBody, write: Callable[[bytes], None], drain: Callable[[], Awaitable[None]]) -> None:
    """Send a file without `sendfile`: read pieces in a thread and write them."""
    with body.file as file:
        offset, left = body.offset, body.size_bytes
        while left:
            piece = await asyncio.to_thread(os.pread, file.fileno(), min(left, PIECE_BYTES), offset)
            if not piece:
                raise ConnectionAbortedError(f"the file ended {left} bytes early")
            offset += len(piece)
            left -= len(piece)
            write(piece)
            await drain()


async def send_file(transport: asyncio.Transport, head: bytes, body: FileBody, *, within_seconds: float) -> bool:
    """Send a head and a file with `sendfile`. Returns False, and sends nothing, if the transport must write itself (TLS, pending data).

    Raises `ConnectionError` if the client has disconnected, `TimeoutError` if it accepts no data for `within_seconds`. Otherwise, and
    after an error, the file is closed.
    """
    plain = transport.get_extra_info("socket")
    if plain is None or transport.get_extra_info("sslcontext") is not None or transport.get_write_buffer_size():
        return False
    with body.file, socket.socket(fileno=os.dup(plain.fileno())) as out:
        while head:
            try:
                head = head[out.send(head, socket.MSG_MORE) :]
            except BlockingIOError:
                await _wait_writable(transport, out, within_seconds)
        offset, end = body.offset, body.offset + body.size_bytes
        while offset < end:
            piece = min(PIECE_BYTES, end - offset)
            if not _is_cached(body.file.fileno(), offset, piece):
                await asyncio.to_thread(os.pread, body.file.fileno(), piece, offset)
            offset += await _send_piece(transport, out, body.file.fileno(), offset, piece, within_seconds)
    return True


async def _send_piece(transport: asyncio.Transport, out: socket.socket, file: int, offset: int, size: int, within_seconds: float) -> int:
    left = size
    while left:
        try:
            sent = os.sendfile(out.fileno(), file, offset, left)
        except BlockingIOError:
            await _wait_writable(transport, out, within_seconds)
            continue
        if not sent:
            raise ConnectionAbortedError(f"the file ended {left} bytes early")
        offset += sent
        left -= sent
    return size


def _is_cached(file: int, offset: int, size: int) -> bool:
    """Whether a piece of a file is in the page cache, judged by its first and last byte."""
    if _NOWAIT is None:
        return False
    try:
        return all(os.preadv(file, [bytearray(1)], at, _NOWAIT) for at in (offset, offset + size - 1))
    except OSError:  # It is not cached, or the file system does not support the flag.
        return False


async def _wait_writable(transport: asyncio.Transport, out: socket.socket, within_seconds: float) -> None:
    loop = asyncio.get_running_loop()
    writable = asyncio.Event()
    loop.add_writer(out, writable.set)
    try:
        async with asyncio.timeout(within_seconds):
            await writable.wait()
    finally:
        loop.remove_writer(out)
    if transport.is_closing():
        raise ConnectionResetError("the client has disconnected")
