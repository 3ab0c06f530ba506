"""Deployments on fakes in virtual time: creation, every fault, recovery, changes, removal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace

from tests import virtual_time
from tests.repeated_steps import fails_once, runs_twice
from tests.unit.control.simulation import A, B, C, Region, Simulation, connections, spec, until, want
from zonal.control.deployment_records import DeploymentSpec, DeploymentStatus, Phase, Power
from zonal.control.failover import NodeCondition, Redundancy
from zonal.engines.node import EngineFailed


def run(test: Callable[[Simulation], Awaitable[None]], simulation: Simulation | None = None) -> Simulation:
    simulation = simulation or Simulation()

    async def main() -> None:
        await test(simulation)

    virtual_time.run(main())
    return simulation


def status(simulation: Simulation) -> DeploymentStatus:
    found = simulation.store.get(DeploymentStatus, "d-1")
    assert found is not None
    return found


def change(simulation: Simulation, **more: object) -> None:
    want(simulation, replace(simulation.store.require(DeploymentSpec, "d-1"), **more))


def redundancy_is(simulation: Simulation, redundancy: Redundancy) -> Callable[[], bool]:
    return lambda: (
        (found := simulation.store.get(DeploymentStatus, "d-1")) is not None and found.redundancy is redundancy and not found.promoting
    )


def events(simulation: Simulation, prefix: str = "") -> list[str]:
    return [entry.event for entry in simulation.store.journal(event=prefix)]


async def made(simulation: Simulation, *zones: str) -> None:
    want(simulation, spec(*zones))
    goal = Redundancy.SYNCHRONOUS if len(zones) > 1 else Redundancy.SINGLE
    await until(lambda: redundancy_is(simulation, goal)() and status(simulation).phase is Phase.RUNNING)


def test_a_single_node_is_created_and_its_name_leads_to_it() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation):
            await made(simulation, A)
            assert simulation.name == "orders_1"
            assert simulation.engines["orders_1"].write(1)

    simulation = run(test)
    assert events(simulation, "deployment.") == ["deployment.available"]


def test_a_pair_becomes_synchronous() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation):
            await made(simulation, A, B)
            leader = simulation.engines["orders_1"]
            assert leader.required == ("orders_2",)
            assert leader.write(1) and simulation.engines["orders_2"].log == [1]

    assert "redundancy.synchronous" in events(run(test))


@pytest.mark.parametrize("fault", ["process", "hang", "host", "power", "network"])
def test_the_standby_takes_over_and_the_old_leader_comes_back_as_standby(fault: str) -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation) as region:
            await made(simulation, A, B)
            old, new = simulation.engines["orders_1"], simulation.engines["orders_2"]
            assert old.write(1)
            begun = simulation.clock.monotonic()
            if fault == "process":
                old.running = False
            elif fault == "hang":
                old.hung = True
            elif fault == "host":
                old.host.lose_power()
            else:
                simulation.fail(A, fault)
            await until(lambda: simulation.name == "orders_2" and new.can_acknowledge(), within=2.5)
            assert simulation.clock.monotonic() - begun < (0.9 if fault == "process" else 2.4)
            assert new.write(2) and not old.write(3), "the old leader acknowledges nothing"
            await asyncio.sleep(3)
            if fault in ("power", "network"):
                assert status(simulation).redundancy is Redundancy.ALONE
                simulation.recover(A)
                region.deployments.zone_changed()
            await until(redundancy_is(simulation, Redundancy.SYNCHRONOUS), within=20)
            assert not old.is_leader and old.log == new.log and 1 in new.log and 2 in new.log and 3 not in new.log

    simulation = run(test)
    order = ["failover.detected", "failover.decided", "failover.fenced", "failover.promoted", "failover.renamed"]
    assert [event for event in events(simulation, "failover.") if event in order][:5] == order


@pytest.mark.parametrize("fault", ["process", "power", "network"])
def test_the_leader_goes_on_alone_without_its_standby_and_requires_it_again_later(fault: str) -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation) as region:
            await made(simulation, A, B)
            leader, standby = simulation.engines["orders_1"], simulation.engines["orders_2"]
            if fault == "process":
                standby.running = False
            else:
                simulation.fail(B, fault)
            assert not leader.write(1), "a write waits for the standby"
            await until(leader.can_acknowledge, within=2.0)
            assert status(simulation).redundancy is Redundancy.ALONE
            assert leader.write(2)
            simulation.recover(B)
            region.deployments.zone_changed()
            await until(redundancy_is(simulation, Redundancy.SYNCHRONOUS), within=20)
            assert standby.log == leader.log and status(simulation).leader == "orders_1"

    simulation = run(test)
    noted = list(simulation.store.journal(event="failover.decided"))
    assert [entry.fields["action"] for entry in noted] == ["go-alone"]
    alone = next(entry for entry in simulation.store.journal(event="redundancy.alone"))
    assert alone.fields["why"]


def test_a_standby_that_missed_writes_is_never_promoted_however_long_the_leader_is_away() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation) as region:
            await made(simulation, A, B)
            leader = simulation.engines["orders_1"]
            simulation.fail(B, "power")
            await until(leader.can_acknowledge)
            assert leader.write(1)
            simulation.fail(A, "power")
            simulation.recover(B)
            region.deployments.zone_changed()
            await asyncio.sleep(120)
            assert status(simulation).leader == "orders_1" and not simulation.engines["orders_2"].is_leader
            assert "zone us-east-1a is lost" in region.deployments.why("d-1")
            assert "never promoted" in region.deployments.why("d-1")
            simulation.recover(A)
            region.deployments.zone_changed()
            await until(redundancy_is(simulation, Redundancy.SYNCHRONOUS), within=30)
            assert 1 in simulation.engines["orders_2"].log

    run(test)


def test_when_both_zones_return_the_standby_first_it_takes_over() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation) as region:
            await made(simulation, A, B)
            assert simulation.engines["orders_1"].write(1)
            simulation.fail(A, "power")
            simulation.fail(B, "power")
            await asyncio.sleep(20)
            simulation.recover(B)
            region.deployments.zone_changed()
            await until(lambda: simulation.name == "orders_2", within=20)
            assert simulation.engines["orders_2"].log == [1]

    run(test)


def test_a_region_that_starts_when_everything_is_off_starts_it() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation):
            await made(simulation, A, B)
        for zone in (A, B, C):
            simulation.fail(zone, "power")
        for zone in (A, B, C):
            simulation.recover(zone)
        simulation.name = ""
        async with Region(simulation):
            await until(lambda: simulation.name == "orders_1" and simulation.engines["orders_1"].can_acknowledge(), within=5)
            await until(redundancy_is(simulation, Redundancy.SYNCHRONOUS), within=20)

    simulation = run(test)
    assert "failover.promoted" not in events(simulation)


def test_a_forced_failover_changes_the_roles_within_a_second() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation):
            await made(simulation, A, B)
            begun = simulation.clock.monotonic()
            change(simulation, failover=1)
            await until(lambda: simulation.name == "orders_2")
            assert simulation.clock.monotonic() - begun < 0.5
            await until(redundancy_is(simulation, Redundancy.SYNCHRONOUS))
            assert status(simulation).failed_over == 1 and status(simulation).epoch == 2
            await asyncio.sleep(5)
            assert status(simulation).epoch == 2, "one wish, one failover"

    run(test)


def test_a_restart_does_not_fail_over() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation):
            await made(simulation, A, B)
            change(simulation, restart=1)
            await until(lambda: status(simulation).restarted == 1)
            assert simulation.engines["orders_1"].calls.count("stop") == 1
            await asyncio.sleep(5)
            assert status(simulation).leader == "orders_1" and status(simulation).redundancy is Redundancy.SYNCHRONOUS

    run(test)


def test_stop_and_start_keep_the_data_and_the_roles() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation):
            await made(simulation, A, B)
            assert simulation.engines["orders_1"].write(1)
            change(simulation, power=Power.OFF)
            await until(lambda: status(simulation).phase is Phase.STOPPED)
            assert not any(engine.running or engine.host.is_on for engine in simulation.engines.values())
            await asyncio.sleep(30)
            assert status(simulation).epoch == 1, "nothing is judged while it is stopped"
            change(simulation, power=Power.ON)
            await until(lambda: simulation.engines["orders_1"].can_acknowledge() and redundancy_is(simulation, Redundancy.SYNCHRONOUS)())
            assert simulation.engines["orders_1"].log == [1]

    run(test)


def test_a_standby_is_added_and_taken_away() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation):
            await made(simulation, A)
            one = simulation.store.require(DeploymentSpec, "d-1").places
            assert simulation.engines["orders_1"].write(1)
            change(simulation, places=spec(A, B).places)
            await until(redundancy_is(simulation, Redundancy.SYNCHRONOUS))
            assert simulation.engines["orders_2"].log == [1]
            change(simulation, places=one)
            await until(lambda: len(status(simulation).members) == 1)
            assert status(simulation).redundancy is Redundancy.SINGLE and list(simulation.engines) == ["orders_1"]
            assert "release_log" in simulation.engines["orders_1"].calls, "the leader would keep log for a standby that never comes"
            assert simulation.engines["orders_1"].write(2)

    run(test)


def test_an_upgrade_takes_the_standby_first_then_fails_over_then_the_other() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation):
            await made(simulation, A, B)
            change(simulation, engine_version="18.2", revision=2)
            await until(lambda: all(member.revision == 2 for member in status(simulation).members), within=30)
            await until(redundancy_is(simulation, Redundancy.SYNCHRONOUS), within=30)
            assert status(simulation).leader == "orders_2" and status(simulation).epoch == 2
            assert {member.engine_version for member in status(simulation).members} == {"18.2"}

    run(test)


def starts(simulation: Simulation) -> list[str]:
    """The order in which nodes were restarted, by name."""
    return [
        str(entry.fields["node"]) for entry in simulation.store.journal(event="node.") if entry.event in ("node.upgraded", "node.rejoined")
    ]


async def revised(simulation: Simulation, **more: object) -> None:
    """Have a modification carried out to its end."""
    change(simulation, revision=simulation.store.require(DeploymentSpec, "d-1").revision + 1, **more)
    now = simulation.store.require(DeploymentSpec, "d-1")
    await until(lambda: status(simulation).settled_revision == now.revision, within=60)
    await until(redundancy_is(simulation, Redundancy.SYNCHRONOUS), within=30)
    assert {member.revision for member in status(simulation).members} == {now.revision}
    assert {engine.max_connections for engine in simulation.engines.values()} == {connections(now.memory_bytes)}


def test_a_lowered_setting_goes_to_the_leader_first_and_a_raised_one_to_the_standby_first() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation):
            await made(simulation, A, B)
            await revised(simulation, memory_bytes=4 << 30)
            assert starts(simulation) == ["orders_2", "orders_1"] and status(simulation).leader == "orders_2"
            await revised(simulation, memory_bytes=1 << 30)
            assert starts(simulation)[2:] == ["orders_2", "orders_1"]
            assert (status(simulation).leader, status(simulation).epoch) == ("orders_2", 2), "no failover was needed"

    run(test)


def test_a_lowered_setting_comes_into_force_everywhere_though_the_version_changes_too() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation):
            await made(simulation, A, B)
            await revised(simulation, memory_bytes=4 << 30)
            await revised(simulation, memory_bytes=1 << 30, engine_version="18.2")
            assert {member.engine_version for member in status(simulation).members} == {"18.2"}

    run(test)


@pytest.mark.parametrize("failures", ["before", "after", "twice"])
@pytest.mark.parametrize("gibibytes", [(4, 1), (1, 4), (2, 1, 4, 1)])
def test_every_step_of_a_modification_may_fail_once_or_be_done_twice(gibibytes: tuple[int, ...], failures: str) -> None:
    simulation = Simulation()
    simulation.wrap = runs_twice if failures == "twice" else lambda node: fails_once(node, after=failures == "after")

    async def test(simulation: Simulation) -> None:
        async with Region(simulation):
            await made(simulation, A, B)
            for engine in simulation.engines.values():
                engine.wrapped = simulation.wrap(engine)
            for size in gibibytes:
                await revised(simulation, memory_bytes=size << 30)

    run(test, simulation)


def test_a_lowered_setting_reaches_a_pair_whose_standby_returns_later() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation) as region:
            await made(simulation, A, B)
            await revised(simulation, memory_bytes=4 << 30)
            standby = status(simulation).standby
            assert standby is not None
            simulation.fail(standby.place.zone, "power")
            change(simulation, memory_bytes=1 << 30, revision=3)
            await until(lambda: status(simulation).leading.revision == 3, within=30)
            simulation.recover(standby.place.zone)
            region.deployments.zone_changed()
            await until(lambda: status(simulation).settled_revision == 3 and redundancy_is(simulation, Redundancy.SYNCHRONOUS)(), within=60)
            assert {engine.max_connections for engine in simulation.engines.values()} == {connections(1 << 30)}

    run(test)


@pytest.mark.parametrize("zones", [(A,), (A, B)])
@pytest.mark.parametrize(("before", "after"), [(1, 4), (4, 1), (2, 2)])
def test_a_revision_with_which_an_engine_does_not_start_is_taken_back_and_not_tried_again(
    zones: tuple[str, ...], before: int, after: int
) -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation):
            want(simulation, spec(*zones, memory_bytes=before << 30))
            await until(lambda: (found := simulation.store.get(DeploymentStatus, "d-1")) is not None and found.phase is Phase.RUNNING)
            await made_whole(simulation)
            for engine in simulation.engines.values():
                engine.refuses = lambda member: member.revision == 2
            change(simulation, memory_bytes=after << 30, revision=2)
            await until(lambda: status(simulation).failed_revision == 2, within=30)
            assert "revision 2 does not start" in status(simulation).failure
            await until(lambda: bool(simulation.able_to_acknowledge()), within=10)
            await made_whole(simulation)
            count = len(simulation.store.journal(event="modification.failed"))
            await asyncio.sleep(120)
            assert len(simulation.store.journal(event="modification.failed")) == count == 1, "it is not tried again"
            assert {member.revision for member in status(simulation).members} == {1}
            change(simulation, memory_bytes=8 << 30, revision=3)
            await until(lambda: status(simulation).settled_revision == 3, within=60)
            await made_whole(simulation)
            assert {engine.max_connections for engine in simulation.engines.values()} == {connections(8 << 30)}

    async def made_whole(simulation: Simulation) -> None:
        goal = Redundancy.SYNCHRONOUS if len(zones) > 1 else Redundancy.SINGLE
        await until(lambda: redundancy_is(simulation, goal)() and bool(simulation.able_to_acknowledge()), within=60)

    run(test)


def test_a_deployment_whose_revision_does_not_start_can_be_removed_at_any_moment() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation):
            await made(simulation, A, B)
            for engine in simulation.engines.values():
                engine.refuses = lambda member: member.revision == 2
            change(simulation, memory_bytes=4 << 30, revision=2)
            await until(lambda: status(simulation).redundancy is Redundancy.ALONE)
            change(simulation, power=Power.DELETED)
            await until(lambda: simulation.store.get(DeploymentStatus, "d-1") is None)

    run(test)


def test_a_single_node_is_upgraded_in_place() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation):
            await made(simulation, A)
            change(simulation, engine_version="18.2", revision=2)
            await until(lambda: status(simulation).leading.engine_version == "18.2")
            await until(simulation.engines["orders_1"].can_acknowledge)

    run(test)


def test_a_password_is_changed_on_the_leader() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation):
            await made(simulation, A, B)
            change(simulation, password=1)
            await until(lambda: status(simulation).password == 1)
            assert "change_password" in simulation.engines["orders_1"].calls

    run(test)


def test_a_deployment_is_removed_with_everything_of_it() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation):
            await made(simulation, A, B)
            change(simulation, power=Power.DELETED)
            await until(lambda: simulation.store.get(DeploymentStatus, "d-1") is None)
            assert simulation.engines == {} and simulation.store.get(DeploymentSpec, "d-1") is None

    run(test)


def test_what_cannot_be_reached_is_removed_when_its_zone_returns() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation) as region:
            await made(simulation, A, B)
            simulation.fail(B, "power")
            change(simulation, power=Power.DELETED)
            await until(lambda: status(simulation).phase is Phase.DELETED)
            assert list(simulation.engines) == ["orders_2"]
            simulation.recover(B)
            region.deployments.zone_changed()
            await until(lambda: simulation.store.get(DeploymentStatus, "d-1") is None)
            assert simulation.engines == {}

    run(test)


def test_the_condition_of_a_node_is_reported_after_the_leader_was_removed() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation) as region:
            await made(simulation, A, B)
            simulation.fail(B, "power")
            change(simulation, power=Power.DELETED)
            await until(lambda: status(simulation).phase is Phase.DELETED)
            assert [member.name for member in status(simulation).members] == ["orders_2"] and not status(simulation).is_led
            assert region.deployments.condition("d-1", "orders_2") is NodeCondition.UNSURE

    run(test)


def test_a_standby_lost_in_the_middle_of_its_copy_is_copied_again() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation) as region:
            want(simulation, spec(A, B))
            await until(lambda: "clone" in (simulation.engines["orders_2"].calls if "orders_2" in simulation.engines else []))
            simulation.fail(B, "power")
            await asyncio.sleep(10)
            assert simulation.engines["orders_1"].can_acknowledge() and status(simulation).redundancy is Redundancy.BUILDING
            simulation.recover(B)
            region.deployments.zone_changed()
            await until(redundancy_is(simulation, Redundancy.SYNCHRONOUS))

    run(test)


def test_a_standby_that_recovers_for_longer_than_the_first_wait_gets_a_longer_one_after_each_attempt() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation):
            await made(simulation, A, B)
            leader, standby = simulation.engines["orders_1"], simulation.engines["orders_2"]
            standby.restart_seconds = 100.0
            standby.calls.clear()
            await standby.kill()
            await until(redundancy_is(simulation, Redundancy.ALONE))
            await until(redundancy_is(simulation, Redundancy.SYNCHRONOUS), within=900.0)
            copies = standby.calls.count("clone")
            assert 0 < copies <= 3, f"copied {copies} times"
            assert leader.write(1)

    run(test)


def test_the_reason_for_waiting_is_replaced_while_the_standby_is_copied() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation) as region:
            await made(simulation, A, B)
            simulation.fail(A, "power")
            await until(lambda: simulation.name == "orders_2", within=10)
            simulation.fail(C, "network")
            await until(lambda: "cannot tell which side is isolated" in region.deployments.why("d-1"))
            simulation.recover(A)
            region.deployments.zone_changed()
            await until(lambda: "rejoin" in simulation.engines["orders_1"].calls)
            assert region.deployments.why("d-1") == "the standby has to become a copy of the leader"
            await until(redundancy_is(simulation, Redundancy.SYNCHRONOUS))
            assert region.deployments.why("d-1") == ""

    run(test)


@pytest.mark.parametrize("lost", [(B,), (A,), (A, B)])
def test_a_zone_that_is_back_is_not_given_as_the_reason_any_more(lost: tuple[str, ...]) -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation) as region:
            await made(simulation, A, B)
            for zone in lost:
                simulation.fail(zone, "power")
            reason = "is lost" if len(lost) == 1 else "cannot tell which side is isolated"
            await until(lambda: reason in region.deployments.why("d-1"))
            for zone in lost:
                simulation.recover(zone)
            region.deployments.zone_changed()
            while not redundancy_is(simulation, Redundancy.SYNCHRONOUS)():
                assert "is lost" not in region.deployments.why("d-1")
                await asyncio.sleep(0.01)
            await until(lambda: region.deployments.why("d-1") == "")


def test_the_journal_has_the_reason_of_a_copy_instead_of_a_rewind() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation) as region:
            await made(simulation, A, B)
            simulation.engines["orders_1"].cannot_rewind = "the log is gone"
            simulation.fail(A, "power")
            await until(lambda: simulation.name == "orders_2", within=10)
            simulation.recover(A)
            region.deployments.zone_changed()
            await until(redundancy_is(simulation, Redundancy.SYNCHRONOUS))
            copied = [entry.fields for entry in simulation.store.journal(event="node.cloned")][-1]
            assert (copied["node"], copied["how"], copied["why"]) == ("orders_1", "cloned", "the log is gone")

    run(test)


def test_a_region_that_is_started_again_gives_no_reason_of_the_one_before() -> None:
    simulation = Simulation()

    async def before(simulation: Simulation) -> None:
        async with Region(simulation) as region:
            await made(simulation, A, B)
            simulation.fail(B, "power")
            await until(lambda: "is lost" in region.deployments.why("d-1"))

    async def after(simulation: Simulation) -> None:
        simulation.recover(B)
        region = Region(simulation)
        assert region.deployments.why("d-1") == ""

    run(before, simulation)
    run(after, simulation)


def test_a_leader_that_dies_while_its_standby_is_copied_is_started_in_place() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation):
            want(simulation, spec(A, B))
            await until(lambda: "clone" in (simulation.engines["orders_2"].calls if "orders_2" in simulation.engines else []))
            simulation.engines["orders_1"].running = False
            await until(redundancy_is(simulation, Redundancy.SYNCHRONOUS))
            assert status(simulation).leader == "orders_1"

    assert "failover.promoted" not in events(run(test))


def test_a_leader_cut_off_with_its_clients_acknowledges_nothing() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation) as region:
            await made(simulation, A, B)
            simulation.fail(A, "network")
            for value in range(200):
                assert not simulation.engines["orders_1"].write(1000 + value)
                assert len(simulation.able_to_acknowledge()) <= 1
                await asyncio.sleep(0.05)
            assert simulation.name == "orders_2"
            simulation.recover(A)
            region.deployments.zone_changed()
            await until(redundancy_is(simulation, Redundancy.SYNCHRONOUS))
            assert simulation.engines["orders_1"].log == simulation.engines["orders_2"].log
            assert not any(value >= 1000 for value in simulation.engines["orders_1"].log)

    run(test)


async def taken_over(simulation: Simulation, fault: str = "network") -> None:
    """The leader's zone is lost, and the standby in B leads."""
    await made(simulation, A, B)
    simulation.fail(A, fault)
    await until(lambda: simulation.name == "orders_2" and simulation.engines["orders_2"].can_acknowledge(), within=10)


