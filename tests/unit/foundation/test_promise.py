"""A promise: one value, set once."""

import asyncio

import pytest

from zonal.foundation.promise import Promise


async def test_a_waiter_gets_the_value_when_it_is_set() -> None:
    promise: Promise[int] = Promise()
    waiter = asyncio.create_task(promise.wait())
    await asyncio.sleep(0)
    assert (promise.value, waiter.done()) == (None, False)
    promise.set(7)
    assert (await waiter, promise.value, await promise.wait()) == (7, 7, 7)


def test_a_promise_is_not_set_twice() -> None:
    promise: Promise[int] = Promise()
    promise.set(1)
    with pytest.raises(AssertionError):
        promise.set(2)
