"""HTTP/1.1 over a raw socket: order, limits, and invalid requests."""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
import socket
import tracemalloc
from collections.abc import Callable

import pytest
import uvloop

from tests.unit.gateway.conftest import Wire
from tests.unit.gateway.raw_client import dynamodb_head
from zonal.foundation.settings import Settings
from zonal.gateway.body_budget import BodyBudget
from zonal.gateway.connection import FRAMING_LIMIT_BYTES, INLINE_BODY_BYTES, TURN_PIECES, HttpConnection, HttpConnections
from zonal.wire.http_messages import HttpRequest, HttpResponse

HEALTH = b"GET /_zonal/health HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /_zonal/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


CHUNKED = dynamodb_head("GetItem", b"").replace(b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n")
PUT_CHUNKED = b"PUT /b/k HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


async def test_pipelined_requests_are_answered_in_their_order(wire: Wire) -> None:
    answer = await wire.say(HEALTH * 50 + b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n" + LAST)
    assert statuses(answer) == [200] * 50 + [405, 200]


@pytest.mark.parametrize("seed", range(8))
async def test_streamed_bodies_and_following_requests_are_separated_wherever_the_pieces_end(wire: Wire, seed: int) -> None:
    source = random.Random(seed)
    bodies = [source.randbytes(source.choice([INLINE_BODY_BYTES, INLINE_BODY_BYTES + 1, 70_000, 300_000])) for _ in range(4)]
    data = b""
    for body in bodies:
        data += b"PUT /b/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        data += HEALTH * source.randrange(3)
    data += b"PUT /b/k HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n8000\r\n" + bytes(0x8000) + b"\r\n0\r\n\r\n" + LAST
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    answered = asyncio.create_task(reader.read())
    while data:
        piece = source.choice([1, 100, INLINE_BODY_BYTES, 100_000])
        writer.write(data[:piece])
        data = data[piece:]
        await writer.drain()
        await asyncio.sleep(0)
    answer = await answered
    writer.close()
    assert set(statuses(answer)) == {200}
    expected = [*bodies, bytes(0x8000)]
    assert re.findall(rb"ETag: (\w+)", answer) == [hashlib.sha256(body).hexdigest().encode() for body in expected]


async def test_a_chunked_body_is_reassembled(wire: Wire) -> None:
    body = b"1a\r\nAction=GetCallerIdentity&V\r\n12\r\nersion=2011-06-15\x00\r\n0\r\n\r\n".replace(b"\x00", b"&")
    answer = await wire.say(
        b"POST / HTTP/1.1\r\nHost: sts.us-east-1.amazonaws.com\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + body
    )
    assert statuses(answer) == [403]
    assert b"<Code>MissingAuthenticationToken</Code>" in answer


async def test_a_client_that_expects_100_continue_receives_it(wire: Wire) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    writer.write(b"PUT /b/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"{}")
    assert statuses(await reader.read()) == [200]
    writer.close()


@pytest.mark.parametrize("more", [b"", b"X-Amz-Target: DynamoDB_20120810.PutItem\r\n"])
async def test_a_client_that_expects_100_continue_is_rejected_without_its_body(wire: Wire, more: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\n%bContent-Length: 2\r\nExpect: 100-continue\r\n\r\n" % more
    assert statuses(await wire.say(head)) == [400 if more else 405]


async def test_a_head_request_has_no_body(wire: Wire) -> None:
    answer = await wire.say(b"HEAD /_zonal/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == b""
    assert re.search(rb"Content-Length: [1-9]", head)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"PUT /b/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"y" * 70_000, 431),
        (dynamodb_head("GetItem", b"", length=65537), 413),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400),
        (CHUNKED + b"20000\r\n" + b"x" * 131072, 413),
        (dynamodb_head("GetItem", b"", {"Expect": "100-continue"}, length=65537), 413),
        (b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nshort", 400),
        (b"POST / HTTP/1.1\r\nX-Amz-Target: T.O\r\nContent-Length: 10\r\n\r\nshort", 408),
        (b"POST / HTTP/1.1\r\nConte", 400),
    ],
)
async def test_input_that_is_invalid_too_large_or_too_slow_is_rejected_and_ends_the_connection(
    wire: Wire, data: bytes, status: int
) -> None:
    assert statuses(await wire.say(data)) == [status]


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        ("Authorization: AWS KEY:signature", "application/xml"),
        ("Authorization: AWS4-HMAC-SHA256 Credential=KEY/20260101/us-east-1/s3/aws4_request, …", "application/xml"),
        ("Authorization: AWS4-HMAC-SHA256 Credential=KEY/20260101/us-east-1/rds/aws4_request, …", "application/x-amz-json-1.0"),
        ("X-Amz-Target: DynamoDB_20120810.PutItem", "application/x-amz-json-1.0"),
    ],
)
async def test_a_request_that_arrives_too_slowly_is_rejected_in_its_services_format(wire: Wire, head: str, kind: str) -> None:
    answer = await wire.say(f"PUT /b/k HTTP/1.1\r\n{head}\r\nContent-Length: 9\r\n\r\nx".encode())
    assert f"Content-Type: {kind}\r\n".encode() in answer and b"RequestTimeout" in answer


async def test_a_client_that_sends_its_head_too_slowly_is_disconnected(wire: Wire) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    writer.write(b"GET / HTTP/1.1\r\n")
    async with asyncio.timeout(120):
        with pytest.raises(ConnectionError):
            while not reader.at_eof():
                writer.write(b"X: y\r\n")
                await writer.drain()
                await asyncio.sleep(0.05)
            raise ConnectionResetError
    writer.close()


async def test_a_client_that_disconnects_within_a_request_affects_no_other(wire: Wire) -> None:
    for data in (b"POST /", b"PUT /b/k HTTP/1.1\r\nHost: photos.s3.amazonaws.com\r\nContent-Length: 9\r\n\r\nx", HEALTH * 20):
        _, writer = await asyncio.open_connection("127.0.0.1", wire.port)
        writer.write(data)
        writer.transport.abort()
    assert statuses(await wire.say(LAST)) == [200]


async def test_random_input_never_shows_a_traceback_nor_ends_the_gateway(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    source = random.Random(20261123)
    kinds = (b"application/x-www-form-urlencoded", b"application/x-amz-json-1.0", b"application/cbor", b"text/xml", b"")
    hosts = (b"ec2.localhost.x", b"s3.localhost.x", b"dynamodb.us-east-1.amazonaws.com", b"photos.localhost", b"")
    alphabet = b'&=.%123abcAction{}[]":,<>/!&\x00\xff\xa1\xbf\x1b\r\n'
    for number in range(150):
        body = bytes(source.choices(alphabet, k=source.randint(0, 80)))
        path = bytes(source.choices(b"abc/%.2?&=+;", k=source.randint(0, 20)))
        head = b"%s /%s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\n" % (
            source.choice((b"GET", b"PUT", b"POST", b"DELETE", b"OPTIONS")),
            path,
            source.choice(hosts),
            source.choice(kinds),
        )
        if number % 3 == 0:
            head += b"X-Amz-Target: DynamoDB_20120810.GetItem\r\n"
        if number % 5 == 0:
            head += b"Authorization: AWS4-HMAC-SHA256 %s\r\n" % bytes(source.choices(b"Credential=/,SignedHeaders 0123", k=40))
        answer = await wire.say(head + b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        assert statuses(answer), head
        assert b"Traceback" not in answer
        assert statuses(answer)[0] not in (500, 502), head + body
    assert "Traceback" not in caplog.text
    assert statuses(await wire.say(LAST)) == [200]


async def test_too_many_connections_close_the_one_that_is_idle_longest() -> None:
    async def answer(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, [], b"{}")

    shared = HttpConnections(Settings(), answer, BodyBudget(1 << 20))
    shared.most = 4
    server = await asyncio.get_running_loop().create_server(lambda: HttpConnection(shared), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
    for reader, writer in streams:
        writer.write(HEALTH)
        assert statuses(await reader.readuntil(b"}")) == [200]
    busy, idle = streams[:2]
    busy[1].write(b"GET / HTTP/1.1\r\n")  # It has begun a request.
    await asyncio.sleep(0.05)
    late = await asyncio.open_connection("127.0.0.1", port)
    late[1].write(HEALTH)
    assert statuses(await late[0].readuntil(b"}")) == [200]
    assert await idle[0].read() == b""
    busy[1].write(b"Host: localhost\r\nConnection: close\r\n\r\n")
    assert statuses(await busy[0].read()) == [200]
    for _, writer in (*streams, late):
        writer.close()
    server.close()
    await shared.close(0)


LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])


@LOOPS
def test_clients_that_pipeline_and_read_nothing_delay_another_client_by_a_few_responses_each(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    answered = 0

    async def answer(request: HttpRequest) -> HttpResponse:
        nonlocal answered
        answered += 1
        return HttpResponse(200, [], b"{}")

    async def scene() -> None:
        shared = HttpConnections(Settings(), answer, BodyBudget(1 << 30))
        server = await asyncio.get_running_loop().create_server(lambda: HttpConnection(shared), "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        crowd = [socket.create_connection(address) for _ in range(100)]
        for each in crowd:
            each.setblocking(False)
            each.send(HEALTH * 10_000)
        while answered < 1000:  # noqa: ASYNC110 - the clients are many, the event would be one.
            await asyncio.sleep(0)
        reader, writer = await asyncio.open_connection(*address)
        before = answered
        writer.write(HEALTH)
        assert statuses(await reader.readuntil(b"}")) == [200]
        assert answered - before < 100 * len(crowd)  # Of ten thousand each.
        assert shared.budget.used_bytes > 0, "the rest waits"
        for each in (*crowd, writer):
            each.close()
        server.close()
        await shared.close(0)
        await asyncio.sleep(0.05)
        assert shared.budget.used_bytes == 0

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scene())


async def test_a_client_that_closes_its_side_is_answered_and_the_connection_closed() -> None:
    async def answer(request: HttpRequest) -> HttpResponse:
        await asyncio.sleep(0.05)
        return HttpResponse(200, [], b"{}")

    shared = HttpConnections(Settings(), answer, BodyBudget(1 << 20))
    server = await asyncio.get_running_loop().create_server(lambda: HttpConnection(shared), "127.0.0.1", 0)
    for data, expected in ((HEALTH * 3, 3), (HEALTH + b"GET / HTTP/1.1\r\n", 1), (b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nx", 0)):
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(data)
        writer.write_eof()
        assert statuses(await reader.read()) == [200] * expected
        writer.close()
    server.close()
    await shared.close(0)


class _Transport(asyncio.Transport):
    """Records what a connection does with its transport."""

    def __init__(self) -> None:
        super().__init__()
        self.is_reading = True
        self.written = b""

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return False

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.is_reading = False

    def abort(self) -> None:
        self.is_reading = False


class _CountedConnection(HttpConnection):
    """Counts the pieces of bodies."""

    count = 0

    def on_body(self, piece: bytes) -> None:
        self.count += 1
        super().on_body(piece)


@pytest.mark.parametrize("unit", [b"1\r\na\r\n", b"2\r\naa\r\n", b"1;" + b"x" * 20 + b"\r\na\r\n"])
async def test_a_chunked_body_takes_a_bounded_share_of_each_turn_of_the_event_loop(unit: bytes) -> None:
    bodies: list[bytes] = []

    async def answer(request: HttpRequest) -> HttpResponse:
        bodies.append(b"".join([piece async for piece in request.pieces()]))
        return HttpResponse(200, [], b"")

    budget = BodyBudget(1 << 24)
    connection, transport = _CountedConnection(HttpConnections(Settings(), answer, budget)), _Transport()
    connection.connection_made(transport)
    connection.data_received(CHUNKED + unit * 10_000)
    assert connection.count < 2 * TURN_PIECES and not transport.is_reading
    while not transport.is_reading:
        before = connection.count
        await asyncio.sleep(0)
        assert connection.count - before < 2 * TURN_PIECES
    assert connection.count >= 10_000, "a chunk may be parsed in two pieces"
    connection.data_received(b"0\r\n\r\n")
    while not transport.written:  # noqa: ASYNC110 - the transport has no event.
        await asyncio.sleep(0)
    assert statuses(transport.written) == [200]
    assert len(bodies[0]) == 10_000 * unit.count(b"a") and budget.used_bytes == 0
    connection.connection_lost(None)


@pytest.mark.parametrize(
    ("start", "unit"),
    [(b"", b"1\r\na\r\n"), (b"", b"1;" + b"x" * 1000 + b"\r\na\r\n"), (b"0\r\n", b"a: b\r\n"), (b"0\r\na: ", b"zzzz"), (b"1;a=", b"zzzz")],
)
@pytest.mark.parametrize("head", [CHUNKED, PUT_CHUNKED], ids=["document", "stream"])
async def test_a_chunked_body_of_almost_nothing_but_framing_is_refused(wire: Wire, head: bytes, start: bytes, unit: bytes) -> None:
    answer = await wire.say(head + start + unit * (2 * FRAMING_LIMIT_BYTES // len(unit)))
    if head == CHUNKED and unit == b"1\r\na\r\n":
        assert statuses(answer) == [413], "its payload exceeds the limit before"
    else:
        assert statuses(answer) == [400] and b"chunks of the body are too small" in answer


async def test_trailers_of_a_chunked_body_are_not_kept(wire: Wire) -> None:
    answer = await wire.say(PUT_CHUNKED + b"1\r\na\r\n0\r\n" + b"a: b\r\n" * 30_000 + b"\r\n" + LAST)
    assert statuses(answer) == [200, 200]


async def test_a_document_in_tiny_chunks_takes_no_more_memory_than_in_one_piece(wire: Wire) -> None:
    size = 60_000
    tracemalloc.start()
    try:
        answer = await wire.say(CHUNKED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + b"1\r\na\r\n" * size + b"0\r\n\r\n")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert b"InvalidSignatureException" in answer
    assert peak < 20 * size, "a list of its pieces takes 41 bytes for each"


async def test_a_client_that_sends_without_end_after_a_rejected_request_is_disconnected(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zonal.gateway.connection.LINGER_BYTES", 1024 * 1024)
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    writer.write(b"this is not HTTP\r\n\r\n")
    sent = 0
    async with asyncio.timeout(120):
        with pytest.raises(ConnectionError):
            while True:
                writer.write(bytes(65536))
                await writer.drain()
                sent += 65536
                assert sent < 64 * 1024 * 1024
    assert reader is not None
    writer.close()