@pytest.mark.parametrize("also_lost", [(B,), (B, C)])
@pytest.mark.parametrize("fault", ["network", "power"])
def test_an_old_leader_is_fenced_when_its_zone_returns_while_the_new_leaders_is_lost(fault: str, also_lost: tuple[str, ...]) -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation) as region:
            await taken_over(simulation)
            for zone in also_lost:
                simulation.fail(zone, fault)
            await asyncio.sleep(5)
            old = simulation.engines["orders_1"]
            assert old.answers and old.is_leader and status(simulation).member("orders_1").unfenced
            simulation.recover(A)
            region.deployments.zone_changed()
            await until(lambda: not old.answers, within=0.5)
            assert not status(simulation).member("orders_1").unfenced and not status(simulation).member("orders_1").is_on
            await asyncio.sleep(30)
            assert not old.answers and status(simulation).leader == "orders_2"
            for zone in also_lost:
                simulation.recover(zone)
            region.deployments.zone_changed()
            await until(redundancy_is(simulation, Redundancy.SYNCHRONOUS), within=60)

    run(test)


def test_an_old_leader_is_fenced_after_the_spec_has_dropped_the_standby() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation) as region:
            await taken_over(simulation)
            change(simulation, places=(status(simulation).leading.place,))
            await until(redundancy_is(simulation, Redundancy.SINGLE))
            simulation.fail(B, "power")
            await asyncio.sleep(5)
            simulation.recover(A)
            region.deployments.zone_changed()
            await until(lambda: not simulation.engines["orders_1"].answers, within=0.5)

    run(test)


