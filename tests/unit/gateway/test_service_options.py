"""The options of a service, and the end of serving."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from tests.unit.gateway.conftest import Wire
from zonal.foundation.clock import RegionClock
from zonal.foundation.credentials import Credential
from zonal.foundation.settings import Settings
from zonal.gateway.api import Gateway
from zonal.records.store import Store
from zonal.services.invocation import Invoker
from zonal.services.operation import Call, Handler
from zonal.services.service import Service, ServiceOptions
from zonal.services.sts import sts
from zonal.wire.http_messages import HttpRequest, HttpResponse


async def echo(call: Call, request: Any) -> Any:
    assert call.raw.signature.access_key == "test"
    return b'{"Item":{"a":{"S":"as it was stored"}}}' if request["Key"] == {"id": {"S": "x"}} else {"Item": request["Key"]}


async def greet(request: HttpRequest) -> HttpResponse | None:
    return HttpResponse(204, [("Access-Control-Allow-Origin", "*")], b"") if request.method == "OPTIONS" else None


def gateway(handler: Handler = echo) -> Gateway:
    services = [Service("dynamodb", {"GetItem": handler}, ServiceOptions(documents=True, intercept=greet))]
    return Gateway(Settings(), Invoker(services, Store(":memory:"), RegionClock()))


async def test_documents_are_passed_to_and_from_a_handler_unchanged() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with gateway().serving([listener]):
            wire = Wire(listener.getsockname()[1], Store(":memory:"), Settings())
            get = wire.client("dynamodb").get_item
            answer = await asyncio.to_thread(get, TableName="t", Key={"id": {"S": "x"}})
            assert answer["Item"] == {"a": {"S": "as it was stored"}}
            answer = await asyncio.to_thread(get, TableName="t", Key={"id": {"B": b"\x00"}})
            assert answer["Item"] == {"id": {"B": b"\x00"}}


async def test_a_service_may_intercept_a_request_before_authentication() -> None:
    request = HttpRequest("OPTIONS", "/", "", {"host": "dynamodb.us-east-1.amazonaws.com"})
    assert (await gateway().answer(request)).status == 204


async def test_a_request_in_progress_is_answered_before_serving_ends() -> None:
    begun = asyncio.Event()

    async def slow(call: Call, request: Any) -> Any:
        begun.set()
        await asyncio.sleep(0.1)
        return b"{}"

    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = Wire(listener.getsockname()[1], Store(":memory:"), Settings())
        async with gateway(slow).serving([listener], grace_seconds=10):
            get = wire.client("dynamodb").get_item
            call = asyncio.create_task(asyncio.to_thread(get, TableName="t", Key={"id": {"S": "x"}}))
            await begun.wait()
        assert (await call)["ResponseMetadata"]["HTTPStatusCode"] == 200
        assert listener.fileno() != -1


async def test_a_request_that_does_not_end_is_cancelled_after_the_grace_period() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        async with gateway().serving([listener], grace_seconds=0.05):
            writer.write(b"POST / HTTP/1.1\r\n")
            await asyncio.sleep(0.05)
        assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize("size", [1, 5_000_000])
async def test_a_slow_reader_receives_all_responses_in_order(wire: Wire, size: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port, limit=1024)
    writer.write(b"GET /_zonal/health HTTP/1.1\r\nHost: localhost\r\n\r\n" * min(size, 3000))
    writer.write(b"GET /_zonal/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    await asyncio.sleep(0.05)
    answers = await reader.read()
    assert answers.count(b"HTTP/1.1 200 OK") == min(size, 3000) + 1
    writer.close()


async def test_a_key_of_another_account_can_use_only_services_that_separate_accounts() -> None:
    other = Credential(access_key="AKOTHER", secret_key="theirs", account="111111111111")
    settings = Settings(credentials=(other,))
    services = [sts(), Service("dynamodb", {"GetItem": echo}), Service("ec2", {"DescribeVpcs": echo})]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with Gateway(settings, Invoker(services, Store(":memory:"), RegionClock())).serving([listener]):
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"

            def client(service: str) -> Any:
                given = {"aws_access_key_id": "AKOTHER", "aws_secret_access_key": "theirs", "region_name": "us-east-1"}
                return botocore.session.get_session().create_client(service, endpoint_url=url, **given)

            identity = await asyncio.to_thread(client("sts").get_caller_identity)
            assert identity["Account"] == "111111111111"
            for service, call, code in (
                ("dynamodb", "get_item", "AccessDeniedException"),
                ("ec2", "describe_vpcs", "UnauthorizedOperation"),
            ):
                parameters = {"TableName": "t", "Key": {"id": {"S": "x"}}} if service == "dynamodb" else {}
                with pytest.raises(ClientError) as refused:
                    await asyncio.to_thread(getattr(client(service), call), **parameters)
                assert refused.value.response["Error"]["Code"] == code
