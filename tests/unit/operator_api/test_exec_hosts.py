import asyncio
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import virtual_time
from zonal.control.host_records import HostPower, HostRecord
from zonal.fabric.plan import VpcPlan
from zonal.foundation.clock import RegionClock
from zonal.foundation.errors import ZonalError
from zonal.foundation.leases import Lease
from zonal.operator_api.exec_hosts import EMPTY_SECONDS, ExecHost, ExecHosts, ExecHostUnknown
from zonal.operator_api.schemas import CommandRequest
from zonal.records.store import Store
from zonal.services.ec2 import default_vpc, lookups
from zonal.services.ec2.model import NetworkInterface, SecurityGroup, Subnet


class FakeFabric:
    """A fabric whose hosts are only names."""

    def __init__(self) -> None:
        self.hosts = self
        self.on: dict[str, Any] = {}
        self.plans: list[VpcPlan] = []

    def get(self, name: str) -> Any:
        return self.on.get(name)

    async def apply_vpc(self, plan: VpcPlan) -> None:
        self.plans.append(plan)


class FakeHosts:
    """Powers recorded hosts on and removes them, as the host reconciler does."""

    def __init__(self, store: Store, fabric: FakeFabric) -> None:
        self.store = store
        self.fabric = fabric
        self.fails = False

    async def power_on(self, id: str) -> None:
        if self.fails:
            raise ZonalError("the host cannot be powered on")
        record = self.store.require(HostRecord, id)
        self.fabric.on[id] = SimpleNamespace(init=SimpleNamespace(pid=2**30), zone=record.zone, management_address="")

    async def remove(self, id: str) -> None:
        self.fabric.on.pop(id, None)
        with self.store.transaction() as tx:
            tx.delete(HostRecord, id)


class ExecHostsUnderTest(ExecHosts):
    """`ExecHosts` with the fake hosts that it acts on, so that a test can make them fail."""

    def __init__(self, store: Store, fabric: FakeFabric, hosts: FakeHosts, *, leases: Path, lost: tuple[str, ...]) -> None:
        super().__init__(store, fabric, hosts, RegionClock(), leases=leases, lost=lambda zone: zone in lost)
        self.fake_hosts = hosts


def make_exec_hosts(lost: tuple[str, ...] = (), leases: Path = Path("/nonexistent")) -> tuple[ExecHostsUnderTest, FakeFabric, Store]:
    store = Store(":memory:")
    with store.transaction() as tx:
        default_vpc.bootstrap(tx, RegionClock().now())
    fabric = FakeFabric()
    return ExecHostsUnderTest(store, fabric, FakeHosts(store, fabric), leases=leases, lost=lost), fabric, store


def subnet_in(store: Store, zone: str) -> Subnet:
    [subnet] = store.select(Subnet, lambda each: each.zone == zone)
    return subnet


async def test_a_command_in_a_subnet_has_an_interface_there_with_the_default_group_before_its_host_is_on() -> None:
    exec_hosts, fabric, store = make_exec_hosts()
    subnet = subnet_in(store, "us-east-1b")
    exec_host = await exec_hosts.prepare(CommandRequest(subnet.id))
    [interface] = store.select(NetworkInterface)
    vpc = lookups.default_vpc(store)
    assert vpc is not None
    assert (interface.subnet_id, interface.group_ids) == (subnet.id, (lookups.default_security_group(store, vpc.id).id,))
    assert interface.attachment is not None and interface.attachment.host == exec_host.id
    assert [each.host for each in fabric.plans[-1].interfaces] == [exec_host.id]
    assert (exec_host.address, exec_host.zone) == (interface.addresses[0], "us-east-1b")


async def test_the_host_of_a_command_is_recorded_off_with_its_interface_before_it_is_powered_on() -> None:
    exec_hosts, _, store = make_exec_hosts()
    prepared = await exec_hosts.prepare(CommandRequest())
    [record], [interface] = store.select(HostRecord), store.select(NetworkInterface)
    assert (record.id, record.owner_kind, record.owner_id, record.power) == (prepared.id, "exec", prepared.id, HostPower.OFF)
    assert (record.zone, record.interface_ids, record.root.machine_files) == (prepared.zone, (interface.id,), True)