def test_an_old_leader_is_fenced_though_the_node_being_promoted_is_away() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation):
            await made(simulation, A, B)
            simulation.fail(A, "network")
            await until(lambda: status(simulation).promoting)
        simulation.fail(B, "power")
        simulation.recover(A)
        assert simulation.engines["orders_1"].answers and status(simulation).promoting == "orders_2"
        async with Region(simulation) as region:
            await until(lambda: not simulation.engines["orders_1"].answers, within=0.5)
            simulation.recover(B)
            region.deployments.zone_changed()
            await until(lambda: simulation.name == "orders_2" and redundancy_is(simulation, Redundancy.SYNCHRONOUS)(), within=60)

    run(test)


def test_an_old_leader_whose_zone_returns_during_a_long_step_is_fenced_beside_it() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation) as region:
            await taken_over(simulation)
            simulation.engines["orders_2"].restart_seconds = 40.0
            change(simulation, restart=1)
            await until(lambda: not simulation.engines["orders_2"].answers)
            await asyncio.sleep(1)
            simulation.recover(A)
            region.deployments.zone_changed()
            await until(lambda: not simulation.engines["orders_1"].answers, within=0.5)
            assert status(simulation).restarted == 0, "the restart is still going on"
            await until(lambda: status(simulation).restarted == 1, within=60)

    run(test)


