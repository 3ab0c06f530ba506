"""The cost of planning a VPC, counted in interpreter instructions, so that the machine's load does not change the result."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from benchmarks.network_planning import compiled, planned, records, wired
from zonal.records.store import Store

FEW, MANY = 120, 240


def instructions(work: Callable[[], object]) -> int:
    """The number of Python instructions that a call executes."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.fixture(scope="module")
def regions() -> dict[int, tuple[Store, str]]:
    return {size: records(size) for size in (FEW, MANY)}


@pytest.mark.parametrize("part", ["plan", "rules", "wiring"])
def test_twice_as_many_interfaces_cost_twice_as_much(part: str, regions: dict[int, tuple[Store, str]]) -> None:
    def cost(size: int) -> int:
        store, vpc_id = regions[size]
        plan = planned(store, vpc_id)
        work = {"plan": lambda: planned(store, vpc_id), "rules": lambda: compiled(plan), "wiring": lambda: wired(plan)}
        return instructions(work[part])

    few, many = cost(FEW), cost(MANY)
    assert many <= 2.1 * few, (few, many)


def test_interfaces_of_another_vpc_do_not_add_to_the_cost(regions: dict[int, tuple[Store, str]]) -> None:
    store, vpc_id = records(FEW)
    alone = instructions(lambda: planned(store, vpc_id))
    _add_foreign_interfaces(store)
    assert instructions(lambda: planned(store, vpc_id)) <= alone * 1.01


def _add_foreign_interfaces(store: Store) -> None:
    from msgspec.structs import replace

    from zonal.services.ec2.model import NetworkInterface

    with store.transaction() as tx:
        for number, interface in enumerate(store.select(NetworkInterface)):
            tx.put(replace(interface, id=f"eni-{number:017x}", vpc_id="vpc-other", subnet_id="subnet-other"))
