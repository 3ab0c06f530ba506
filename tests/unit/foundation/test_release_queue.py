"""The release queue: a finaliser only queues, and each item is drained once."""

from __future__ import annotations

import gc
import threading

from zonal.foundation.release_queue import ReleaseQueue


class Owner:
    pass


def test_an_item_is_queued_only_when_its_owner_is_collected() -> None:
    queue: ReleaseQueue[str] = ReleaseQueue()
    first, second = Owner(), Owner()
    queue.add_when_collected(first, "first")
    queue.add_when_collected(second, "second")
    assert queue.drain() == []
    del first
    gc.collect()
    assert queue.drain() == ["first"] and queue.drain() == []
    del second
    gc.collect()
    assert queue.drain() == ["second"]


def test_threads_that_drain_at_the_same_time_get_each_item_once() -> None:
    queue: ReleaseQueue[int] = ReleaseQueue()
    for number in range(10_000):
        queue.add_when_collected(Owner(), number)
    gc.collect()
    taken: list[int] = []
    threads = [threading.Thread(target=lambda: taken.extend(queue.drain())) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(taken) == list(range(10_000))
