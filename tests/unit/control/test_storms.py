"""Storms: any order of faults, repairs, changes and killed regions, while clients write.

Clients write through the name, and stubborn ones keep writing to whatever node they can still reach in its own zone. At no moment may two
nodes be able to acknowledge, and a node that can be reached takes writes without leading for no longer than a fence takes. When the
storm is over the pair is synchronous again and holds every acknowledged write.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests import virtual_time
from tests.unit.control.simulation import A, B, C, Region, Simulation, connections, spec, until, want
from zonal.control.deployment_plan import Step
from zonal.control.deployment_records import DeploymentSpec, DeploymentStatus, Phase
from zonal.control.failover import Redundancy
from zonal.control.failover_steps import FailoverSteps
from zonal.control.step_context import DeploymentAccess

ZONE = st.sampled_from((A, B, C))
NODE = st.sampled_from(("orders_1", "orders_2"))
EVENT = st.one_of(
    st.tuples(st.just("fail"), ZONE, st.sampled_from(("power", "network"))),
    st.tuples(st.just("recover"), ZONE),
    st.tuples(st.just("recover"), ZONE),
    st.tuples(st.just("kill"), NODE),
    st.tuples(st.just("hang"), NODE),
    st.tuples(st.just("unplug"), NODE),
    st.tuples(st.just("restart region")),
    st.tuples(st.just("force failover")),
    st.tuples(st.just("reboot")),
    st.tuples(st.just("upgrade")),
    st.tuples(st.just("resize"), st.sampled_from((1, 2, 4))),
)
FENCE_WITHIN_SECONDS = 1.0
"""How long a node that does not lead may take writes where it can be reached: a pause between two attempts, and the attempt."""

STORM = st.lists(st.tuples(EVENT, st.sampled_from((0.0, 0.01, 0.05, 0.13, 0.3, 0.7, 1.5, 2.5, 6.0, 12.0))), min_size=1, max_size=14)


class Clients:
    """Writers and what they were told."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.acknowledged: list[int] = []
        self.region_runs = True
        self._unfenced_since: dict[str, float] = {}
        self._numbers: Iterator[int] = itertools.count(1)

    def _check_fences(self) -> None:
        """While a region runs, a node that neither leads nor is being promoted is fenced as soon as it can be reached."""
        now, status = self.simulation.clock.monotonic(), self.simulation.store.require(DeploymentStatus, "d-1")
        may_lead = {status.promoting or status.leader}
        reachable = {engine.spec.name for engine in self.simulation.writable_and_reachable()} if self.region_runs else set()
        self._unfenced_since = {name: self._unfenced_since.get(name, now) for name in reachable - may_lead}
        for name, since in self._unfenced_since.items():
            assert now - since < FENCE_WITHIN_SECONDS, f"{name} can be reached and takes writes, and {may_lead} leads"

    async def write_for_ever(self) -> None:
        while True:
            able = self.simulation.able_to_acknowledge()
            assert len(able) <= 1, f"{[engine.spec.name for engine in able]} can both acknowledge"
            self._check_fences()
            for engine in list(self.simulation.engines.values()):
                number = next(self._numbers)
                if engine.write(number):
                    self.acknowledged.append(number)
            await asyncio.sleep(0.061)


async def ride_out(simulation: Simulation, storm: list[tuple[Any, float]]) -> None:
    region = await Region(simulation).__aenter__()
    want(simulation, spec(A, B))
    await until(lambda: synchronous(simulation))
    clients = Clients(simulation)
    writing = asyncio.create_task(clients.write_for_ever())
    for (what, *rest), pause in storm:
        if what == "restart region":
            clients.region_runs = False
            await region.__aexit__(None, None, None)
            await asyncio.sleep(pause)
            region = await Region(simulation).__aenter__()
            clients.region_runs = True
        else:
            strike(simulation, what, *rest)
            await asyncio.sleep(pause)
        assert not writing.done(), writing.exception()
    for zone in (A, B, C):
        simulation.recover(zone)
    region.deployments.zone_changed()
    await until(lambda: synchronous(simulation) and settled(simulation) and healthy(simulation), within=300)
    before = len(clients.acknowledged)
    await until(lambda: len(clients.acknowledged) > before, within=5)
    writing.cancel()
    await asyncio.wait({writing})
    simulation.settle()
    status = simulation.store.require(DeploymentStatus, "d-1")
    for engine in simulation.engines.values():
        assert engine.max_connections == connections(simulation.store.require(DeploymentSpec, "d-1").memory_bytes)
        missing = set(clients.acknowledged) - set(engine.log)
        assert not missing, f"{engine.spec.name} lost {sorted(missing)}"
    assert simulation.name == status.leader
    await region.__aexit__(None, None, None)


