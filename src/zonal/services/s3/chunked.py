"""The `aws-chunked` encoding: chunks of `SIZE;chunk-signature=…` and bytes, then optional trailers with a checksum.

Clients use it to compute a signature or a checksum while they send the body. Each chunk's signature depends on the previous one, the first
on the request's. Bytes are passed on as they arrive, so memory holds one piece whatever the chunk's size; a wrong signature raises at the
end of its chunk, and the caller discards the content. (S3 API Reference, "Signature calculations for the authorization header: transferring
payload in multiple chunks".)
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator

from zonal.foundation.errors import AwsError
from zonal.wire import signing
from zonal.wire.http_messages import Signature

CHUNK_LIMIT_BYTES = 16 * 1024 * 1024
SMALLEST_CHUNK_BYTES = 8192
"""Only the last chunk may be smaller (S3 API Reference, as above; the error as recorded in versitygw issues 1683 and 2085)."""
LINE_LIMIT_BYTES = 16 * 1024
"""The limit of the line before a chunk, and of all trailers together."""
TRAILERS_LIMIT = 64
_HEAD = re.compile(rb"([0-9a-fA-F]{1,8})(?:;chunk-signature=([0-9a-f]{64}))?\s*")


class ChunkedBody:
    """A decoder of a chunked body. `trailers` is complete when `decoded` has ended. `size` is the declared size of the content."""

    def __init__(self, pieces: AsyncIterator[bytes], signature: Signature | None, *, signed: bool, has_trailers: bool, size: int) -> None:
        self._pieces = pieces
        self._signature = signature
        self._signed = signed
        self._has_trailers = has_trailers
        self._size = size
        self._buffer = bytearray()
        self._previous = signature.seed if signature else ""
        self.trailers: dict[str, str] = {}

    async def decoded(self) -> AsyncIterator[bytes]:
        """The content. Raises `AwsError` if the framing, the size or a signature is wrong."""
        total = count = previous_size = 0
        while True:
            size, claimed = self._head(await self._line())
            count += 1
            if size and count > 1 and previous_size < SMALLEST_CHUNK_BYTES:
                raise _too_small(count, previous_size)
            previous_size = size
            total += size
            if total > self._size:
                raise _incomplete()
            digest, left = hashlib.sha256(), size
            while left:
                piece = await self._some(left)
                left -= len(piece)
                if self._signed:
                    digest.update(piece)
                yield piece
            if self._signed:
                self._verify(digest.hexdigest(), claimed)
            if not size:
                break
            if await self._take(2) != b"\r\n":
                raise _malformed()
        if total != self._size:
            raise _incomplete()
        await self._finish()

    def _head(self, line: bytes) -> tuple[int, str]:
        match = _HEAD.fullmatch(line)
        if match is None or (self._signed and not match[2]):
            raise _malformed()
        size = int(match[1], 16)
        if self._signed and size > CHUNK_LIMIT_BYTES:
            raise AwsError("InvalidRequest", f"A signed chunk may have at most {CHUNK_LIMIT_BYTES} bytes; this one has {size}.")
        return size, (match[2] or b"").decode()

    def _verify(self, digest: str, claimed: str) -> None:
        assert self._signature is not None
        expected = signing.chunk_signature(self._signature, self._previous, digest)
        if expected != claimed:
            raise _wrong_signature()
        self._previous = expected

    async def _finish(self) -> None:
        """Read the trailers and the end of the body, which are short."""
        lines: list[bytes] = []
        size_bytes = 0
        while line := await self._line(may_end=True):
            size_bytes += len(line)
            if size_bytes > LINE_LIMIT_BYTES or len(lines) > TRAILERS_LIMIT:
                raise _malformed_trailers()
            lines.append(line.strip())
        if self._has_trailers:
            self._read_trailers(lines)
        while await self._more():
            self._buffer.clear()

    def _read_trailers(self, lines: list[bytes]) -> None:
        claimed = ""
        signed = b""
        for line in lines:
            name, _, value = line.decode("latin-1").partition(":")
            name = name.strip().lower()
            if name == "x-amz-trailer-signature":
                claimed = value.strip()
            elif name:
                self.trailers[name] = value.strip()
                signed += f"{name}:{value.strip()}\n".encode()
        if self._signed:
            assert self._signature is not None
            if signing.trailer_signature(self._signature, self._previous, signed) != claimed:
                raise _wrong_signature()

    async def _line(self, *, may_end: bool = False) -> bytes:
        """A line without its line end. At the end of the body: the rest if it `may_end` here, else raises `AwsError`."""
        while (at := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > LINE_LIMIT_BYTES:
                raise _malformed()
            if not await self._more():
                if may_end:
                    rest = bytes(self._buffer)
                    self._buffer.clear()
                    return rest
                raise _incomplete()
        line = bytes(self._buffer[:at])
        del self._buffer[: at + 1]
        return line.rstrip(b"\r")

    async def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            if not await self._more():
                raise _incomplete()
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    async def _some(self, limit: int) -> bytes:
        if not self._buffer and not await self._more():
            raise _incomplete()
        return await self._take(min(limit, len(self._buffer)))

    async def _more(self) -> bool:
        async for piece in self._pieces:
            self._buffer += piece
            return True
        return False


def _malformed() -> AwsError:
    return AwsError("InvalidRequest", "The body is not encoded in chunks as its x-amz-content-sha256 header declares.")


def _malformed_trailers() -> AwsError:
    return AwsError("MalformedTrailerError", "The request contained trailing data that was not well-formed or did not conform.")


def _too_small(count: int, size_bytes: int) -> AwsError:
    message = f"Only the last chunk is allowed to have a size less than {SMALLEST_CHUNK_BYTES} bytes"
    return AwsError("InvalidChunkSizeError", message, status=403, fields={"Chunk": count, "BadChunkSize": size_bytes})


def _incomplete() -> AwsError:
    return AwsError("IncompleteBody", "You did not provide the number of bytes specified by the x-amz-decoded-content-length HTTP header")


def _wrong_signature() -> AwsError:
    message = "The request signature we calculated does not match the signature you provided. Check your key and signing method."
    return AwsError("SignatureDoesNotMatch", message, status=403)
