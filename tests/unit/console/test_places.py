import asyncio
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import virtual_time
from zonal.console.places import EMPTY_SECONDS, PlaceDesk, PlaceUnknown, RecordedPlace
from zonal.console.shapes import CommandRequest
from zonal.fabric.plan import VpcPlan
from zonal.foundation.clock import RegionClock
from zonal.foundation.errors import ZonalError
from zonal.foundation.leases import Lease
from zonal.records.store import Store
from zonal.services.ec2 import default_vpc, lookups
from zonal.services.ec2.model import NetworkInterface, SecurityGroup, Subnet


class Ground:
    """A fabric whose hosts are only names."""

    def __init__(self) -> None:
        self.hosts = self
        self.on: dict[str, Any] = {}
        self.plans: list[VpcPlan] = []
        self.fails = False

    def get(self, name: str) -> Any:
        return self.on.get(name)

    async def remove(self, name: str) -> None:
        self.on.pop(name, None)

    async def apply_vpc(self, plan: VpcPlan) -> None:
        self.plans.append(plan)

    async def prepare_exec(self, name: str, *, zone: str, vpc_id: str | None) -> Any:
        if self.fails:
            raise ZonalError("the host cannot be powered on")
        spec = SimpleNamespace(internet_address=None if vpc_id else "192.0.2.64")
        self.on[name] = SimpleNamespace(init=SimpleNamespace(pid=2**30), spec=spec, zone=zone, management_address="")
        return self.on[name]


def desk(lost: tuple[str, ...] = (), leases: Path = Path("/nonexistent")) -> tuple[PlaceDesk, Ground, Store]:
    store = Store(":memory:")
    with store.transaction() as tx:
        default_vpc.bootstrap(tx, RegionClock().now())
    ground = Ground()
    return PlaceDesk(store, ground, RegionClock(), leases=leases, lost=lambda zone: zone in lost), ground, store


def subnet_in(store: Store, zone: str) -> Subnet:
    [subnet] = store.select(Subnet, lambda each: each.zone == zone)
    return subnet


async def test_a_command_in_a_subnet_has_an_interface_there_with_the_default_group_before_its_host_is_on() -> None:
    places, ground, store = desk()
    subnet = subnet_in(store, "us-east-1b")
    place = await places.prepare(CommandRequest(subnet.id))
    [interface] = store.select(NetworkInterface)
    vpc = lookups.default_vpc(store)
    assert vpc is not None
    assert (interface.subnet_id, interface.group_ids) == (subnet.id, (lookups.default_security_group(store, vpc.id).id,))
    assert interface.attachment is not None and interface.attachment.host == place.id
    assert [each.host for each in ground.plans[-1].interfaces] == [place.id]
    assert (place.address, place.zone) == (interface.addresses[0], "us-east-1b")


async def test_a_place_that_is_given_back_leaves_no_interface_and_no_host() -> None:
    places, ground, store = desk()
    place = await places.prepare(CommandRequest())
    await places.release(place.id)
    await places.release(place.id)
    assert (store.select(NetworkInterface), store.select(RecordedPlace), ground.on) == ([], [], {})


async def test_a_place_whose_host_fails_leaves_nothing() -> None:
    places, ground, store = desk()
    ground.fails = True
    with pytest.raises(ZonalError, match="cannot be powered on"):
        await places.prepare(CommandRequest())
    assert (store.select(NetworkInterface), store.select(RecordedPlace)) == ([], [])


async def test_the_default_place_is_in_the_first_zone_that_can_be_reached() -> None:
    places, _, _ = desk(lost=("us-east-1a",))
    assert (await places.prepare(CommandRequest())).zone == "us-east-1b"


async def test_a_place_in_a_lost_zone_is_refused_with_what_to_do() -> None:
    places, _, store = desk(lost=("us-east-1a",))
    with pytest.raises(PlaceUnknown, match="zonal recover us-east-1a"):
        await places.prepare(CommandRequest(subnet_in(store, "us-east-1a").id))


async def test_the_internet_is_outside_every_vpc() -> None:
    places, _, store = desk()
    place = await places.prepare(CommandRequest("internet"))
    assert place.address == "192.0.2.64" and store.select(NetworkInterface) == []


async def test_groups_that_are_not_there_are_refused_and_nothing_is_made() -> None:
    places, ground, store = desk()
    with pytest.raises(PlaceUnknown, match="sg-0123456789abcdef0"):
        await places.prepare(CommandRequest("default", ("sg-0123456789abcdef0",)))
    assert (store.select(NetworkInterface), ground.on) == ([], {})


async def test_a_commands_own_groups_replace_the_default_one() -> None:
    places, _, store = desk()
    [group] = store.select(SecurityGroup)
    await places.prepare(CommandRequest("default", (group.id,)))
    assert [each.group_ids for each in store.select(NetworkInterface)] == [(group.id,)]


