"""A region with only S3, in a thread, for tests with ordinary clients."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from zonal.foundation.clock import RegionClock
from zonal.foundation.settings import Settings
from zonal.gateway.api import Gateway
from zonal.records.store import Store
from zonal.services.invocation import Invoker
from zonal.services.s3.service import open_s3


class Endpoint:
    """Serves from its construction to `close`."""

    def __init__(self, directory: Path, *, clock_speed: float = 1.0, settings: Settings | None = None) -> None:
        self._directory = directory
        self._settings = settings or Settings()
        self._speed = clock_speed
        self._socket = listening()
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._ready.wait(120)

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        async with serving(self._directory, self._socket, clock_speed=self._speed, settings=self._settings):
            self._ready.set()
            await self._ended.wait()

    def client(self, style: str = "path", **more: Any) -> Any:
        """A boto3 client for this endpoint; `more` is as for `client` below."""
        return client(self.port, style, **more)

    def close(self) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        self._socket.close()


def listening(port: int = 0) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


@asynccontextmanager
async def serving(
    directory: Path, listener: socket.socket, *, clock_speed: float = 1.0, settings: Settings | None = None
) -> AsyncIterator[None]:
    """S3 behind the gateway, with the data in `directory`."""
    settings, clock = settings or Settings(), RegionClock(clock_speed)
    store = Store(directory / "region.db", clock=clock)
    s3 = open_s3(directory / "s3", clock, settings)
    gateway = Gateway(settings, Invoker([s3.service], store, clock))
    async with s3.running(), gateway.serving([listener]):
        yield
    store.close()


def client(port: int, style: str = "path", *, key: tuple[str, str] = ("test", "test"), **more: Any) -> Any:
    """A boto3 client for a local port; `key` is its access key and secret, `more` are options of its `Config`."""
    host = "localhost" if style == "virtual" else "127.0.0.1"
    given: dict[str, Any] = {"retries": {"max_attempts": 1}, **more}
    return boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name="us-east-1",
        aws_access_key_id=key[0],
        aws_secret_access_key=key[1],
        config=Config(s3={"addressing_style": style}, **given),
    )


def resolve_localhost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolve every name below `localhost` to this machine, which not every resolver does."""

    resolve = socket.getaddrinfo
    local = "127.0.0.1"
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *more, **named: resolve(local if "localhost" in host else host, *more, **named))


def raw(endpoint: Endpoint, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """An unsigned request, as a browser sends it."""
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=120)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return found


def open_to_all(client: Any, bucket: str) -> None:
    client.delete_public_access_block(Bucket=bucket)
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
