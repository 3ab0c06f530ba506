"""A client for measuring: signed requests made beforehand, sent over plain sockets, so that a server is measured and not its client."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import multiprocessing
import socket
import time
from datetime import UTC, datetime
from multiprocessing.connection import Connection as Link
from typing import Any, NamedTuple

import httptools
import uvloop

PIECE_BYTES = 1024 * 1024


class Key(NamedTuple):
    """Who signs. A server that asks for no signature gets one all the same."""

    name: str = "test"
    secret: str = "test"


def signed(port: int, method: str, path: str, body: bytes = b"", *, query: str = "", key: Key | None = None) -> bytes:
    """A whole request, signed with Signature Version 4 and its body's SHA-256. `query` is in order, and encoded."""
    key = key or Key()
    now = datetime.now(UTC)
    moment, scope, payload = f"{now:%Y%m%dT%H%M%SZ}", f"{now:%Y%m%d}/us-east-1/s3/aws4_request", hashlib.sha256(body).hexdigest()
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
        headers["content-length"] = str(len(body))
    target = f"{path}?{query}" if query else path
    return (
        f"{method} {target} HTTP/1.1\r\n".encode()
        + "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
        + b"\r\n"
        + body
    )


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
        loop, source = asyncio.get_running_loop(), itertools.cycle(requests)
        drivers = [(await loop.create_connection(lambda: _Driver(source), "127.0.0.1", port))[1] for _ in range(connections)]
        began = time.perf_counter()
        for driver in drivers:
            driver.send()
        await asyncio.sleep(seconds)
        link.send(sum(driver.done for driver in drivers) / (time.perf_counter() - began))

    uvloop.run(run())


class _Driver(asyncio.Protocol):
    def __init__(self, source: Any) -> None:
        self._source = source
        self._parser = httptools.HttpResponseParser(self)
        self.done = 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        assert self._parser.get_status_code() == 200
        self.done += 1
        if not self._parser.should_keep_alive():
            raise AssertionError("this server ends its connections")
        self.send()

    def send(self) -> None:
        self._transport.write(next(self._source))
