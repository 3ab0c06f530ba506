"""Deployments on fakes in virtual time: made, broken in every way, mended, changed, removed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace

from tests import virtual_time
from tests.steps import fails_once, runs_twice
from tests.unit.control.world import A, B, C, Region, World, connections, until, want, wanted
from zonal.control.deployment import Phase, Power, Standing, Wanted
from zonal.control.failover import Condition, Redundancy
from zonal.engines.node import EngineFailed


def run(test: Callable[[World], Awaitable[None]], world: World | None = None) -> World:
    world = world or World()

    async def main() -> None:
        await test(world)

    virtual_time.run(main())
    return world


def standing(world: World) -> Standing:
    found = world.store.get(Standing, "d-1")
    assert found is not None
    return found


def change(world: World, **more: object) -> None:
    want(world, replace(world.store.require(Wanted, "d-1"), **more))


def redundancy_is(world: World, redundancy: Redundancy) -> Callable[[], bool]:
    return lambda: (found := world.store.get(Standing, "d-1")) is not None and found.redundancy is redundancy and not found.promoting


def events(world: World, prefix: str = "") -> list[str]:
    return [entry.event for entry in world.store.journal(event=prefix)]


async def made(world: World, *zones: str) -> None:
    want(world, wanted(*zones))
    goal = Redundancy.SYNCHRONOUS if len(zones) > 1 else Redundancy.SINGLE
    await until(lambda: redundancy_is(world, goal)() and standing(world).phase is Phase.RUNNING)


def test_a_single_node_is_made_and_its_name_leads_to_it() -> None:
    async def test(world: World) -> None:
        async with Region(world):
            await made(world, A)
            assert world.name == "orders_1"
            assert world.engines["orders_1"].write(1)

    world = run(test)
    assert events(world, "deployment.") == ["deployment.available"]


def test_a_pair_becomes_synchronous() -> None:
    async def test(world: World) -> None:
        async with Region(world):
            await made(world, A, B)
            leader = world.engines["orders_1"]
            assert leader.required == ("orders_2",)
            assert leader.write(1) and world.engines["orders_2"].log == [1]

    assert "redundancy.synchronous" in events(run(test))


@pytest.mark.parametrize("fault", ["process", "hang", "host", "power", "network"])
def test_the_standby_takes_over_and_the_old_leader_comes_back_as_standby(fault: str) -> None:
    async def test(world: World) -> None:
        async with Region(world) as region:
            await made(world, A, B)
            old, new = world.engines["orders_1"], world.engines["orders_2"]
            assert old.write(1)
            begun = world.clock.monotonic()
            if fault == "process":
                old.running = False
            elif fault == "hang":
                old.hung = True
            elif fault == "host":
                old.host.lose_power()
            else:
                world.fail(A, fault)
            await until(lambda: world.name == "orders_2" and new.can_acknowledge(), within=2.5)
            assert world.clock.monotonic() - begun < (0.9 if fault == "process" else 2.4)
            assert new.write(2) and not old.write(3), "the old leader acknowledges nothing"
            await asyncio.sleep(3)
            if fault in ("power", "network"):
                assert standing(world).redundancy is Redundancy.ALONE
                world.recover(A)
                region.deployments.zone_changed()
            await until(redundancy_is(world, Redundancy.SYNCHRONOUS), within=20)
            assert not old.is_leader and old.log == new.log and 1 in new.log and 2 in new.log and 3 not in new.log

    world = run(test)
    order = ["failover.detected", "failover.decided", "failover.fenced", "failover.promoted", "failover.renamed"]
    assert [event for event in events(world, "failover.") if event in order][:5] == order


@pytest.mark.parametrize("fault", ["process", "power", "network"])
def test_the_leader_goes_on_alone_without_its_standby_and_requires_it_again_later(fault: str) -> None:
    async def test(world: World) -> None:
        async with Region(world) as region:
            await made(world, A, B)
            leader, standby = world.engines["orders_1"], world.engines["orders_2"]
            if fault == "process":
                standby.running = False
            else:
                world.fail(B, fault)
            assert not leader.write(1), "a write waits for the standby"
            await until(leader.can_acknowledge, within=2.0)
            assert standing(world).redundancy is Redundancy.ALONE
            assert leader.write(2)
            world.recover(B)
            region.deployments.zone_changed()
            await until(redundancy_is(world, Redundancy.SYNCHRONOUS), within=20)
            assert standby.log == leader.log and standing(world).leader == "orders_1"

    world = run(test)
    noted = list(world.store.journal(event="failover.decided"))
    assert [entry.fields["action"] for entry in noted] == ["go-alone"]
    alone = next(entry for entry in world.store.journal(event="redundancy.alone"))
    assert alone.fields["why"]


def test_a_standby_that_missed_writes_is_never_promoted_however_long_the_leader_is_away() -> None:
    async def test(world: World) -> None:
        async with Region(world) as region:
            await made(world, A, B)
            leader = world.engines["orders_1"]
            world.fail(B, "power")
            await until(leader.can_acknowledge)
            assert leader.write(1)
            world.fail(A, "power")
            world.recover(B)
            region.deployments.zone_changed()
            await asyncio.sleep(120)
            assert standing(world).leader == "orders_1" and not world.engines["orders_2"].is_leader
            assert "zone us-east-1a is lost" in region.deployments.why("d-1")
            assert "never promoted" in region.deployments.why("d-1")
            world.recover(A)
            region.deployments.zone_changed()
            await until(redundancy_is(world, Redundancy.SYNCHRONOUS), within=30)
            assert 1 in world.engines["orders_2"].log

    run(test)


def test_when_both_zones_return_the_standby_first_it_takes_over() -> None:
    async def test(world: World) -> None:
        async with Region(world) as region:
            await made(world, A, B)
            assert world.engines["orders_1"].write(1)
            world.fail(A, "power")
            world.fail(B, "power")
            await asyncio.sleep(20)
            world.recover(B)
            region.deployments.zone_changed()
            await until(lambda: world.name == "orders_2", within=20)
            assert world.engines["orders_2"].log == [1]

    run(test)


def test_a_region_that_starts_when_everything_is_off_starts_it() -> None:
    async def test(world: World) -> None:
        async with Region(world):
            await made(world, A, B)
        for zone in (A, B, C):
            world.fail(zone, "power")
        for zone in (A, B, C):
            world.recover(zone)
        world.name = ""
        async with Region(world):
            await until(lambda: world.name == "orders_1" and world.engines["orders_1"].can_acknowledge(), within=5)
            await until(redundancy_is(world, Redundancy.SYNCHRONOUS), within=20)

    world = run(test)
    assert "failover.promoted" not in events(world)


def test_a_forced_failover_changes_the_roles_within_a_second() -> None:
    async def test(world: World) -> None:
        async with Region(world):
            await made(world, A, B)
            begun = world.clock.monotonic()
            change(world, failover=1)
            await until(lambda: world.name == "orders_2")
            assert world.clock.monotonic() - begun < 0.5
            await until(redundancy_is(world, Redundancy.SYNCHRONOUS))
            assert standing(world).failed_over == 1 and standing(world).epoch == 2
            await asyncio.sleep(5)
            assert standing(world).epoch == 2, "one wish, one failover"

    run(test)


def test_a_restart_is_no_failover() -> None:
    async def test(world: World) -> None:
        async with Region(world):
            await made(world, A, B)
            change(world, restart=1)
            await until(lambda: standing(world).restarted == 1)
            assert world.engines["orders_1"].calls.count("stop") == 1
            await asyncio.sleep(5)
            assert standing(world).leader == "orders_1" and standing(world).redundancy is Redundancy.SYNCHRONOUS

    run(test)


def test_stop_and_start_keep_the_data_and_the_roles() -> None:
    async def test(world: World) -> None:
        async with Region(world):
            await made(world, A, B)
            assert world.engines["orders_1"].write(1)
            change(world, power=Power.OFF)
            await until(lambda: standing(world).phase is Phase.STOPPED)
            assert not any(engine.running or engine.host.is_on for engine in world.engines.values())
            await asyncio.sleep(30)
            assert standing(world).epoch == 1, "nothing is judged while it is stopped"
            change(world, power=Power.ON)
            await until(lambda: world.engines["orders_1"].can_acknowledge() and redundancy_is(world, Redundancy.SYNCHRONOUS)())
            assert world.engines["orders_1"].log == [1]

    run(test)


def test_a_standby_is_added_and_taken_away() -> None:
    async def test(world: World) -> None:
        async with Region(world):
            await made(world, A)
            one = world.store.require(Wanted, "d-1").places
            assert world.engines["orders_1"].write(1)
            change(world, places=wanted(A, B).places)
            await until(redundancy_is(world, Redundancy.SYNCHRONOUS))
            assert world.engines["orders_2"].log == [1]
            change(world, places=one)
            await until(lambda: len(standing(world).members) == 1)
            assert standing(world).redundancy is Redundancy.SINGLE and list(world.engines) == ["orders_1"]
            assert "release_log" in world.engines["orders_1"].calls, "the leader would keep log for a standby that never comes"
            assert world.engines["orders_1"].write(2)

    run(test)


def test_an_upgrade_takes_the_standby_first_then_fails_over_then_the_other() -> None:
    async def test(world: World) -> None:
        async with Region(world):
            await made(world, A, B)
            change(world, engine_version="18.2", revision=2)
            await until(lambda: all(member.revision == 2 for member in standing(world).members), within=30)
            await until(redundancy_is(world, Redundancy.SYNCHRONOUS), within=30)
            assert standing(world).leader == "orders_2" and standing(world).epoch == 2
            assert {member.engine_version for member in standing(world).members} == {"18.2"}

    run(test)


def starts(world: World) -> list[str]:
    """The order in which nodes were restarted, by name."""
    return [str(entry.fields["node"]) for entry in world.store.journal(event="node.") if entry.event in ("node.upgraded", "node.rejoined")]


async def revised(world: World, **more: object) -> None:
    """Have a modification carried out to its end."""
    change(world, revision=world.store.require(Wanted, "d-1").revision + 1, **more)
    now = world.store.require(Wanted, "d-1")
    await until(lambda: standing(world).settled_revision == now.revision, within=60)
    await until(redundancy_is(world, Redundancy.SYNCHRONOUS), within=30)
    assert {member.revision for member in standing(world).members} == {now.revision}
    assert {engine.max_connections for engine in world.engines.values()} == {connections(now.memory_bytes)}


def test_a_lowered_setting_goes_to_the_leader_first_and_a_raised_one_to_the_standby_first() -> None:
    async def test(world: World) -> None:
        async with Region(world):
            await made(world, A, B)
            await revised(world, memory_bytes=4 << 30)
            assert starts(world) == ["orders_2", "orders_1"] and standing(world).leader == "orders_2"
            await revised(world, memory_bytes=1 << 30)
            assert starts(world)[2:] == ["orders_2", "orders_1"]
            assert (standing(world).leader, standing(world).epoch) == ("orders_2", 2), "no failover was needed"

    run(test)


def test_a_lowered_setting_comes_into_force_everywhere_though_the_version_changes_too() -> None:
    async def test(world: World) -> None:
        async with Region(world):
            await made(world, A, B)
            await revised(world, memory_bytes=4 << 30)
            await revised(world, memory_bytes=1 << 30, engine_version="18.2")
            assert {member.engine_version for member in standing(world).members} == {"18.2"}

    run(test)


@pytest.mark.parametrize("trouble", ["before", "after", "twice"])
@pytest.mark.parametrize("gibibytes", [(4, 1), (1, 4), (2, 1, 4, 1)])
def test_every_step_of_a_modification_may_fail_once_or_be_done_twice(gibibytes: tuple[int, ...], trouble: str) -> None:
    world = World()
    world.wrap = runs_twice if trouble == "twice" else lambda node: fails_once(node, after=trouble == "after")

    async def test(world: World) -> None:
        async with Region(world):
            await made(world, A, B)
            for engine in world.engines.values():
                engine.wrapped = world.wrap(engine)
            for size in gibibytes:
                await revised(world, memory_bytes=size << 30)

    run(test, world)


def test_a_lowered_setting_reaches_a_pair_whose_standby_returns_later() -> None:
    async def test(world: World) -> None:
        async with Region(world) as region:
            await made(world, A, B)
            await revised(world, memory_bytes=4 << 30)
            standby = standing(world).standby
            assert standby is not None
            world.fail(standby.place.zone, "power")
            change(world, memory_bytes=1 << 30, revision=3)
            await until(lambda: standing(world).leading.revision == 3, within=30)
            world.recover(standby.place.zone)
            region.deployments.zone_changed()
            await until(lambda: standing(world).settled_revision == 3 and redundancy_is(world, Redundancy.SYNCHRONOUS)(), within=60)
            assert {engine.max_connections for engine in world.engines.values()} == {connections(1 << 30)}

    run(test)


@pytest.mark.parametrize("zones", [(A,), (A, B)])
@pytest.mark.parametrize(("before", "after"), [(1, 4), (4, 1), (2, 2)])
def test_a_revision_with_which_an_engine_does_not_start_is_taken_back_and_not_tried_again(
    zones: tuple[str, ...], before: int, after: int
) -> None:
    async def test(world: World) -> None:
        async with Region(world):
            want(world, wanted(*zones, memory_bytes=before << 30))
            await until(lambda: (found := world.store.get(Standing, "d-1")) is not None and found.phase is Phase.RUNNING)
            await made_whole(world)
            for engine in world.engines.values():
                engine.refuses = lambda member: member.revision == 2
            change(world, memory_bytes=after << 30, revision=2)
            await until(lambda: standing(world).failed_revision == 2, within=30)
            assert "revision 2 does not start" in standing(world).failure
            await until(lambda: bool(world.able_to_acknowledge()), within=10)
            await made_whole(world)
            count = len(world.store.journal(event="modification.failed"))
            await asyncio.sleep(120)
            assert len(world.store.journal(event="modification.failed")) == count == 1, "it is not tried again"
            assert {member.revision for member in standing(world).members} == {1}
            change(world, memory_bytes=8 << 30, revision=3)
            await until(lambda: standing(world).settled_revision == 3, within=60)
            await made_whole(world)
            assert {engine.max_connections for engine in world.engines.values()} == {connections(8 << 30)}

    async def made_whole(world: World) -> None:
        goal = Redundancy.SYNCHRONOUS if len(zones) > 1 else Redundancy.SINGLE
        await until(lambda: redundancy_is(world, goal)() and bool(world.able_to_acknowledge()), within=60)

    run(test)


def test_a_deployment_whose_revision_does_not_start_can_be_removed_at_any_moment() -> None:
    async def test(world: World) -> None:
        async with Region(world):
            await made(world, A, B)
            for engine in world.engines.values():
                engine.refuses = lambda member: member.revision == 2
            change(world, memory_bytes=4 << 30, revision=2)
            await until(lambda: standing(world).redundancy is Redundancy.ALONE)
            change(world, power=Power.GONE)
            await until(lambda: world.store.get(Standing, "d-1") is None)

    run(test)


def test_a_single_node_is_upgraded_in_place() -> None:
    async def test(world: World) -> None:
        async with Region(world):
            await made(world, A)
            change(world, engine_version="18.2", revision=2)
            await until(lambda: standing(world).leading.engine_version == "18.2")
            await until(world.engines["orders_1"].can_acknowledge)

    run(test)


def test_a_password_is_changed_on_the_leader() -> None:
    async def test(world: World) -> None:
        async with Region(world):
            await made(world, A, B)
            change(world, password=1)
            await until(lambda: standing(world).password == 1)
            assert "set_master_password" in world.engines["orders_1"].calls

    run(test)


def test_a_deployment_is_removed_with_everything_of_it() -> None:
    async def test(world: World) -> None:
        async with Region(world):
            await made(world, A, B)
            change(world, power=Power.GONE)
            await until(lambda: world.store.get(Standing, "d-1") is None)
            assert world.engines == {} and world.store.get(Wanted, "d-1") is None

    run(test)


def test_what_cannot_be_reached_is_removed_when_its_zone_returns() -> None:
    async def test(world: World) -> None:
        async with Region(world) as region:
            await made(world, A, B)
            world.fail(B, "power")
            change(world, power=Power.GONE)
            await until(lambda: standing(world).phase is Phase.DELETED)
            assert list(world.engines) == ["orders_2"]
            world.recover(B)
            region.deployments.zone_changed()
            await until(lambda: world.store.get(Standing, "d-1") is None)
            assert world.engines == {}

    run(test)


def test_a_node_is_told_of_though_the_leader_is_removed_already() -> None:
    async def test(world: World) -> None:
        async with Region(world) as region:
            await made(world, A, B)
            world.fail(B, "power")
            change(world, power=Power.GONE)
            await until(lambda: standing(world).phase is Phase.DELETED)
            assert [member.name for member in standing(world).members] == ["orders_2"] and not standing(world).is_led
            assert region.deployments.condition("d-1", "orders_2") is Condition.UNSURE

    run(test)


def test_a_standby_lost_in_the_middle_of_its_copy_is_copied_again() -> None:
    async def test(world: World) -> None:
        async with Region(world) as region:
            want(world, wanted(A, B))
            await until(lambda: "clone" in (world.engines["orders_2"].calls if "orders_2" in world.engines else []))
            world.fail(B, "power")
            await asyncio.sleep(10)
            assert world.engines["orders_1"].can_acknowledge() and standing(world).redundancy is Redundancy.BUILDING
            world.recover(B)
            region.deployments.zone_changed()
            await until(redundancy_is(world, Redundancy.SYNCHRONOUS))

    run(test)


def test_what_was_waited_for_is_not_told_any_more_while_the_standby_is_made_a_copy() -> None:
    async def test(world: World) -> None:
        async with Region(world) as region:
            await made(world, A, B)
            world.fail(A, "power")
            await until(lambda: world.name == "orders_2", within=10)
            world.fail(C, "network")
            await until(lambda: "nobody can tell who is cut off" in region.deployments.why("d-1"))
            world.recover(A)
            region.deployments.zone_changed()
            await until(lambda: "rejoin" in world.engines["orders_1"].calls)
            assert region.deployments.why("d-1") == "the standby has to become a copy of the leader"
            await until(redundancy_is(world, Redundancy.SYNCHRONOUS))
            assert region.deployments.why("d-1") == ""

    run(test)


@pytest.mark.parametrize("lost", [(B,), (A,), (A, B)])
def test_a_zone_that_is_back_is_not_given_as_the_reason_any_more(lost: tuple[str, ...]) -> None:
    async def test(world: World) -> None:
        async with Region(world) as region:
            await made(world, A, B)
            for zone in lost:
                world.fail(zone, "power")
            reason = "is lost" if len(lost) == 1 else "nobody can tell who is cut off"
            await until(lambda: reason in region.deployments.why("d-1"))
            for zone in lost:
                world.recover(zone)
            region.deployments.zone_changed()
            while not redundancy_is(world, Redundancy.SYNCHRONOUS)():
                assert "is lost" not in region.deployments.why("d-1")
                await asyncio.sleep(0.01)
            await until(lambda: region.deployments.why("d-1") == "")


def test_the_journal_has_the_reason_of_a_copy_that_is_made_instead_of_a_rewind() -> None:
    async def test(world: World) -> None:
        async with Region(world) as region:
            await made(world, A, B)
            world.engines["orders_1"].cannot_rewind = "the log is gone"
            world.fail(A, "power")
            await until(lambda: world.name == "orders_2", within=10)
            world.recover(A)
            region.deployments.zone_changed()
            await until(redundancy_is(world, Redundancy.SYNCHRONOUS))
            copied = [entry.fields for entry in world.store.journal(event="node.cloned")][-1]
            assert (copied["node"], copied["how"], copied["why"]) == ("orders_1", "cloned", "the log is gone")

    run(test)


def test_a_region_that_is_started_again_gives_no_reason_of_the_one_before() -> None:
    world = World()

    async def before(world: World) -> None:
        async with Region(world) as region:
            await made(world, A, B)
            world.fail(B, "power")
            await until(lambda: "is lost" in region.deployments.why("d-1"))

    async def after(world: World) -> None:
        world.recover(B)
        region = Region(world)
        assert region.deployments.why("d-1") == ""

    run(before, world)
    run(after, world)


def test_a_leader_that_dies_while_its_standby_is_copied_is_started_in_place() -> None:
    async def test(world: World) -> None:
        async with Region(world):
            want(world, wanted(A, B))
            await until(lambda: "clone" in (world.engines["orders_2"].calls if "orders_2" in world.engines else []))
            world.engines["orders_1"].running = False
            await until(redundancy_is(world, Redundancy.SYNCHRONOUS))
            assert standing(world).leader == "orders_1"

    assert "failover.promoted" not in events(run(test))


def test_a_leader_cut_off_with_its_clients_acknowledges_nothing() -> None:
    async def test(world: World) -> None:
        async with Region(world) as region:
            await made(world, A, B)
            world.fail(A, "network")
            for value in range(200):
                assert not world.engines["orders_1"].write(1000 + value)
                assert len(world.able_to_acknowledge()) <= 1
                await asyncio.sleep(0.05)
            assert world.name == "orders_2"
            world.recover(A)
            region.deployments.zone_changed()
            await until(redundancy_is(world, Redundancy.SYNCHRONOUS))
            assert world.engines["orders_1"].log == world.engines["orders_2"].log
            assert not any(value >= 1000 for value in world.engines["orders_1"].log)

    run(test)


async def taken_over(world: World, fault: str = "network") -> None:
    """The leader's zone is lost, and the standby in B leads."""
    await made(world, A, B)
    world.fail(A, fault)
    await until(lambda: world.name == "orders_2" and world.engines["orders_2"].can_acknowledge(), within=10)


