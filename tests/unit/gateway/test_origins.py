"""Web pages and foreign host names at the gateway, before and after the signature."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.unit.gateway.conftest import Wire
from tests.unit.gateway.raw_client import dynamodb_head, signed_head
from zonal.foundation.clock import RegionClock
from zonal.foundation.credentials import Credential
from zonal.foundation.settings import Settings
from zonal.gateway.api import Gateway
from zonal.records.store import Store
from zonal.services.invocation import Invoker
from zonal.services.operation import Call, handlers
from zonal.services.service import Service, ServiceOptions
from zonal.services.sts import CallerIdentity

OWN = Credential(access_key="AKOWN", secret_key="own")
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ACTION = b"Action=GetCallerIdentity&Version=2011-06-15"
PAGE = "http://localhost:3000"


async def put(call: Call, request: Any) -> Any:
    return {}


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    settings = Settings(credentials=(OWN,), allowed_origins=(PAGE,))
    store = Store(":memory:")
    services = [Service("sts", handlers(CallerIdentity())), Service("dynamodb", {"PutItem": put}, ServiceOptions(documents=True))]
    gateway = Gateway(settings, Invoker(services, store, RegionClock()))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with gateway.serving([listener], grace_seconds=1):
            yield Wire(listener.getsockname()[1], store, settings)
    store.close()


def sts(headers: dict[str, str], **more: Any) -> bytes:
    return signed_head("sts", "POST", "/", ACTION, FORM | headers | {"Connection": "close"}, **more) + ACTION


def presigned(headers: dict[str, str]) -> bytes:
    """A GET as an image in a page sends it."""
    from botocore.auth import SigV4QueryAuth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    request: Any = AWSRequest("GET", f"http://localhost:4566/?{ACTION.decode()}")
    SigV4QueryAuth(Credentials("test", "test"), "sts", "us-east-1").add_auth(request)
    path = request.url.removeprefix("http://localhost:4566")
    lines = [f"GET {path} HTTP/1.1", "Host: localhost:4566", "Connection: close", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.mark.parametrize(
    "headers",
    [
        *({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Referer": "https://evil.example/page"}),
        *({"Sec-Fetch-Site": value} for value in ("cross-site", "same-site", "unknown")),
    ],
)
async def test_a_request_that_a_foreign_page_signed_with_a_well_known_key_is_rejected(wire: Wire, headers: dict[str, str]) -> None:
    for argv in (sts(headers), presigned(headers)):
        answer = await wire.say(argv)
        assert answer.startswith(b"HTTP/1.1 403 ") and b"<Code>AccessDenied</Code>" in answer and b"allowed_origins" in answer
    large = dynamodb_head("PutItem", b"", headers, length=1_000_000)
    answer = await wire.say(large)
    assert answer.startswith(b"HTTP/1.1 400 ") and b"AccessDeniedException" in answer, "before its body"
    assert (await wire.say(sts(headers, key=("AKOWN", "own")))).startswith(b"HTTP/1.1 200 "), "a key of the user's own"


async def test_a_program_and_a_page_of_the_region_or_of_an_allowed_origin_are_answered(wire: Wire) -> None:
    for headers in (
        {},
        {"Referer": "http://localhost:4566/page"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://localhost:4566", "Sec-Fetch-Site": "same-origin"},
        {"Origin": PAGE},
    ):
        for argv in (sts(headers), presigned(headers)):
            answer = await wire.say(argv)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert (f"Access-Control-Allow-Origin: {PAGE}".encode() in answer) == (headers.get("Origin") == PAGE)


async def test_a_preflight_is_answered_for_an_allowed_origin_only(wire: Wire) -> None:
    ask = "OPTIONS / HTTP/1.1\r\nHost: localhost\r\nOrigin: {}\r\nAccess-Control-Request-Method: POST\r\nConnection: close\r\n\r\n"
    answer = await wire.say(ask.format(PAGE).encode())
    assert answer.startswith(b"HTTP/1.1 200 ") and b"Access-Control-Allow-Methods: POST" in answer
    answer = await wire.say(ask.format("https://evil.example").encode())
    assert not answer.startswith(b"HTTP/1.1 200 ") and b"Access-Control-Allow" not in answer


@pytest.mark.parametrize("host", ["evil.example", "evil.example:4566", "photos.s3.evil.example"])
async def test_a_foreign_host_is_rejected_for_every_operation_and_signature(wire: Wire, host: str) -> None:
    answer = await wire.say(sts({}, host=host))
    assert answer.startswith(b"HTTP/1.1 403 ") and b"allowed_hosts" in answer
    answer = await wire.say(dynamodb_head("PutItem", b"", host=host, length=1_000_000))
    assert answer.startswith(b"HTTP/1.1 40") and b"allowed_hosts" in answer, "before its body"
    answer = await wire.say(f"GET /_zonal/health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 403 ") and b"running" not in answer
