"""Probing: quick after a failure, with a grace period after a start; isolated monitoring hosts are detected."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests import virtual_time
from tests.unit.control.simulation import ZONES, A, B, C, Engine, Monitors, Simulation, place, until
from zonal.control.deployment_records import Member, Preparation
from zonal.control.health import GRACE_SECONDS, LONGEST_SECONDS, HealthMonitor, ProbeTiming
from zonal.engines.node import ProbeStatus
from zonal.engines.postgres.options import PostgresSecrets


class Ward:
    """One engine in A that is looked at."""

    def __init__(self) -> None:
        self.simulation = Simulation()
        member = Member(place(1, A), Preparation.NOTHING, "18.1", 1, 1 << 30)
        self.engine = self.simulation.engines["orders_1"] = Engine(self.simulation, member)
        self.changes = 0
        self.health = HealthMonitor(
            Monitors(self.simulation),
            zones=ZONES,
            pace=ProbeTiming(interval=0.25, timeout=0.4),
            clock=self.simulation.clock,
            changed=self._changed,
            monitor_addresses={zone: zone for zone in ZONES},
        )

    def _changed(self, deployment: str) -> None:
        self.changes += 1

    async def run(self) -> None:
        await self.engine.host.power_on()
        await self.engine.create(PostgresSecrets("o", "r", "m", b"", b""))
        await self.engine.start()
        self.health.watch("d-1", {"orders_1": self.engine})
        await asyncio.sleep(2)

    def answers(self) -> set[ProbeStatus]:
        return {history.status for history in self.health.histories("d-1", "orders_1")}


def on(test: Callable[[Ward], Awaitable[None]]) -> None:
    async def main() -> None:
        ward = Ward()
        await ward.run()
        await test(ward)
        await ward.health.close()

    virtual_time.run(main())


def test_a_node_is_probed_from_every_other_zone_and_health_is_not_news() -> None:
    async def test(ward: Ward) -> None:
        assert {history.zone for history in ward.health.histories("d-1", "orders_1")} == {B, C} and ward.answers() == {ProbeStatus.SERVING}
        await asyncio.sleep(LONGEST_SECONDS)
        before = ward.changes
        await asyncio.sleep(60)
        assert ward.changes == before

    on(test)


def test_a_refusal_is_confirmed_within_a_twentieth_of_a_second_from_everywhere() -> None:
    async def test(ward: Ward) -> None:
        ward.engine.running = False
        await until(lambda: ProbeStatus.REFUSED in ward.answers(), every=0.001)
        await asyncio.sleep(0.08)
        assert all(history.status is ProbeStatus.REFUSED and history.in_a_row >= 2 for history in ward.health.histories("d-1", "orders_1"))

    on(test)


def test_silence_counts_up_and_one_answer_ends_it() -> None:
    async def test(ward: Ward) -> None:
        ward.engine.hung = True
        await asyncio.sleep(1.7)
        assert all(history.status is ProbeStatus.SILENT and history.in_a_row >= 3 for history in ward.health.histories("d-1", "orders_1"))
        ward.engine.hung = False
        await asyncio.sleep(0.5)
        assert ward.answers() == {ProbeStatus.SERVING}

    on(test)


def test_a_node_that_was_just_started_is_not_judged_for_a_while() -> None:
    async def test(ward: Ward) -> None:
        ward.engine.running = False
        ward.health.expect("d-1", "orders_1")
        await asyncio.sleep(GRACE_SECONDS - 1)
        assert ward.answers() == {ProbeStatus.STARTING}
        await asyncio.sleep(2)
        assert ward.answers() == {ProbeStatus.REFUSED}

    on(test)


def test_a_monitoring_host_in_a_cut_zone_reaches_no_other_zone() -> None:
    async def test(ward: Ward) -> None:
        assert ward.health.connected_zones() == {A, B, C}
        ward.simulation.fail(B, "network")
        await asyncio.sleep(1.5)
        assert ward.health.connected_zones() == {A, C}
        ward.simulation.fail(C, "network")
        await asyncio.sleep(1.5)
        assert ward.health.connected_zones() == frozenset()
        ward.simulation.recover(B)
        await asyncio.sleep(1.5)
        assert ward.health.connected_zones() == {A, B}

    on(test)


def test_a_node_that_is_not_watched_any_more_is_not_probed() -> None:
    async def test(ward: Ward) -> None:
        ward.health.watch("d-1", {})
        assert ward.health.histories("d-1", "orders_1") == ()
        before = ward.changes
        ward.engine.running = False
        await asyncio.sleep(2)
        assert ward.changes == before

    on(test)
