"""HTTP with JSON on a unix socket, one request for each connection.

httptools parses the request; head and body are bounded. The route is looked up and its handler called; the response is a struct as JSON.
Whoever may open the socket may do everything, so requests carry no signature: the file's mode protects them.

A request that cannot be parsed or routed gets a 4xx with an `ErrorBody`. A `ZonalError` is a 409 with its message. Any other exception is
a 500, is written to the log, and is never shown.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

import httptools
import msgspec

from zonal.foundation import unix_sockets
from zonal.foundation.errors import ZonalError
from zonal.operator_api.schemas import ErrorBody

_log = logging.getLogger(__name__)

HEAD_LIMIT = 64 * 1024
BODY_LIMIT = 1024 * 1024
READ_SECONDS = 10.0
PIECE_BYTES = 16 * 1024
UNREAD = (400, 413, 431)
"""The statuses of responses that may be sent before the whole request was read."""
LINGER_SECONDS = 1.0


class OperatorRequest(NamedTuple):
    """A request as a route's handler gets it. `segments` are the parts of the path that match a `*` of the route."""

    segments: tuple[str, ...]
    query: dict[str, str]
    body: bytes


RouteHandler = Callable[[OperatorRequest], Awaitable[Any]]


class OperatorRoute(NamedTuple):
    """A method and a path, in which `*` matches one segment: `POST /zones/*/fail`."""

    method: str
    path: str
    action: RouteHandler


class BadRequest(Exception):
    """The request cannot be parsed or routed; `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class OperatorServer:
    """Serves routes on a unix socket, from `open` to `close`."""

    def __init__(self, path: Path, routes: tuple[OperatorRoute, ...]) -> None:
        self._path = path
        self._routes = routes
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen. The socket of a killed region is replaced."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        unix_sockets.bind(listener, self._path)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener)

    async def close(self) -> None:
        """Stop listening and remove the socket. Requests that are being handled get no response."""
        if self._server:
            self._server.close()
            self._server = None
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            status, answer = await self._answer(reader)
            body = msgspec.json.encode(answer)
            head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
            await writer.drain()
            if status in UNREAD:
                await _linger(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # The client closed the connection.
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[int, Any]:
        try:
            async with asyncio.timeout(READ_SECONDS):
                request = await read_request(reader)
            return 200, await self._dispatch(request)
        except BadRequest as error:
            return error.status, ErrorBody(str(error), type(error).__name__)
        except TimeoutError as error:
            return 408, ErrorBody(str(error) or "the request, or what it asked for, took too long", "TimeoutError")
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            return 400, ErrorBody(f"the body is not valid for this route: {error}", "BadRequest")
        except ZonalError as error:
            return 409, ErrorBody(str(error), type(error).__name__)
        except Exception:
            _log.exception("a request to the operator API failed")
            return 500, ErrorBody("the region failed to do this; `zonal logs` has the reason", "InternalFailure")

    async def _dispatch(self, request: ParsedRequest) -> Any:
        others = []
        for route in self._routes:
            segments = match(route.path, request.path)
            if segments is not None and route.method == request.method:
                return await route.action(OperatorRequest(segments, request.query, request.body))
            if segments is not None:
                others.append(route.method)
        if others:
            raise BadRequest(405, f"{request.path} takes {' or '.join(others)}, not {request.method}")
        raise BadRequest(404, f"there is no {request.path}; there is {', '.join(sorted({route.path for route in self._routes}))}")


async def _linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Discard what the client still sends. Closing a socket with unread data resets it, and the client would lose the response."""
    writer.write_eof()
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while await reader.read(PIECE_BYTES):
                pass
    except TimeoutError:
        pass


class ParsedRequest(NamedTuple):
    """The parts of one HTTP request."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes


async def read_request(reader: asyncio.StreamReader) -> ParsedRequest:
    """Read and parse one request. Raises `BadRequest`, and `asyncio.IncompleteReadError` when the client closes the connection first."""
    message = _Message()
    parser = httptools.HttpRequestParser(message)
    received = 0
    while not message.is_complete:
        piece = await reader.read(PIECE_BYTES)
        if not piece:
            raise asyncio.IncompleteReadError(b"", None)
        received += len(piece)
        try:
            parser.feed_data(piece)
            target: Any = httptools.parse_url(bytes(message.url)) if message.is_complete else None
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise BadRequest(400, "this is not a valid HTTP/1.1 request") from error
        if not message.has_head and received > HEAD_LIMIT:
            raise BadRequest(431, f"the head is larger than {HEAD_LIMIT} bytes")
        if message.size > BODY_LIMIT:
            raise BadRequest(413, f"the body is larger than {BODY_LIMIT} bytes")
    query = dict(parse_qsl((target.query or b"").decode("latin-1")))
    return ParsedRequest(parser.get_method().decode(), (target.path or b"/").decode("latin-1"), query, bytes(message.body))


class _Message:
    """Collects what httptools parses. `size` is the announced or received size of the body in bytes, whichever is larger."""

    def __init__(self) -> None:
        self.url = bytearray()
        self.body = bytearray()
        self.size = 0
        self.has_head = False
        self.is_complete = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"content-length":
            self.size = int(value)

    def on_headers_complete(self) -> None:
        self.has_head = True

    def on_body(self, body: bytes) -> None:
        if len(self.body) + len(body) <= BODY_LIMIT:
            self.body += body
            self.size = max(self.size, len(self.body))
        else:
            self.size = BODY_LIMIT + 1

    def on_message_complete(self) -> None:
        self.is_complete = True


def match(pattern: str, path: str) -> tuple[str, ...] | None:
    """The segments of the path that match a `*` of the pattern, or None when the path does not match."""
    wanted, given = pattern.strip("/").split("/"), path.strip("/").split("/")
    if len(wanted) != len(given) or any(want not in ("*", got) for want, got in zip(wanted, given, strict=True)):
        return None
    return tuple(unquote(got) for want, got in zip(wanted, given, strict=True) if want == "*")


def number(query: dict[str, str], name: str, default: int | None) -> int | None:
    """A parameter of the query as a whole number. Raises `BadRequest` when it is not one."""
    try:
        return int(query[name]) if name in query else default
    except ValueError:
        raise BadRequest(400, f"{name} must be a whole number, not {json.dumps(query[name])}") from None
