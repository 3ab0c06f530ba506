"""The driver: one convergence of a key at a time, retries after failures, and no lost change."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from typing import ClassVar

import pytest

from tests import virtual_time
from zonal.control.reconciler import LONGEST_PAUSE_SECONDS, REPEAT_JOURNAL_SECONDS, Driver, pause_seconds
from zonal.foundation.clock import RegionClock
from zonal.foundation.errors import ZonalError
from zonal.records.store import Record, Store


class Lamp(Record, frozen=True, kw_only=True):
    kind: ClassVar[str] = "lamp"
    lit: bool = False


class Lamps:
    """A reconciler that does what the test says."""

    name = "lamps"
    kinds = (Lamp,)

    def __init__(self, converge: Callable[[str], Awaitable[float | None]]) -> None:
        self._converge = converge

    def key_of(self, kind: str, id: str) -> str | None:
        assert kind == "lamp"
        return None if id == "ignored" else id

    async def converge(self, key: str) -> float | None:
        return await self._converge(key)


def put(store: Store, *ids: str) -> None:
    with store.transaction() as tx:
        for id in ids:
            tx.put(Lamp(id=id))


def run(test: Callable[[Store], Awaitable[None]]) -> Store:
    store = Store(":memory:")

    async def main() -> None:
        await test(store)

    virtual_time.run(main())
    return store


def test_records_that_were_there_and_records_that_change_are_converged() -> None:
    seen: list[str] = []

    async def converge(key: str) -> None:
        seen.append(key)

    async def test(store: Store) -> None:
        put(store, "old", "ignored")
        async with Driver(store, [Lamps(converge)], clock=RegionClock()) as driver:
            await driver.idle()
            put(store, "new")
            await driver.idle()

    run(test)
    assert seen == ["old", "new"]


def test_a_key_is_never_converged_twice_at_the_same_time_and_a_nudge_meanwhile_is_not_lost() -> None:
    running, most, count = 0, 0, 0

    async def converge(key: str) -> None:
        nonlocal running, most, count
        running, count = running + 1, count + 1
        most = max(most, running)
        await asyncio.sleep(1)
        running -= 1

    async def test(store: Store) -> None:
        put(store, "a")
        async with Driver(store, [Lamps(converge)], clock=RegionClock()) as driver:
            await asyncio.sleep(0.5)
            driver.nudge("lamps", "a")
            driver.nudge("lamps", "a")
            await driver.idle()

    run(test)
    assert (most, count) == (1, 2)


def test_different_keys_are_converged_together_but_not_more_than_allowed() -> None:
    running, most = 0, 0

    async def converge(key: str) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(1)
        running -= 1

    async def test(store: Store) -> None:
        put(store, *"abcdefg")
        async with Driver(store, [Lamps(converge)], clock=RegionClock(), at_a_time=3) as driver:
            await driver.idle()

    run(test)
    assert most == 3


def test_a_failure_is_journalled_and_tried_again_until_it_succeeds() -> None:
    attempts = 0

    async def converge(key: str) -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 4:
            raise ZonalError("the lamp is hot")

    async def test(store: Store) -> None:
        put(store, "a")
        async with Driver(store, [Lamps(converge)], clock=RegionClock()) as driver:
            await asyncio.sleep(0.01)
            assert [(each.key, each.why) for each in driver.failures()] == [("a", "the lamp is hot")]
            await driver.idle()
            assert driver.failures() == []

    entries = run(test).journal(event="reconcile.")
    assert [(entry.event, entry.subject, entry.fields) for entry in entries] == [
        ("reconcile.failed", "a", {"reconciler": "lamps", "why": "the lamp is hot", "attempts": 1}),
        ("reconcile.healed", "a", {"reconciler": "lamps", "attempts": 4}),
    ]


def test_a_reason_from_before_the_world_changed_is_not_shown_while_it_is_tried_again() -> None:
    entered = asyncio.Event()
    proceed = asyncio.Event()
    attempts = 0

    async def converge(key: str) -> None:
        nonlocal attempts
        attempts += 1
        if 1 < attempts < 5:  # A fifth one is the driver's own, now and then.
            entered.set()
            await proceed.wait()
            proceed.clear()
        if attempts < 4:
            raise ZonalError("zone us-east-1a is lost" if attempts < 3 else "the disk is full")

    async def test(store: Store) -> None:
        put(store, "a")
        async with Driver(store, [Lamps(converge)], clock=RegionClock(), resync_seconds=1e6) as driver:
            await asyncio.sleep(0.01)
            assert [each.why for each in driver.failures()] == ["zone us-east-1a is lost"]
            await entered.wait()
            assert [each.why for each in driver.failures()] == ["zone us-east-1a is lost"], "an ordinary retry does not hide it"
            driver.retry_all()
            assert driver.failures() == []
            proceed.set()
            await asyncio.sleep(0)
            assert driver.failures() == [], "the run that fails now began before the change"
            proceed.set()
            await asyncio.sleep(60)
            assert [each.why for each in driver.failures()] == ["the disk is full"]
            proceed.set()
            await driver.idle()
            assert driver.failures() == []

    run(test)


def test_a_lasting_failure_is_journalled_seldom_but_a_new_reason_at_once() -> None:
    why = "hot"

    async def converge(key: str) -> None:
        raise ZonalError(why)

    async def test(store: Store) -> None:
        nonlocal why
        put(store, "a")
        async with Driver(store, [Lamps(converge)], clock=RegionClock()):
            await asyncio.sleep(REPEAT_JOURNAL_SECONDS * 0.9)
            assert len(store.journal(event="reconcile.failed")) == 1
            why = "wet"
            await asyncio.sleep(LONGEST_PAUSE_SECONDS * 1.5)
            assert [entry.fields["why"] for entry in store.journal(event="reconcile.failed")] == ["hot", "wet"]
            await asyncio.sleep(REPEAT_JOURNAL_SECONDS * 2)
            assert len(store.journal(event="reconcile.failed")) >= 3

    run(test)


def test_a_nudge_ends_the_pause_after_a_failure() -> None:
    times: list[float] = []
    broken = True

    async def converge(key: str) -> None:
        times.append(asyncio.get_running_loop().time())
        if broken:
            raise ZonalError("no")

    async def test(store: Store) -> None:
        nonlocal broken
        put(store, "a")
        async with Driver(store, [Lamps(converge)], clock=RegionClock()) as driver:
            await asyncio.sleep(100)
            broken = False
            before = asyncio.get_running_loop().time()
            driver.nudge("lamps", "a")
            await driver.idle()
            assert times[-1] == before

    run(test)


def test_a_convergence_may_ask_for_a_later_look() -> None:
    times: list[float] = []

    async def converge(key: str) -> float | None:
        times.append(asyncio.get_running_loop().time())
        return 5.0 if len(times) < 3 else None

    async def test(store: Store) -> None:
        put(store, "a")
        async with Driver(store, [Lamps(converge)], clock=RegionClock()) as driver:
            await asyncio.sleep(30)
            assert driver.is_idle

    run(test)
    assert [round(later - earlier) for earlier, later in itertools.pairwise(times)] == [5, 5]


def test_every_key_is_probed_now_and_then_for_no_reason() -> None:
    count = 0

    async def converge(key: str) -> None:
        nonlocal count
        count += 1

    async def test(store: Store) -> None:
        put(store, "a")
        async with Driver(store, [Lamps(converge)], clock=RegionClock(), resync_seconds=10):
            await asyncio.sleep(100)

    run(test)
    assert 8 <= count <= 13


def test_leaving_cancels_what_runs_and_nothing_runs_afterwards() -> None:
    ended = asyncio.Event()

    async def converge(key: str) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.set()

    async def test(store: Store) -> None:
        put(store, "a")
        async with Driver(store, [Lamps(converge)], clock=RegionClock()):
            await asyncio.sleep(1)
        assert ended.is_set()
        ended.clear()
        put(store, "b")
        await asyncio.sleep(1)
        assert not ended.is_set()

    run(test)


def test_a_timeout_of_idle_names_the_busy_keys() -> None:
    async def converge(key: str) -> None:
        raise ZonalError("the lamp is hot")

    async def test(store: Store) -> None:
        put(store, "a")
        async with Driver(store, [Lamps(converge)], clock=RegionClock()) as driver:
            with pytest.raises(TimeoutError, match=r"lamps a \(backing off: the lamp is hot\)"):
                await driver.idle(within=5)

    run(test)


def test_pauses_double_to_a_bound_and_differ() -> None:
    source = random.Random(1)
    pauses = [pause_seconds(failures, source) for failures in range(1, 30)]
    assert pauses[0] <= 0.15 and max(pauses) <= LONGEST_PAUSE_SECONDS * 1.5
    assert len(set(pauses)) == len(pauses)
    assert pauses[-1] >= LONGEST_PAUSE_SECONDS * 0.5
