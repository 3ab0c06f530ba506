import asyncio
import os
import resource
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zonal.dynamo.storage.lmdb_storage import LmdbStorage
from zonal.dynamo.storage.storage import StorageFailed
from zonal.foundation.clock import wait_for


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[LmdbStorage]:
    storage = LmdbStorage(tmp_path / "items")
    yield storage
    await storage.close()


async def test_a_change_is_accepted_at_once_and_read_once_it_is_durable(storage: LmdbStorage) -> None:
    ticket = storage.submit({b"a": b"1"})
    assert storage.latest(b"a") == b"1"
    assert storage.get(b"a") is None
    await ticket
    assert storage.get(b"a") == b"1"


async def test_an_accepted_deletion_hides_the_committed_value_from_the_next_decision(storage: LmdbStorage) -> None:
    await storage.submit({b"a": b"1"})
    ticket = storage.submit({b"a": None})
    assert storage.latest(b"a") is None and storage.get(b"a") == b"1"
    await ticket
    assert storage.get(b"a") is None


async def test_many_writers_share_one_commit(storage: LmdbStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    commits: list[int] = []
    send = storage._writer.send
    monkeypatch.setattr(storage._writer, "send", lambda pairs: (commits.append(len(pairs)), send(pairs))[1])

    async def write(number: int) -> None:
        await storage.submit({b"%d" % number: b"x"})

    await asyncio.gather(*(write(number) for number in range(50)))
    assert sum(commits) == 50 and len(commits) <= 2


async def test_acknowledged_changes_are_in_the_store_after_reopening(tmp_path: Path) -> None:
    first = LmdbStorage(tmp_path / "items")
    await first.submit({b"a": b"1"})
    await first.close()
    second = LmdbStorage(tmp_path / "items")
    assert second.get(b"a") == b"1"
    await second.close()


async def test_a_failed_commit_fails_all_changes_decided_on_it_and_the_next_one_may_succeed(storage: LmdbStorage) -> None:
    await storage.submit({b"before": b"1"})
    unlimited = resource.prlimit(storage._writer.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(storage._writer.pid, resource.RLIMIT_FSIZE, (100_000, unlimited[1]))
    first = storage.submit({b"%d" % number: bytes(300) for number in range(1000)})
    await asyncio.sleep(0)
    second = storage.submit({b"b": storage.latest(b"7") or b""})
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert all(isinstance(result, StorageFailed) for result in results)
    assert storage.latest(b"7") is None and storage.latest(b"b") is None
    resource.prlimit(storage._writer.pid, resource.RLIMIT_FSIZE, unlimited)
    await storage.submit({b"a": b"2"})
    assert storage.get(b"a") == b"2" and storage.get(b"before") == b"1" and storage.get(b"7") is None


async def test_a_writer_process_that_dies_fails_the_group_in_flight_and_the_next_write_starts_another(storage: LmdbStorage) -> None:
    await storage.submit({b"a": b"1"})
    os.kill(storage._writer.pid, signal.SIGSTOP)
    lost = storage.submit({b"b": b"1"})
    await asyncio.sleep(0.01)
    os.kill(storage._writer.pid, signal.SIGKILL)
    with pytest.raises(StorageFailed, match="has exited"):
        await lost
    await storage.submit({b"c": b"1"})
    assert [storage.get(key) for key in (b"a", b"b", b"c")] == [b"1", None, b"1"]


async def test_reads_wait_for_the_last_commit_of_the_previous_regions_writer_process(tmp_path: Path) -> None:
    first = LmdbStorage(tmp_path / "items", durable=False)
    ticket = first.submit({b"%d" % number: bytes(200) for number in range(50_000)})
    ended = asyncio.ensure_future(ticket)
    await wait_for(lambda: first._writer._loop is not None and not first._writer._unsent, within=timedelta(seconds=20))
    first._writer.disconnect()  # For the writer process, this looks like a killed region.
    first._environment.close()
    second = LmdbStorage(tmp_path / "items")
    assert second.get(b"49999") == bytes(200)
    await second.close()
    assert not ended.done()


async def test_a_group_larger_than_a_sockets_buffer_arrives_whole(storage: LmdbStorage) -> None:
    await storage.submit({b"%d" % number: bytes(1000) for number in range(20_000)})
    assert sum(len(value) for _, value in storage.range(b"0", b"\xff")) == 20_000_000


async def test_a_snapshot_returns_the_state_at_its_time(storage: LmdbStorage) -> None:
    await storage.submit({b"a": b"1"})
    snapshot = storage.snapshot()
    await storage.submit({b"a": b"2", b"b": b"3"})
    assert list(snapshot.range(b"a", b"z")) == [(b"a", b"1")]
    snapshot.close()
    assert list(storage.range(b"a", b"z")) == [(b"a", b"2"), (b"b", b"3")]


@pytest.mark.parametrize("reverse", [False, True])
async def test_a_range_may_hold_any_number_of_long_keys(storage: LmdbStorage, reverse: bool) -> None:
    pairs = {b"%06d" % number * 100: b"v" for number in range(2000)}
    await storage.submit(pairs)
    assert list(storage.range(b"0", b"1", reverse=reverse)) == sorted(pairs.items(), reverse=reverse)


keys = st.one_of(
    st.binary(min_size=1, max_size=6),
    st.builds(lambda end: b"k" * 478 + end, st.sampled_from([b"", b"k", b"kk", b"kkk", b"kl", b"\x00"])),
    st.builds(lambda end: b"k" * 481 + end, st.sampled_from([b"", b"a", b"kk", b"z"])),
)


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(keys, st.binary(max_size=3), max_size=12), keys, keys, st.booleans())
def test_ranges_are_those_of_a_sorted_dictionary_however_long_the_keys(
    tmp_path_factory: pytest.TempPathFactory, pairs: dict[bytes, bytes], low: bytes, high: bytes, reverse: bool
) -> None:
    async def check() -> None:
        storage = LmdbStorage(tmp_path_factory.mktemp("items"), durable=False)
        await storage.submit(pairs)
        wanted = sorted(((key, pairs[key]) for key in pairs if low <= key < high), reverse=reverse)
        assert list(storage.range(low, high, reverse=reverse)) == wanted
        assert all(storage.get(key) == value for key, value in pairs.items())
        await storage.close()

    asyncio.run(check())
