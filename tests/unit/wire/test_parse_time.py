"""Parsers of untrusted bytes take linear time and bound the size of their results.

Each is given documents of some size and of twice that. A parser that is linear takes about twice as long, a quadratic one four times.
What is measured is the processor time of this thread, the least of several runs, so that a busy machine changes little.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from zonal.foundation.errors import AwsError
from zonal.wire import cbor, json_bodies, requests, xml
from zonal.wire.dispatch import ServiceCatalog
from zonal.wire.http_messages import HttpRequest

SIZE = 160 * 1024  # More than is decoded in one piece.
MOST_GROWTH = 3.5
NEGLIGIBLE_SECONDS = 0.002
SEEDS = range(10)
CATALOGUE = ServiceCatalog(["s3", "ec2", "rds", "dynamodb", "cloudwatch"])
FORM = {"host": "ec2.us-east-1.amazonaws.com", "content-type": "application/x-www-form-urlencoded"}


def least_time(parse: Callable[[bytes], Any], raw: bytes) -> float:
    """Seconds of processor time, with the garbage collector disabled, whose time depends on other objects."""
    found = []
    gc.disable()
    for _ in range(3):
        begin = time.thread_time()
        with suppress(AwsError, xml.NotXml, json_bodies.NotJson, cbor.NotCbor):
            parse(raw)
        found.append(time.thread_time() - begin)
    gc.enable()
    return min(found)


def assert_linear(parse: Callable[[bytes], Any], make: Callable[[int], bytes]) -> None:
    """A document of twice the size takes less than `MOST_GROWTH` times as long; a failure is measured again."""
    small, large = make(SIZE), make(2 * SIZE)
    for _ in range(4):
        once, twice = least_time(parse, small), least_time(parse, large)
        if twice <= MOST_GROWTH * once + NEGLIGIBLE_SECONDS:
            return
    pytest.fail(f"{len(small)} bytes took {once:.4f} s and {len(large)} bytes {twice:.4f} s: {small[:200]!r}…")


def repeated(fragments: list[bytes], before: bytes, after: bytes, joint: bytes = b"") -> Callable[[int], bytes]:
    """Documents of any size out of the same fragments."""
    unit = joint.join(fragments) + joint
    return lambda size: before + (unit * (size // len(unit) + 1))[: size // len(unit) * len(unit)].removesuffix(joint or b"\0") + after


def drawn(seed: int, alphabet: list[bytes], before: bytes, after: bytes, joint: bytes = b"") -> Callable[[int], bytes]:
    source = random.Random(seed)
    return repeated([source.choice(alphabet) for _ in range(source.randint(1, 6))], before, after, joint)


XML = [
    *(b"x", b"text " * 20, b"<a/>", b"<a>1</a>", b"<b><c/>t</b>", b"&amp;", b"&#x41;", b"<!-- c -->", b"<![CDATA[ d ]]>", b"\n"),
    *(b"<?p i?>", b'<a k="v" l="w"/>', b"<n:a xmlns:n='u'/>", b"<Tag><Key>k</Key><Value>v</Value></Tag>", "ä".encode() * 30),
    *(b"<", b"]]>"),
]


@pytest.mark.parametrize("seed", SEEDS)
def test_xml_of_any_mixture_is_read_in_linear_time(seed: int) -> None:
    assert_linear(xml.tree, drawn(seed, XML[:-2] if seed % 4 else XML, b"<r>", b"</r>"))


@pytest.mark.parametrize(
    "make",
    [
        lambda size: repeated([b"x" * 60 + b"<a/>"], b"<r>", b"</r>")(16 * size),
        lambda size: repeated([b"\n  <a>1</a>"], b"<r>", b"</r>")(8 * size),
        repeated([b"x"], b'<r a="', b'"/>'),
        repeated([b"x"], b"<r>", b"</r>"),
        repeated([b"x"], b"<r", b"/>"),
        repeated([b"<"], b"", b""),
        repeated([b"<a>"], b"", b""),
        repeated([b"&#65;"], b"<r>", b"</r>"),
        repeated([b"-"], b"<r><!--", b"--></r>"),
        lambda size: b"<r " + b" ".join(b'a%d=""' % number for number in range(size // 10)) + b"/>",
    ],
)
def test_xml_with_much_of_one_thing_is_read_in_linear_time(make: Callable[[int], bytes]) -> None:
    assert_linear(xml.tree, make)


JSON = [
    *(b'"text"', b"1", b"-1.5e3", b"true", b"null", b"[]", b"{}", b'{"S":"x"}', b'{"L":[{"N":"1"},{"M":{}}]}', b"[[[1]]]"),
    *(b'"\\u00e4\\"\\\\"', b'"' + b"y" * 200 + b'"', b"12345678901234567890123", b'"[{,"', b"nope"),
]


@pytest.mark.parametrize("seed", SEEDS)
def test_json_of_any_mixture_is_read_in_linear_time(seed: int) -> None:
    assert_linear(json_bodies.decode, drawn(seed, JSON[:-1] if seed % 4 else JSON, b"[", b"]", b","))


@pytest.mark.parametrize(
    "make",
    [
        *(repeated([b"["], b"", b""), repeated([b'{"a":'], b"", b""), repeated([b"9"], b"", b""), repeated([b"9"], b"0.", b"")),
        *(repeated([b"\\"], b'"', b'"'), repeated([b'"'], b"", b""), repeated([b"x"], b'"', b""), repeated([b"[],"], b"[", b"0]")),
        lambda size: b"{" + b",".join(b'"k%d":1' % number for number in range(size // 10)) + b"}",
        lambda size: b"[" * 150 + b"0," * (size // 2) + b"0" + b"]" * 150,
    ],
)
def test_json_with_much_of_one_thing_is_read_in_linear_time(make: Callable[[int], bytes]) -> None:
    assert_linear(json_bodies.decode, make)


CBOR = [
    *(b"\x01", b"\x20", b"\x1a\x00\x01\x02\x03", b"\x63abc", b"\x43abc", b"\x80", b"\xa0", b"\x82\x01\x02", b"\xa1\x61a\x01"),
    *(b"\xf5", b"\xf6", b"\xfb\x3f\xf0\x00\x00\x00\x00\x00\x00", b"\x7f\x61a\x61b\xff", b"\x9f\x01\xff", b"\xbf\x61a\x01\xff"),
    *(b"\xc1\x01", b"\xff", b"\x1c"),
]


@pytest.mark.parametrize("seed", SEEDS)
def test_cbor_of_any_mixture_is_read_in_linear_time(seed: int) -> None:
    assert_linear(cbor.decode, drawn(seed, CBOR[:-2] if seed % 4 else CBOR, b"\x9f", b"\xff"))


@pytest.mark.parametrize(
    "make",
    [
        *(
            repeated([b"\x9f"], b"", b""),
            repeated([b"\x81"], b"", b""),
            repeated([b"\x61a"], b"\x7f", b"\xff"),
            repeated([b"\x40"], b"\x5f", b"\xff"),
        ),
        lambda size: b"\xbf" + b"".join(b"\x67%07d\x01" % number for number in range(size // 9)) + b"\xff",
        lambda size: b"\xbf" + b"".join(b"\x1b" + (number << 40).to_bytes(8, "big") + b"\x01" for number in range(size // 10)) + b"\xff",
    ],
)
def test_cbor_with_much_of_one_thing_is_read_in_linear_time(make: Callable[[int], bytes]) -> None:
    assert_linear(cbor.decode, make)


def read_form(raw: bytes) -> Any:
    request = HttpRequest("POST", "/", "", FORM, raw)
    return requests.parse(CATALOGUE.locate(request, CATALOGUE.recognise(request)), request)


PAIRS = [
    *(b"Filter.%d.Name=x", b"Filter.%d.Value.1=y", b"InstanceId.%d=i-1", b"a%d", b"%%41%d=%%42", b"a.b.c.d.%d=1", b"+%d=+", b"=%d", b"&%d"),
]


def form(pairs: list[bytes]) -> Callable[[int], bytes]:
    unit = sum(map(len, pairs)) + 4 * len(pairs)
    return lambda size: (
        b"Action=DescribeInstances&Version=2016-11-15&"
        + b"&".join(pair % number for number in range(min(size // unit, 9_000)) for pair in pairs)
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_forms_of_any_mixture_are_read_in_linear_time(seed: int) -> None:
    source = random.Random(seed)
    assert_linear(read_form, form([source.choice(PAIRS) for _ in range(source.randint(1, 4))]))


@pytest.mark.parametrize(
    "make",
    [
        lambda size: b"&".join(b"a%d=1" % number for number in range(size // 24)) + b"&z=1&z=1",  # The repeated name comes last.
        *(repeated([b"&"], b"", b""), repeated([b"a."], b"", b"=1"), repeated([b"%"], b"a=", b""), repeated([b"%41"], b"", b"=1")),
        *(repeated([b"="], b"a", b""), repeated([b"a=1&"], b"", b"")),
    ],
)
def test_forms_with_much_of_one_thing_are_read_in_linear_time(make: Callable[[int], bytes]) -> None:
    assert_linear(read_form, make)


def reader_of(method: str, path: str, query: str, headers: dict[str, str]) -> Callable[[bytes], Any]:
    def parse(raw: bytes) -> Any:
        request = HttpRequest(method, path, query, {"host": "localhost"} | headers, raw)
        return requests.parse(CATALOGUE.locate(request, CATALOGUE.recognise(request)), request)

    return parse


CLOUDWATCH = {"smithy-protocol": "rpc-v2-cbor", "host": "monitoring.us-east-1.amazonaws.com"}
METRIC = cbor.encode({"MetricName": "m", "Value": 1.5, "Dimensions": [{"Name": "n", "Value": "v"}]})


@pytest.mark.parametrize(
    ("parse", "make"),
    [
        (
            reader_of("PUT", "/b", "tagging", {}),
            lambda size: (
                b"<Tagging><TagSet>"
                + b"".join(b"<Tag><Key>%d</Key><Value>v</Value></Tag>" % number for number in range(size // 45))
                + b"</TagSet></Tagging>"
            ),
        ),
        (reader_of("POST", "/b", "delete", {}), repeated([b"<Object><Key>k</Key></Object>"], b"<Delete>", b"</Delete>")),
        (
            reader_of("POST", "/b/k", "uploadId=u", {}),
            repeated(
                [b"<Part><PartNumber>1</PartNumber><ETag>e</ETag></Part>"], b"<CompleteMultipartUpload>", b"</CompleteMultipartUpload>"
            ),
        ),
        (
            reader_of("POST", "/", "", {"x-amz-target": "DynamoDB_20120810.BatchWriteItem"}),
            repeated([b'{"PutRequest":{"Item":{"a":{"S":"b"}}}}'], b'{"RequestItems":{"t":[', b"]}}", b","),
        ),
        (
            reader_of("POST", "/service/GraniteServiceVersion20100801/operation/PutMetricData", "", CLOUDWATCH),
            repeated([METRIC], b"\xa2\x69Namespace\x61n\x6aMetricData\x9f", b"\xff"),
        ),
        (
            reader_of("POST", "/", "", FORM | {"host": "rds.us-east-1.amazonaws.com"}),
            lambda size: (
                b"Action=AddTagsToResource&Version=2014-10-31&ResourceName=r&"
                + b"&".join(b"Tags.Tag.%d.Key=k&Tags.Tag.%d.Value=v" % (number, number) for number in range(min(size // 48, 9_000)))
            ),
        ),
    ],
)
def test_whole_requests_are_read_in_linear_time(parse: Callable[[bytes], Any], make: Callable[[int], bytes]) -> None:
    assert_linear(parse, make)


@pytest.mark.parametrize(
    "authorization",
    [
        lambda size: "Credential=" * (size // 11),
        lambda size: "AWS4-HMAC-SHA256 " + "Credential=a/20260101/" * (size // 22),
        lambda size: "AWS4-HMAC-SHA256 Credential=" + "/" * size,
    ],
)
def test_a_head_is_recognised_in_linear_time(authorization: Callable[[int], str]) -> None:
    def recognise(raw: bytes) -> Any:
        return CATALOGUE.recognise(HttpRequest("GET", "/", "", {"host": "localhost", "authorization": raw.decode()}))

    assert_linear(recognise, lambda size: authorization(size // 4).encode())


def test_the_size_of_a_decoded_document_is_bounded() -> None:
    for raw in (
        b"<r>" + b"<a/>" * xml.NODE_LIMIT + b"</r>",
        b"<a>" * 65 + b"</a>" * 65,
        b"<r " + b" ".join(b'a%d=""' % number for number in range(xml.ATTRIBUTE_LIMIT + 1)) + b"/>",
    ):
        with pytest.raises(xml.NotXml):
            xml.tree(raw)
    for raw in (
        b"[" + b"[]," * json_bodies.VALUE_LIMIT + b"0]",
        b"[" * (json_bodies.DEPTH_LIMIT + 1) + b"]" * (json_bodies.DEPTH_LIMIT + 1),
        b'{"a":' * (json_bodies.DEPTH_LIMIT + 1) + b"0" + b"}" * (json_bodies.DEPTH_LIMIT + 1),
    ):
        with pytest.raises(json_bodies.NotJson):
            json_bodies.decode(raw)
    for raw in (b"\x9f" + b"\x01" * cbor.ITEM_LIMIT + b"\xff", b"\x81" * 97 + b"\x01", b"\xa1\x01\x01", b"\xa1\x80\x01"):
        with pytest.raises(cbor.NotCbor):
            cbor.decode(raw)


def test_brackets_and_commas_in_texts_are_not_counted() -> None:
    text = "[" * 1000 + '\\"' + "," * json_bodies.VALUE_LIMIT + "{" * 1000
    raw = b'{"a":"' + text.replace("\\", "\\\\").replace('"', '\\"').encode() + b'"}'
    assert json_bodies.decode(raw) == {"a": text}


@pytest.mark.parametrize("seed", range(40))
def test_a_document_decoded_in_pieces_equals_the_document_decoded_at_once(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    source = random.Random(seed)

    def value(depth: int) -> Any:
        if depth == 0 or source.random() < 0.2:
            return source.choice([None, True, 1, -2.5, "", 'ä"\\[{,', "x" * source.randint(0, 60)])
        if source.random() < 0.5:
            return [value(depth - 1) for _ in range(source.randint(0, 4))]
        return {f"k{number}": value(depth - 1) for number in range(source.randint(0, 4))}

    found = value(source.randint(0, 9))
    monkeypatch.setattr(json_bodies, "PIECE_BYTES", source.choice([1, 10, 50]))
    raw = msgspec.json.encode(found)
    assert json_bodies.decode(b" \n" * source.randint(0, 5) + raw + b" ") == found
    with pytest.raises(json_bodies.NotJson):
        json_bodies.decode(raw + source.choice([b"]", b"x", b"1 1"]) if raw else b"")
