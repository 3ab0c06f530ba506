"""Ranges and checksums, compared with slices and with a slow computation."""

from __future__ import annotations

import base64
import os
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zonal.buckets.records import Part, Segment
from zonal.foundation.errors import AwsError
from zonal.services.s3.checksums import Hashes, check_type, claimed, full
from zonal.services.s3.conditions import byte_range


@given(st.integers(1, 1000), st.integers(0, 1200), st.integers(0, 1200))
def test_a_range_is_a_slice(size: int, first: int, last: int) -> None:
    content = os.urandom(size)
    if first >= size and last >= first:
        with pytest.raises(AwsError, match="InvalidRange"):
            byte_range(f"bytes={first}-{last}", size)
        return
    found = byte_range(f"bytes={first}-{last}", size)
    if last < first:
        assert found is None
    else:
        assert found is not None
        assert content[found[0] : found[0] + found[1]] == content[first : last + 1]


@pytest.mark.parametrize("text", [None, "", "bytes=", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=1-2,5-6", "bytes=5-2"])
def test_a_header_that_is_not_a_single_range_is_ignored(text: str | None) -> None:
    assert byte_range(text, 100) is None


def test_a_suffix_range_of_empty_content_is_unsatisfiable() -> None:
    assert byte_range("bytes=-5", 3) == (0, 3)
    for text, size in (("bytes=-5", 0), ("bytes=-0", 5), ("bytes=0-", 0)):
        with pytest.raises(AwsError, match="InvalidRange"):
            byte_range(text, size)


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=5), st.sampled_from(["CRC32", "CRC32C", "CRC64NVME"]))
def test_the_crc_of_the_whole_is_combined_from_those_of_the_parts(contents: list[bytes], algorithm: str) -> None:
    parts = []
    whole = Hashes(algorithm)
    for number, content in enumerate(contents, start=1):
        hashes = Hashes(algorithm)
        hashes.update(content)
        whole.update(content)
        parts.append(Part(number, len(content), "e", Segment("b", len(content)), checksum=hashes.checksum))
    assert full(parts, algorithm) == whole.checksum


def test_crcs_have_their_published_check_values() -> None:
    values = {"CRC32": zlib.crc32(b"123456789"), "CRC32C": 0xE3069283, "CRC64NVME": 0xAE8B14860A799888}
    for algorithm, value in values.items():
        hashes = Hashes(algorithm)
        hashes.update(b"1234")
        hashes.update(b"56789")
        assert int.from_bytes(base64.b64decode(hashes.checksum.value), "big") == value


def test_a_claimed_checksum_is_single_and_well_formed() -> None:
    assert claimed({}) is None
    for headers in (
        {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-sha1": "x"},
        {"x-amz-checksum-crc32": "AAAA"},
        {"x-amz-checksum-crc32": "!"},
        {"x-amz-checksum-xxhash64": "AAAAAAAAAAA="},
    ):
        with pytest.raises(AwsError, match="InvalidRequest"):
            claimed(headers)


def test_a_type_of_checksum_fits_its_algorithm() -> None:
    assert check_type("", "") == check_type("CRC64NVME", "") == "FULL_OBJECT"
    assert check_type("CRC32", "") == check_type("SHA256", "COMPOSITE") == "COMPOSITE"
    for algorithm, kind in (("SHA1", "FULL_OBJECT"), ("CRC64NVME", "COMPOSITE"), ("", "COMPOSITE"), ("CRC32", "x")):
        with pytest.raises(AwsError, match="InvalidRequest"):
            check_type(algorithm, kind)
