"""DynamoDB over HTTP: zonal beside a skeleton that does nothing but what cannot be left out.

The skeleton is the same event loop that parses HTTP and JSON, verifies the signature, and does one put or get in the same store, with
the same durability. Both are driven by another process over keep-alive connections, with signed requests made beforehand. Throttling is off
(it would answer instead of DynamoDB from 4,000 writes a second on). UpdateItem is compared with the skeleton's put.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import multiprocessing
import random
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httptools
import msgspec
import uvloop

from benchmarks.measuring import arguments, machine, tell
from zonal.control.reconciler import Driver
from zonal.dynamo.storage.lmdb_storage import LmdbStorage
from zonal.foundation.clock import RegionClock
from zonal.foundation.settings import Settings
from zonal.gateway.api import Frontend, Gateway
from zonal.records.store import Store
from zonal.services.dynamodb.service import open_dynamodb
from zonal.wire.messages import Request
from zonal.wire.models import Catalogue
from zonal.wire.signing import Verifier

TABLE = "bench"
KEYS = 2000
ITEM = {"n": {"N": "12.5"}, "text": {"S": "x" * 80}, "flag": {"BOOL": True}}


def main() -> None:
    parser = arguments(__doc__ or "", runs=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="How long each operation is driven in a run.")
    parser.add_argument("--connections", type=int, default=16)
    given = parser.parse_args()
    figures: dict[str, list[float]] = {}
    for _ in range(given.runs):
        with ExitStack() as stack:
            for durability in ("durable", "relaxed"):
                ports = {name: stack.enter_context(served(serve, durability)) for name, serve in (("zonal", zonal), ("skeleton", skeleton))}
                drive(ports["zonal"], "CreateTable", [create()], 1, 0.0)
                time.sleep(0.5)
                for operation in ("PutItem", "GetItem", "UpdateItem"):
                    rates = {}
                    for name, port in ports.items():
                        asked = "PutItem" if name == "skeleton" and operation == "UpdateItem" else operation
                        requests = [body(asked, number) for number in range(KEYS)]
                        rates[name] = drive(port, asked, requests, given.connections, given.seconds)
                        figures.setdefault(f"{name} {operation}, {durability}", []).append(rates[name])
                    figures.setdefault(f"ratio {operation}, {durability}", []).append(rates["zonal"] / rates["skeleton"])
    print(machine())
    for what, values in figures.items():
        is_ratio = what.startswith("ratio")
        tell(f"DynamoDB {what}", values, unit="" if is_ratio else "/s", goal="≥ 0.4" if is_ratio else "")


def create() -> bytes:
    request = {
        "TableName": TABLE,
        "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    return msgspec.json.encode(request)


def body(operation: str, number: int) -> bytes:
    key = {"a": {"S": f"key-{number}"}}
    if operation == "PutItem":
        return msgspec.json.encode({"TableName": TABLE, "Item": key | ITEM})
    update = {"UpdateExpression": "ADD n :one", "ExpressionAttributeValues": {":one": {"N": "1"}}}
    return msgspec.json.encode({"TableName": TABLE, "Key": key} | (update if operation == "UpdateItem" else {}))


# Servers, each in a process of its own.


@contextmanager
def served(serve: Callable[[Path, str, Connection], None], durability: str) -> Iterator[int]:
    directory = Path(tempfile.mkdtemp(prefix="zonal-bench-", dir=Path.cwd()))
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(directory, durability, there))
    process.start()
    try:
        yield here.recv()
    finally:
        here.send("stop")
        process.join(10)
        shutil.rmtree(directory)


def zonal(directory: Path, durability: str, link: Connection) -> None:
    async def run() -> None:
        settings = Settings(dynamodb_durability=durability, dynamodb_throttling=False)  # type: ignore[arg-type]
        clock = RegionClock()
        store = Store(directory / "region.db", clock=clock)
        dynamodb = open_dynamodb(directory / "items", store, clock, settings)
        frontends = dict.fromkeys(dynamodb.handlers, Frontend(documents=True))
        gateway = Gateway(settings, store, clock, dynamodb.handlers, frontends=frontends)
        listener = socket.create_server(("127.0.0.1", 0))
        async with Driver(store, dynamodb.reconcilers, clock=clock), gateway.serving([listener]):
            link.send(listener.getsockname()[1])
            await asyncio.to_thread(link.recv)
        await dynamodb.engine.close()

    uvloop.run(run())


def skeleton(directory: Path, durability: str, link: Connection) -> None:
    async def run() -> None:
        storage = LmdbStorage(directory, durable=durability == "durable")
        verifier, catalogue = Verifier({"test": "test"}, "us-east-1"), Catalogue(["dynamodb"])
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Skeleton(storage, verifier, catalogue), "127.0.0.1", 0)
        link.send(server.sockets[0].getsockname()[1])
        await asyncio.to_thread(link.recv)
        await storage.close()

    uvloop.run(run())


class Skeleton(asyncio.Protocol):
    def __init__(self, storage: LmdbStorage, verifier: Verifier, catalogue: Catalogue) -> None:
        self._storage, self._verifier, self._catalogue = storage, verifier, catalogue
        self._parser = httptools.HttpRequestParser(self)
        self._headers: dict[str, str] = {}
        self._body = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._headers, self._body = {}, b""

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode().lower()] = value.decode()

    def on_body(self, piece: bytes) -> None:
        self._body += piece

    def on_message_complete(self) -> None:
        request = Request("POST", "/", "", self._headers, self._body)
        self._verifier.verify(request, self._catalogue.recognise(request), datetime.now(UTC))
        parsed = msgspec.json.decode(self._body)
        if "Key" in parsed:
            self._answer(b'{"Item":' + (self._storage.get(parsed["Key"]["a"]["S"].encode()) or b"{}") + b"}")
        else:
            put = {parsed["Item"]["a"]["S"].encode(): msgspec.json.encode(parsed["Item"])}
            self._answering = asyncio.ensure_future(self._answer_later(put))

    async def _answer_later(self, put: dict[bytes, bytes | None]) -> None:
        await self._storage.submit(put)
        self._answer(b"{}")

    def _answer(self, body: bytes) -> None:
        if self._transport.is_closing():
            return
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n" % len(body)
        self._transport.write(head + body)


# The load.


def drive(port: int, operation: str, bodies: list[bytes], connections: int, seconds: float) -> float:
    """Requests a second, over so many connections, each with one request at a time."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_drive, args=(port, operation, bodies, connections, seconds, there))
    process.start()
    rate: float = here.recv()
    process.join()
    return rate