def test_an_engine_that_cannot_be_ended_is_fenced_by_the_power_of_its_host_and_holds_nothing_up() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation):
            await made(simulation, A, B)
            old = simulation.engines["orders_1"]

            async def kill() -> None:
                raise EngineFailed("it does not end")

            old.kill = kill  # type: ignore[method-assign]
            old.hung = True
            await until(lambda: simulation.name == "orders_2", within=10)
            assert not old.host.is_on

    simulation = run(test)
    assert next(entry for entry in simulation.store.journal(event="failover.fenced")).fields["how"] == "off"


def test_a_promotion_that_the_region_did_not_survive_is_completed_by_the_next_one() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation):
            await made(simulation, A, B)
            change(simulation, failover=1)
            await until(lambda: status(simulation).promoting)
        assert status(simulation).leader == "orders_1"
        async with Region(simulation):
            await until(lambda: simulation.name == "orders_2")
            await until(redundancy_is(simulation, Redundancy.SYNCHRONOUS))

    run(test)


def test_a_single_node_that_hangs_is_killed_and_started() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation):
            await made(simulation, A)
            simulation.engines["orders_1"].hung = True
            await until(simulation.engines["orders_1"].can_acknowledge, within=30)

    run(test)


def test_no_node_is_promoted_where_no_monitoring_host_reaches_another_zone() -> None:
    async def test(simulation: Simulation) -> None:
        async with Region(simulation) as region:
            await made(simulation, A, B)
            simulation.fail(C, "network")
            await asyncio.sleep(5)
            simulation.fail(A, "network")
            await asyncio.sleep(60)
            assert status(simulation).leader == "orders_1" and not simulation.engines["orders_2"].is_leader
            assert "cannot tell which side is isolated" in region.deployments.why("d-1")
            simulation.recover(C)
            await until(lambda: simulation.name == "orders_2", within=10)

    run(test)


