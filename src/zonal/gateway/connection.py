"""HTTP/1.1 on one connection: requests read off it, answers written back in their order.

httptools parses; this keeps state. Complete requests wait for the connection's task, which answers them one at a time and lives as long as
the connection; while one is being answered, at most what the socket's buffer held is parsed ahead, then reading pauses (so a client that
pipelines waits for its answers). A body is gathered up to the limit, or for operations that stream handed over as it arrives. Time limits
are kept by one sweep over all connections each second rather than by a timer for each.

What is not HTTP, too large, or too slow is answered 400, 413, 431 or 408 and ends the connection.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any, cast

import httptools
import msgspec

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import request_id
from zonal.foundation.settings import Settings
from zonal.gateway.sending import head_of, send_body
from zonal.wire.messages import Request, Response

_log = logging.getLogger(__name__)

HEAD_LIMIT_BYTES = 64 * 1024
STREAM_BUFFER_BYTES = 512 * 1024
HELD_BYTES = 16 * 1024
"""Bodies of up to this are gathered also for operations that stream, unless the client waits to be asked: waiting for them costs less
than handing them over."""
IDLE_SECONDS = 300.0
OPEN_SHARE = 0.5
"""The share of the process's file descriptors that callers may hold; the rest is for what answers them."""
LINGER_SECONDS = 2.0

Answer = Callable[[Request], Awaitable[Response]]


