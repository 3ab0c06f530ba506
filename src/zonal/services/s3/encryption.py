"""Server-side encryption: SSE-S3 is only reported, SSE-C encrypts.

On AWS, SSE-S3 is visible only in responses; zonal reports it and stores plain files. A customer-provided key (SSE-C) encrypts the content
with AES-256 in counter mode, with a nonce per segment, so that ranges can be decrypted alone. Only a salted digest of the key is stored, to
detect a wrong key. As on AWS since 2026, a bucket rejects SSE-C until its encryption configuration allows it. (S3 User Guide, "Using
server-side encryption with customer-provided keys", "Blocking SSE-C".)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

from zonal.buckets.records import Bucket, ObjectVersion, Segment
from zonal.foundation.errors import AwsError
from zonal.services.s3.errors import invalid_argument, invalid_request, not_built

_PREFIX = "x-amz-server-side-encryption-customer-"
_COPY_PREFIX = "x-amz-copy-source-server-side-encryption-customer-"
SSE_S3 = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}
"""The default encryption rule of a bucket."""

SSE = "x-amz-server-side-encryption"
_KMS = ("aws:kms", "aws:kms:dsse")


class CustomerKey(NamedTuple):
    """The SSE-C key of a request. `md5` is its MD5 as the client sent it."""

    key: bytes
    md5: str

    def mark(self) -> str:
        """The salted digest that is stored to recognise the key."""
        salt = secrets.token_hex(16)
        return f"{salt}:{self._digest(salt)}"

    def is_of(self, mark: str) -> bool:
        salt, _, digest = mark.partition(":")
        return hmac.compare_digest(self._digest(salt), digest)

    def _digest(self, salt: str) -> str:
        return hmac.digest(salt.encode(), self.key, "sha256").hex()

    def members(self) -> dict[str, str]:
        """The key's response members."""
        return {"SSECustomerAlgorithm": "AES256", "SSECustomerKeyMD5": self.md5}


def customer_key(headers: Mapping[str, str], *, source: bool = False) -> CustomerKey | None:
    """The key in a request's headers, or None. Raises `AwsError` if it is incomplete or malformed."""
    prefix = _COPY_PREFIX if source else _PREFIX
    algorithm, key, md5 = (headers.get(prefix + name) for name in ("algorithm", "key", "key-md5"))
    if algorithm is None and key is None and md5 is None:
        return None
    requirement = "Requests specifying Server Side Encryption with Customer provided keys must provide"
    if algorithm is None:
        raise invalid_argument(f"{requirement} a valid encryption algorithm.", SSE, "null")
    if algorithm != "AES256":
        message = "The Encryption request you specified is not valid. Supported value: AES256."
        raise AwsError("InvalidEncryptionAlgorithmError", message, fields={"ArgumentName": SSE, "ArgumentValue": algorithm[:100]})
    if key is None:
        raise invalid_argument(f"{requirement} an appropriate secret key.", SSE, "null")
    if md5 is None:
        raise invalid_argument(f"{requirement} the client calculated MD5 of the secret key.", SSE, "null")
    raw = _decoded(key)
    if _decoded(md5) != hashlib.md5(raw, usedforsecurity=False).digest():
        raise invalid_argument("The calculated MD5 hash of the key did not match the hash that was provided.", SSE, "null")
    if len(raw) != 32:
        raise invalid_argument("The secret key was invalid for the specified algorithm.", SSE, "null")
    return CustomerKey(raw, md5)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def for_writing(headers: Mapping[str, str], bucket: Bucket) -> CustomerKey | None:
    """The key of a write, None for SSE-S3. Raises `AwsError` for encryption that the bucket blocks or zonal does not implement."""
    asked = headers.get(SSE)
    if asked in ("AES256", *_KMS) and any(name.startswith(_PREFIX) for name in headers):
        message = "Server Side Encryption with Customer provided key is incompatible with the encryption method specified"
        raise invalid_argument(message, SSE, asked)
    key = customer_key(headers)
    if asked is not None and asked != "AES256":
        if asked in (*_KMS, "aws:fsx", "aws:backup"):
            raise not_built(f"server-side encryption {asked} (there is no key management service)")
        raise invalid_argument("The encryption method specified is not supported", SSE, asked)
    if "x-amz-server-side-encryption-aws-kms-key-id" in headers:
        message = "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms"
        raise invalid_argument(message, SSE, asked or "null")
    if key is not None and "SSE-C" in blocked(bucket):
        message = "This bucket has blocked upload requests that specify Server Side Encryption with Customer provided keys (SSE-C)."
        raise AwsError("AccessDenied", f"{message} Please specify a different server-side encryption type", status=403)
    return key