def strike(simulation: Simulation, what: str, *rest: Any) -> None:
    if what == "fail":
        simulation.fail(*rest)
    elif what == "recover":
        simulation.recover(*rest)
    elif what in ("kill", "hang", "unplug"):
        engine = simulation.engines[rest[0]]
        if what == "kill":
            engine.running = engine.hung = False
        elif what == "hang":
            engine.hung = engine.running
        else:
            engine.host.lose_power()
    else:
        now = simulation.store.require(DeploymentSpec, "d-1")
        changed = {
            "force failover": {"failover": now.failover + 1},
            "reboot": {"restart": now.restart + 1},
            "upgrade": {"revision": now.revision + 1},
            "resize": {"revision": now.revision + 1, "memory_bytes": int(rest[0]) << 30 if rest else now.memory_bytes},
        }
        want(simulation, replace(now, **changed[what]))


def synchronous(simulation: Simulation) -> bool:
    status = simulation.store.get(DeploymentStatus, "d-1")
    return status is not None and status.redundancy is Redundancy.SYNCHRONOUS and not status.promoting and status.phase is Phase.RUNNING


def settled(simulation: Simulation) -> bool:
    status, now = simulation.store.require(DeploymentStatus, "d-1"), simulation.store.require(DeploymentSpec, "d-1")
    done = (status.restarted, status.failed_over, status.settled_revision) == (now.restart, now.failover, now.revision)
    return done and all(member.revision == now.revision for member in status.members) and simulation.name == status.leader


def healthy(simulation: Simulation) -> bool:
    """Whether the leader acknowledges and the other node follows it, in fact and not only on record."""
    leader = simulation.engines[simulation.store.require(DeploymentStatus, "d-1").leader]
    return simulation.able_to_acknowledge() == [leader] and all(
        engine.connected_to() is leader for engine in simulation.engines.values() if engine is not leader
    )


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(STORM)
@example([(("fail", A, "power"), 1.5), (("fail", B, "power"), 6.0), (("recover", B), 6.0)])
@example([(("fail", B, "network"), 6.0), (("fail", A, "network"), 2.5), (("recover", B), 12.0)])
@example([(("force failover",), 0.01), (("restart region",), 0.0), (("kill", "orders_2"), 0.0), (("restart region",), 0.3)])
@example([(("fail", A, "network"), 6.0), (("fail", B, "power"), 2.5), (("recover", A), 12.0)])
@example([(("fail", A, "network"), 6.0), (("fail", B, "network"), 0.0), (("fail", C, "power"), 2.5), (("recover", A), 12.0)])
@example([(("hang", "orders_1"), 2.5), (("fail", B, "network"), 0.3), (("recover", B), 0.0)])
@example([(("resize", 4), 6.0), (("resize", 1), 0.7), (("fail", A, "network"), 2.5), (("recover", A), 6.0)])
@example([(("resize", 4), 0.7), (("restart region",), 0.3), (("resize", 2), 2.5), (("kill", "orders_2"), 0.3)])
@example([(("upgrade",), 0.3), (("fail", A, "power"), 6.0), (("restart region",), 1.5)])
def test_no_storm_loses_an_acknowledged_write_or_makes_two_leaders(storm: list[tuple[Any, float]]) -> None:
    virtual_time.run(ride_out(Simulation(), storm))


LOST_WHILE_ALONE = [(("fail", B, "network"), 6.0), (("fail", A, "network"), 2.5), (("recover", B), 12.0)]
LOST_WHILE_CATCHING_UP = [(("fail", B, "power"), 3.0), (("recover", B), 1.1), (("fail", A, "power"), 6.0)]


def test_the_model_would_notice_a_leader_that_goes_on_alone_without_a_record_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def relax_only(self: FailoverSteps, deployment: DeploymentAccess, step: Step) -> None:
        await self.relax(deployment, deployment.status)

    monkeypatch.setattr(FailoverSteps, "go_alone", relax_only)
    with pytest.raises(AssertionError):
        virtual_time.run(ride_out(Simulation(), LOST_WHILE_ALONE))


def test_the_model_would_notice_a_standby_that_is_called_synchronous_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    async def believe(self: FailoverSteps, *_: object) -> None:
        return

    virtual_time.run(ride_out(Simulation(), LOST_WHILE_CATCHING_UP))
    monkeypatch.setattr(FailoverSteps, "_confirm", believe)
    with pytest.raises(AssertionError, match="lost"):
        for pause in (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3):
            storm = [(("fail", B, "power"), 3.0), (("recover", B), pause), (("fail", A, "power"), 6.0)]
            virtual_time.run(ride_out(Simulation(), storm))
