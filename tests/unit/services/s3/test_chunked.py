"""Chunked bodies: they decode to the sent content whatever their pieces, and a changed byte is detected."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zonal.foundation.errors import AwsError
from zonal.services.s3.chunked import LINE_LIMIT_BYTES, SMALLEST_CHUNK_BYTES, ChunkedBody
from zonal.wire.http_messages import Signature
from zonal.wire.signing import chunk_signature, signing_key, trailer_signature

KEY = signing_key("secret", "20261123", "us-east-1", "s3")
SIGNED = Signature("test", "us-east-1", "s3", "20261123T000000Z", "20261123/us-east-1/s3/aws4_request", "5eed", KEY, "STREAMING")


def signed(chunks: list[bytes], trailers: str = "") -> bytes:
    """The encoded body that a client sends."""
    body, previous = b"", SIGNED.seed
    for chunk in [*chunks, b""]:
        previous = chunk_signature(SIGNED, previous, hashlib.sha256(chunk).hexdigest())
        body += f"{len(chunk):x};chunk-signature={previous}\r\n".encode() + (chunk + b"\r\n" if chunk else b"")
    if trailers:
        signature = trailer_signature(SIGNED, previous, f"{trailers}\n".encode())
        body += f"{trailers}\r\nx-amz-trailer-signature:{signature}\r\n".encode()
    return body + b"\r\n"


def unsigned(chunks: list[bytes], trailers: str = "") -> bytes:
    body = b"".join(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in chunks)
    return body + b"0\r\n" + (trailers + "\r\n" if trailers else "").encode() + b"\r\n"


def decode(body: bytes, size: int, *, is_signed: bool, trailers: bool = False, step: int = 7) -> tuple[bytes, dict[str, str]]:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), step):
            yield body[at : at + step]

    async def run() -> tuple[bytes, dict[str, str]]:
        chunked = ChunkedBody(pieces(), SIGNED, signed=is_signed, has_trailers=trailers, size=size)
        return b"".join([piece async for piece in chunked.decoded()]), chunked.trailers

    return asyncio.run(run())


@st.composite
def chunk_lists(draw: st.DrawFn) -> list[bytes]:
    """Chunks of which only the last is small."""
    large = st.binary(min_size=1, max_size=60).map(lambda start: start.ljust(SMALLEST_CHUNK_BYTES, b"x"))
    return draw(st.lists(large, max_size=2)) + draw(st.lists(st.binary(min_size=1, max_size=60), max_size=1))


CHUNKS = chunk_lists()


@given(CHUNKS, st.booleans(), st.integers(1, 900))
def test_a_body_decodes_to_the_sent_content_whatever_its_pieces(chunks: list[bytes], is_signed: bool, step: int) -> None:
    content = b"".join(chunks)
    trailer = "x-amz-checksum-crc32:AAAAAA=="
    body = (signed if is_signed else unsigned)(chunks, trailer)
    got = decode(body, len(content), is_signed=is_signed, trailers=True, step=step)
    assert got == (content, {"x-amz-checksum-crc32": "AAAAAA=="})


@given(st.binary(min_size=1, max_size=60), st.data())
def test_a_changed_byte_of_signed_content_is_detected(content: bytes, data: st.DataObject) -> None:
    body = bytearray(signed([content]))
    at = body.index(b"\r\n") + 2 + data.draw(st.integers(0, len(content) - 1))
    body[at] ^= 1 + data.draw(st.integers(0, 254))
    with pytest.raises(AwsError) as refused:
        decode(bytes(body), len(content), is_signed=True)
    assert refused.value.code == "SignatureDoesNotMatch"


def test_a_body_of_another_size_than_declared_is_incomplete() -> None:
    for size in (3, 5):
        with pytest.raises(AwsError) as refused:
            decode(unsigned([b"1234"]), size, is_signed=False)
        assert refused.value.code == "IncompleteBody"
    with pytest.raises(AwsError, match="IncompleteBody"):
        decode(unsigned([b"1234"])[:5], 4, is_signed=False)


@pytest.mark.parametrize("body", [b"zz\r\n", b"4;chunk-signature=00\r\n1234\r\n", b"4\r\n1234XX0\r\n\r\n", b"x" * 20_000, b"-1\r\n"])
def test_a_body_without_chunks_is_rejected(body: bytes) -> None:
    with pytest.raises(AwsError) as refused:
        decode(body, 4, is_signed=False, step=500)
    assert refused.value.code in ("InvalidRequest", "IncompleteBody")


@pytest.mark.parametrize("is_signed", [True, False])
def test_only_the_last_chunk_may_be_smaller_than_8_kib(is_signed: bool) -> None:
    pack = signed if is_signed else unsigned
    full = bytes(SMALLEST_CHUNK_BYTES)
    assert decode(pack([full, b"x"]), len(full) + 1, is_signed=is_signed, step=500)[0] == full + b"x"
    for chunks, number, size in (([b"hel", b"lo"], 2, 3), ([full, full[1:], b"x"], 3, len(full) - 1), ([b"a"] * 100_000, 2, 1)):
        with pytest.raises(AwsError) as refused:
            decode(pack(chunks[:50]), sum(map(len, chunks)), is_signed=is_signed, step=500)
        assert (refused.value.code, refused.value.status) == ("InvalidChunkSizeError", 403)
        assert refused.value.fields == {"Chunk": number, "BadChunkSize": size}


@pytest.mark.parametrize("line", ["a:b\r\n", "a:" + "b" * 1000 + "\r\n"])
def test_trailers_are_held_up_to_a_limit(line: str) -> None:
    body = b"0\r\n" + line.encode() * (4 * LINE_LIMIT_BYTES // len(line)) + b"\r\n"
    with pytest.raises(AwsError, match="MalformedTrailerError"):
        decode(body, 0, is_signed=False, trailers=True, step=500)


def test_a_trailer_with_a_wrong_signature_is_detected() -> None:
    body = signed([b"x"], "x-amz-checksum-crc32:AAAAAA==").replace(b"crc32:AAAAAA==", b"crc32:AAAAAB==")
    with pytest.raises(AwsError, match="SignatureDoesNotMatch"):
        decode(body, 1, is_signed=True, trailers=True)


def test_a_signed_chunk_is_passed_on_while_it_arrives() -> None:
    size = 4 * 1024 * 1024
    body = signed([bytes(size)])
    given = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal given
        for at in range(0, len(body), 65536):
            given = at + 65536
            yield body[at : at + 65536]

    async def run() -> None:
        taken = 0
        async for piece in ChunkedBody(pieces(), SIGNED, signed=True, has_trailers=False, size=size).decoded():
            taken += len(piece)
            assert given - taken < 2 * 65536
        assert taken == size

    asyncio.run(run())
