"""Files sent with `sendfile`: complete and in order to a slow reader, and always closed."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import IO, Any

import pytest
import uvloop

from zonal.gateway import response_writer
from zonal.gateway.response_writer import send_body, send_file
from zonal.wire.http_messages import FileBody, StreamBody

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
Scene = Callable[[asyncio.Transport, socket.socket], Awaitable[None]]


def play(loop: Callable[[], asyncio.AbstractEventLoop], scene: Scene) -> None:
    """Run a scene with the transport of a connection and the socket of its client."""

    async def run() -> None:
        made: asyncio.Future[asyncio.Transport] = asyncio.get_running_loop().create_future()

        class Server(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                made.set_result(transport)

        server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
        with socket.create_connection(server.sockets[0].getsockname()) as client:
            client.setblocking(False)
            transport = await made
            async with asyncio.timeout(120):
                await scene(transport, client)
            transport.abort()
        server.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


def written(path: Path, size: int) -> tuple[bytes, IO[bytes]]:
    content = os.urandom(size)
    path.write_bytes(content)
    return content, path.open("rb", buffering=0)


async def read_slowly(client: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        found += await asyncio.get_running_loop().sock_recv(client, 300_000)
        await asyncio.sleep(0.001)
    return found


@LOOPS
@pytest.mark.parametrize("is_cached", [True, False])
def test_a_slow_reader_receives_the_whole_response(loop: Any, is_cached: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_writer, "_is_cached", lambda *_: is_cached)

    async def scene(transport: asyncio.Transport, client: socket.socket) -> None:
        content, file = written(tmp_path / "file", 20_000_000)
        for offset, size in ((0, 20_000_000), (7, 19_999_000), (19_999_999, 1)):
            body = FileBody((tmp_path / "file").open("rb", buffering=0), offset, size)
            sent = asyncio.create_task(send_file(transport, HEAD, body, within_seconds=10))
            assert await read_slowly(client, len(HEAD) + size) == HEAD + content[offset : offset + size]
            assert await sent and body.file.closed
        file.close()

    play(loop, scene)


@LOOPS
def test_sendfile_is_not_used_while_the_transport_has_data_to_write(loop: Any, tmp_path: Path) -> None:
    async def scene(transport: asyncio.Transport, client: socket.socket) -> None:
        _, file = written(tmp_path / "file", 10)
        transport.write(bytes(30_000_000))
        assert not await send_file(transport, HEAD, FileBody(file, 0, 10), within_seconds=1) and not file.closed
        file.close()

    play(loop, scene)


@LOOPS
def test_a_client_that_reads_nothing_or_disconnects_ends_the_response_and_closes_the_file(loop: Any, tmp_path: Path) -> None:
    async def scene(transport: asyncio.Transport, client: socket.socket) -> None:
        _, file = written(tmp_path / "file", 50_000_000)
        with pytest.raises(TimeoutError):
            await send_file(transport, HEAD, FileBody(file, 0, 50_000_000), within_seconds=0.1)
        assert file.closed
        file = (tmp_path / "file").open("rb", buffering=0)
        sending = asyncio.create_task(send_file(transport, HEAD, FileBody(file, 0, 50_000_000), within_seconds=10))
        await asyncio.sleep(0.01)
        client.close()
        with pytest.raises(ConnectionError):
            await sending
        assert file.closed

    play(loop, scene)


@LOOPS
def test_a_file_that_ends_early_ends_the_connection(loop: Any, tmp_path: Path) -> None:
    async def scene(transport: asyncio.Transport, client: socket.socket) -> None:
        _, file = written(tmp_path / "file", 1000)
        with pytest.raises(ConnectionAbortedError, match="1000 bytes early"):
            await send_file(transport, HEAD, FileBody(file, 0, 2000), within_seconds=1)
        assert file.closed

    play(loop, scene)


@LOOPS
def test_a_body_of_files_and_bytes_is_sent_in_order(loop: Any, tmp_path: Path) -> None:
    async def scene(transport: asyncio.Transport, client: socket.socket) -> None:
        one, first = written(tmp_path / "one", 3_000_000)
        two, second = written(tmp_path / "two", 9_000)

        async def pieces() -> AsyncIterator[bytes | FileBody]:
            yield FileBody(first, 0, len(one))
            yield b"between"
            yield FileBody(second, 10, len(two) - 10)

        async def drain() -> None:
            await asyncio.sleep(0)

        size = len(one) + 7 + len(two) - 10
        sent = asyncio.create_task(send_body(transport, HEAD, StreamBody(pieces(), size), drain, within_seconds=10))
        assert await read_slowly(client, len(HEAD) + size) == HEAD + one + b"between" + two[10:]
        await sent
        assert first.closed and second.closed

    play(loop, scene)