async def test_groups_are_refused_where_they_would_not_hold() -> None:
    places, ground, store = desk()
    ground.on["db-orders-1"] = SimpleNamespace(init=SimpleNamespace(pid=2**30), zone="us-east-1a", management_address="")
    [group] = store.select(SecurityGroup)
    for place in ("internet", "db-orders-1"):
        with pytest.raises(PlaceUnknown, match=f"{place} takes no security groups"):
            await places.prepare(CommandRequest(place, (group.id,)))
    assert store.select(RecordedPlace) == []


async def test_a_name_that_is_no_place_is_told_with_what_is() -> None:
    places, _, _ = desk()
    with pytest.raises(PlaceUnknown, match="internet or default"):
        await places.prepare(CommandRequest("nowhere"))


def test_an_old_place_without_a_host_is_tidied_and_one_that_is_being_made_is_not() -> None:
    async def story() -> None:
        places, ground, store = desk()
        abandoned = await places.prepare(CommandRequest())
        ground.on.pop(abandoned.id)
        await places.tidy()
        assert [each.id for each in store.select(RecordedPlace)] == [abandoned.id], "its host may be on its way"
        await asyncio.sleep(EMPTY_SECONDS)
        young = await places.prepare(CommandRequest())
        await places.tidy()
        assert [each.id for each in store.select(RecordedPlace)] == [young.id]

    virtual_time.run(story())


async def test_a_place_whose_caller_ended_is_taken_back_and_one_whose_caller_lives_is_not(tmp_path: Path) -> None:
    places, ground, store = desk(leases=tmp_path)
    ended, living = Lease(tmp_path), Lease(tmp_path)
    await places.prepare(CommandRequest(lease=ended.name))
    kept = await places.prepare(CommandRequest(lease=living.name))
    await places.tidy()
    assert len(store.select(RecordedPlace)) == 2
    ended.release()
    await places.tidy()
    assert [each.id for each in store.select(RecordedPlace)] == [kept.id] == list(ground.on)
    assert len(store.select(NetworkInterface)) == 1
    assert os.listdir(tmp_path) == [living.name]  # noqa: PTH208


async def test_a_place_that_is_still_being_made_is_taken_back_only_afterwards(tmp_path: Path) -> None:
    places, ground, store = desk(leases=tmp_path)
    lease, powered = Lease(tmp_path), asyncio.Event()
    power_on = ground.prepare_exec

    async def prepare_exec(name: str, *, zone: str, vpc_id: str | None) -> Any:
        lease.release()
        await places.tidy()
        powered.set()
        return await power_on(name, zone=zone, vpc_id=vpc_id)

    ground.prepare_exec = prepare_exec  # type: ignore[method-assign]
    await places.prepare(CommandRequest(lease=lease.name))
    assert powered.is_set() and len(store.select(RecordedPlace)) == 1
    await places.tidy()
    assert (store.select(RecordedPlace), ground.on) == ([], {})


async def test_a_command_in_a_host_that_was_there_is_ended_with_its_caller_and_the_host_stays(tmp_path: Path) -> None:
    places, ground, store = desk(leases=tmp_path)
    ended: list[str] = []

    async def end_command(id: str) -> None:
        ended.append(id)

    host = SimpleNamespace(
        name="db-1", init=SimpleNamespace(pid=7), zone="us-east-1a", management_address="100.64.0.16", end_command=end_command
    )
    ground.on["db-1"] = host
    lease = Lease(tmp_path)
    place = await places.prepare(CommandRequest("db-1", lease=lease.name))
    assert (place.target, place.environment) == (7, (("ZONAL_EXEC", place.id),))
    lease.release()
    await places.tidy()
    assert (ended, list(ground.on), store.select(RecordedPlace)) == ([place.id], ["db-1"], [])
    assert store.journal(event="place.abandoned")[-1].subject == place.id


async def test_a_place_that_cannot_be_taken_back_now_does_not_keep_the_others_and_is_tried_again(tmp_path: Path) -> None:
    places, ground, store = desk(leases=tmp_path)
    stuck, other = Lease(tmp_path), Lease(tmp_path)
    first = await places.prepare(CommandRequest(lease=stuck.name))
    await places.prepare(CommandRequest(lease=other.name))
    remove, failures = ground.remove, [TimeoutError("its init does not end")]

    async def remove_or_fail(name: str) -> None:
        if name == first.id and failures:
            raise failures.pop()
        await remove(name)

    ground.remove = remove_or_fail  # type: ignore[method-assign]
    stuck.release()
    other.release()
    await places.tidy()
    assert [each.id for each in store.select(RecordedPlace)] == [first.id]
    await places.tidy()
    assert store.select(RecordedPlace) == []


async def test_a_lease_that_could_be_a_path_is_refused() -> None:
    places, _, store = desk()
    with pytest.raises(PlaceUnknown, match="lease"):
        await places.prepare(CommandRequest(lease="../region.db"))
    assert store.select(RecordedPlace) == []
