"""HTTP/1.1 on one connection: requests read off it, answers written back in their order.

httptools parses; this keeps state. A request is complete, and answered by a task of its own, one at a time; while one is being answered, at
most what the socket's buffer held is parsed ahead, then reading pauses (so a client that pipelines waits for its answers). A body is
gathered up to the limit, or for operations that stream handed over as it arrives. Time limits are kept by one sweep over all connections
each second rather than by a timer for each.

What is not HTTP, too large, or too slow is answered 400, 413, 431 or 408 and ends the connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import httptools

from zonal.foundation.settings import Settings
from zonal.gateway.sending import head_of, send_body
from zonal.wire.messages import Request, Response

_log = logging.getLogger(__name__)

HEAD_LIMIT_BYTES = 64 * 1024
STREAM_BUFFER_BYTES = 512 * 1024
IDLE_SECONDS = 300.0

Answer = Callable[[Request], Awaitable[Response]]


class Connections:
    """What all connections of one gateway share, and the set of them."""

    def __init__(self, settings: Settings, answer: Answer, streams: Callable[[Request], bool]) -> None:
        self.body_limit_bytes = settings.body_limit_bytes
        self.timeout_seconds = settings.request_timeout_seconds
        self.answer = answer
        self.streams = streams
        self.open: set[Connection] = set()
        self.closing = False
        self._all_closed = asyncio.Event()

    def forget(self, connection: Connection) -> None:
        """A connection is gone."""
        self.open.discard(connection)
        if self.closing and not self.open:
            self._all_closed.set()

    async def sweep(self) -> None:
        """End connections whose time ran out, for ever."""
        while True:
            await asyncio.sleep(min(1.0, self.timeout_seconds / 4))
            now = asyncio.get_running_loop().time()
            for connection in list(self.open):
                connection.end_if_late(now)

    async def close(self, grace_seconds: float) -> None:
        """Close all: the idle ones at once, the others once they have answered, at the latest after the grace."""
        self.closing = True
        for connection in list(self.open):
            connection.close_if_idle()
        if not self.open:
            return
        try:
            async with asyncio.timeout(grace_seconds):
                await self._all_closed.wait()
        except TimeoutError:
            for connection in list(self.open):
                connection.abort()
            await self._all_closed.wait()


class BodyStream:
    """A body that is handed over while it arrives. Reading pauses while nobody takes it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._broken: Exception | None = None
        self._news = asyncio.Event()

    def put(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        self._news.set()

    def end(self, error: Exception | None = None) -> None:
        self._ended, self._broken = True, error
        self._news.set()

    @property
    def is_full(self) -> bool:
        return self._size > STREAM_BUFFER_BYTES

    @property
    def is_ended(self) -> bool:
        return self._ended

    async def pieces(self) -> AsyncIterator[bytes]:
        """The pieces; raises `ConnectionError` where the client went away in the middle."""
        while True:
            while self._pieces:
                piece = self._pieces.popleft()
                self._size -= len(piece)
                self._connection.update_reading()
                yield piece
            if self._broken:
                raise self._broken
            if self._ended:
                return
            self._news.clear()
            await self._news.wait()


class Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self, shared: Connections) -> None:
        self._shared = shared
        self._loop = asyncio.get_running_loop()
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._ending = False
        self._deadline: float | None = None
        self._request: Request | None = None
        self._stream: BodyStream | None = None
        self._begin_message()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclasses.
        self._shared.open.add(self)
        self._deadline = self._loop.time() + IDLE_SECONDS

    def connection_lost(self, exception: Exception | None) -> None:
        self._shared.forget(self)
        self._ending = True
        self._writable.set()
        if self._stream is not None and not self._stream.is_ended:
            self._stream.end(ConnectionResetError("the client went away in the middle of the body"))
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        if self._ending:
            return
        if self._in_head:
            self._head_bytes += len(data)
        if self._deadline is None or not self._in_head or self._head_bytes == len(data):
            self._deadline = self._loop.time() + self._shared.timeout_seconds
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(400, "BadRequest", "this endpoint speaks HTTP/1.1 only")
        except httptools.HttpParserError:
            self._refuse(400, "BadRequest", "this is not a request that HTTP/1.1 knows")
        if self._in_head and self._head_bytes > HEAD_LIMIT_BYTES:
            self._refuse(431, "RequestHeaderSectionTooLarge", f"the head is larger than {HEAD_LIMIT_BYTES} bytes")
        self._update_deadline()
        self.update_reading()

    def eof_received(self) -> bool:
        return bool(self._task)  # An answer on its way is still written to a client that closed its own side.

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._begin_message()
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip()
        self._headers[key] = f"{self._headers[key]},{text}" if key in self._headers else text
        self._head_size += len(name) + len(value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        if self._ending:
            return
        if self._head_size + len(self._url) > HEAD_LIMIT_BYTES:
            self._refuse(431, "RequestHeaderSectionTooLarge", f"the head is larger than {HEAD_LIMIT_BYTES} bytes")
            return
        path, _, query = self._url.decode("latin-1").partition("?")
        if not path.startswith("/"):  # A proxy's form: http://host/path
            path = "/" + path.partition("://")[2].partition("/")[2]
        self._request = Request(self._parser.get_method().decode(), path, query, self._headers)
        self._keep_alive = self._parser.should_keep_alive()
        length = self._headers.get("content-length", "0")
        has_body = length != "0" or "transfer-encoding" in self._headers
        if has_body and self._shared.streams(self._request):
            self._stream = BodyStream(self)
            self._request.stream = self._stream.pieces()
            self._accept()
        elif length.isdecimal() and int(length[:18]) > self._shared.body_limit_bytes:
            self._refuse_size()
            return
        if has_body and self._headers.get("expect", "").lower() == "100-continue":
            self._continue = True
            self._send_continue()

    def on_body(self, piece: bytes) -> None:
        if self._ending:
            return
        if self._stream is not None:
            self._stream.put(piece)
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > self._shared.body_limit_bytes:
            self._refuse_size()

    def on_message_complete(self) -> None:
        self._receiving = False
        if self._ending:
            return
        self._continue = False
        if self._stream is not None:
            self._stream.end()
        elif self._request is not None:
            self._request.body = b"".join(self._pieces)
            self._accept()

    # Answering.

    def _begin_message(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._head_bytes = 0
        self._head_size = 0
        self._in_head = True
        self._receiving = True
        self._request = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._stream = None
        self._keep_alive = True
        self._continue = False

    def _accept(self) -> None:
        """Take the current request as the next to be answered."""
        assert self._request is not None
        self._waiting.append((self._request, self._keep_alive))
        if self._task is None:
            self._task = self._loop.create_task(self._answer_waiting(), name="gateway request")

    async def _answer_waiting(self) -> None:
        """Answer what waits, one after the other."""
        try:
            while self._waiting and not self._transport.is_closing():
                request, keep_alive = self._waiting.popleft()
                response = await self._shared.answer(request)
                unread = request.stream is not None and self._stream is not None and not self._stream.is_ended
                keep_alive = keep_alive and not self._shared.closing and not unread
                await self._send(request, response, keep_alive)
                if not keep_alive:
                    self._end()
                    return
                self.update_reading()
        except (ConnectionError, asyncio.CancelledError):
            self.abort()
        except Exception:
            _log.exception("an answer could not be sent")
            self.abort()
        finally:
            self._task = None
            self._update_deadline()
            if not self._transport.is_closing():
                self._send_continue()
                self.update_reading()

    async def _send(self, request: Request, response: Response, keep_alive: bool) -> None:
        head = head_of(request.method, response, keep_alive=keep_alive)
        bodiless = request.method == "HEAD" or response.status in (204, 304)
        if isinstance(response.body, bytes):
            self._transport.write(head if bodiless else head + response.body)
            if not self._writable.is_set():
                await self._drain()
            return
        self._transport.write(head)
        await send_body(response.body, self._transport.write, self._drain, skip=bodiless)

    async def _drain(self) -> None:
        async with asyncio.timeout(self._shared.timeout_seconds):
            await self._writable.wait()
        if self._transport.is_closing():
            raise ConnectionResetError("the client went away")

    def _send_continue(self) -> None:
        """Tell a client that asked that its body is welcome, once what came before has been answered."""
        if self._continue and (self._task is None or self._stream is not None):
            self._continue = False
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def update_reading(self) -> None:
        """Read on, or wait: for answers to be written, or for a streamed body to be taken."""
        if self._transport.is_closing():
            return
        if len(self._waiting) > 1 or (self._stream is not None and self._stream.is_full):
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    # Ending.

    def _refuse_size(self) -> None:
        limit = self._shared.body_limit_bytes
        self._refuse(413, "RequestEntityTooLarge", f"the body is larger than {limit} bytes")

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Answer what cannot be a request, after the answers that are still owed, and end."""
        if self._ending:
            return
        self._ending = True
        if self._task is not None:
            self._task.cancel()
            self.abort()
            return
        body = f'{{"__type":"{code}","message":"{message}"}}'.encode()
        headers = [("Content-Type", "application/x-amz-json-1.0"), ("x-amzn-ErrorType", code)]
        response = Response(status, headers, body)
        self._transport.write(head_of("POST", response, keep_alive=False) + body)
        self._end()

    def _end(self) -> None:
        self._ending = True
        self._transport.close()

    def abort(self) -> None:
        self._ending = True
        self._transport.abort()

    def _update_deadline(self) -> None:
        """No time limit while an answer is made; an idle connection may stay a while."""
        if self._task is not None and not self._receiving:
            self._deadline = None
        elif self._task is None and self._is_idle:
            self._deadline = self._loop.time() + IDLE_SECONDS

    @property
    def _is_idle(self) -> bool:
        return self._in_head and self._head_bytes == 0

    def end_if_late(self, now: float) -> None:
        if self._deadline is None or now < self._deadline or self._ending:
            return
        if self._is_idle:
            self._end()
        elif self._stream is not None:
            if not self._stream.is_full:
                self._stream.end(TimeoutError("the client was too slow"))
        else:
            self._refuse(408, "RequestTimeout", "the request did not arrive in time")

    def close_if_idle(self) -> None:
        if self._task is None:
            self._end()
