"""A browser's form is parsed in pieces of any size, and an invalid one is rejected."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zonal.foundation.errors import AwsError
from zonal.services.s3.form_body import FormBody, is_form
from zonal.services.s3.form_policies import Bounds
from zonal.wire.http_messages import HttpRequest

MARK = "mark"
ANY_SIZE = Bounds()


def section(name: str, content: bytes, more: str = "") -> bytes:
    return f'--{MARK}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content + b"\r\n"


def form(file: bytes, end: bytes = b"--mark--\r\n") -> bytes:
    return section("kEy", b"up/${filename}") + section("file", file, '; filename="c:/a/f.txt"\r\nContent-Type: text/plain') + end


def request(pieces: list[bytes]) -> HttpRequest:
    async def stream() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return HttpRequest("POST", "/b", "", {"content-type": f'multipart/form-data; boundary="{MARK}"'}, stream=stream())


async def taken(pieces: list[bytes], bounds: Bounds = ANY_SIZE) -> tuple[dict[str, str], str, bytes]:
    body = FormBody(request(pieces))
    await body.read_fields()
    return body.fields, body.kind, b"".join([piece async for piece in bounds.watched(body.file())])


@given(file=st.binary(max_size=200), cuts=st.lists(st.integers(0, 600), max_size=12))
def test_a_form_is_the_same_wherever_its_pieces_are_cut(file: bytes, cuts: list[int]) -> None:
    raw = form(file)
    places = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    pieces = [raw[a:b] for a, b in itertools.pairwise(places)]
    expected = file.partition(b"\r\n--mark")[0]
    assert asyncio.run(taken(pieces)) == ({"key": "up/f.txt"}, "text/plain", expected)


WHOLE = form(b"content")
CUT = st.integers(0, len(WHOLE) - len("\r\n--mark--\r\n")).map(lambda cut: WHOLE[:cut])


@given(raw=st.one_of(CUT, st.binary(max_size=400).filter(lambda raw: b"name=" not in raw)))
def test_an_incomplete_form_is_rejected_with_a_client_error(raw: bytes) -> None:
    with pytest.raises(AwsError) as refused:
        asyncio.run(taken([raw]))
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (section("key", b"k") + b"--mark--\r\n", "InvalidArgument"),
        (section("key", b"x" * 30_000) + form(b"")[60:], "MaxPostPreDataLengthExceeded"),
        (b"--mark\r\nContent-Disposition: form-data\r\n\r\nx\r\n--mark--", "MalformedPOSTRequest"),
        (b"x" * 10_000, "MaxPostPreDataLengthExceeded"),
    ],
)
async def test_a_form_without_file_or_names_or_with_long_fields_is_rejected(raw: bytes, code: str) -> None:
    with pytest.raises(AwsError) as refused:
        await taken([raw])
    assert refused.value.code == code


async def test_a_file_out_of_bounds_is_rejected_while_it_streams() -> None:
    for bounds, code in ((Bounds(0, 3), "EntityTooLarge"), (Bounds(9, 20), "EntityTooSmall")):
        with pytest.raises(AwsError) as refused:
            await taken([form(b"content")], bounds)
        assert refused.value.code == code
    assert (await taken([form(b"content")], Bounds(7, 7)))[2] == b"content"


def test_a_form_is_recognised_by_its_content_type() -> None:
    assert is_form(request([]))
    assert not is_form(HttpRequest("PUT", "/b", "", {"content-type": "multipart/form-data"}))
    assert not is_form(HttpRequest("POST", "/b", "", {"content-type": "text/plain"}))
