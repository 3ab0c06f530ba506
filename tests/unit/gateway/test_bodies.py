"""Request bodies: authorisation by the head, limits, the thread that parses them, and their memory."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.unit.gateway.conftest import Objects
from tests.unit.gateway.raw_client import dynamodb_head, signed_head
from zonal.foundation.clock import RegionClock
from zonal.foundation.errors import AwsError
from zonal.foundation.settings import Settings
from zonal.gateway import body_budget, body_limits
from zonal.gateway.api import OFF_LOOP_BYTES, Gateway
from zonal.gateway.body_budget import TRIM_BYTES, BodyBudget
from zonal.gateway.connection import INLINE_BODY_BYTES
from zonal.records.store import Store
from zonal.services.invocation import Invoker
from zonal.services.operation import Call
from zonal.services.service import Service, ServiceOptions
from zonal.wire import json_bodies, requests, service_models

MIB = 1024 * 1024
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Endpoint:
    """DynamoDB, RDS and S3 with operations that accept any body, on a port."""

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(**settings)
        self.taken: list[int] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        rds = {"CreateDBInstance": self._take}
        s3 = {"DeleteObjects": self._take, "PutBucketTagging": self._take, "PutObject": Objects().put}
        services = [
            Service("dynamodb", dict.fromkeys(("PutItem", "GetItem", "BatchWriteItem"), self._take), ServiceOptions(documents=True)),
            Service("rds", rds),
            Service("s3", s3, ServiceOptions(streams=frozenset({"PutObject"}), anonymous=True, authorize=self._authorize)),
        ]
        self.gateway = Gateway(self.settings, Invoker(services, Store(":memory:"), RegionClock()))
        self.port = 0

    async def _take(self, call: Call, request: Any) -> dict[str, Any]:
        self.taken.append(len(call.raw.body))
        await self.may_go_on.wait()
        return {}

    def _authorize(self, call: Call, request: Any) -> None:
        if call.access_key is None and call.operation != "PutObject":
            raise AwsError("AccessDenied", "Access Denied", status=403)

    async def send(self, *pieces: bytes) -> bytes:
        """The received bytes until the connection ends or a response is complete."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for piece in pieces:
                writer.write(piece)
            async with asyncio.timeout(60):
                head = await reader.readuntil(b"\r\n\r\n")
                found = re.search(rb"Content-Length: (\d+)", head)
                return head + (await reader.readexactly(int(found[1])) if found else b"")
        finally:
            writer.close()


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[Endpoint]:
    service = Endpoint(**settings)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        service.port = listener.getsockname()[1]
        async with service.gateway.serving([listener], grace_seconds=1):
            yield service


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - there is no event for the condition.
            await asyncio.sleep(0.01)


def status(answer: bytes) -> int:
    return int(answer[9:12])


def unsigned(target: str, length: int, host: str = "localhost") -> bytes:
    return f"POST / HTTP/1.1\r\nHost: {host}\r\n{target}\r\nContent-Length: {length}\r\n\r\n".encode()


DELETE = b"POST /photos?delete HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (unsigned("X-Amz-Target: DynamoDB_20120810.BatchWriteItem", 16 * MIB), b"MissingAuthenticationToken"),
        (unsigned("Content-Type: application/x-www-form-urlencoded", MIB, "rds.us-east-1.amazonaws.com"), b"MissingAuthenticationToken"),
        (DELETE, b"AccessDenied"),
        (dynamodb_head("BatchWriteItem", b"", key=("AKNOBODY", "x"), length=16 * MIB), b"UnrecognizedClientException"),
        (dynamodb_head("BatchWriteItem", b"", length=16 * MIB).replace(b"us-east-1", b"eu-west-9"), b"InvalidSignatureException"),
        (signed_head("s3", "POST", "/photos?delete", b"", length=MIB).replace(b"Signature=", b"Signature=0"), b"SignatureDoesNotMatch"),
        (dynamodb_head("NoSuchThing", b"", length=16 * MIB), b"UnknownOperationException"),
    ],
)
async def test_a_request_that_is_rejected_by_its_head_is_answered_before_its_body_arrives(head: bytes, code: bytes) -> None:
    async with serving() as service:
        answer = await service.send(head)
        assert status(answer) in (400, 403, 404) and code in answer
        assert service.taken == [] and service.gateway.body_budget.used_bytes == 0


async def test_a_body_that_was_not_signed_is_never_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []
    monkeypatch.setattr(requests, "document", lambda raw: parsed.append(len(raw)))
    monkeypatch.setattr(requests, "parse", lambda located, request: parsed.append(len(request.body)))
    other = json.dumps({"a": "x" * 200_000}).encode()
    async with serving() as service:
        for size in (40, INLINE_BODY_BYTES, 100_000):
            head = dynamodb_head("PutItem", b"{}" + b" " * (size - 2))
            assert b"InvalidSignatureException" in await service.send(head, other[:size])
            head = signed_head("rds", "POST", "/", b"Action=CreateDBInstance&".ljust(size, b"a"), FORM)
            assert b"SignatureDoesNotMatch" in await service.send(head, b"Action=CreateDBInstance&".ljust(size, b"b"))
            head = signed_head("s3", "POST", "/photos?delete", b"a" * size)
            assert b"XAmzContentSHA256Mismatch" in await service.send(head, b"b" * size)
            head = f"POST /photos?delete HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n".encode()
            assert b"AccessDenied" in await service.send(head, b"<Delete>".ljust(size))
    assert parsed == []