@pytest.mark.parametrize("failures", ["before", "after", "twice"])
@pytest.mark.parametrize("story", ["create", "failover", "rejoin", "standby", "stop", "remove"])
def test_every_step_may_fail_once_or_be_done_twice(story: str, failures: str) -> None:
    simulation = Simulation()
    simulation.wrap = runs_twice if failures == "twice" else lambda node: fails_once(node, after=failures == "after")

    async def test(simulation: Simulation) -> None:
        async with Region(simulation) as region:
            await made(simulation, A, B)
            for engine in simulation.engines.values():
                engine.wrapped = simulation.wrap(engine)
            if story in ("failover", "rejoin"):
                assert simulation.engines["orders_1"].write(1)
                if story == "failover":
                    simulation.engines["orders_1"].running = False
                else:
                    simulation.fail(A, "network")
                    await until(lambda: simulation.name == "orders_2", within=30)
                    simulation.recover(A)
                await until(lambda: simulation.name == "orders_2" and redundancy_is(simulation, Redundancy.SYNCHRONOUS)(), within=60)
                assert simulation.engines["orders_1"].log == simulation.engines["orders_2"].log == [1]
            elif story == "standby":
                simulation.fail(B, "power")
                await until(simulation.engines["orders_1"].can_acknowledge, within=30)
                simulation.recover(B)
                region.deployments.zone_changed()
                await until(redundancy_is(simulation, Redundancy.SYNCHRONOUS), within=90)
            elif story == "stop":
                change(simulation, power=Power.OFF)
                await until(lambda: status(simulation).phase is Phase.STOPPED)
                change(simulation, power=Power.ON)
                await until(
                    lambda: simulation.engines["orders_1"].can_acknowledge() and redundancy_is(simulation, Redundancy.SYNCHRONOUS)()
                )
            elif story == "remove":
                change(simulation, power=Power.DELETED)
                await until(lambda: simulation.store.get(DeploymentStatus, "d-1") is None)

    run(test, simulation)
