"""An HTTP request and its answer as plain values, without sockets: what the gateway hands to `wire`, and what it gets back.

A body is held as bytes unless the operation streams: then `HttpRequest.stream` yields the pieces as they arrive, and an answer's body may
be a `FileBody` (sent by the kernel, without passing through the program) or a `StreamBody`.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Mapping
from typing import IO, NamedTuple

import msgspec


class Signature(NamedTuple):
    """What a verified SigV4 signature says.

    `key` is the derived signing key and `seed` the signature: S3's chunks are signed on from there. `payload` is the payload hash that was
    signed: a SHA-256, `UNSIGNED-PAYLOAD`, or `STREAMING-…`.
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
    """A request as it came. `path` and `query` are still percent-encoded; names of headers are in lower case.

    Several headers of one name are joined with commas. `signature` is None for an anonymous caller. `stream` is there only for operations
    that stream and bodies that are not small (`body` is then empty); it yields pieces of the body with transfer encoding removed, once.
    `peer` is the caller's IP address. `payload_hash` is the body's SHA-256 in hexadecimal where it was computed while the body arrived.
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
        """The host that was asked, without its port, in lower case."""
        return _host_of(self.headers.get("host", ""))

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body, streamed or not."""
        if self.stream is None:
            if self.body:
                yield self.body
            return
        async for piece in self.stream:
            yield piece


@functools.lru_cache(maxsize=1024)
def _host_of(header: str) -> str:
    """The host in a `Host` header: asked of each request several times, and the same for most."""
    host = header.lower()
    return host if host.endswith("]") else host.rsplit(":", 1)[0] if ":" in host else host


class FileBody(NamedTuple):
    """`size_bytes` of an open file from `offset`. The gateway closes the file once it was sent or the client went away."""

    file: IO[bytes]
    offset: int
    size_bytes: int


class StreamBody(NamedTuple):
    """Pieces of an answer as they come, bytes or files; `size_bytes` is None where it is not known (then the answer is chunked)."""

    pieces: AsyncIterator[bytes] | AsyncIterator[bytes | FileBody]
    size_bytes: int | None = None


Body = bytes | FileBody | StreamBody


class HttpResponse(NamedTuple):
    """An answer on its way out. `headers` lacks what belongs to the connection (`Content-Length`, `Date`, `Connection`)."""

    status: int
    headers: list[tuple[str, str]]
    body: Body
