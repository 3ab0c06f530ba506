"""A client for measuring: signed requests made beforehand, sent over plain sockets, so that a server is measured and not its client."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import multiprocessing
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from multiprocessing.connection import Connection as Link
from typing import Any, NamedTuple
from xml.etree import ElementTree

import httptools
import uvloop

PIECE_BYTES = 1024 * 1024


class Key(NamedTuple):
    """Who signs. A server that asks for no signature gets one all the same."""

    name: str = "test"
    secret: str = "test"


def signed(port: int, method: str, path: str, body: bytes = b"", *, query: str = "", key: Key | None = None) -> bytes:
    """A whole request, signed with Signature Version 4 and its body's SHA-256. `query` is in order, and encoded."""
    payload = hashlib.sha256(body).hexdigest()
    return head(port, method, path, payload=payload, size=len(body), query=query, key=key) + body


def head(
    port: int, method: str, path: str, *, payload: str = "UNSIGNED-PAYLOAD", size: int = 0, query: str = "", key: Key | None = None
) -> bytes:
    """A signed request's head; a body of `size` bytes may follow."""
    key = key or Key()
    now = datetime.now(UTC)
    moment, scope = f"{now:%Y%m%dT%H%M%SZ}", f"{now:%Y%m%d}/us-east-1/s3/aws4_request"
    headers = {"host": f"127.0.0.1:{port}", "x-amz-content-sha256": payload, "x-amz-date": moment}
    names = ";".join(headers)
    canonical = "\n".join([method, path, query, *(f"{name}:{value}" for name, value in headers.items()), "", names, payload])
    secret = b"AWS4" + key.secret.encode()
    for word in scope.split("/"):
        secret = hmac.digest(secret, word.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.digest(secret, text.encode(), "sha256").hex()
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={key.name}/{scope}, SignedHeaders={names}, Signature={signature}"
    if method != "GET":
        headers["content-length"] = str(size)
    target = f"{path}?{query}" if query else path
    return (
        f"{method} {target} HTTP/1.1\r\n".encode() + "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode() + b"\r\n"
    )


def text_of(answer: bytes, name: str) -> str:
    """The text of an element in an answer."""
    found = ElementTree.fromstring(answer.partition(b"\r\n\r\n")[2]).find(f"{{*}}{name}")
    assert found is not None and found.text
    return found.text


class Connection:
    """One connection that is kept, with one request at a time."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = memoryview(bytearray(PIECE_BYTES))

    def ask(self, request: bytes) -> bytes:
        """The answer's head and the beginning of its body; the rest is read and dropped."""
        self._socket.sendall(request)
        count = self._socket.recv_into(self._buffer)
        begun = bytes(self._buffer[: min(count, 65536)])
        while b"\r\n\r\n" not in begun:
            count = self._socket.recv_into(self._buffer)
            begun += self._buffer[:count]
            count = len(begun)
        head, _, _ = begun.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 20"), begun
        left = _length(head) - (count - len(head) - 4)
        while left > 0:
            left -= self._socket.recv_into(self._buffer)
        return begun

    def seconds(self, requests: list[bytes]) -> float:
        """The mean time of these requests, one after the other."""
        began = time.perf_counter()
        for request in requests:
            self.ask(request)
        return (time.perf_counter() - began) / len(requests)

    def close(self) -> None:
        self._socket.close()


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def rate(port: int, requests: list[bytes], *, connections: int, seconds: float) -> float:
    """Requests a second over so many connections, driven by a process of its own."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_drive, args=(port, requests, connections, seconds, there))
    process.start()
    found: float = here.recv()
    process.join()
    return found


def _drive(port: int, requests: list[bytes], connections: int, seconds: float, link: Link) -> None:
    async def run() -> None:
        drivers = [_Driver(port, itertools.cycle(requests)) for _ in range(connections)]
        began = time.perf_counter()
        tasks = [asyncio.create_task(driver.run()) for driver in drivers]
        await asyncio.sleep(seconds)
        link.send(sum(driver.done for driver in drivers) / (time.perf_counter() - began))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    uvloop.run(run())


class _Driver(asyncio.Protocol):
    """Asks one request after the other, over one connection, or a new one where the server ended it (moto's does after each answer)."""

    def __init__(self, port: int, source: Iterator[bytes]) -> None:
        self._port = port
        self._source = source
        self._ended = asyncio.Event()
        self.done = 0

    async def run(self) -> None:
        while True:
            self._ended.clear()
            await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self._port)
            await self._ended.wait()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._parser = httptools.HttpResponseParser(self)
        self._send()

    def connection_lost(self, exception: Exception | None) -> None:
        self._ended.set()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        assert self._parser.get_status_code() == 200
        self.done += 1
        if self._parser.should_keep_alive():
            self._send()
        else:
            self._transport.close()

    def _send(self) -> None:
        self._transport.write(next(self._source))