@pytest.mark.parametrize("also_lost", [(B,), (B, C)])
@pytest.mark.parametrize("fault", ["network", "power"])
def test_an_old_leader_is_fenced_when_its_zone_returns_while_the_new_leaders_is_lost(fault: str, also_lost: tuple[str, ...]) -> None:
    async def test(world: World) -> None:
        async with Region(world) as region:
            await taken_over(world)
            for zone in also_lost:
                world.fail(zone, fault)
            await asyncio.sleep(5)
            old = world.engines["orders_1"]
            assert old.answers and old.is_leader and standing(world).member("orders_1").unfenced
            world.recover(A)
            region.deployments.zone_changed()
            await until(lambda: not old.answers, within=0.5)
            assert not standing(world).member("orders_1").unfenced and not standing(world).member("orders_1").is_on
            await asyncio.sleep(30)
            assert not old.answers and standing(world).leader == "orders_2"
            for zone in also_lost:
                world.recover(zone)
            region.deployments.zone_changed()
            await until(redundancy_is(world, Redundancy.SYNCHRONOUS), within=60)

    run(test)


def test_an_old_leader_is_fenced_though_no_standby_is_wanted_any_more() -> None:
    async def test(world: World) -> None:
        async with Region(world) as region:
            await taken_over(world)
            change(world, places=(standing(world).leading.place,))
            await until(redundancy_is(world, Redundancy.SINGLE))
            world.fail(B, "power")
            await asyncio.sleep(5)
            world.recover(A)
            region.deployments.zone_changed()
            await until(lambda: not world.engines["orders_1"].answers, within=0.5)

    run(test)


