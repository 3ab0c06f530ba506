"""HTTP/1.1 on one connection: requests read off it, answers written back in their order.

httptools parses; this keeps state. Complete requests wait for the connection's task, which answers them one at a time and lives as long as
the connection. What arrives is parsed in small pieces, and no further while two requests wait: then the rest is kept as it came and
reading pauses. Between two answers the task gives up its turn of the loop. So a client that pipelines thousands of requests, or reads
none of its answers, costs the other clients one answer for each turn of the loop.

A body of up to `INLINE_BODY_BYTES` arrives with its request; a larger one, one whose length is not known, and one whose client waits to be
asked is a `BodyStream`: the request is judged by its head before anything of the body is kept. Bytes of bodies are counted in the
`BodyBudget` from their arrival, until the request is answered or the connection gone. Time limits are kept by one sweep over all
connections each second rather than by a timer for each.

What is not HTTP, too large, or too slow is answered 400, 413, 431 or 408 and ends the connection.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any, cast

import httptools
import msgspec

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import request_id
from zonal.foundation.settings import Settings
from zonal.gateway.body_budget import UNVERIFIED_SMALL, BodyBudget, too_many_bodies
from zonal.gateway.body_stream import TOO_SLOW, BodyStream, incomplete_body, too_slow
from zonal.gateway.response_writer import head_of, send_body
from zonal.wire.http_messages import HttpRequest, HttpResponse

_log = logging.getLogger(__name__)

HEAD_LIMIT_BYTES = 64 * 1024
INLINE_BODY_BYTES = 16 * 1024
"""Bodies of up to this arrive with their request, unless the client waits to be asked: waiting for them costs less than streaming them."""
PARSE_BYTES = 4 * 1024
"""What is parsed at a time: at most some two hundred requests, which takes about two milliseconds."""
TURN_PIECES = 500
"""The share of one connection of a turn of the event loop while it parses a chunked body, in pieces of the body."""
FRAMING_LIMIT_BYTES = 1024 * 1024
"""By how much the framing of a chunked body (sizes, extensions, trailers) may exceed its payload."""
IDLE_SECONDS = 300.0
OPEN_SHARE = 0.5
"""The share of the process's file descriptors that callers may hold; the rest is for what answers them."""
MOST_EVICTIONS = 16
"""How many unfinished small bodies may have to go for a new one."""
LINGER_SECONDS = 2.0
MOST_LINGER_SECONDS = 20.0
"""How long a client may go on sending after its last answer: a pause of `LINGER_SECONDS` ends the connection, and this ends it anyway."""
LINGER_BYTES = 64 * 1024 * 1024
"""What is read and dropped of a body whose request was refused, so that its client gets to the answer."""

RequestHandler = Callable[[HttpRequest], Awaitable[HttpResponse]]


