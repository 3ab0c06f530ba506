"""Compares DynamoDB over HTTP with a minimal server, and durable writes with a sync of the disk.

The minimal server ("skeleton") parses HTTP and JSON on the same event loop, verifies the signature, and makes one put or get in the same
store, with the same durability. Throttling is off, since it would reject writes from 4,000 a second on. UpdateItem is compared with the
skeleton's put. The processor time for each request is printed beside the rates: the machine's other work does not show
in it. The last rows hold durable PutItem against the number of connections over the measured time of one sync, or against relaxed PutItem
where that is less.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httptools
import msgspec
import uvloop

from benchmarks.dynamodb_load import Request, ask, call, drive, processor_seconds, served, simple_table, zonal
from benchmarks.measurements import arguments, machine, tell
from zonal.dynamo.storage.lmdb_storage import LmdbStorage
from zonal.wire import http_messages
from zonal.wire.dispatch import ServiceCatalog
from zonal.wire.signing import Verifier

TABLE = "bench"
KEYS = 1000
ITEM = {"n": {"N": "12.5"}, "text": {"S": "x" * 80}, "flag": {"BOOL": True}}

Figures = dict[str, list[float]]


def main() -> None:
    parser = arguments(__doc__ or "", runs=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="How long each operation is driven in a run.")
    parser.add_argument("--connections", type=int, default=16)
    given = parser.parse_args()
    figures: Figures = {}
    for _ in range(given.runs):
        for durability in ("durable", "relaxed"):
            beside_the_skeleton(figures, durability, given.connections, given.seconds)
        beside_the_disk(figures, given.seconds)
    print(machine())
    for what, values in figures.items():
        goal = "≥ 0.4" if what.startswith("ratio") else "≥ 0.7, or 1 of relaxed" if what.startswith("share") else ""
        unit = "" if goal else "µs" if "time" in what else "/s"
        tell(f"DynamoDB {what}", values, unit=unit, goal=goal)


def beside_the_skeleton(figures: Figures, durability: str, connections: int, seconds: float) -> None:
    with ExitStack() as stack:
        ports = {name: stack.enter_context(served(serve, durability)) for name, serve in (("zonal", zonal), ("skeleton", skeleton))}
        ask(ports["zonal"], simple_table(TABLE))
        time.sleep(0.5)
        for operation in ("PutItem", "GetItem", "UpdateItem"):
            rates = {}
            for name, port in ports.items():
                asked = "PutItem" if name == "skeleton" and operation == "UpdateItem" else operation
                before = processor_seconds(port)
                outcome = drive(port, [request(asked, number) for number in range(KEYS)], connections=connections, seconds=seconds)
                rates[name] = outcome.rate
                figures.setdefault(f"{name} {operation}, {durability}", []).append(outcome.rate)
                each = (processor_seconds(port) - before) / len(outcome.times) * 1e6
                figures.setdefault(f"processor time of {name} {operation}, {durability}", []).append(each)
            figures.setdefault(f"ratio {operation}, {durability}", []).append(rates["zonal"] / rates["skeleton"])


def beside_the_disk(figures: Figures, seconds: float) -> None:
    sync_seconds = time_of_a_sync()
    figures.setdefault("time of one sync of the disk", []).append(sync_seconds * 1e6)
    with ExitStack() as stack:
        ports = {durability: stack.enter_context(served(zonal, durability)) for durability in ("durable", "relaxed")}
        for port in ports.values():
            ask(port, simple_table(TABLE))
        time.sleep(0.5)
        puts = [request("PutItem", number) for number in range(KEYS)]
        for connections in (16, 64):
            rates = {name: drive(port, puts, connections=connections, seconds=seconds).rate for name, port in ports.items()}
            for name, rate in rates.items():
                figures.setdefault(f"PutItem at {connections} connections, {name}", []).append(rate)
            share = rates["durable"] / min(rates["relaxed"], connections / sync_seconds)
            figures.setdefault(f"share of the possible at {connections} connections", []).append(share)


def time_of_a_sync() -> float:
    """The median time of appending a page to a file and syncing it."""
    taken = []
    with tempfile.NamedTemporaryFile(prefix="zonal-bench-", dir=Path.cwd(), buffering=0) as file:
        for _ in range(200):
            start = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def request(operation: str, number: int) -> Request:
    key = {"a": {"S": f"key-{number}"}}
    if operation == "PutItem":
        return call(operation, TableName=TABLE, Item=key | ITEM)
    if operation == "GetItem":
        return call(operation, TableName=TABLE, Key=key)
    values = {":one": {"N": "1"}}
    return call(operation, TableName=TABLE, Key=key, UpdateExpression="ADD n :one", ExpressionAttributeValues=values)


def skeleton(directory: Path, durability: str, link: Connection) -> None:
    async def run() -> None:
        storage = LmdbStorage(directory / "items", durable=durability == "durable")
        verifier, catalog = Verifier({"test": "test"}, "us-east-1"), ServiceCatalog(["dynamodb"])
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Skeleton(storage, verifier, catalog), "127.0.0.1", 0)
        link.send(server.sockets[0].getsockname()[1])
        await asyncio.to_thread(link.recv)
        await storage.close()

    uvloop.run(run())


class Skeleton(asyncio.Protocol):
    def __init__(self, storage: LmdbStorage, verifier: Verifier, catalog: ServiceCatalog) -> None:
        self._storage, self._verifier, self._catalog = storage, verifier, catalog
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
        asked = http_messages.HttpRequest("POST", "/", "", self._headers, self._body)
        self._verifier.verify(asked, self._catalog.recognise(asked), datetime.now(UTC))
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


if __name__ == "__main__":
    main()
