from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from zonal.control.deployment_records import DeploymentSpec, DeploymentStatus, Phase, Placement, member_of
from zonal.control.failover import Redundancy
from zonal.control.host_records import (
    HostExists,
    HostPower,
    HostRecord,
    NoAddressLeft,
    RootFileSystem,
    adopt_engine_hosts,
    allocate_internet_address,
    allocate_management_address,
    create_engine_host,
    create_host,
    host_spec,
    is_needed_by_deployment,
    power_all_off,
)
from zonal.control.owners import Owner
from zonal.fabric.internet import INTERNET_HOSTS
from zonal.fabric.management import management_network
from zonal.records.store import Store, Transaction

A, B = "us-east-1a", "us-east-1b"
ROOT = RootFileSystem("hosts/x")


class CountingTransaction(Transaction):
    """A transaction that counts the reads of host records."""

    reads = 0

    def lookup(self, kind, field, value):  # type: ignore[no-untyped-def]
        self.reads += 1
        return super().lookup(kind, field, value)

    def select(self, kind, where=None):  # type: ignore[no-untyped-def]
        raise AssertionError("the allocator must not scan")


def create(store: Store, name: str, zone: str = A) -> HostRecord:
    with store.transaction() as tx:
        return create_engine_host(tx, name=name, deployment_id="db-1", zone=zone, vpc_id="vpc-1", interface_ids=("eni-1",))


def deployment(*names: str, id: str = "db-1") -> DeploymentSpec:
    places = tuple(Placement(name, f"host-{name}", A, "10.0.0.4", f"100.64.0.{17 + place}") for place, name in enumerate(names))
    return DeploymentSpec(
        id=id, owner=Owner("rds:db", "orders"), engine="postgres", engine_version="18.1", port=5432, places=places, vpc_id="vpc-1"
    )


def status(spec: DeploymentSpec, *, is_on: bool) -> DeploymentStatus:
    members = tuple(member_of(spec, place) for place in spec.places)
    members = tuple(replace(member, is_on=is_on) for member in members)
    return DeploymentStatus(id=spec.id, phase=Phase.RUNNING, leader=members[0].name, members=members, redundancy=Redundancy.SINGLE)


def test_hosts_of_a_zone_have_different_management_addresses_of_that_zones_network() -> None:
    store = Store(":memory:")
    addresses = [create(store, f"db-{number}", zone).management_address for number, zone in enumerate((A, A, B))]
    assert addresses[:2] == ["100.64.0.17", "100.64.0.18"]
    assert len(set(addresses)) == 3 and addresses[2] in {str(each) for each in management_network(B)}


def test_an_allocation_looks_up_one_address_however_many_hosts_there_are() -> None:
    store = Store(":memory:")
    for number in range(500):
        create(store, f"db-{number}")
    transaction = CountingTransaction(store)
    allocate_management_address(transaction, A)
    assert transaction.reads == 1


def test_a_released_address_is_allocated_again_only_after_the_rest_of_the_pool() -> None:
    store = Store(":memory:")
    with store.transaction() as tx:
        addresses = []
        for number in range(INTERNET_HOSTS):
            addresses.append(allocate_internet_address(tx))
            tx.put(HostRecord(id=f"exec-{number}", owner_kind="exec", owner_id="x", zone="", root=ROOT, internet_address=addresses[-1]))
        assert (addresses[0], addresses[-1], len(set(addresses))) == ("192.0.2.64", "192.0.2.254", INTERNET_HOSTS)
        with pytest.raises(NoAddressLeft, match="191"):
            allocate_internet_address(tx)
        tx.delete(HostRecord, "exec-70")
        assert allocate_internet_address(tx) == addresses[70]


def test_a_name_is_given_to_one_host_only() -> None:
    store = Store(":memory:")
    record = create(store, "db-1")
    with pytest.raises(HostExists), store.transaction() as tx:
        create_host(tx, record)


def test_hosts_of_deployments_that_were_stored_before_are_recorded_and_keep_their_addresses() -> None:
    store = Store(":memory:")
    running, stopped = deployment("a"), deployment("b", "c", id="db-2")
    with store.transaction() as tx:
        for spec, is_on in ((running, True), (stopped, False)):
            tx.put(spec)
            tx.put(status(spec, is_on=is_on))
        adopt_engine_hosts(tx)
        adopt_engine_hosts(tx)
    powers = {record.id: (record.owner_id, record.power) for record in store.select(HostRecord)}
    assert powers == {
        "host-a": ("db-1", HostPower.ON),
        "host-b": ("db-2", HostPower.OFF),
        "host-c": ("db-2", HostPower.OFF),
    }
    assert create(store, "db-new").management_address == "100.64.0.19"


def test_in_a_new_sandbox_no_host_is_recorded_as_on() -> None:
    store = Store(":memory:")
    spec = deployment("a")
    with store.transaction() as tx:
        tx.put(spec)
        tx.put(status(spec, is_on=True))
        adopt_engine_hosts(tx)
        power_all_off(tx)
    assert [record.power for record in store.select(HostRecord)] == [HostPower.OFF]


def test_a_deployment_needs_the_hosts_of_its_places_and_of_its_members() -> None:
    store = Store(":memory:")
    both, one = deployment("a", "b"), deployment("a")
    with store.transaction() as tx:
        tx.put(one)
        tx.put(status(both, is_on=True))
        records = [HostRecord(id=f"host-{name}", owner_kind="deployment", owner_id="db-1", zone=A, root=ROOT) for name in "abc"]
    assert [is_needed_by_deployment(store, record) for record in records] == [True, True, False]


def test_a_record_becomes_the_fabrics_spec_of_the_host() -> None:
    record = create(Store(":memory:"), "db-1")
    spec = host_spec(record, Path("/state"))
    assert (spec.name, spec.zone, spec.directory, spec.vpc_id) == ("db-1", A, "/state/hosts/db-1", "vpc-1")
    assert (spec.management_address, spec.internet_address, spec.machine_files) == ("100.64.0.17", None, False)