class HttpConnections:
    """What all connections of one gateway share, and the set of them."""

    def __init__(self, settings: Settings, answer: RequestHandler, budget: BodyBudget) -> None:
        self.timeout_seconds = settings.request_timeout_seconds
        self.answer = answer
        self.budget = budget
        self.most = int(resource.getrlimit(resource.RLIMIT_NOFILE)[0] * OPEN_SHARE)
        self.open: set[HttpConnection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.closing = False

    def register(self, connection: HttpConnection) -> None:
        """Count a new connection. Where there are too many, the one that has been idle for longest makes room, or else it goes itself."""
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
        """End connections whose time ran out, and return freed memory to the operating system, for ever."""
        while True:
            await asyncio.sleep(min(1.0, self.timeout_seconds / 4))
            now = asyncio.get_running_loop().time()
            for connection in list(self.open):
                connection.end_if_late(now)
            if self.budget.needs_trim:
                await asyncio.to_thread(self.budget.trim)

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


class HttpConnection(asyncio.Protocol):
    """One connection."""

    def __init__(self, shared: HttpConnections) -> None:
        self._shared = shared
        self._loop = asyncio.get_running_loop()
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._waiting: deque[_Pending] = deque()
        self._news: asyncio.Future[None] | None = None  # What the task waits on while there is nothing to answer.
        self._writable = asyncio.Event()
        self._writable.set()
        self._deadline: float | None = None
        self._ending = False  # Nothing more is read from this client.
        self._begun = False  # A message has begun and is not complete.
        self._in_head = False
        self._is_paused = False
        self._is_at_end = False  # The client has closed its side.
        self._continue = False  # The client waits to be told that its body is welcome.
        self._messages = 0
        self._unread = 0  # What is to come of a streamed body whose length is known.
        self._body_left = 0  # What is to come of a body that arrives with its request: in it no other request can begin.
        self._unparsed = b""  # What came while two requests waited, of which `_parsed` bytes have been parsed meanwhile.
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

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclasses.
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) else ""
        self._deadline = self._loop.time() + IDLE_SECONDS
        task = self._loop.create_task(self._answer_pending(), name=f"gateway connection {self._peer}")
        self._shared.tasks.add(task)
        task.add_done_callback(self._shared.tasks.discard)
        self._shared.register(self)

    def connection_lost(self, exception: Exception | None) -> None:
        """An operation that has begun goes on without its caller, as it does at AWS; only a body that cannot come ends it.

        What the connection holds of bodies is released here, whatever still refers to the connection.
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
        """Drop what a client still sends whose last answer is on its way, and give it time to send the rest."""
        self._to_discard -= size
        if self._deadline is not None and self._to_discard > 0:
            self._deadline = min(self._loop.time() + LINGER_SECONDS, self._linger_until)

    def _parse(self, data: bytes, position: int) -> None:
        """Parse from a position until two requests wait, and keep the rest."""
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
        """Keep what could not be parsed yet, from a position on, in place of what was kept before."""
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
        """Give data to the parser."""
        message, had_begun = self._messages, self._begun
        if self._is_chunked:
            self._framing_excess += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(400, "BadRequest", "this endpoint speaks HTTP/1.1 only")
        except httptools.HttpParserError:
            self._refuse(400, "BadRequest", "this is not a request that HTTP/1.1 knows")
        if self._payload:
            self._take_payload()
        if self._is_chunked and self._framing_excess > FRAMING_LIMIT_BYTES and self._stream is not None:
            self._refuse_body(AwsError("BadRequest", "the chunks of the body are too small"))
        if self._in_head and self._messages - message == (0 if had_begun else 1):  # All of the data belongs to this one head.
            self._head_bytes += len(data)
            self._check_head(self._head_bytes)

    def _pass_body(self, data: bytes, position: int) -> int:
        """Pass a streamed body of known length by the parser, which would copy it; returns where in the data it ends."""
        assert self._stream is not None
        end = min(len(data), position + self._unread)
        self._unread -= end - position
        self._take_piece(data if end - position == len(data) else data[position:end])
        if not self._unread and not self._ending:
            self._parser = httptools.HttpRequestParser(self)  # The one before waits for this body still.
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
        """Keep a piece of a body, where the budget allows it."""
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
        """An answer on its way is still written to a client that closed its own side, but what it has begun to send cannot come."""
        self._is_at_end = True
        if self._begun:
            if self._stream is not None:
                self._stream.end(incomplete_body())
            self._drop_body()
        return not self._is_idle

    # What the parser calls.

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
        headers, size = _headers(self._fields)
        self._check_head(len(self._url) + size)
        if self._ending:
            return
        path, query = _target(self._url)
        self._request = HttpRequest(self._parser.get_method().decode(), path, query, headers, peer=self._peer)
        length = headers.get("content-length", "0")
        has_body = length != "0" or "transfer-encoding" in headers
        waits = headers.get("expect", "").lower() == "100-continue"
        is_small = int(length) <= INLINE_BODY_BYTES and "transfer-encoding" not in headers
        self._body_left = int(length) if is_small else 0
        if has_body:
            self._deadline = self._loop.time() + self._shared.timeout_seconds  # Of a small body: all of it. Of another: its next piece.
        if has_body and (waits or not is_small):
            is_verified = _is_for_s3(headers)
            self._stream = BodyStream(
                self._shared.budget, is_verified=is_verified, on_taken=self.update_reading, on_wanted=self.send_continue
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
        """Take a request as the next to be answered."""
        self._take_pending(_Pending(request, None, self._stream, bool(self._parser.should_keep_alive()), held_bytes))

    def _take_pending(self, pending: _Pending) -> None:
        self._waiting.append(pending)
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

    async def _answer_pending(self) -> None:
        """Answer what comes, one after the other, until the connection ends."""
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
                    await asyncio.sleep(0)  # Every other connection has its turn before this one's next.
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            self.abort()
        except Exception:
            _log.exception("an answer could not be sent")
            self.abort()

    async def _has_pending(self) -> bool:
        """Wait until there is something to answer; False once nothing more will come."""
        while not self._waiting:
            if self._ending:
                return False
            self._news = self._loop.create_future()
            self._resume()
            await self._news
        self._news = None
        if len(self._waiting) < 2:
            self._resume_parsing()
        return True

    def _resume(self) -> None:
        """All that was parsed has been answered."""
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
            raise ConnectionResetError("the client went away")

    def send_continue(self) -> None:
        """Tell a client that waits for it to send its body."""
        if self._continue and not self._transport.is_closing():
            self._continue = False
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def update_reading(self) -> None:
        """Read on, or wait: for answers to be written, or for a streamed body to be taken."""
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
        """Read no further; answer what cannot be a request, after the answers that are still owed, and end."""
        if self._ending:
            return
        self._ending = True
        self._deadline = None
        if self._stream is not None:
            self._stream.end(incomplete_body())
        self._drop_body()
        refusal = _refusal(self._request.headers if self._request is not None else {}, status, code, message)
        self._take_pending(_Pending(HttpRequest("POST", "/", "", {}), refusal, None, False, 0))

    def _end(self, *, is_read: bool) -> None:
        """Close. While the client still sends, first only our side, because closing on unread data would destroy the answer."""
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
    """A request that waits for its answer, or a refusal that waits for the answers before it; `held_bytes` of its body are counted."""

    request: HttpRequest
    refusal: HttpResponse | None
    stream: BodyStream | None
    keep_alive: bool
    held_bytes: int


def _headers(fields: list[tuple[bytes, bytes]]) -> tuple[dict[str, str], int]:
    """The headers by name, those of one name joined, and how many bytes they have."""
    headers: dict[str, str] = {}
    repeated: dict[str, list[str]] = {}
    size = 0
    for name, value in fields:
        size += len(name) + len(value)
        key, text = _header_name(name), value.strip().decode("latin-1")
        if key in headers:
            repeated.setdefault(key, [headers[key]]).append(text)
        else:
            headers[key] = text
    for key, texts in repeated.items():
        headers[key] = ",".join(texts)
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


def _service(request: HttpRequest | None) -> str:
    """The service whose answers a refusal looks like, as far as the head shows it."""
    return "s3" if request is None or _is_for_s3(request.headers) else ""


def _is_for_s3(headers: Mapping[str, str]) -> bool:
    """Whether a request looks like S3's, which may be signed by nobody."""
    signed = headers.get("authorization", "")
    by_another = signed.startswith("AWS4") and "/s3/" not in signed
    return not (by_another or "x-amz-target" in headers or "urlencoded" in headers.get("content-type", ""))


def _refusal(headers: Mapping[str, str], status: int, code: str, message: str) -> HttpResponse:
    """The answer to what cannot be a request: in XML to what looks like S3's (which signs nothing, or names S3), else in JSON."""
    if not _is_for_s3(headers):
        body = f'{{"__type":"{code}","message":"{message}"}}'.encode()
        return HttpResponse(status, [("Content-Type", "application/x-amz-json-1.0"), ("x-amzn-ErrorType", code)], body)
    if status == 408:
        status, message = 400, TOO_SLOW
    inside = f"<Code>{code}</Code><Message>{message}</Message><RequestId>{request_id()}</RequestId>"
    xml = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inside}</Error>'
    return HttpResponse(status, [("Content-Type", "application/xml")], xml.encode())