def blocked(bucket: Bucket) -> list[str]:
    """The encryption types that a bucket blocks."""
    rules = bucket.settings.get("encryption", {}).get("Rules") or [{}]
    types: list[str] = rules[0].get("BlockedEncryptionTypes", {"EncryptionType": ["SSE-C"]}).get("EncryptionType", [])
    return types


def is_configured(bucket: Bucket) -> bool:
    """Whether the bucket's default encryption has been set explicitly."""
    rules = bucket.settings.get("encryption", {}).get("Rules") or [{}]
    return "ApplyServerSideEncryptionByDefault" in rules[0]


def check_reading(headers: Mapping[str, str], entry: ObjectVersion, *, source: bool = False) -> CustomerKey | None:
    """The key to read this object with; None if it is not encrypted by SSE-C. Raises `AwsError`."""
    if not source and SSE in headers:  # In a copy this header is about the target.
        raise invalid_argument(f"{SSE} header is not supported for this operation.", SSE, headers[SSE])
    key = customer_key(headers, source=source)
    if entry.customer_key and key is None:
        message = "The object was stored using a form of Server Side Encryption."
        raise invalid_request(f"{message} The correct parameters must be provided to retrieve the object.")
    if key is not None and not entry.customer_key:
        message = "The encryption parameters are not applicable to this object."
        raise invalid_request(message)
    if key is not None and not key.is_of(entry.customer_key):
        message = "Requests specifying Server Side Encryption with Customer provided keys must provide the correct secret key."
        raise AwsError("AccessDenied", message, status=403)
    return key


def new_nonce() -> str:
    return secrets.token_hex(12)


def encrypted(pieces: AsyncIterator[bytes], key: CustomerKey, nonce: str) -> AsyncIterator[bytes]:
    """The pieces, encrypted."""
    return _through(pieces, _stream(key, nonce, 0))


async def decrypted(read: AsyncIterator[bytes], key: CustomerKey, segments: Sequence[Segment], offset: int) -> AsyncIterator[bytes]:
    """The content of `read`, decrypted; `read` starts at `offset` of the concatenated segments."""
    bounds = iter(segments)
    left, stream = 0, None
    async for piece in read:
        view = piece
        while view:
            while left == 0:
                segment = next(bounds)
                if offset >= segment.size:
                    offset -= segment.size
                    continue
                left, stream = segment.size - offset, _stream(key, segment.nonce, offset)
                offset = 0
            assert stream is not None
            head, view = view[:left], view[left:]
            left -= len(head)
            yield stream.update(head)


async def _through(pieces: AsyncIterator[bytes], stream: CipherContext) -> AsyncIterator[bytes]:
    async for piece in pieces:
        yield stream.update(piece)


def _stream(key: CustomerKey, nonce: str, offset: int) -> CipherContext:
    """The key stream from an offset on: twelve bytes of nonce, four of block counter (64 GiB, more than the size of a part)."""
    counter = bytes.fromhex(nonce) + (offset // 16).to_bytes(4, "big")
    stream = Cipher(algorithms.AES256(key.key), modes.CTR(counter)).encryptor()
    stream.update(bytes(offset % 16))
    return stream


def response_members(entry: ObjectVersion, key: CustomerKey | None) -> dict[str, str]:
    """The response members about an object's encryption."""
    return key.members() if key is not None else {} if entry.customer_key else {"ServerSideEncryption": "AES256"}
