"""Compares the two capacity modes on recorded traffic: units consumed and throttled, and the cost of a month.

The traffic is replayed minute by minute. In provisioned mode a token bucket is filled with the units of a second and holds five minutes of
them; units beyond it are throttled. In on-demand mode units up to the initial throughput are admitted and paid by the unit. A month is 730
hours of such traffic. Prices are in `prices.json`, with their source and date.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import resources

import msgspec

from zonal.dynamo.capacity import BURST_SECONDS, ON_DEMAND_START, Minute

HOURS_A_MONTH = 730
TARGET_UTILISATION = 0.7
"""Target of auto scaling: a table without provisioned units gets its average consumption divided by this."""


class Prices(msgspec.Struct, frozen=True):
    source: str
    date: str
    currency: str
    read_request_units_million: float
    write_request_units_million: float
    read_capacity_unit_hour: float
    write_capacity_unit_hour: float


class Mode(msgspec.Struct, frozen=True, kw_only=True):
    """One capacity mode: units provisioned (0 on demand), units throttled, and a month's cost."""

    name: str
    read_units: int = 0
    write_units: int = 0
    throttled_read: float = 0.0
    throttled_write: float = 0.0
    month: float


class CapacityComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Both modes for the recorded `traffic` of one table; `cheaper` names the mode that costs less."""

    table: str
    minutes: int
    consumed_read: float
    consumed_write: float
    throttled_requests: int
    modes: tuple[Mode, Mode]
    cheaper: str
    currency: str
    prices: str
    traffic: tuple[Minute, ...] = ()


def prices() -> Prices:
    """The prices in `prices.json`."""
    return msgspec.json.decode(resources.files(__package__).joinpath("prices.json").read_bytes(), type=Prices)


def compare(table: str, traffic: Sequence[Minute], *, read_units: int = 0, write_units: int = 0) -> CapacityComparison:
    """Replay the traffic in both modes. A table without provisioned units gets those of auto scaling's target."""
    known = prices()
    span = traffic[-1].minute - traffic[0].minute + 1 if traffic else 1
    read, write = sum(minute.read for minute in traffic), sum(minute.write for minute in traffic)
    read_units = read_units or _proposed(read, span)
    write_units = write_units or _proposed(write, span)
    share = HOURS_A_MONTH * 60 / span
    provisioned = Mode(
        name="PROVISIONED",
        read_units=read_units,
        write_units=write_units,
        throttled_read=throttled([(minute.minute, minute.read) for minute in traffic], read_units),
        throttled_write=throttled([(minute.minute, minute.write) for minute in traffic], write_units),
        month=HOURS_A_MONTH * (read_units * known.read_capacity_unit_hour + write_units * known.write_capacity_unit_hour),
    )
    by_unit = read * known.read_request_units_million + write * known.write_request_units_million
    on_demand = Mode(
        name="PAY_PER_REQUEST",
        throttled_read=sum(max(0.0, minute.read - 60 * ON_DEMAND_START["Read"]) for minute in traffic),
        throttled_write=sum(max(0.0, minute.write - 60 * ON_DEMAND_START["Write"]) for minute in traffic),
        month=by_unit * share / 1e6,
    )
    cheaper = provisioned.name if provisioned.month < on_demand.month else on_demand.name
    return CapacityComparison(
        table=table,
        minutes=span,
        consumed_read=read,
        consumed_write=write,
        throttled_requests=sum(minute.throttled for minute in traffic),
        modes=(provisioned, on_demand),
        cheaper=cheaper,
        currency=known.currency,
        prices=f"{known.source}, {known.date}",
        traffic=tuple(traffic),
    )


def throttled(traffic: Sequence[tuple[int, float]], units: int) -> float:
    """How many units of the traffic (minute, units) are throttled by a bucket of `units` a second."""
    tokens, away = float(units * BURST_SECONDS), 0.0
    before = traffic[0][0] if traffic else 0
    for minute, asked in traffic:
        tokens = min(tokens + max(0, minute - before - 1) * 60 * units, units * BURST_SECONDS) + 60 * units
        passed = min(asked, tokens)
        away += asked - passed
        tokens = min(tokens - passed, units * BURST_SECONDS)
        before = minute
    return away


def _proposed(consumed: float, minutes: int) -> int:
    return max(1, math.ceil(consumed / (minutes * 60) / TARGET_UTILISATION))
