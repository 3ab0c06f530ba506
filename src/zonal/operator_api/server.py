"""The operator's door: HTTP/1.1 with JSON on a unix socket that only the region's owner can open.

One request a connection. The head is read, then the body that `Content-Length` announces, both bounded; the route is looked up; the
desk acts; the answer is a shape as JSON. Whoever may open the socket may do everything, so nothing is signed here: the file's mode is the
lock.

A request that is not understood gets a 4xx with a `ErrorBody`; a `ZonalError` is a 409 with its message; anything else is a 500, journalled
by the caller's logger and never shown.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from zonal.foundation import unix_sockets
from zonal.foundation.errors import ZonalError
from zonal.operator_api.schemas import ErrorBody

_log = logging.getLogger(__name__)

HEAD_LIMIT = 64 * 1024
BODY_LIMIT = 1024 * 1024
READ_SECONDS = 10.0


class OperatorRequest(NamedTuple):
    """A request as a route's action sees it. `segments` are the parts of the path that the route left open."""

    segments: tuple[str, ...]
    query: dict[str, str]
    body: bytes


RouteHandler = Callable[[OperatorRequest], Awaitable[Any]]


class OperatorRoute(NamedTuple):
    """A method and a path, `*` standing for one open word: `POST /zones/*/fail`."""

    method: str
    path: str
    action: RouteHandler


class BadRequest(Exception):
    """The request cannot be understood; `status` is the HTTP status."""

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
        """Listen. A socket that a killed region left behind is replaced."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        unix_sockets.bind(listener, self._path)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=HEAD_LIMIT)

    async def close(self) -> None:
        """Stop listening and remove the socket; requests in hand are cut off."""
        if self._server:
            self._server.close()
            self._server = None
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            status, answer = await self._answer(reader)
            body = msgspec.json.encode(answer)
            head = (
                f"HTTP/1.1 {status} {'OK' if status == 200 else 'No'}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            )
            writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # The other side went away: there is nobody to answer.
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[int, Any]:
        try:
            async with asyncio.timeout(READ_SECONDS):
                method, path, query, body = await read_request(reader)
            return 200, await self._find(method, path, query, body)
        except BadRequest as error:
            return error.status, ErrorBody(str(error), type(error).__name__)
        except TimeoutError as error:
            return 408, ErrorBody(str(error) or "the request, or what it asked for, took too long", "TimeoutError")
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            return 400, ErrorBody(f"the body is not what this route takes: {error}", "BadRequest")
        except ZonalError as error:
            return 409, ErrorBody(str(error), type(error).__name__)
        except Exception:
            _log.exception("an operator's request failed")
            return 500, ErrorBody("the region failed to do this; `zonal logs` has the reason", "InternalFailure")

    async def _find(self, method: str, path: str, query: dict[str, str], body: bytes) -> Any:
        others = []
        for route in self._routes:
            segments = match(route.path, path)
            if segments is not None and route.method == method:
                return await route.action(OperatorRequest(segments, query, body))
            if segments is not None:
                others.append(route.method)
        if others:
            raise BadRequest(405, f"{path} takes {' or '.join(others)}, not {method}")
        raise BadRequest(404, f"there is no {path}; there is {', '.join(sorted({route.path for route in self._routes}))}")


async def read_request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str], bytes]:
    """Method, path, query and body of one request. Raises `BadRequest`."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.LimitOverrunError:
        raise BadRequest(431, f"the head is larger than {HEAD_LIMIT} bytes") from None
    first, *lines = head.split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise BadRequest(400, "this is not HTTP/1.1")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise BadRequest(411, "Content-Length must say how long the body is")
    if int(length) > BODY_LIMIT:
        raise BadRequest(413, f"the body is larger than {BODY_LIMIT} bytes")
    body = await reader.readexactly(int(length))
    target = urlsplit(parts[1])
    return parts[0], target.path, dict(parse_qsl(target.query)), body


def match(pattern: str, path: str) -> tuple[str, ...] | None:
    """The words that stand where the pattern is open, or None where the path does not match."""
    wanted, given = pattern.strip("/").split("/"), path.strip("/").split("/")
    if len(wanted) != len(given) or any(want not in ("*", got) for want, got in zip(wanted, given, strict=True)):
        return None
    return tuple(unquote(got) for want, got in zip(wanted, given, strict=True) if want == "*")


def number(query: dict[str, str], name: str, default: int | None) -> int | None:
    """A whole number out of a query. Raises `BadRequest` where it is none."""
    try:
        return int(query[name]) if name in query else default
    except ValueError:
        raise BadRequest(400, f"{name} must be a whole number, not {json.dumps(query[name])}") from None
