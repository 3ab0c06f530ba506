"""HTTP/1.1 connections: reads requests from a socket and writes the responses in their order.

httptools parses; this module keeps the state. Complete requests are queued for the connection's task, which answers them one at a time.
Received data is parsed in small pieces, and only while fewer than two requests are queued; the rest is stored unparsed, and reading
pauses. After each response the task yields to the event loop. So a client that pipelines thousands of requests, or does not read its
responses, delays other clients by one response per iteration of the loop.

A body of up to `INLINE_BODY_BYTES` is read with its request. A larger body, one of unknown length, and one whose client expects
`100 Continue` is a `BodyStream`: the request is checked by its head before any of the body is stored. The `BodyBudget` counts the bytes of
bodies from their arrival until the request is answered or the connection is lost. One task checks the timeouts of all connections every
second, instead of a timer for each.

Input that is not HTTP, too large, or too slow is answered 400, 413, 431 or 408 and ends the connection.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, cast

import httptools
import msgspec

from zonal.foundation.errors import AwsError
from zonal.foundation.settings import Settings
from zonal.gateway.body_budget import UNVERIFIED_SMALL, BodyBudget, too_many_bodies
from zonal.gateway.body_stream import BodyStream, incomplete_body, too_slow
from zonal.gateway.request_head import headers_of, is_for_s3, refusal_of, target_of
from zonal.gateway.response_writer import head_of, send_body
from zonal.wire.http_messages import HttpRequest, HttpResponse

_log = logging.getLogger(__name__)

HEAD_LIMIT_BYTES = 64 * 1024
INLINE_BODY_BYTES = 16 * 1024
"""Bodies up to this size are read with their request, unless the client expects `100 Continue`; that costs less than a stream."""
PARSE_BYTES = 4 * 1024
"""The bytes that are parsed at a time: at most some two hundred requests, which takes about two milliseconds."""
TURN_PIECES = 500
"""The pieces of a chunked body that one connection parses in one iteration of the event loop."""
FRAMING_LIMIT_BYTES = 1024 * 1024
"""By how much the framing of a chunked body (sizes, extensions, trailers) may exceed its payload."""
IDLE_SECONDS = 300.0
OPEN_SHARE = 0.5
"""The share of the process's file descriptors that connections may use."""
MOST_EVICTIONS = 16
"""How many unfinished small bodies may be rejected for a new one."""
LINGER_SECONDS = 2.0
MOST_LINGER_SECONDS = 20.0
"""The maximum time that a client may continue to send after its last response. A pause of `LINGER_SECONDS` ends the connection earlier."""
LINGER_BYTES = 64 * 1024 * 1024
"""The bytes of a rejected request's body that are read and dropped, so that the client reads the response."""

RequestHandler = Callable[[HttpRequest], Awaitable[HttpResponse]]


