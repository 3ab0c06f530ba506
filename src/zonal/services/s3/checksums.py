"""Checksums of content: those that clients send, those that S3 computes, and those of multipart objects.

Each object has one checksum, of the algorithm that the client chose, by default CRC64NVME. The CRCs are computed by `awscrt`, AWS's
library, which boto3 uses too: it is one wheel of 4 MB, processes several gigabytes per second, and combines the CRCs of parts without
reading their content. (S3 User Guide, "Checking object integrity for data uploads".)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zonal.buckets.records import Checksum, Part
from zonal.foundation.errors import AwsError
from zonal.services.s3.errors import invalid_request

CRCS = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8}
DIGESTS = {"SHA1": 20, "SHA256": 32, "SHA512": 64, "MD5": 16}
SIZES = CRCS | DIGESTS
DEFAULT = "CRC64NVME"
_UNBUILT = ("XXHASH64", "XXHASH3", "XXHASH128")
_HEADERS = {f"x-amz-checksum-{name.lower()}": name for name in (*SIZES, *_UNBUILT)}


class Hashes:
    """Running hashes of content: MD5 for the ETag, and one checksum.

    `combines`: also compute CRC64NVME, by which parts are combined, if the checksum has another algorithm.
    """

    def __init__(self, algorithm: str, *, combines: bool = False) -> None:
        self.algorithm = algorithm
        self._joint = _crc_function(DEFAULT) if combines and algorithm != DEFAULT else None
        self._joint_crc = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc = 0
        self._digest: Any = None if algorithm in CRCS else hashlib.new(algorithm.lower(), usedforsecurity=False)
        self._compute = _crc_function(algorithm) if algorithm in CRCS else None

    def update(self, piece: bytes) -> None:
        self._md5.update(piece)
        if self._compute is not None:
            self._crc = self._compute(piece, self._crc)
        else:
            self._digest.update(piece)
        if self._joint is not None:
            self._joint_crc = self._joint(piece, self._joint_crc)

    @property
    def joint(self) -> Checksum:
        """The checksum by which parts are combined."""
        return self.checksum if self._joint is None else Checksum(DEFAULT, _text(self._joint_crc, DEFAULT))

    @property
    def md5(self) -> bytes:
        return self._md5.digest()

    @property
    def checksum(self) -> Checksum:
        if self._compute is not None:
            return Checksum(self.algorithm, _text(self._crc, self.algorithm))
        return Checksum(self.algorithm, base64.b64encode(self._digest.digest()).decode())


def _text(crc: int, algorithm: str) -> str:
    return base64.b64encode(crc.to_bytes(CRCS[algorithm], "big")).decode()


def _crc_function(algorithm: str) -> Callable[[bytes, int], int]:
    from awscrt import checksums  # Imported on first use: the module takes 8 MB of memory.

    function: Callable[[bytes, int], int] = getattr(checksums, algorithm.lower())
    return function


def known(algorithm: str) -> str:
    """The algorithm's canonical name. Raises `AwsError` for one that zonal does not compute."""
    name = algorithm.upper()
    if name not in SIZES:
        valid = ", ".join(SIZES)
        raise invalid_request(f"Checksum algorithm provided is unsupported. Please try again with any of the valid types: [{valid}]")
    return name


def claimed(headers: Mapping[str, str]) -> Checksum | None:
    """The checksum in a request's headers or trailers, or None. Raises `AwsError` if it is malformed."""
    found = [name for header, name in _HEADERS.items() if header in headers]
    if not found:
        return None
    if len(found) > 1:
        raise invalid_request("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
    name = known(found[0])
    value = headers[f"x-amz-checksum-{name.lower()}"]
    if not is_value(name, value):
        raise invalid_request(f"Value for x-amz-checksum-{name.lower()} header is invalid.")
    return Checksum(name, value)


def is_value(algorithm: str, value: str) -> bool:
    """Whether this is the base64 of a checksum of the algorithm's length."""
    try:
        return len(base64.b64decode(value, validate=True)) == SIZES[algorithm]
    except (binascii.Error, ValueError):
        return False


def wanted(headers: Mapping[str, str], claim: Checksum | None, default: str) -> str:
    """The checksum algorithm that a write requests: by a checksum header, a trailer, or its name. Raises `AwsError`."""
    if claim is not None:
        return claim.algorithm
    trailer = headers.get("x-amz-trailer", "").strip().lower()
    if trailer.startswith("x-amz-checksum-"):
        return known(trailer.removeprefix("x-amz-checksum-"))
    if trailer:
        raise invalid_request("The value specified in the x-amz-trailer header is not supported")
    named = headers.get("x-amz-sdk-checksum-algorithm")
    return known(named) if named else default


def mismatch(algorithm: str) -> AwsError:
    return AwsError("BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")


def composite(parts: Sequence[Part], algorithm: str) -> Checksum:
    """The COMPOSITE checksum: the checksum of the parts' checksums."""
    raw = b"".join(base64.b64decode(part.checksum.value) for part in parts if part.checksum)
    hashes = Hashes(algorithm)
    hashes.update(raw)
    return Checksum(algorithm, f"{hashes.checksum.value}-{len(parts)}", "COMPOSITE")


def full(parts: Sequence[Part], algorithm: str) -> Checksum:
    """The FULL_OBJECT checksum, combined from the parts' CRCs."""
    from awscrt import checksums

    combine = getattr(checksums, f"combine_{algorithm.lower()}")
    joined = 0
    for number, part in enumerate(parts):
        assert part.checksum is not None
        crc = int.from_bytes(base64.b64decode(part.checksum.value), "big")
        joined = combine(joined, crc, part.size) if number else crc
    return Checksum(algorithm, _text(joined, algorithm))


def members(checksum: Checksum | None, *, with_type: bool = True) -> dict[str, str]:
    """A checksum as response members."""
    if checksum is None:
        return {}
    shown = {f"Checksum{checksum.algorithm}": checksum.value}
    return shown | {"ChecksumType": checksum.type} if with_type else shown


def check_type(algorithm: str, type: str) -> str:
    """The checksum type of a multipart upload. Raises `AwsError` if algorithm and type cannot be combined."""
    if type and type not in ("COMPOSITE", "FULL_OBJECT"):
        raise invalid_request("Value for x-amz-checksum-type header is invalid.")
    if type and not algorithm:
        raise invalid_request("The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
    if (type == "FULL_OBJECT" and algorithm not in CRCS) or (type == "COMPOSITE" and algorithm == DEFAULT):
        raise invalid_request(f"The {type} checksum type cannot be used with the {algorithm.lower()} checksum algorithm.")
    return type or ("FULL_OBJECT" if algorithm in ("", DEFAULT) else "COMPOSITE")
