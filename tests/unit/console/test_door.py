import asyncio
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from zonal.console.client import SOCKET, RegionAbsent, RegionClient, RegionRefused
from zonal.console.door import BODY_LIMIT, Door, Request, Route, match
from zonal.console.shapes import ZoneFault, ZoneStatus
from zonal.foundation.errors import ZonalError


async def fail(request: Request) -> ZoneStatus:
    [zone] = request.words
    if zone == "broken":
        raise RuntimeError("a secret detail")
    if zone != "us-east-1a":
        raise ZonalError(f"there is no zone '{zone}'")
    return ZoneStatus(name=zone, id="use1-az1", state="impaired", fault=request.body.decode())


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[Path]:
    door = Door(tmp_path / SOCKET, (Route("POST", "/zones/*/fail", fail),))
    await door.open()
    yield tmp_path
    await door.close()


async def say(state: Path, words: bytes) -> str:
    reader, writer = await asyncio.open_unix_connection(state / SOCKET)
    writer.write(words)
    answer = await reader.read()
    writer.close()
    return answer.decode()


async def test_an_action_gets_the_open_words_and_the_body_and_its_answer_travels_back(state: Path) -> None:
    zone = await asyncio.to_thread(RegionClient(state).fail, "us-east-1a", ZoneFault("loss", 20.0))
    assert zone == ZoneStatus("us-east-1a", "use1-az1", "impaired", '{"kind":"loss","amount":20.0}')


async def test_what_cannot_be_done_is_told_in_the_regions_own_words(state: Path) -> None:
    with pytest.raises(RegionRefused, match="there is no zone 'us-east-1x'"):
        await asyncio.to_thread(RegionClient(state).fail, "us-east-1x", ZoneFault("power"))


async def test_a_failure_inside_is_not_shown(state: Path) -> None:
    with pytest.raises(RegionRefused) as refused:
        await asyncio.to_thread(RegionClient(state).fail, "broken", ZoneFault("power"))
    assert "secret" not in str(refused.value)


async def test_an_absent_region_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RegionAbsent, match="zonal start"):
        RegionClient(tmp_path).status()


async def test_only_the_owner_can_open_the_door(state: Path) -> None:
    assert stat.S_IMODE((state / SOCKET).stat().st_mode) == 0o600


async def test_the_door_works_where_the_state_directorys_path_is_longer_than_a_sockets_may_be(tmp_path: Path) -> None:
    state = tmp_path / ("long" * 40)
    state.mkdir()
    door = Door(state / SOCKET, (Route("POST", "/zones/*/fail", fail),))
    await door.open()
    assert (await asyncio.to_thread(RegionClient(state).fail, "us-east-1a", ZoneFault("power"))).state == "impaired"
    await door.close()
    assert not (state / SOCKET).exists()


async def test_a_socket_that_a_killed_region_left_is_replaced(tmp_path: Path) -> None:
    for _ in range(2):
        await Door(tmp_path / SOCKET, (Route("POST", "/zones/*/fail", fail),)).open()
    assert "200" in await say(tmp_path, b"POST /zones/us-east-1a/fail HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (b"HELLO\r\n\r\n", 400),
        (b"GET / SPDY/3\r\n\r\n", 400),
        (b"GET /nowhere HTTP/1.1\r\n\r\n", 404),
        (b"GET /zones/us-east-1a/fail HTTP/1.1\r\n\r\n", 405),
        (b"POST /zones/us-east-1a/fail HTTP/1.1\r\nContent-Length: many\r\n\r\n", 411),
        (b"POST /zones/us-east-1a/fail HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (BODY_LIMIT + 1), 413),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", 431),
    ],
)
async def test_a_request_that_is_not_understood_is_refused(state: Path, words: bytes, status: int) -> None:
    assert (await say(state, words)).startswith(f"HTTP/1.1 {status} ")


async def test_somebody_who_hangs_up_in_the_middle_disturbs_nobody(state: Path) -> None:
    _, writer = await asyncio.open_unix_connection(state / SOCKET)
    writer.write(b"POST /zones/us-east-1a/fail HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf")
    writer.close()
    assert "200" in await say(state, b"POST /zones/us-east-1a/fail HTTP/1.1\r\n\r\n")


def test_a_star_in_a_path_stands_for_one_word() -> None:
    assert match("/zones/*/fail", "/zones/us%2Deast/fail") == ("us-east",)
    assert match("/zones/*/fail", "/zones/fail") is None
    assert match("/status", "/status/") == ()
