"""An answer as bytes: its head, and its body piece by piece, or a file by the kernel.

A file goes out by `sendfile`, from the page cache to the socket without passing through the program. uvloop has none, so it is called on a
second descriptor of the connection's socket, while the transport itself has nothing to write. Only what is in the page cache is sent from
the event loop's thread; what is not is read in by another one first, because a slow disk must not stop the region.
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
    """A header's value on one line, whatever is in it."""
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
    """Send a head and a body that is not in memory, waiting for the client where it is slow. The body's source is closed however this ends.

    With `skip` the head goes alone. Raises what `send_file` raises.
    """
    is_chunked = isinstance(body, StreamBody) and body.size_bytes is None
    pieces = body.pieces if isinstance(body, StreamBody) else _alone(body)
    try:
        async for piece in pieces:
            if skip:
                break
            if isinstance(piece, FileBody):
                assert not is_chunked, "a file's size is known, so it has no place in a chunked answer"
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


async def _alone(body: FileBody) -> AsyncIterator[FileBody]:
    with body.file:
        yield body


async def _send_read(body: FileBody, write: Callable[[bytes], None], drain: Callable[[], Awaitable[None]]) -> None:
    """A file where the kernel cannot send it: by pieces that are read in a thread."""
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
    """Send a head and a file by the kernel. False where the transport cannot be passed by: then nothing was done.

    Raises `ConnectionError` where the client is gone, `TimeoutError` where it takes nothing for so long. The file is closed then too.
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
    """Whether a piece of a file is in the page cache, going by its first and its last byte."""
    if _NOWAIT is None:
        return False
    try:
        return all(os.preadv(file, [bytearray(1)], at, _NOWAIT) for at in (offset, offset + size - 1))
    except OSError:  # It is not, or this file system does not tell.
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
        raise ConnectionResetError("the client went away")