class HttpConnections:
    """All connections of a gateway, with what they share."""

    def __init__(self, settings: Settings, answer: RequestHandler, budget: BodyBudget) -> None:
        self.timeout_seconds = settings.request_timeout_seconds
        self.answer = answer
        self.budget = budget
        self.most = int(resource.getrlimit(resource.RLIMIT_NOFILE)[0] * OPEN_SHARE)
        self.open: set[HttpConnection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.closing = False

    def register(self, connection: HttpConnection) -> None:
        """Add a new connection. If there are too many, close the one that has been idle longest, or the new one."""
        self.open.add(connection)
        if len(self.open) > self.most:
            oldest = min((each for each in self.open if each.idle_until is not None), key=lambda each: each.idle_until or 0.0, default=None)
            (oldest or connection).abort()

    def evict_unfinished_body(self, keep: HttpConnection) -> bool:
        """Refuse the request whose small body has been unfinished for longest; False where there is none but that of `keep`."""
        unfinished = (each for each in self.open if each is not keep and each.body_until is not None)
        oldest = min(unfinished, key=lambda each: each.body_until or 0.0, default=None)
        if oldest is not None:
            oldest.refuse_body()
        return oldest is not None

    async def sweep(self) -> None:
        """End connections that exceed their timeouts, and return freed memory to the operating system, for ever."""
        while True:
            await asyncio.sleep(min(1.0, self.timeout_seconds / 4))
            now = asyncio.get_running_loop().time()
            for connection in list(self.open):
                connection.end_if_late(now)
            if self.budget.needs_trim:
                await asyncio.to_thread(self.budget.trim)

    async def close(self, grace_seconds: float) -> None:
        """Close all connections: idle ones at once, the others after their response or the grace period."""
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
        await asyncio.sleep(0)  # So that the loop calls each `connection_lost`.


class HttpConnection(asyncio.Protocol):
    """One connection. asyncio calls it as a protocol, httptools as a parser's target, and its task answers the requests."""

    def __init__(self, shared: HttpConnections) -> None:
        self._shared = shared
        self._loop = asyncio.get_running_loop()
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._waiting: deque[_Pending] = deque()
        self._next_request: asyncio.Future[None] | None = None  # The task waits for it while no request is queued.
        self._writable = asyncio.Event()
        self._writable.set()
        self._deadline: float | None = None
        self._ending = False  # Nothing more is read from this client.
        self._begun = False  # A message has begun and is not complete.
        self._in_head = False
        self._is_paused = False
        self._is_at_end = False  # The client has closed its side.
        self._continue = False  # The client expects `100 Continue`.
        self._messages = 0
        self._unread = 0  # The missing bytes of a streamed body of known length.
        self._body_left = 0  # The missing bytes of a body that is read with its request; no other request begins within them.
        self._unparsed = b""  # Data received while two requests were queued; `_parsed` bytes of it have been parsed since.
        self._parsed = 0
        self._body = bytearray()  # Of a body that arrives with its request; the budget counts it.
        self._is_chunked = False  # The streamed body is chunked: the parser removes its framing.
        self._payload = bytearray()  # What one call of the parser has found of a chunked body. Joined, because a chunk may have one byte.
        self._framing_excess = 0  # By how much the framing of the chunked body exceeds its payload so far.
        self._turn_pieces = 0  # Pieces of a chunked body that were parsed in this turn of the event loop.
        self._to_discard = LINGER_BYTES
        self._linger_until = float("inf")
        self._request: HttpRequest | None = None
        self._stream: BodyStream | None = None

    # Called by asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are not subclasses.
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) else ""
        self._deadline = self._loop.time() + IDLE_SECONDS
        task = self._loop.create_task(self._answer_pending(), name=f"gateway connection {self._peer}")
        self._shared.tasks.add(task)
        task.add_done_callback(self._shared.tasks.discard)
        self._shared.register(self)

    def connection_lost(self, exception: Exception | None) -> None:
        """An operation that has begun continues without its caller, as on AWS, unless its body is incomplete.

        The bytes of bodies are released here, even if something still refers to the connection.
        """
        self._shared.open.discard(self)
        self._ending = True
        self._writable.set()
        for pending in self._waiting:
            self._shared.budget.release(pending.held_bytes)
            if pending.stream is not None:
                pending.stream.close()
        self._waiting.clear()
        self._wake()
        if self._stream is not None:
            self._stream.end(incomplete_body())
        self._drop_body()
        self._keep_unparsed(b"", 0)
        self._parser = self._request = self._stream = None

    def _drop_body(self) -> None:
        self._shared.budget.release(len(self._body))
        self._body = bytearray()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        if self._ending:
            self._discard(len(data))
            return
        if self._unparsed:
            self._parse(self._unparsed[self._parsed :] + data, 0)
        else:
            self._parse(data, 0)
        if self._begun and not self._in_head and not self._ending and self._stream is not None:
            self._deadline = self._loop.time() + self._shared.timeout_seconds

    def _discard(self, size: int) -> None:
        """Drop data that a client sends after its last request, and extend its time to send the rest; beyond `LINGER_BYTES`, disconnect."""
        self._to_discard -= size
        if self._to_discard <= 0:
            self.abort()
        elif self._deadline is not None:
            self._deadline = min(self._loop.time() + LINGER_SECONDS, self._linger_until)

    def _parse(self, data: bytes, position: int) -> None:
        """Parse from a position on until two requests are queued, and store the rest."""
        while position < len(data) and not self._ending:
            if self._unread:
                position = self._pass_body(data, position)
            elif len(self._waiting) > 1 or self._turn_pieces >= TURN_PIECES:
                break
            else:
                size = max(PARSE_BYTES, self._body_left)
                self._feed(data if len(data) <= size else data[position : position + size])
                position += size
        if position < len(data) and not self._ending:
            self._keep_unparsed(data, position)
        elif self._unparsed:
            self._keep_unparsed(b"", 0)
        self.update_reading()

    def _resume_parsing(self) -> None:
        if self._unparsed:
            self._parse(self._unparsed, self._parsed)
        else:
            self.update_reading()

    def _keep_unparsed(self, data: bytes, position: int) -> None:
        """Store unparsed data from a position on, in place of the previous unparsed data."""
        if data is not self._unparsed:
            self._shared.budget.release(len(self._unparsed))
            self._unparsed = data
            if not self._shared.budget.reserve(len(data), UNVERIFIED_SMALL):
                self._unparsed = b""
                self.abort()
        self._parsed = position

    def _next_turn(self) -> None:
        """Go on with a chunked body whose connection has used its share of the last turn of the event loop."""
        self._turn_pieces = 0
        if not self._ending:
            self._resume_parsing()

    def _feed(self, data: bytes) -> None:
        """Pass data to the parser."""
        message, had_begun = self._messages, self._begun
        if self._is_chunked:
            self._framing_excess += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(400, "BadRequest", "this endpoint supports HTTP/1.1 only")
        except httptools.HttpParserError:
            self._refuse(400, "BadRequest", "this is not a valid HTTP/1.1 request")
        if self._payload:
            self._take_payload()
        if self._is_chunked and self._framing_excess > FRAMING_LIMIT_BYTES and self._stream is not None:
            self._refuse_body(AwsError("BadRequest", "the chunks of the body are too small"))
        if self._in_head and self._messages - message == (0 if had_begun else 1):  # All of the data belongs to one head.
            self._head_bytes += len(data)
            self._check_head(self._head_bytes)

    def _pass_body(self, data: bytes, position: int) -> int:
        """Store a streamed body of known length without the parser, which would copy it. Returns its end in the data."""
        assert self._stream is not None
        end = min(len(data), position + self._unread)
        self._unread -= end - position
        self._take_piece(data if end - position == len(data) else data[position:end])
        if not self._unread and not self._ending:
            self._parser = httptools.HttpRequestParser(self)  # The previous parser still expects this body.
            self.on_message_complete()
        return end

    def _take_payload(self) -> None:
        """Hand on what one call of the parser has found of a chunked body."""
        piece, self._payload = bytes(self._payload), bytearray()
        self._framing_excess -= 2 * len(piece)
        self._take_piece(piece)

    def _refuse_body(self, error: AwsError) -> None:
        """End the streamed body with an error, which answers its request, and read no further."""
        assert self._stream is not None
        self._stream.end(error)
        self._ending = True
        self._deadline = None
        self._keep_unparsed(b"", 0)

    def _take_piece(self, piece: bytes) -> None:
        """Store a piece of a body, or reject the request if the budget does not allow it."""
        if self._stream is not None:
            if not self._stream.put(piece):
                self._stream.end(too_many_bodies(_service(self._request)))
        elif self._reserve(len(piece)):
            self._body += piece
        else:
            self.refuse_body()

    def _reserve(self, size_bytes: int) -> bool:
        """Count a piece of a small body, in place of unfinished ones that are older where it does not fit."""
        for _ in range(MOST_EVICTIONS):
            if self._shared.budget.reserve(size_bytes):
                return True
            if not self._shared.evict_unfinished_body(self):
                return False
        return self._shared.budget.reserve(size_bytes)

    @property
    def body_until(self) -> float | None:
        """The end of the time that an unfinished small body has to arrive; None where there is none."""
        return self._deadline if self._body and not self._ending else None

    def refuse_body(self) -> None:
        """Answer a request that its body does not fit into the budget."""
        error = too_many_bodies(_service(self._request))
        self._refuse(error.status, error.code, error.message)

    def eof_received(self) -> bool:
        """A client that has closed its side still gets pending responses, but a request that it has begun cannot be completed."""
        self._is_at_end = True
        if self._begun:
            if self._stream is not None:
                self._stream.end(incomplete_body())
            self._drop_body()
        return not self._is_idle

    # Called by the parser.

    def on_message_begin(self) -> None:
        self._begun = self._in_head = True
        self._messages += 1
        self._deadline = self._loop.time() + self._shared.timeout_seconds
        self._url = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._request = None
        self._unread = 0
        self._stream = None
        self._is_chunked = False
        self._continue = False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # Trailers are not kept.
            self._fields.append((name, value))
        else:
            self._count_piece()

    def on_headers_complete(self) -> None:
        self._in_head = False
        headers, size = headers_of(self._fields)
        self._check_head(len(self._url) + size)
        if self._ending:
            return
        path, query = target_of(self._url)
        self._request = HttpRequest(self._parser.get_method().decode(), path, query, headers, peer=self._peer)
        length = headers.get("content-length", "0")
        has_body = length != "0" or "transfer-encoding" in headers
        waits = headers.get("expect", "").lower() == "100-continue"
        is_small = int(length) <= INLINE_BODY_BYTES and "transfer-encoding" not in headers
        self._body_left = int(length) if is_small else 0
        if has_body:
            self._deadline = self._loop.time() + self._shared.timeout_seconds  # Of a small body: all of it. Of another: its next piece.
        if has_body and (waits or not is_small):
            is_verified = is_for_s3(headers)
            self._stream = BodyStream(
                self._shared.budget, is_verified=is_verified, on_taken=self.update_reading, on_reader_waiting=self.send_continue
            )
            self._is_chunked, self._framing_excess = "transfer-encoding" in headers, 0
            self._unread = 0 if self._is_chunked else int(length)
            self._request.stream = self._stream.pieces()
            self._continue = waits
            self._accept(self._request)

    def on_body(self, piece: bytes) -> None:
        if self._ending:
            return
        if self._is_chunked:
            self._payload += piece
            self._count_piece()
            return
        self._unread = max(0, self._unread - len(piece))
        self._body_left = max(0, self._body_left - len(piece))
        self._take_piece(piece)

    def _count_piece(self) -> None:
        """Count a piece of a chunked body toward the connection's share of this turn of the event loop."""
        if not self._turn_pieces:
            self._loop.call_soon(self._next_turn)
        self._turn_pieces += 1

    def on_message_complete(self) -> None:
        if self._ending:
            return
        if self._payload:
            self._take_payload()
        self._is_chunked = False
        self._begun = self._continue = False
        self._deadline = None
        if self._stream is not None:
            self._stream.end()
        elif self._request is not None:
            self._request.body, self._body = bytes(self._body), bytearray()
            self._accept(self._request, len(self._request.body))

    # Answering.

    def _accept(self, request: HttpRequest, held_bytes: int = 0) -> None:
        """Queue a request."""
        self._take_pending(_Pending(request, None, self._stream, bool(self._parser.should_keep_alive()), held_bytes))

    def _take_pending(self, pending: _Pending) -> None:
        self._waiting.append(pending)
        self._wake()

    @property
    def _is_idle(self) -> bool:
        """Whether no response is pending: the task waits for a request."""
        return self._next_request is not None and not self._next_request.done()

    @property
    def idle_until(self) -> float | None:
        """The time at which an idle connection is closed; None while a request or a response is in progress."""
        return self._deadline if self._is_idle and not self._begun and not self._ending else None

    def _wake(self) -> None:
        if self._next_request is not None and not self._next_request.done():
            self._next_request.set_result(None)

    async def _answer_pending(self) -> None:
        """Answer the queued requests one by one until the connection ends."""
        try:
            while await self._has_pending():
                pending = self._waiting.popleft()
                try:
                    response = pending.refusal or await self._shared.answer(pending.request)
                    is_read = pending.stream is None or pending.stream.is_complete
                finally:
                    self._shared.budget.release(pending.held_bytes)
                    if pending.stream is not None:
                        pending.stream.close()
                keep_alive = pending.keep_alive and is_read and not self._shared.closing
                await self._send(pending.request, response, keep_alive)
                if not keep_alive:
                    self._end(is_read=is_read and pending.refusal is None)
                    return
                if self._waiting or self._unparsed:
                    await asyncio.sleep(0)  # All other connections run before the next response of this one.
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            self.abort()
        except Exception:
            _log.exception("a response could not be sent")
            self.abort()

    async def _has_pending(self) -> bool:
        """Wait until a request is queued. Returns False if none will follow."""
        while not self._waiting:
            if self._ending:
                return False
            self._next_request = self._loop.create_future()
            self._resume()
            await self._next_request
        self._next_request = None
        if len(self._waiting) < 2:
            self._resume_parsing()
        return True

    def _resume(self) -> None:
        """Continue after all parsed requests have been answered."""
        if self._is_at_end:
            self._end(is_read=True)
            return
        if not self._begun:
            self._deadline = self._loop.time() + IDLE_SECONDS
        elif self._unparsed:
            self._deadline = self._loop.time() + self._shared.timeout_seconds  # It could not be parsed sooner.
        self._resume_parsing()

    async def _send(self, request: HttpRequest, response: HttpResponse, keep_alive: bool) -> None:
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
            raise ConnectionResetError("the client has disconnected")

    def send_continue(self) -> None:
        """Send `100 Continue` to a client that expects it before its body."""
        if self._continue and not self._transport.is_closing():
            self._continue = False
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def update_reading(self) -> None:
        """Pause reading while responses are pending or a streamed body's queue is full; otherwise resume it."""
        if not self._is_paused and self._stream is None and not self._unparsed and len(self._waiting) < 2:
            return
        if self._transport.is_closing():
            return
        is_full = self._stream is not None and self._stream.is_full
        pause = not self._ending and (bool(self._unparsed) or len(self._waiting) > 1 or is_full)
        if pause and not self._is_paused:
            self._transport.pause_reading()
        elif self._is_paused and not pause:
            self._transport.resume_reading()
        self._is_paused = pause

    # Ending.

    def _check_head(self, size_bytes: int) -> None:
        if size_bytes > HEAD_LIMIT_BYTES:
            self._refuse(431, "RequestHeaderSectionTooLarge", f"the head is larger than {HEAD_LIMIT_BYTES} bytes")

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Stop reading, and queue an error response after which the connection ends."""
        if self._ending:
            return
        self._ending = True
        self._deadline = None
        if self._stream is not None:
            self._stream.end(incomplete_body())
        self._drop_body()
        refusal = refusal_of(self._request.headers if self._request is not None else {}, status, code, message)
        self._take_pending(_Pending(HttpRequest("POST", "/", "", {}), refusal, None, False, 0))

    def _end(self, *, is_read: bool) -> None:
        """Close the connection, our side only while the client still sends: closing with unread data would destroy the response."""
        self._ending = True
        self._keep_unparsed(b"", 0)
        self._wake()
        if is_read or self._transport.is_closing() or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._transport.write_eof()
        self._deadline = self._loop.time() + LINGER_SECONDS
        self._linger_until = self._loop.time() + MOST_LINGER_SECONDS

    def abort(self) -> None:
        self._ending = True
        self._transport.abort()

    def end_if_late(self, now: float) -> None:
        if self._deadline is None or now < self._deadline:
            return
        if self._ending:
            self.abort()
        elif self._stream is not None:
            if not self._stream.is_full and not self._unparsed:
                self._stream.end(too_slow())
        elif self._begun and self._is_idle:
            self._refuse(408, "RequestTimeout", "the request did not arrive in time")
        elif self._is_idle:
            self._end(is_read=True)

    def close_if_idle(self) -> None:
        if self._is_idle:
            self._end(is_read=True)


class _Pending(msgspec.Struct, frozen=True):
    """A queued request, or an error response. The budget counts `held_bytes` of its body."""

    request: HttpRequest
    refusal: HttpResponse | None
    stream: BodyStream | None
    keep_alive: bool
    held_bytes: int


def _service(request: HttpRequest | None) -> str:
    """The service whose error format a rejected request gets, from its head."""
    return "s3" if request is None or is_for_s3(request.headers) else ""