def test_an_old_leader_is_fenced_though_the_node_being_promoted_is_away() -> None:
    async def test(world: World) -> None:
        async with Region(world):
            await made(world, A, B)
            world.fail(A, "network")
            await until(lambda: standing(world).promoting)
        world.fail(B, "power")
        world.recover(A)
        assert world.engines["orders_1"].answers and standing(world).promoting == "orders_2"
        async with Region(world) as region:
            await until(lambda: not world.engines["orders_1"].answers, within=0.5)
            world.recover(B)
            region.deployments.zone_changed()
            await until(lambda: world.name == "orders_2" and redundancy_is(world, Redundancy.SYNCHRONOUS)(), within=60)

    run(test)


def test_an_old_leader_whose_zone_returns_during_a_long_step_is_fenced_beside_it() -> None:
    async def test(world: World) -> None:
        async with Region(world) as region:
            await taken_over(world)
            world.engines["orders_2"].restart_seconds = 40.0
            change(world, restart=1)
            await until(lambda: not world.engines["orders_2"].answers)
            await asyncio.sleep(1)
            world.recover(A)
            region.deployments.zone_changed()
            await until(lambda: not world.engines["orders_1"].answers, within=0.5)
            assert standing(world).restarted == 0, "the restart is still going on"
            await until(lambda: standing(world).restarted == 1, within=60)

    run(test)