class Connections:
    """What all connections of one gateway share, and the set of them."""

    def __init__(self, settings: Settings, answer: Answer, streams: Callable[[Request], bool]) -> None:
        self.body_limit_bytes = settings.body_limit_bytes
        self.timeout_seconds = settings.request_timeout_seconds
        self.answer = answer
        self.streams = streams
        self.most = int(resource.getrlimit(resource.RLIMIT_NOFILE)[0] * OPEN_SHARE)
        self.open: set[Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.closing = False

    def take_in(self, connection: Connection) -> None:
        """Count a new connection. Where there are too many, the one that has been idle for longest makes room, or else it goes itself."""
        self.open.add(connection)
        if len(self.open) > self.most:
            oldest = min((each for each in self.open if each.idle_until is not None), key=lambda each: each.idle_until or 0.0, default=None)
            (oldest or connection).abort()

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
        if self.tasks:
            _, late = await asyncio.wait(self.tasks, timeout=grace_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for connection in list(self.open):
            connection.abort()
        await asyncio.sleep(0)  # Lets the loop tell the connections that they are gone.


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
        """No more comes: the body is complete, or what went wrong."""
        if not self._ended:
            self._ended, self._broken = True, error
            self._news.set()

    @property
    def is_full(self) -> bool:
        return self._size > STREAM_BUFFER_BYTES

    @property
    def is_ended(self) -> bool:
        return self._ended

    async def pieces(self) -> AsyncIterator[bytes]:
        """The pieces; raises `AwsError` where the client went away or stopped sending in the middle."""
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
            self._connection.welcome()
            await self._news.wait()


class Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self, shared: Connections) -> None:
        self._shared = shared
        self._loop = asyncio.get_running_loop()
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._waiting: deque[_Turn] = deque()
        self._news: asyncio.Future[None] | None = None  # What the task waits on while there is nothing to answer.
        self._writable = asyncio.Event()
        self._writable.set()
        self._deadline: float | None = None
        self._ending = False  # Nothing more is read from this client.
        self._begun = False  # A message has begun and is not complete.
        self._in_head = False
        self._is_paused = False
        self._continue = False  # The client waits to be told that its body is welcome.
        self._messages = 0
        self._unread = 0  # What is to come of a streamed body whose length is known.
        self._request: Request | None = None
        self._stream: BodyStream | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclasses.
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) else ""
        self._deadline = self._loop.time() + IDLE_SECONDS
        task = self._loop.create_task(self._answer_turns(), name=f"gateway connection {self._peer}")
        self._shared.tasks.add(task)
        task.add_done_callback(self._shared.tasks.discard)
        self._shared.take_in(self)

    def connection_lost(self, exception: Exception | None) -> None:
        """An operation that has begun goes on without its caller, as it does at AWS; only a body that cannot come ends it."""
        self._shared.open.discard(self)
        self._ending = True
        self._writable.set()
        self._waiting.clear()
        self._wake()
        if self._stream is not None:
            self._stream.end(_incomplete_body())

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        if self._ending:
            return
        message, had_begun = self._messages, self._begun
        try:
            if self._unread:
                data = self._pass_body(data)
            if data:
                self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(400, "BadRequest", "this endpoint speaks HTTP/1.1 only")
        except httptools.HttpParserError:
            self._refuse(400, "BadRequest", "this is not a request that HTTP/1.1 knows")
        if self._in_head and self._messages - message == (0 if had_begun else 1):  # All of the data belongs to this one head.
            self._head_bytes += len(data)
            self._check_head(self._head_bytes)
        elif self._begun and not self._in_head:
            self._deadline = self._loop.time() + self._shared.timeout_seconds
        self.update_reading()

    def _pass_body(self, data: bytes) -> bytes:
        """Pass a streamed body of known length by the parser, which would copy it; returns what comes after it."""
        assert self._stream is not None
        piece = data if len(data) <= self._unread else data[: self._unread]
        self._unread -= len(piece)
        self._stream.put(piece)
        if not self._unread:
            self._parser = httptools.HttpRequestParser(self)  # The one before waits for this body still.
            self.on_message_complete()
        return data[len(piece) :]

    def eof_received(self) -> bool:
        return not self._is_idle  # An answer on its way is still written to a client that closed its own side.

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._begun = self._in_head = True
        self._messages += 1
        self._deadline = self._loop.time() + self._shared.timeout_seconds
        self._url = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._request = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._unread = 0
        self._stream = None
        self._continue = False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        headers, size = _headers(self._fields)
        self._check_head(len(self._url) + size)
        if self._ending:
            return
        path, query = _target(self._url)
        self._request = Request(self._parser.get_method().decode(), path, query, headers, peer=self._peer)
        length = headers.get("content-length", "0")
        has_body = length != "0" or "transfer-encoding" in headers
        waits = headers.get("expect", "").lower() == "100-continue"
        is_small = int(length) <= HELD_BYTES and "transfer-encoding" not in headers
        if has_body and (waits or not is_small) and self._shared.streams(self._request):
            self._stream = BodyStream(self)
            self._unread = 0 if "transfer-encoding" in headers else int(length)
            self._request.stream = self._stream.pieces()
            self._accept(self._request)
        elif int(length) > self._shared.body_limit_bytes:
            self._refuse_size()
            return
        if has_body and waits:
            self._continue = True
            self._send_continue()

    def on_body(self, piece: bytes) -> None:
        if self._ending:
            return
        if self._stream is not None:
            self._unread = max(0, self._unread - len(piece))
            self._stream.put(piece)
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > self._shared.body_limit_bytes:
            self._refuse_size()

    def on_message_complete(self) -> None:
        if self._ending:
            return
        self._begun = self._continue = False
        self._deadline = None
        if self._stream is not None:
            self._stream.end()
        elif self._request is not None:
            self._request.body = b"".join(self._pieces)
            self._accept(self._request)

    # Answering.

    def _accept(self, request: Request) -> None:
        """Take a request as the next to be answered."""
        self._take_turn(_Turn(request, None, self._stream, bool(self._parser.should_keep_alive())))

    def _take_turn(self, turn: _Turn) -> None:
        self._waiting.append(turn)
        self._wake()

    @property
    def _is_idle(self) -> bool:
        """Whether nothing is owed: the task waits for a request."""
        return self._news is not None and not self._news.done()

    @property
    def idle_until(self) -> float | None:
        """When the connection will have been idle for too long; None where something is owed or on its way."""
        return self._deadline if self._is_idle and not self._begun and not self._ending else None

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def _answer_turns(self) -> None:
        """Answer what comes, one after the other, until the connection ends."""
        try:
            while await self._has_turn():
                turn = self._waiting.popleft()
                response = turn.refusal or await self._shared.answer(turn.request)
                is_read = turn.stream is None or turn.stream.is_ended
                keep_alive = turn.keep_alive and is_read and not self._shared.closing
                await self._send(turn.request, response, keep_alive)
                if not keep_alive:
                    self._end(is_read=is_read and turn.refusal is None)
                    return
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            self.abort()
        except Exception:
            _log.exception("an answer could not be sent")
            self.abort()

    async def _has_turn(self) -> bool:
        """Wait until there is something to answer; False once nothing more will come."""
        while not self._waiting:
            if self._ending:
                return False
            self._news = self._loop.create_future()
            self._read_on()
            await self._news
        self._news = None
        self.update_reading()
        return True

    def _read_on(self) -> None:
        """All that came has been answered."""
        if not self._begun:
            self._deadline = self._loop.time() + IDLE_SECONDS
        if self._continue:
            self._send_continue()
        self.update_reading()

    async def _send(self, request: Request, response: Response, keep_alive: bool) -> None:
        head = head_of(request.method, response, keep_alive=keep_alive)
        is_bodiless = request.method == "HEAD" or response.status in (204, 304)
        if isinstance(response.body, bytes):
            self._transport.write(head if is_bodiless else head + response.body)
            if not self._writable.is_set():
                await self._drain()
            return
        within = self._shared.timeout_seconds
        await send_body(self._transport, head, response.body, self._drain, within_seconds=within, skip=is_bodiless)

    async def _drain(self) -> None:
        async with asyncio.timeout(self._shared.timeout_seconds):
            await self._writable.wait()
        if self._transport.is_closing():
            raise ConnectionResetError("the client went away")

    def _send_continue(self) -> None:
        """Tell a client that asked that its body is welcome, once what came before has been answered.

        A streamed one is welcome when somebody begins to take it: who is refused by his head need not send it (as at S3).
        """
        if self._is_idle and self._stream is None:
            self.welcome()

    def welcome(self) -> None:
        """Tell a client that waits for it to send its body."""
        if self._continue and not self._transport.is_closing():
            self._continue = False
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def update_reading(self) -> None:
        """Read on, or wait: for answers to be written, or for a streamed body to be taken."""
        if not self._is_paused and self._stream is None and len(self._waiting) < 2:
            return
        if self._transport.is_closing():
            return
        pause = not self._ending and (len(self._waiting) > 1 or (self._stream is not None and self._stream.is_full))
        if pause and not self._is_paused:
            self._transport.pause_reading()
        elif self._is_paused and not pause:
            self._transport.resume_reading()
        self._is_paused = pause

    # Ending.

    def _check_head(self, size_bytes: int) -> None:
        if size_bytes > HEAD_LIMIT_BYTES:
            self._refuse(431, "RequestHeaderSectionTooLarge", f"the head is larger than {HEAD_LIMIT_BYTES} bytes")

    def _refuse_size(self) -> None:
        self._refuse(413, "RequestEntityTooLarge", f"the body is larger than {self._shared.body_limit_bytes} bytes")

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Read no further; answer what cannot be a request, after the answers that are still owed, and end."""
        if self._ending:
            return
        self._ending = True
        self._deadline = None
        if self._stream is not None:
            self._stream.end(_incomplete_body())
        refusal = _refusal(self._request.headers if self._request is not None else {}, status, code, message)
        self._take_turn(_Turn(Request("POST", "/", "", {}), refusal, None, False))

    def _end(self, *, is_read: bool) -> None:
        """Close. While the client still sends, first only our side, because closing on unread data would destroy the answer."""
        self._ending = True
        self._wake()
        if is_read or self._transport.is_closing() or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._transport.write_eof()
        self._deadline = self._loop.time() + LINGER_SECONDS

    def abort(self) -> None:
        self._ending = True
        self._transport.abort()

    def end_if_late(self, now: float) -> None:
        if self._deadline is None or now < self._deadline:
            return
        if self._ending:
            self.abort()
        elif self._stream is not None:
            if not self._stream.is_full:
                self._stream.end(_too_slow())
        elif self._begun and self._is_idle:
            self._refuse(408, "RequestTimeout", "the request did not arrive in time")
        elif self._is_idle:
            self._end(is_read=True)

    def close_if_idle(self) -> None:
        if self._is_idle:
            self._end(is_read=True)


class _Turn(msgspec.Struct, frozen=True):
    """A request that waits for its answer, or a refusal that waits for the answers before it."""

    request: Request
    refusal: Response | None
    stream: BodyStream | None
    keep_alive: bool


def _headers(fields: list[tuple[bytes, bytes]]) -> tuple[dict[str, str], int]:
    """The headers by name, those of one name joined, and how many bytes they have."""
    headers: dict[str, str] = {}
    size = 0
    for name, value in fields:
        size += len(name) + len(value)
        key, text = _header_name(name), value.strip().decode("latin-1")
        headers[key] = f"{headers[key]},{text}" if key in headers else text
    return headers, size


@lru_cache(512)
def _header_name(name: bytes) -> str:
    return name.decode("latin-1").lower()


def _target(url: bytes) -> tuple[str, str]:
    """Path and query of a request's target, still encoded."""
    path, _, query = url.decode("latin-1").partition("?")
    if not path.startswith("/"):  # A proxy's form: http://host/path
        path = "/" + path.partition("://")[2].partition("/")[2]
    return path, query


def _refusal(headers: Mapping[str, str], status: int, code: str, message: str) -> Response:
    """The answer to what cannot be a request: in XML to what looks like S3's (which signs nothing, or names S3), else in JSON."""
    signed = headers.get("authorization", "")
    by_another = signed.startswith("AWS4") and "/s3/" not in signed
    if by_another or "x-amz-target" in headers or "urlencoded" in headers.get("content-type", ""):
        body = f'{{"__type":"{code}","message":"{message}"}}'.encode()
        return Response(status, [("Content-Type", "application/x-amz-json-1.0"), ("x-amzn-ErrorType", code)], body)
    if status == 413 and signed:
        status, code = 400, "MaxMessageLengthExceeded"
    if status == 408:
        status, message = 400, _TOO_SLOW
    inside = f"<Code>{code}</Code><Message>{message}</Message><RequestId>{request_id()}</RequestId>"
    xml = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inside}</Error>'
    return Response(status, [("Content-Type", "application/xml")], xml.encode())


def _incomplete_body() -> AwsError:
    return AwsError("IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header")


def _too_slow() -> AwsError:
    return AwsError("RequestTimeout", _TOO_SLOW)


_TOO_SLOW = (
    "Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed."
)