@pytest.mark.parametrize(
    ("head", "limit"),
    [
        (lambda size: dynamodb_head("GetItem", b"{" + b" " * (size - 2) + b"}"), body_limits.CONTROL_PLANE_BYTES),
        (lambda size: dynamodb_head("PutItem", b"{" + b" " * (size - 2) + b"}"), 4 * MIB),
        (lambda size: dynamodb_head("BatchWriteItem", b"{" + b" " * (size - 2) + b"}"), 16 * MIB),
        (lambda size: signed_head("rds", "POST", "/", b"Action=CreateDBInstance&".ljust(size, b"a"), FORM), MIB),
        (lambda size: signed_head("s3", "PUT", "/photos?tagging", b"<Tagging/>".ljust(size)), MIB),
        (lambda size: signed_head("s3", "POST", "/photos?delete", b"<Delete/>".ljust(size)), 2 * MIB),
    ],
)
async def test_an_operation_accepts_a_body_up_to_its_own_limit(head: Callable[[int], bytes], limit: int) -> None:
    async with serving(body_budget_bytes=64 * MIB) as service:
        too_large = await service.send(head(limit + 1))
        assert status(too_large) in (400, 413)
        assert b"MaxMessageLengthExceeded" in too_large or b"RequestEntityTooLarge" in too_large
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(head(limit))
        await until(lambda: service.gateway.body_budget.used_bytes == 0 and not reader.at_eof())
        writer.close()