def test_an_engine_that_cannot_be_ended_is_fenced_by_the_power_of_its_host_and_holds_nothing_up() -> None:
    async def test(world: World) -> None:
        async with Region(world):
            await made(world, A, B)
            old = world.engines["orders_1"]

            async def kill() -> None:
                raise EngineFailed("it does not end")

            old.kill = kill  # type: ignore[method-assign]
            old.hung = True
            await until(lambda: world.name == "orders_2", within=10)
            assert not old.host.is_on

    world = run(test)
    assert next(entry for entry in world.store.journal(event="failover.fenced")).fields["how"] == "off"


def test_a_promotion_that_the_region_did_not_survive_is_completed_by_the_next_one() -> None:
    async def test(world: World) -> None:
        async with Region(world):
            await made(world, A, B)
            change(world, failover=1)
            await until(lambda: standing(world).promoting)
        assert standing(world).leader == "orders_1"
        async with Region(world):
            await until(lambda: world.name == "orders_2")
            await until(redundancy_is(world, Redundancy.SYNCHRONOUS))

    run(test)


def test_a_single_node_that_hangs_is_killed_and_started() -> None:
    async def test(world: World) -> None:
        async with Region(world):
            await made(world, A)
            world.engines["orders_1"].hung = True
            await until(world.engines["orders_1"].can_acknowledge, within=30)

    run(test)