async def test_two_commands_in_the_internet_have_different_addresses() -> None:
    exec_hosts, _, store = make_exec_hosts()
    addresses = [(await exec_hosts.prepare(CommandRequest("internet"))).address for _ in range(2)]
    assert (
        addresses
        == ["192.0.2.64", "192.0.2.65"]
        == [each.internet_address for each in sorted(store.select(HostRecord), key=lambda each: each.internet_address)]
    )


async def test_a_released_host_leaves_no_interface_and_no_host() -> None:
    exec_hosts, fabric, store = make_exec_hosts()
    exec_host = await exec_hosts.prepare(CommandRequest())
    await exec_hosts.release(exec_host.id)
    await exec_hosts.release(exec_host.id)
    assert (store.select(NetworkInterface), store.select(ExecHost), fabric.on) == ([], [], {})


async def test_a_host_that_cannot_be_powered_on_leaves_no_records() -> None:
    exec_hosts, _, store = make_exec_hosts()
    exec_hosts.fake_hosts.fails = True
    with pytest.raises(ZonalError, match="cannot be powered on"):
        await exec_hosts.prepare(CommandRequest())
    assert (store.select(NetworkInterface), store.select(ExecHost)) == ([], [])


async def test_the_default_place_is_in_the_first_zone_that_is_not_lost() -> None:
    exec_hosts, _, _ = make_exec_hosts(lost=("us-east-1a",))
    assert (await exec_hosts.prepare(CommandRequest())).zone == "us-east-1b"


async def test_a_place_in_a_lost_zone_is_rejected_with_the_remedy() -> None:
    exec_hosts, _, store = make_exec_hosts(lost=("us-east-1a",))
    with pytest.raises(ExecHostUnknown, match="zonal recover us-east-1a"):
        await exec_hosts.prepare(CommandRequest(subnet_in(store, "us-east-1a").id))


async def test_the_internet_is_outside_every_vpc() -> None:
    exec_hosts, _, store = make_exec_hosts()
    exec_host = await exec_hosts.prepare(CommandRequest("internet"))
    assert exec_host.address == "192.0.2.64" and store.select(NetworkInterface) == []


async def test_unknown_security_groups_are_rejected_and_nothing_is_created() -> None:
    exec_hosts, fabric, store = make_exec_hosts()
    with pytest.raises(ExecHostUnknown, match="sg-0123456789abcdef0"):
        await exec_hosts.prepare(CommandRequest("default", ("sg-0123456789abcdef0",)))
    assert (store.select(NetworkInterface), fabric.on) == ([], {})


async def test_a_commands_own_groups_replace_the_default_one() -> None:
    exec_hosts, _, store = make_exec_hosts()
    [group] = store.select(SecurityGroup)
    await exec_hosts.prepare(CommandRequest("default", (group.id,)))
    assert [each.group_ids for each in store.select(NetworkInterface)] == [(group.id,)]


async def test_security_groups_are_rejected_where_they_cannot_apply() -> None:
    exec_hosts, fabric, store = make_exec_hosts()
    fabric.on["db-orders-1"] = SimpleNamespace(init=SimpleNamespace(pid=2**30), zone="us-east-1a", management_address="")
    [group] = store.select(SecurityGroup)
    for exec_host in ("internet", "db-orders-1"):
        with pytest.raises(ExecHostUnknown, match=f"{exec_host} takes no security groups"):
            await exec_hosts.prepare(CommandRequest(exec_host, (group.id,)))
    assert store.select(ExecHost) == []


async def test_the_error_for_an_unknown_place_names_the_valid_ones() -> None:
    exec_hosts, _, _ = make_exec_hosts()
    with pytest.raises(ExecHostUnknown, match="internet or default"):
        await exec_hosts.prepare(CommandRequest("nowhere"))


def test_an_old_record_without_a_host_is_removed_and_a_new_one_is_not() -> None:
    async def story() -> None:
        exec_hosts, fabric, store = make_exec_hosts()
        abandoned = await exec_hosts.prepare(CommandRequest())
        fabric.on.pop(abandoned.id)
        await exec_hosts.tidy()
        assert [each.id for each in store.select(ExecHost)] == [abandoned.id], "its host may be on its way"
        await asyncio.sleep(EMPTY_SECONDS)
        young = await exec_hosts.prepare(CommandRequest())
        await exec_hosts.tidy()
        assert [each.id for each in store.select(ExecHost)] == [young.id]

    virtual_time.run(story())


