"""Shared by DynamoDB's benchmarks: a gateway in a process of its own, and a load generator in another.

The load is HTTP/1.1 over persistent connections, each with one request at a time. Requests are signed before the measurement, to keep the
client's share small. Every response must be a 200.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import multiprocessing
import random
import shutil
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import httptools
import msgspec
import uvloop

from zonal.control.reconciler import Driver
from zonal.foundation.clock import RegionClock
from zonal.foundation.settings import Settings
from zonal.gateway.api import Gateway
from zonal.records.store import Store
from zonal.services.dynamodb.service import open_dynamodb
from zonal.services.invocation import Invoker

Serve = Callable[[Path, str, Connection], None]


class Request(NamedTuple):
    """One call: an operation and its body."""

    operation: str
    body: bytes


class Outcome(NamedTuple):
    """The result of a load: responses a second, and the time of each in seconds, in ascending order."""

    rate: float
    times: Sequence[float]

    def quantile(self, share: float) -> float:
        return self.times[min(int(len(self.times) * share), len(self.times) - 1)]

    @property
    def median(self) -> float:
        return statistics.median(self.times)


def call(operation: str, **parameters: Any) -> Request:
    """>>> call("GetItem", TableName="t", Key={"a": {"S": "1"}})"""
    return Request(operation, msgspec.json.encode(parameters))


def simple_table(name: str, sort: str | None = None) -> Request:
    """CreateTable with a string `a` as partition key and, with `sort`, a number as sort key."""
    keys = [("a", "S", "HASH"), *([(sort, "N", "RANGE")] if sort else [])]
    return call(
        "CreateTable",
        TableName=name,
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind} for key, kind, _ in keys],
        KeySchema=[{"AttributeName": key, "KeyType": role} for key, _, role in keys],
        BillingMode="PAY_PER_REQUEST",
    )


@contextmanager
def served(serve: Serve, durability: str, *, directory: Path | None = None) -> Iterator[int]:
    """The port of a server in a process of its own. Its directory is removed at the end, unless it was given."""
    place = directory or Path(tempfile.mkdtemp(prefix="zonal-bench-", dir=Path.cwd()))
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(place, durability, there))
    process.start()
    port = here.recv()
    _processes[port] = process.pid or 0
    try:
        yield port
    finally:
        here.send("stop")
        process.join(30)
        if directory is None:
            shutil.rmtree(place)


_processes: dict[int, int] = {}


def processor_seconds(port: int) -> float:
    """The processor time in seconds that the server at this port has used, without its writer process."""
    tasks = Path(f"/proc/{_processes[port]}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def memory_bytes(port: int, kind: str) -> int:
    """The server's memory in bytes, by a name of /proc's smaps_rollup: Rss, Pss, Anonymous."""
    lines = Path(f"/proc/{_processes[port]}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{kind}:"))


def zonal(directory: Path, durability: str, link: Connection) -> None:
    """Run zonal's gateway and DynamoDB without throttling, which would reject writes from 4,000 a second on."""

    async def run() -> None:
        settings = Settings(dynamodb_durability=durability, dynamodb_throttling=False)  # type: ignore[arg-type]
        clock = RegionClock()
        store = Store(directory / "region.db", clock=clock)
        dynamodb = open_dynamodb(directory / "items", store, clock, settings)
        gateway = Gateway(settings, Invoker(dynamodb.services, store, clock))
        listener = socket.create_server(("127.0.0.1", 0))
        async with Driver(store, dynamodb.reconcilers, clock=clock), gateway.serving([listener]):
            link.send(listener.getsockname()[1])
            await asyncio.to_thread(link.recv)
        await dynamodb.engine.close()

    uvloop.run(run())


def ask(port: int, *requests: Request) -> list[bytes]:
    """Make some calls, one after the other, from this process; the bodies of their answers."""
    bodies = []
    for request in requests:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(signed(port, request))
            parser = httptools.HttpResponseParser(reply := _Reply())
            while not reply.is_complete:
                parser.feed_data(connection.recv(1 << 20))
            assert parser.get_status_code() == 200, reply.body
            bodies.append(reply.body)
    return bodies


class _Reply:
    def __init__(self) -> None:
        self.body = b""
        self.is_complete = False

    def on_body(self, piece: bytes) -> None:
        self.body += piece

    def on_message_complete(self) -> None:
        self.is_complete = True


def drive(port: int, requests: Sequence[Request], *, connections: int, seconds: float, timed: range | None = None) -> Outcome:
    """Make these calls in random order for so long, over so many connections. Only those in `timed` count, if it is given."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_drive, args=(port, requests, connections, seconds, timed, there))
    process.start()
    try:
        outcome: Outcome = here.recv()
    finally:
        process.join()
    return outcome


def _drive(port: int, requests: Sequence[Request], connections: int, seconds: float, timed: range | None, link: Connection) -> None:
    raw = [(signed(port, each), timed is None or number in timed) for number, each in enumerate(requests)]

    async def run() -> None:
        clients = [_Client(raw, port) for _ in range(connections)]
        start = time.perf_counter()
        await asyncio.gather(*(client.connect() for client in clients))
        await asyncio.sleep(seconds)
        taken = time.perf_counter() - start
        times = sorted(each for client in clients for each in client.times)
        assert not any(client.failed for client in clients), next(client.failed for client in clients if client.failed)
        link.send(Outcome(len(times) / taken, times))

    uvloop.run(run())


class _Client(asyncio.Protocol):
    """One connection with one request at a time; opened anew where the server closes it after an answer."""

    def __init__(self, requests: Sequence[tuple[bytes, bool]], port: int) -> None:
        self._requests = requests
        self._port = port
        self._choice = random.Random().choice
        self.times: list[float] = []
        self.failed = b""

    async def connect(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self._port)

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._parser = httptools.HttpResponseParser(self)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._last = data
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        if self._counts:
            self.times.append(time.perf_counter() - self._sent)
        self._is_answered = True
        if self._parser.get_status_code() != 200:
            self.failed = self._last
        elif self._parser.should_keep_alive():
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exception: Exception | None) -> None:
        if not self._is_answered:
            self.failed = self.failed or b"the server closed the connection"
        elif not self.failed:
            self._connecting = asyncio.ensure_future(self.connect())

    def _send(self) -> None:
        raw, self._counts = self._choice(self._requests)
        self._is_answered = False
        self._sent = time.perf_counter()
        self._transport.write(raw)


def signed(port: int, request: Request) -> bytes:
    """A whole HTTP request with its Signature Version 4."""
    now = datetime.now(UTC)
    moment, scope = f"{now:%Y%m%dT%H%M%SZ}", f"{now:%Y%m%d}/us-east-1/dynamodb/aws4_request"
    headers = {"host": f"127.0.0.1:{port}", "x-amz-date": moment, "x-amz-target": f"DynamoDB_20120810.{request.operation}"}
    names = ";".join(headers)
    canonical = "\n".join(["POST", "/", "", *(f"{name}:{value}" for name, value in headers.items()), "", names, _digest(request.body)])
    key = b"AWS4test"
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{_digest(canonical.encode())}".encode(), "sha256").hex()
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential=test/{scope}, SignedHeaders={names}, Signature={signature}"
    headers |= {"content-type": "application/x-amz-json-1.0", "content-length": str(len(request.body))}
    return b"POST / HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode() + b"\r\n" + request.body


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