def test_without_a_second_zone_to_hear_nobody_is_promoted() -> None:
    async def test(world: World) -> None:
        async with Region(world) as region:
            await made(world, A, B)
            world.fail(C, "network")
            await asyncio.sleep(5)
            world.fail(A, "network")
            await asyncio.sleep(60)
            assert standing(world).leader == "orders_1" and not world.engines["orders_2"].is_leader
            assert "nobody can tell who is cut off" in region.deployments.why("d-1")
            world.recover(C)
            await until(lambda: world.name == "orders_2", within=10)

    run(test)


@pytest.mark.parametrize("trouble", ["before", "after", "twice"])
@pytest.mark.parametrize("story", ["create", "failover", "rejoin", "standby", "stop", "remove"])
def test_every_step_may_fail_once_or_be_done_twice(story: str, trouble: str) -> None:
    world = World()
    world.wrap = runs_twice if trouble == "twice" else lambda node: fails_once(node, after=trouble == "after")

    async def test(world: World) -> None:
        async with Region(world) as region:
            await made(world, A, B)
            for engine in world.engines.values():
                engine.wrapped = world.wrap(engine)
            if story in ("failover", "rejoin"):
                assert world.engines["orders_1"].write(1)
                if story == "failover":
                    world.engines["orders_1"].running = False
                else:
                    world.fail(A, "network")
                    await until(lambda: world.name == "orders_2", within=30)
                    world.recover(A)
                await until(lambda: world.name == "orders_2" and redundancy_is(world, Redundancy.SYNCHRONOUS)(), within=60)
                assert world.engines["orders_1"].log == world.engines["orders_2"].log == [1]
            elif story == "standby":
                world.fail(B, "power")
                await until(world.engines["orders_1"].can_acknowledge, within=30)
                world.recover(B)
                region.deployments.zone_changed()
                await until(redundancy_is(world, Redundancy.SYNCHRONOUS), within=90)
            elif story == "stop":
                change(world, power=Power.OFF)
                await until(lambda: standing(world).phase is Phase.STOPPED)
                change(world, power=Power.ON)
                await until(lambda: world.engines["orders_1"].can_acknowledge() and redundancy_is(world, Redundancy.SYNCHRONOUS)())
            elif story == "remove":
                change(world, power=Power.GONE)
                await until(lambda: world.store.get(Standing, "d-1") is None)

    run(test, world)