async def test_a_host_is_removed_when_its_caller_ends_and_not_before(tmp_path: Path) -> None:
    exec_hosts, fabric, store = make_exec_hosts(leases=tmp_path)
    ended, living = Lease(tmp_path), Lease(tmp_path)
    await exec_hosts.prepare(CommandRequest(lease=ended.name))
    kept = await exec_hosts.prepare(CommandRequest(lease=living.name))
    await exec_hosts.tidy()
    assert len(store.select(ExecHost)) == 2
    ended.release()
    await exec_hosts.tidy()
    assert [each.id for each in store.select(ExecHost)] == [kept.id] == list(fabric.on)
    assert len(store.select(NetworkInterface)) == 1
    assert os.listdir(tmp_path) == [living.name]  # noqa: PTH208


async def test_a_host_that_is_being_created_is_removed_only_afterwards(tmp_path: Path) -> None:
    exec_hosts, fabric, store = make_exec_hosts(leases=tmp_path)
    lease, powered = Lease(tmp_path), asyncio.Event()
    power_on = exec_hosts.fake_hosts.power_on

    async def tidy_and_power_on(id: str) -> None:
        lease.release()
        await exec_hosts.tidy()
        powered.set()
        await power_on(id)

    exec_hosts.fake_hosts.power_on = tidy_and_power_on  # type: ignore[method-assign]
    await exec_hosts.prepare(CommandRequest(lease=lease.name))
    assert powered.is_set() and len(store.select(ExecHost)) == 1
    await exec_hosts.tidy()
    assert (store.select(ExecHost), fabric.on) == ([], {})


async def test_a_command_on_an_existing_host_is_killed_with_its_caller_and_the_host_stays(tmp_path: Path) -> None:
    exec_hosts, fabric, store = make_exec_hosts(leases=tmp_path)
    ended: list[str] = []

    async def end_command(id: str) -> None:
        ended.append(id)

    host = SimpleNamespace(
        name="db-1", init=SimpleNamespace(pid=7), zone="us-east-1a", management_address="100.64.0.16", end_command=end_command
    )
    fabric.on["db-1"] = host
    lease = Lease(tmp_path)
    exec_host = await exec_hosts.prepare(CommandRequest("db-1", lease=lease.name))
    assert (exec_host.target, exec_host.environment) == (7, (("ZONAL_EXEC", exec_host.id),))
    lease.release()
    await exec_hosts.tidy()
    assert (ended, list(fabric.on), store.select(ExecHost)) == ([exec_host.id], ["db-1"], [])
    assert store.journal(event="place.abandoned")[-1].subject == exec_host.id


async def test_a_host_that_cannot_be_removed_does_not_block_the_others_and_is_tried_again(tmp_path: Path) -> None:
    exec_hosts, _, store = make_exec_hosts(leases=tmp_path)
    stuck, other = Lease(tmp_path), Lease(tmp_path)
    first = await exec_hosts.prepare(CommandRequest(lease=stuck.name))
    await exec_hosts.prepare(CommandRequest(lease=other.name))
    remove, failures = exec_hosts.fake_hosts.remove, [TimeoutError("its init does not end")]

    async def remove_or_fail(name: str) -> None:
        if name == first.id and failures:
            raise failures.pop()
        await remove(name)

    exec_hosts.fake_hosts.remove = remove_or_fail  # type: ignore[method-assign]
    stuck.release()
    other.release()
    await exec_hosts.tidy()
    assert [each.id for each in store.select(ExecHost)] == [first.id]
    await exec_hosts.tidy()
    assert store.select(ExecHost) == []


async def test_a_lease_name_that_could_be_a_path_is_rejected() -> None:
    exec_hosts, _, store = make_exec_hosts()
    with pytest.raises(ExecHostUnknown, match="lease"):
        await exec_hosts.prepare(CommandRequest(lease="../region.db"))
    assert store.select(ExecHost) == []
