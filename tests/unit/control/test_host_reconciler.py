from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests import virtual_time
from tests.repeated_steps import fails_once, runs_twice
from zonal.control.host_reconciler import HostOwnerKind, HostReconciler
from zonal.control.host_records import HostPower, HostRecord, RootFileSystem
from zonal.control.reconciler import Driver
from zonal.fabric.host_interface import HostUnreachable
from zonal.fabric.plan import HostSpec
from zonal.foundation.clock import RegionClock
from zonal.records.store import Record, Store

A = "us-east-1a"


@pytest.fixture(autouse=True)
def threads_in_virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Virtual time does not wait for threads, so their work is done by the event loop."""

    async def call(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        return function(*arguments, **named)

    monkeypatch.setattr(asyncio, "to_thread", call)


class Instance(Record, frozen=True, kw_only=True):
    """An owner of hosts."""

    kind = "test-instance"


class FakeHost:
    def __init__(self, fabric: FakeHosts, spec: HostSpec) -> None:
        self.fabric = fabric
        self.spec = spec
        self.name, self.zone = spec.name, spec.zone
        self.directory, self.management_address = Path(spec.directory), spec.management_address or ""

    @property
    def is_on(self) -> bool:
        return self.name in self.fabric.on

    @property
    def is_reachable(self) -> bool:
        return self.zone not in self.fabric.lost

    async def power_on(self) -> None:
        await self.fabric.power(self, on=True)

    async def power_off(self) -> None:
        await self.fabric.power(self, on=False)


class FakeHosts:
    """Hosts that are on or off, in zones that may be lost."""

    def __init__(self) -> None:
        self.known: dict[str, FakeHost] = {}
        self.on: dict[str, int] = {}
        self.powered: list[tuple[str, bool]] = []
        self.lost: set[str] = set()
        self.wrapped: Callable[[Any], Any] = lambda host: host

    def host(self, spec: HostSpec) -> Any:
        if spec.name not in self.known or self.known[spec.name].spec != spec:
            self.known[spec.name] = self.wrapped(FakeHost(self, spec))
        return self.known[spec.name]

    def get(self, name: str) -> Any:
        return self.known.get(name)

    async def remove(self, name: str) -> None:
        await asyncio.sleep(0.1)
        self.on.pop(name, None)
        self.known.pop(name, None)

    async def power(self, host: FakeHost, *, on: bool) -> None:
        if not host.is_reachable:
            raise HostUnreachable(f"{host.name} cannot be reached: zone {host.zone} is lost")
        await asyncio.sleep(0.1)
        self.powered.append((host.name, on))
        if on:
            self.on[host.name] = 1
        else:
            self.on.pop(host.name, None)


class Bench:
    def __init__(self, state: Path) -> None:
        self.state = state
        self.store = Store(":memory:")
        self.fabric = FakeHosts()
        owner = HostOwnerKind((Instance,), lambda view, record: view.get(Instance, record.owner_id) is not None)
        self.reconciler = HostReconciler(self.store, self.fabric, {"instance": owner}, state=state)
        self.driver = Driver(self.store, [self.reconciler], clock=RegionClock())

    def record(self, name: str = "web", power: HostPower = HostPower.OFF, *, kind: str = "instance") -> None:
        with self.store.transaction() as tx:
            tx.put(Instance(id="i-1"))
            root = RootFileSystem(f"hosts/{name}")
            tx.put(HostRecord(id=name, owner_kind=kind, owner_id="i-1", zone=A, root=root, power=power))

    def power(self, name: str = "web") -> HostPower | None:
        record = self.store.get(HostRecord, name)
        return record and record.power


def run(test: Callable[[Bench], Awaitable[None]], state: Path) -> Bench:
    bench = Bench(state)

    async def main() -> None:
        async with bench.driver:
            await test(bench)

    virtual_time.run(main())
    return bench


def test_a_host_that_is_recorded_on_is_powered_on_when_its_zone_is_back(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.fabric.lost.add(A)
        bench.record(power=HostPower.ON)
        await bench.driver.idle()
        assert bench.fabric.on == {}
        bench.fabric.lost.clear()
        bench.driver.retry_all()
        await bench.driver.idle()
        assert list(bench.fabric.on) == ["web"]

    run(story, tmp_path)


def test_a_power_on_in_a_lost_zone_is_recorded_and_done_when_the_zone_is_back(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.fabric.lost.add(A)
        bench.record()
        with pytest.raises(HostUnreachable):
            await bench.reconciler.host("web").power_on()
        bench.fabric.lost.clear()
        bench.driver.retry_all()
        await bench.driver.idle()
        assert list(bench.fabric.on) == ["web"]

    run(story, tmp_path)


def test_a_power_off_in_a_lost_zone_is_not_done_later(tmp_path: Path) -> None:
    """Its caller gets `HostUnreachable` and decides anew: by then the host may be needed."""

    async def story(bench: Bench) -> None:
        bench.record()
        await bench.reconciler.power_on("web")
        bench.fabric.lost.add(A)
        with pytest.raises(HostUnreachable):
            await bench.reconciler.power_off("web")
        bench.fabric.lost.clear()
        bench.driver.retry_all()
        await bench.driver.idle()
        assert (list(bench.fabric.on), bench.power()) == (["web"], HostPower.ON)

    run(story, tmp_path)


def test_a_step_and_the_driver_power_a_host_on_only_once(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.record()
        await bench.reconciler.host("web").power_on()
        await bench.driver.idle()
        assert bench.fabric.powered == [("web", True)]

    run(story, tmp_path)


def test_a_host_that_is_cycled_is_on_in_the_end(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.record()
        host = bench.reconciler.host("web")
        for _ in range(5):
            await host.power_on()
            await host.power_off()
        await host.power_on()
        await bench.driver.idle()
        assert (list(bench.fabric.on), bench.power()) == (["web"], HostPower.ON)

    run(story, tmp_path)


def test_a_removed_host_leaves_neither_record_nor_disk(tmp_path: Path) -> None:
    disk = tmp_path / "hosts" / "web"
    disk.mkdir(parents=True)
    (disk / "data").write_text("x")

    async def story(bench: Bench) -> None:
        bench.record()
        await bench.reconciler.power_on("web")
        await bench.reconciler.remove("web")
        await bench.reconciler.remove("web")
        assert (bench.fabric.on, bench.power(), disk.exists()) == ({}, None, False)

    run(story, tmp_path)


def test_a_removal_that_a_killed_region_began_is_completed(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.record(power=HostPower.REMOVED)
        await bench.driver.idle()
        assert bench.power() is None

    run(story, tmp_path)


def test_a_host_whose_owner_is_gone_is_removed_and_the_journal_says_so(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.record()
        bench.record("kept", kind="instance")
        with bench.store.transaction() as tx:
            tx.put(Instance(id="i-2"))
            tx.put(replace(bench.store.require(HostRecord, "kept"), owner_id="i-2"))
        await bench.reconciler.power_on("web")
        with bench.store.transaction() as tx:
            tx.delete(Instance, "i-1")
        await bench.driver.idle()
        assert [record.id for record in bench.store.select(HostRecord)] == ["kept"]
        assert [entry.subject for entry in bench.store.journal(event="host.abandoned")] == ["web"]

    run(story, tmp_path)


def test_an_abandoned_host_in_a_lost_zone_is_removed_when_the_zone_is_back(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.record()
        await bench.reconciler.power_on("web")
        bench.fabric.lost.add(A)
        with bench.store.transaction() as tx:
            tx.delete(Instance, "i-1")
        await bench.driver.idle()
        assert bench.power() is HostPower.ON
        bench.fabric.lost.clear()
        bench.driver.retry_all()
        await bench.driver.idle()
        assert (bench.power(), bench.fabric.on) == (None, {})

    run(story, tmp_path)


def test_a_host_of_an_unknown_kind_of_owner_is_left_as_it_is_and_reported(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.record(power=HostPower.ON, kind="teapot")
        await asyncio.sleep(1)
        assert ["teapot" in failure.why for failure in bench.driver.failures()] == [True]
        assert bench.power() is HostPower.ON

    run(story, tmp_path)


def test_when_the_region_stops_reachable_hosts_are_powered_off_and_the_records_stay(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.record("one", power=HostPower.ON)
        bench.record("two", power=HostPower.ON)
        await bench.driver.idle()
        await bench.reconciler.close()
        assert (bench.fabric.on, bench.power("one"), bench.power("two")) == ({}, HostPower.ON, HostPower.ON)

    run(story, tmp_path)


@pytest.mark.parametrize(
    "wrap", [fails_once, lambda host: fails_once(host, after=True), runs_twice], ids=["fails", "fails afterwards", "repeated"]
)
def test_every_step_may_fail_once_or_be_repeated(tmp_path: Path, wrap: Callable[[Any], Any]) -> None:
    async def story(bench: Bench) -> None:
        bench.fabric.wrapped = wrap
        bench.record(power=HostPower.ON)
        await bench.driver.idle()
        assert list(bench.fabric.on) == ["web"]
        with bench.store.transaction() as tx:
            tx.put(replace(bench.store.require(HostRecord, "web"), power=HostPower.OFF))
        await bench.driver.idle()
        assert bench.fabric.on == {}
        with bench.store.transaction() as tx:
            tx.delete(Instance, "i-1")
        await bench.driver.idle()
        assert bench.power() is None

    run(story, tmp_path)
