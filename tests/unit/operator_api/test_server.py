import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from zonal.fabric.linux.processes import mark
from zonal.fabric.sandbox import PID_FILE
from zonal.foundation.errors import ZonalError
from zonal.operator_api.client import SOCKET, RegionAbsent, RegionClient, RegionRefused
from zonal.operator_api.schemas import NodeFaultRequest, ZoneFaultRequest, ZoneStatus
from zonal.operator_api.server import BODY_LIMIT, OperatorRequest, OperatorRoute, OperatorServer, match


async def fail(request: OperatorRequest) -> ZoneStatus:
    [zone] = request.segments
    if zone == "broken":
        raise RuntimeError("a secret detail")
    if zone != "us-east-1a":
        raise ZonalError(f"there is no zone '{zone}'")
    return ZoneStatus(name=zone, id="use1-az1", state="impaired", fault=request.body.decode())


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[Path]:
    server = OperatorServer(tmp_path / SOCKET, (OperatorRoute("POST", "/zones/*/fail", fail),))
    await server.open()
    yield tmp_path
    await server.close()


async def say(state: Path, argv: bytes) -> str:
    reader, writer = await asyncio.open_unix_connection(state / SOCKET)
    writer.write(argv)
    answer = await reader.read()
    writer.close()
    return answer.decode()


async def test_a_handler_gets_the_segments_and_the_body_and_its_result_is_returned(state: Path) -> None:
    zone = await asyncio.to_thread(RegionClient(state).fail, "us-east-1a", ZoneFaultRequest("loss", 20.0))
    assert zone == ZoneStatus("us-east-1a", "use1-az1", "impaired", '{"kind":"loss","amount":20.0}')


async def test_a_zonal_error_is_returned_with_its_message(state: Path) -> None:
    with pytest.raises(RegionRefused, match="there is no zone 'us-east-1x'"):
        await asyncio.to_thread(RegionClient(state).fail, "us-east-1x", ZoneFaultRequest("power"))


async def test_the_message_of_an_unexpected_exception_is_not_returned(state: Path) -> None:
    with pytest.raises(RegionRefused) as refused:
        await asyncio.to_thread(RegionClient(state).fail, "broken", ZoneFaultRequest("power"))
    assert "secret" not in str(refused.value)


async def test_the_error_for_an_absent_region_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(RegionAbsent, match="zonal start"):
        RegionClient(tmp_path).status()


def say_that_init_lives(state: Path) -> None:
    """This process takes init's part."""
    (state / PID_FILE).write_text(f"{os.getpid()} {mark(os.getpid()).began}\n")


async def test_the_client_waits_for_a_region_that_restarts(tmp_path: Path) -> None:
    say_that_init_lives(tmp_path)
    asking = asyncio.create_task(asyncio.to_thread(RegionClient(tmp_path).fail, "us-east-1a", ZoneFaultRequest("power")))
    await asyncio.sleep(0.3)
    server = OperatorServer(tmp_path / SOCKET, (OperatorRoute("POST", "/zones/*/fail", fail),))
    await server.open()
    assert (await asking).state == "impaired"
    await server.close()


async def test_a_request_is_repeated_after_the_region_died_unless_it_must_take_effect_once(tmp_path: Path) -> None:
    say_that_init_lives(tmp_path)
    asked: list[bytes] = []
    was_asked_again = asyncio.Event()

    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        if len(asked) > 2:
            was_asked_again.set()
        writer.close()

    async with await asyncio.start_unix_server(die, tmp_path / SOCKET) as server:
        with pytest.raises(RegionRefused, match="may have done it or not"):
            await asyncio.to_thread(RegionClient(tmp_path).fail_node, "orders", "primary", NodeFaultRequest("host"))
        assert len(asked) == 1
        asking = asyncio.create_task(asyncio.to_thread(RegionClient(tmp_path).recover, "us-east-1a"))
        async with asyncio.timeout(60):
            await was_asked_again.wait()
        server.close()
        (tmp_path / PID_FILE).unlink()
        with pytest.raises(RegionAbsent):
            await asking
    assert len(asked) > 2


async def test_only_the_owner_can_open_the_socket(state: Path) -> None:
    assert stat.S_IMODE((state / SOCKET).stat().st_mode) == 0o600


async def test_the_server_works_where_the_state_directorys_path_is_longer_than_a_sockets_may_be(tmp_path: Path) -> None:
    state = tmp_path / ("long" * 40)
    state.mkdir()
    server = OperatorServer(state / SOCKET, (OperatorRoute("POST", "/zones/*/fail", fail),))
    await server.open()
    assert (await asyncio.to_thread(RegionClient(state).fail, "us-east-1a", ZoneFaultRequest("power"))).state == "impaired"
    await server.close()
    assert not (state / SOCKET).exists()


async def test_a_socket_that_a_killed_region_left_is_replaced(tmp_path: Path) -> None:
    for _ in range(2):
        await OperatorServer(tmp_path / SOCKET, (OperatorRoute("POST", "/zones/*/fail", fail),)).open()
    assert "200" in await say(tmp_path, b"POST /zones/us-east-1a/fail HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        (b"HELLO\r\n\r\n", 400),
        (b"GET / SPDY/3\r\n\r\n", 400),
        (b"GET /nowhere HTTP/1.1\r\n\r\n", 404),
        (b"GET /zones/us-east-1a/fail HTTP/1.1\r\n\r\n", 405),
        (b"POST /zones/us-east-1a/fail HTTP/1.1\r\nContent-Length: many\r\n\r\n", 400),
        (b"POST /zones/us-east-1a/fail HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (b"GET /nowhere HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", 400),
        (b"POST /zones/us-east-1a/fail HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (BODY_LIMIT + 1), 413),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", 431),
    ],
)
async def test_an_invalid_request_is_rejected_with_its_status(state: Path, argv: bytes, status: int) -> None:
    assert (await say(state, argv)).startswith(f"HTTP/1.1 {status} ")


async def test_a_chunked_body_is_read_and_bounded_like_any_other(state: Path) -> None:
    head = b"POST /zones/us-east-1a/fail HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert "abcd" in await say(state, head + b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n")
    piece = b"%x\r\n" % (BODY_LIMIT // 2) + b"a" * (BODY_LIMIT // 2) + b"\r\n"
    assert (await say(state, head + piece * 3)).startswith("HTTP/1.1 413 ")


async def test_a_request_that_arrives_byte_by_byte_is_read_whole(state: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(state / SOCKET)
    for byte in b"POST /zones/us-east-1a/fail?a=b HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi":
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and b'"fault":"hi"' in answer


async def test_a_client_that_disconnects_during_its_request_does_not_affect_others(state: Path) -> None:
    _, writer = await asyncio.open_unix_connection(state / SOCKET)
    writer.write(b"POST /zones/us-east-1a/fail HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf")
    writer.close()
    assert "200" in await say(state, b"POST /zones/us-east-1a/fail HTTP/1.1\r\n\r\n")


def test_a_star_in_a_path_matches_one_segment() -> None:
    assert match("/zones/*/fail", "/zones/us%2Deast/fail") == ("us-east",)
    assert match("/zones/*/fail", "/zones/fail") is None
    assert match("/status", "/status/") == ()
