"""HTTP requests and responses as plain values, without sockets. The gateway passes them to `wire` and receives them from it.

A body is bytes unless the operation streams: then `HttpRequest.stream` yields the pieces as they arrive, and a response's body may be a
`FileBody` (sent by the kernel with `sendfile`) or a `StreamBody`.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Mapping
from typing import IO, NamedTuple

import msgspec


class Signature(NamedTuple):
    """The content of a verified SigV4 signature.

    `key` is the derived signing key and `seed` the signature, with which the signatures of S3's chunks begin. `payload` is the payload hash
    that was signed: a SHA-256, `UNSIGNED-PAYLOAD`, or `STREAMING-…`.
    """

    access_key: str
    region: str
    service: str
    timestamp: str
    scope: str
    seed: str
    key: bytes
    payload: str


class HttpRequest(msgspec.Struct):
    """A request as it arrived. `path` and `query` are percent-encoded; header names are in lower case.

    Several headers of one name are joined with commas. `signature` is None for an anonymous caller. `stream` is None except for operations
    that stream and for large bodies (`body` is then empty); it yields the pieces of the body once, without transfer encoding.
    `peer` is the caller's IP address. `payload_hash` is the body's SHA-256 in hexadecimal if it was computed while the body arrived.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""
    stream: AsyncIterator[bytes] | None = None
    signature: Signature | None = None
    peer: str = ""
    payload_hash: str = ""

    @property
    def host(self) -> str:
        """The `Host` header without its port, in lower case."""
        return _host_of(self.headers.get("host", ""))

    async def pieces(self) -> AsyncIterator[bytes]:
        """The pieces of the body, streamed or not."""
        if self.stream is None:
            if self.body:
                yield self.body
            return
        async for piece in self.stream:
            yield piece


@functools.lru_cache(maxsize=1024)
def _host_of(header: str) -> str:
    """The host in a `Host` header. Cached: read several times per request, and constant for most clients."""
    host = header.lower()
    return host if host.endswith("]") else host.rsplit(":", 1)[0] if ":" in host else host


class FileBody(NamedTuple):
    """`size_bytes` of an open file from `offset`. The gateway closes the file after it was sent or the client has disconnected."""

    file: IO[bytes]
    offset: int
    size_bytes: int


class StreamBody(NamedTuple):
    """The pieces of a response, bytes or files. `size_bytes` is None if it is not known; the response is then chunked."""

    pieces: AsyncIterator[bytes] | AsyncIterator[bytes | FileBody]
    size_bytes: int | None = None


Body = bytes | FileBody | StreamBody


class HttpResponse(NamedTuple):
    """A response. `headers` does not contain those that the connection adds (`Content-Length`, `Date`, `Connection`)."""

    status: int
    headers: list[tuple[str, str]]
    body: Body