async def test_a_chunked_body_is_cut_off_at_its_limit() -> None:
    head = dynamodb_head("GetItem", b"").replace(b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n")
    async with serving() as service:
        answer = await service.send(head, *[b"10000\r\n" + bytes(65536) + b"\r\n"] * 20)
        assert status(answer) == 413
        assert service.gateway.body_budget.used_bytes == 0


def test_the_table_of_limits_names_operations_that_exist() -> None:
    for row in body_limits.TABLE:
        assert service_models.service(row.service).operation(row.operation) is not None, row
        assert body_limits.limit_of(row.service, row.operation) == row.size_bytes
    assert body_limits.limit_of("rds", "CreateDBInstance") == body_limits.CONTROL_PLANE_BYTES


async def test_a_large_document_is_parsed_in_a_thread_and_a_small_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    where: list[bool] = []

    def decode(raw: bytes) -> Any:
        where.append(threading.current_thread() is threading.main_thread())
        return {}

    monkeypatch.setattr(json_bodies, "decode", decode)
    async with serving() as service:
        for size in (100, OFF_LOOP_BYTES + 1):
            body = b"{" + b" " * size + b"}"
            assert status(await service.send(dynamodb_head("PutItem", body), body)) == 200
    assert where == [True, False]


async def test_all_bodies_together_stay_within_the_budget_which_is_free_again_afterwards() -> None:
    body = b"{" + b" " * (MIB - 2) + b"}"
    async with serving(body_budget_bytes=8 * MIB) as service:
        service.may_go_on.clear()
        head = dynamodb_head("PutItem", body)
        first = [asyncio.create_task(service.send(head, body)) for _ in range(3)]
        await until(lambda: len(service.taken) == 3)
        assert service.gateway.body_budget.used_bytes == 3 * MIB
        answers = await asyncio.gather(*(service.send(head, body) for _ in range(8)), return_exceptions=True)
        refused = [each for each in answers if isinstance(each, bytes)]
        assert refused and {status(each) for each in refused} == {503} and b"ThrottlingException" in refused[0]
        tagging = b"<Tagging/>".ljust(MIB)
        slow_down = await asyncio.gather(*(service.send(signed_head("s3", "PUT", "/p?tagging", tagging), tagging) for _ in range(8)))
        assert any(status(each) == 503 and b"<Code>SlowDown</Code>" in each for each in slow_down)
        assert service.gateway.body_budget.used_bytes <= 8 * MIB
        service.may_go_on.set()
        assert [status(each) for each in await asyncio.gather(*first)] == [200] * 3
        await until(lambda: service.gateway.body_budget.used_bytes == 0)
        assert status(await service.send(head, body)) == 200


async def test_stalled_bodies_with_wrong_signatures_do_not_keep_signed_requests_out() -> None:
    stalled_head = dynamodb_head("BatchWriteItem", b"", length=2 * MIB)
    async with serving(body_budget_bytes=8 * MIB, request_timeout_seconds=3600.0) as service:
        budget = service.gateway.body_budget
        writers = []
        for index in range(8):
            _, writer = await asyncio.open_connection("127.0.0.1", service.port)
            writer.write(stalled_head + bytes(2 * MIB - 100))
            writers.append(writer)
            if index < 2:
                await until(lambda: budget.used_bytes >= len(writers) * (2 * MIB - 100))
        for size in (8 * 1024, INLINE_BODY_BYTES, 40_000):
            body = b"{" + b" " * (size - 2) + b"}"
            for _ in range(5):
                assert status(await service.send(dynamodb_head("PutItem", body), body)) == 200
        content = bytes(MIB)
        assert status(await service.send(signed_head("s3", "PUT", "/photos/key", content), content)) == 200
        assert budget.used_bytes <= 4 * MIB
        for writer in writers:
            writer.close()
        await until(lambda: budget.used_bytes == 0)


async def test_stalled_small_bodies_make_room_for_a_signed_small_body() -> None:
    async with serving(body_budget_bytes=MIB, request_timeout_seconds=3600.0) as service:
        budget = service.gateway.body_budget
        writers = []
        for _ in range(MIB // INLINE_BODY_BYTES):
            _, writer = await asyncio.open_connection("127.0.0.1", service.port)
            writer.write(dynamodb_head("PutItem", b"", length=INLINE_BODY_BYTES) + bytes(INLINE_BODY_BYTES - 1))
            writers.append(writer)
        await until(lambda: budget.used_bytes == len(writers) * (INLINE_BODY_BYTES - 1))
        body = b"{" + b" " * 8190 + b"}"
        for _ in range(5):
            assert status(await service.send(dynamodb_head("PutItem", body), body)) == 200
        assert budget.used_bytes >= (len(writers) - 2) * (INLINE_BODY_BYTES - 1), "no more had to go than was needed"
        for writer in writers:
            writer.close()
        await until(lambda: budget.used_bytes == 0)


@pytest.mark.parametrize("size", [INLINE_BODY_BYTES, 2 * MIB])
async def test_a_body_of_which_a_byte_comes_now_and_then_is_refused(size: int) -> None:
    async with serving(request_timeout_seconds=0.5) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(dynamodb_head("PutItem", b"", length=size) + bytes(size - 100_000 if size > 100_000 else 10))
        answered = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
        for _ in range(600):  # Half a minute, of which half a second is needed.
            if answered.done():
                break
            writer.write(b"x")
            await asyncio.sleep(0.05)
        assert answered.done() and status(await answered) == 408
        assert service.gateway.body_budget.used_bytes == 0
        writer.close()


async def test_one_document_may_have_a_fourth_of_the_budget() -> None:
    async with serving(body_budget_bytes=4 * MIB) as service:
        assert status(await service.send(dynamodb_head("BatchWriteItem", b"", length=MIB + 1))) == 413
        body = b"{" + b" " * (MIB - 2) + b"}"
        assert status(await service.send(dynamodb_head("BatchWriteItem", body), body)) == 200


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize(
    "head",
    [
        dynamodb_head("PutItem", b"", length=3 * MIB),
        dynamodb_head("PutItem", b"", length=INLINE_BODY_BYTES),
        b"PUT /photos/key HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n",
    ],
)
async def test_the_unfinished_body_of_a_lost_connection_is_released_at_once(head: bytes, how: str) -> None:
    async with serving(request_timeout_seconds=3600.0) as service:
        budget = service.gateway.body_budget
        writers = []
        for _ in range(5):
            _, writer = await asyncio.open_connection("127.0.0.1", service.port)
            writer.write(head + bytes(INLINE_BODY_BYTES - 1))
            writers.append(writer)
        streams = head.startswith(b"PUT")
        if not streams:
            await until(lambda: budget.used_bytes == 5 * (INLINE_BODY_BYTES - 1))
        for writer in writers:
            writer.close() if how == "close" else writer.transport.abort()
        await until(lambda: budget.used_bytes == 0)


def test_a_budget_rejects_bytes_beyond_its_limit_and_is_trimmed_when_it_is_empty_again() -> None:
    trims: list[int] = []
    budget = BodyBudget(2 * TRIM_BYTES, trim=lambda: trims.append(budget.used_bytes))
    assert not budget.needs_trim
    assert budget.reserve(2 * TRIM_BYTES) and budget.is_tight
    assert not budget.reserve(1) and budget.used_bytes == 2 * TRIM_BYTES
    assert not budget.needs_trim, "it is in use"
    budget.release(2 * TRIM_BYTES)
    assert budget.needs_trim
    budget.trim()
    assert trims == [0] and not budget.needs_trim


async def test_memory_of_large_bodies_is_returned_to_the_system_after_the_response(monkeypatch: pytest.MonkeyPatch) -> None:
    trimmed = threading.Event()
    monkeypatch.setattr(body_budget, "release_free_memory", trimmed.set)
    body = b"{" + b" " * (TRIM_BYTES - 2) + b"}"
    async with serving(request_timeout_seconds=1.0) as service:
        assert status(await service.send(dynamodb_head("BatchWriteItem", body), body)) == 200
        await until(trimmed.is_set)
