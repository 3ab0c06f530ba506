import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zonal.dynamo.storage.lmdb_storage import LmdbStorage
from zonal.dynamo.storage.storage import StorageFailed


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


async def test_a_deletion_hides_what_is_committed_from_the_next_decision(storage: LmdbStorage) -> None:
    await storage.submit({b"a": b"1"})
    ticket = storage.submit({b"a": None})
    assert storage.latest(b"a") is None and storage.get(b"a") == b"1"
    await ticket
    assert storage.get(b"a") is None


async def test_many_writers_share_one_commit(storage: LmdbStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    commits: list[int] = []
    commit = storage._commit
    monkeypatch.setattr(storage, "_commit", lambda changes: (commits.append(len(changes)), commit(changes))[1])

    async def write(number: int) -> None:
        await storage.submit({b"%d" % number: b"x"})

    await asyncio.gather(*(write(number) for number in range(50)))
    assert sum(commits) == 50 and len(commits) <= 2


async def test_what_was_acknowledged_is_there_after_reopening(tmp_path: Path) -> None:
    first = LmdbStorage(tmp_path / "items")
    await first.submit({b"a": b"1"})
    await first.close()
    second = LmdbStorage(tmp_path / "items")
    assert second.get(b"a") == b"1"
    await second.close()


async def test_a_failed_commit_fails_everybody_who_built_on_it_and_the_next_one_may_succeed(
    storage: LmdbStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = storage._commit
    monkeypatch.setattr(storage, "_commit", lambda changes: lmdb.DiskError("No space left on device"))
    first = storage.submit({b"a": b"1"})
    await asyncio.sleep(0)
    second = storage.submit({b"b": storage.latest(b"a") or b""})
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert all(isinstance(result, StorageFailed) for result in results)
    assert storage.latest(b"a") is None and storage.latest(b"b") is None
    monkeypatch.setattr(storage, "_commit", commit)
    await storage.submit({b"a": b"2"})
    assert storage.get(b"a") == b"2"


async def test_a_snapshot_stays_at_its_moment(storage: LmdbStorage) -> None:
    await storage.submit({b"a": b"1"})
    snapshot = storage.snapshot()
    await storage.submit({b"a": b"2", b"b": b"3"})
    assert list(snapshot.range(b"a", b"z")) == [(b"a", b"1")]
    snapshot.close()
    assert list(storage.range(b"a", b"z")) == [(b"a", b"2"), (b"b", b"3")]


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
