"""A gateway with a few small services on a free port, and clients for it."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator
from typing import Any, ClassVar, NamedTuple

import botocore.session
import pytest
from botocore.config import Config

from zonal.foundation.clock import RegionClock
from zonal.foundation.errors import AwsError, ZonalError
from zonal.foundation.settings import Settings
from zonal.gateway.api import Gateway
from zonal.records.store import Record, Store, StoreUnavailable
from zonal.services.invocation import Invoker
from zonal.services.operation import Call, ControlCall, handlers, operation
from zonal.services.service import Service, ServiceOptions
from zonal.services.sts import CallerIdentity
from zonal.wire.http_messages import StreamBody


class Lamp(Record):
    kind: ClassVar[str] = "lamp"


class Networks:
    """EC2 handlers that succeed or fail as the tests require."""

    @operation("CreateVpc")
    def create(self, call: ControlCall, request: Any) -> Any:
        call.transaction.put(Lamp(id=request["CidrBlock"]))
        if request["CidrBlock"] == "late":
            raise AwsError("VpcLimitExceeded", "The maximum number of VPCs has been reached.")
        return {"Vpc": {"CidrBlock": request["CidrBlock"], "VpcId": "vpc-1", "IsDefault": False}}

    @operation("DeleteVpc")
    def delete(self, call: ControlCall, request: Any) -> Any:
        raise {"broken": RuntimeError("a secret detail"), "ours": ZonalError("a secret reason"), "disk": StoreUnavailable("disk full")}[
            request["VpcId"]
        ]

    @operation("DescribeVpcs")
    def describe(self, call: ControlCall, request: Any) -> Any:
        return {"Vpcs": [{"NoSuchMember": 1}]}


class Items:
    """A data-plane handler."""

    @operation("GetItem")
    async def get(self, call: Call, request: Any) -> Any:
        assert not isinstance(call, ControlCall)
        await asyncio.sleep(float(request["Key"].get("wait", {"N": "0"})["N"]))
        return {"Item": request["Key"]}


class Objects:
    """Handlers that stream requests and responses."""

    @operation("PutObject")
    async def put(self, call: Call, request: Any) -> Any:
        digest = hashlib.sha256()
        async for piece in call.raw.pieces():
            digest.update(piece)
        return {"ETag": digest.hexdigest()}

    @operation("GetObject")
    async def get(self, call: Call, request: Any) -> Any:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(64):
                yield b"x" * 65536

        size = 64 * 65536 if request["Key"] == "known" else None
        return {"Body": StreamBody(pieces(), size), "ContentType": "text/plain"}


class Wire(NamedTuple):
    """A running gateway and its port."""

    port: int
    store: Store
    settings: Settings

    def client(self, service: str, **options: Any) -> Any:
        return botocore.session.Session().create_client(
            service,
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, **options),
        )

    async def say(self, data: bytes, *, whole: bool = True) -> bytes:
        """Send bytes, and return everything received until the connection ends (or, without `whole`, the first piece)."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            async with asyncio.timeout(120):
                return await (reader.read() if whole else reader.read(65536))
        except ConnectionError:
            return b""
        finally:
            writer.close()


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    settings = Settings(body_limit_bytes=64 * 1024, request_timeout_seconds=0.4)
    store = Store(":memory:")
    services = [
        Service("sts", handlers(CallerIdentity())),
        Service("ec2", handlers(Networks())),
        Service("dynamodb", handlers(Items())),
        Service("s3", handlers(Objects()), ServiceOptions(frozenset({"PutObject"}), anonymous=True)),
        Service("rds", {}),
    ]
    gateway = Gateway(settings, Invoker(services, store, RegionClock()))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with gateway.serving([listener], grace_seconds=1):
            yield Wire(listener.getsockname()[1], store, settings)
    store.close()