def _drive(port: int, operation: str, bodies: list[bytes], connections: int, seconds: float, link: Connection) -> None:
    requests = [signed(port, operation, each) for each in bodies]

    async def run() -> None:
        loop = asyncio.get_running_loop()
        clients = [(await loop.create_connection(lambda: Client(requests), "127.0.0.1", port))[1] for _ in range(connections)]
        start = time.perf_counter()
        for client in clients:
            client.send()
        await asyncio.sleep(seconds or 0.5)
        done = sum(client.done for client in clients)
        link.send(done / (time.perf_counter() - start))

    uvloop.run(run())


class Client(asyncio.Protocol):
    def __init__(self, requests: list[bytes]) -> None:
        self._requests = requests
        self._source = random.Random()
        self._parser = httptools.HttpResponseParser(self)
        self.done = 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        assert self._parser.get_status_code() == 200
        self.done += 1
        if len(self._requests) > 1:
            self.send()

    def send(self) -> None:
        self._transport.write(self._source.choice(self._requests))


def signed(port: int, operation: str, body: bytes) -> bytes:
    """A whole HTTP request with its Signature Version 4."""
    now = datetime.now(UTC)
    moment, scope = f"{now:%Y%m%dT%H%M%SZ}", f"{now:%Y%m%d}/us-east-1/dynamodb/aws4_request"
    headers = {"host": f"127.0.0.1:{port}", "x-amz-date": moment, "x-amz-target": f"DynamoDB_20120810.{operation}"}
    names = ";".join(headers)
    canonical = "\n".join(["POST", "/", "", *(f"{name}:{value}" for name, value in headers.items()), "", names, _digest(body)])
    key = b"AWS4test"
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{_digest(canonical.encode())}".encode(), "sha256").hex()
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential=test/{scope}, SignedHeaders={names}, Signature={signature}"
    headers |= {"content-type": "application/x-amz-json-1.0", "content-length": str(len(body))}
    return b"POST / HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode() + b"\r\n" + body


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


if __name__ == "__main__":
    main()
