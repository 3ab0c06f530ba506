"""Request bodies: decoding, hashing, storing, and verification of the claimed length, MD5 and checksum.

A body is plain or chunked, in memory or a stream, with an MD5 or a checksum in the head or in a trailer. `take` stores the content and
compares the hashes with the request's; on a mismatch it removes the content and raises S3's error.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator
from typing import NamedTuple

from msgspec.structs import replace

from zonal.buckets.records import Checksum, ObjectVersion, Segment
from zonal.buckets.store import SMALL_BYTES, BucketStore, Content
from zonal.foundation.errors import AwsError
from zonal.services.s3 import checksums, encryption
from zonal.services.s3.chunked import ChunkedBody
from zonal.services.s3.encryption import CustomerKey
from zonal.services.s3.errors import invalid_request, too_large
from zonal.wire.http_messages import HttpRequest
from zonal.wire.signing import STREAMING

LARGEST_BYTES = 5 * 1024**3


class StoredBody(NamedTuple):
    """Stored content with its verified hashes. `joint` is the checksum by which parts are combined (`checksums.Hashes`)."""

    content: Content
    etag: str
    checksum: Checksum
    joint: Checksum

    @property
    def segment(self) -> Segment:
        return self.content.segment

    def completed(self, entry: ObjectVersion) -> ObjectVersion:
        """The entry with this content, its size, ETag and checksum."""
        segment = self.segment
        return replace(entry, size=segment.size, etag=self.etag, segments=(segment,), checksum=self.checksum)


async def take(
    store: BucketStore, request: HttpRequest, *, key: CustomerKey | None = None, default: str = checksums.DEFAULT, combines: bool = False
) -> StoredBody:
    """Store a request's body; `combines`: also compute the checksum by which parts are combined.

    Raises `AwsError`; the content is then removed.
    """
    headers = request.headers
    _check_length(request)
    md5 = _claimed_md5(headers.get("content-md5"))
    claim = checksums.claimed(headers)
    hashes = checksums.Hashes(checksums.wanted(headers, claim, default), combines=combines)
    chunked = _chunked(request)
    if chunked is None and key is None and request.stream is None and len(request.body) <= SMALL_BYTES:
        hashes.update(request.body)
        taken = _taken(store.take_small(request.body), hashes)
    else:
        taken = await keep(store, chunked.decoded() if chunked else request.pieces(), hashes, key)
    try:
        if md5 is not None and md5 != hashes.md5:
            fields = {"ExpectedDigest": base64.b64encode(md5).decode(), "CalculatedDigest": base64.b64encode(hashes.md5).decode()}
            raise AwsError("BadDigest", "The Content-MD5 you specified did not match what we received.", fields=fields)
        claim = (checksums.claimed(chunked.trailers) if chunked else None) or claim
        if claim is not None and claim.value != taken.checksum.value:
            raise checksums.mismatch(claim.algorithm)
        if chunked and "x-amz-trailer" in headers and headers["x-amz-trailer"].strip().lower() not in chunked.trailers:
            raise AwsError("MalformedTrailerError", "The request contained trailing data that was not well-formed or did not conform.")
    except AwsError:
        store.forget(taken.content)
        raise
    return taken


async def keep(store: BucketStore, pieces: AsyncIterator[bytes], hashes: checksums.Hashes, key: CustomerKey | None) -> StoredBody:
    """Store content, encrypted if a key is given. The ETag is the MD5 of the stored bytes, so of the ciphertext if there is a key."""
    if key is None:
        return _taken(await store.receive(pieces, hashes.update), hashes)
    nonce = encryption.new_nonce()
    sealed = checksums.Hashes("MD5")
    content = await store.receive(encryption.encrypted(_watched(pieces, hashes), key, nonce), sealed.update)
    segment = content.segment
    content = Content(Segment(segment.blob, segment.size, segment.small, nonce), content.small)
    return StoredBody(content, sealed.md5.hex(), hashes.checksum, hashes.joint)


def _taken(content: Content, hashes: checksums.Hashes) -> StoredBody:
    return StoredBody(content, hashes.md5.hex(), hashes.checksum, hashes.joint)


async def _watched(pieces: AsyncIterator[bytes], hashes: checksums.Hashes) -> AsyncIterator[bytes]:
    async for piece in pieces:
        hashes.update(piece)
        yield piece


def _check_length(request: HttpRequest) -> None:
    length = request.headers.get("x-amz-decoded-content-length", request.headers.get("content-length"))
    if length is None:
        raise _missing_length()
    if not (length.isascii() and length.isdigit()):
        raise invalid_request("The Content-Length or x-amz-decoded-content-length header is not a number.")
    if int(length) > LARGEST_BYTES:
        raise too_large(length, LARGEST_BYTES)


def _missing_length() -> AwsError:
    return AwsError("MissingContentLength", "You must provide the Content-Length HTTP header.", status=411)


def _claimed_md5(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 16:
        raise AwsError("InvalidDigest", "The Content-MD5 you specified was invalid.", fields={"Content-MD5": text[:100]})
    return raw


def _chunked(request: HttpRequest) -> ChunkedBody | None:
    """The decoder of a chunked body; None for a plain body. Raises `AwsError`."""
    kind = request.headers.get("x-amz-content-sha256", "")
    if kind not in STREAMING:
        return None
    length = request.headers.get("x-amz-decoded-content-length")
    if length is None:
        raise _missing_length()
    signed = kind != "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    if signed and request.signature is None:
        raise invalid_request("A body in signed chunks requires a signed request.")
    has_trailers = kind.endswith("-TRAILER")
    return ChunkedBody(request.pieces(), request.signature, signed=signed, has_trailers=has_trailers, size=int(length))


async def once(content: bytes) -> AsyncIterator[bytes]:
    """Bytes in memory as a stream of one piece."""
    yield content
