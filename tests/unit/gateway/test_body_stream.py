"""The pieces of a streamed body between the connection and the operation."""

from __future__ import annotations

import asyncio
import tracemalloc

from zonal.gateway.body_budget import BodyBudget
from zonal.gateway.body_stream import JOIN_BYTES, BodyStream


def stream_of(budget: BodyBudget) -> BodyStream:
    return BodyStream(budget, is_verified=True, on_taken=lambda: None, on_reader_waiting=lambda: None)


async def taken(stream: BodyStream) -> bytes:
    return b"".join([piece async for piece in stream.pieces()])


async def test_small_pieces_take_no_more_memory_than_the_budget_counts() -> None:
    budget = BodyBudget(1 << 20)
    stream = stream_of(budget)
    tracemalloc.start()
    try:
        for index in range(200_000):
            assert stream.put(b"%d" % (index % 1000))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1.5 * budget.used_bytes
    stream.end()
    assert await taken(stream) == b"".join(b"%d" % (index % 1000) for index in range(200_000))
    assert budget.used_bytes == 0


async def test_small_and_large_pieces_keep_their_order_and_are_counted_until_they_are_taken() -> None:
    budget = BodyBudget(1 << 20)
    stream = stream_of(budget)
    sent = [b"a", b"b" * JOIN_BYTES, b"c", b"d", b"e" * 100_000, b"f" * (JOIN_BYTES - 1)]
    for piece in sent:
        assert stream.put(piece)
    assert budget.used_bytes == sum(map(len, sent))
    stream.end()
    assert await taken(stream) == b"".join(sent)
    assert budget.used_bytes == 0


async def test_a_small_piece_is_handed_over_to_an_operation_that_waits_for_it() -> None:
    budget = BodyBudget(1 << 20)
    stream = stream_of(budget)
    pieces = stream.pieces()
    waiting = asyncio.ensure_future(anext(pieces))
    await asyncio.sleep(0)
    assert stream.put(b"x")
    assert await waiting == b"x"
    assert stream.put(b"y")
    stream.close()
    assert budget.used_bytes == 0
