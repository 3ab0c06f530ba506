from collections.abc import Callable

import pytest

from zonal.fabric import zones as fabric_zones
from zonal.fabric.zones import BadFault, UnknownZone, Zone
from zonal.foundation.errors import ZonalError
from zonal.operator_api.schemas import ZoneFaultRequest
from zonal.operator_api.zone_faults import RecordedFault, ZoneFaults, recorded_faults, statuses
from zonal.records.store import Store


class FakeFabric:
    """A fabric that notes what it was asked, and whether it was on record by then."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.asked: list[tuple[str, str, bool]] = []
        self.refuses: ZonalError | None = None

    async def fail_zone(self, zone: str, fault: fabric_zones.ZoneFault) -> Zone:
        self.asked.append((zone, fault.kind, self.store.get(RecordedFault, zone) is not None))
        if self.refuses:
            raise self.refuses
        return fabric_zones.Zones().find(zone)

    async def recover_zone(self, zone: str) -> Zone:
        self.asked.append((zone, "recover", self.store.get(RecordedFault, zone) is not None))
        return fabric_zones.Zones().find(zone)


def zone_faults(wake: Callable[[], None] = lambda: None) -> tuple[ZoneFaults, FakeFabric, Store]:
    store = Store(":memory:")
    fabric = FakeFabric(store)
    return ZoneFaults(store, fabric, wake=wake), fabric, store


async def test_a_fault_is_recorded_before_it_is_injected_and_deleted_after_it_is_removed() -> None:
    zones, fabric, store = zone_faults()
    assert (await zones.fail("use1-az2", ZoneFaultRequest("power"))).fault == "no power"
    assert (await zones.recover("us-east-1b")).state == "available"
    assert fabric.asked == [("us-east-1b", "power", True), ("us-east-1b", "recover", True)]
    assert [entry.event for entry in store.journal()] == ["zone.failed", "zone.recovered"]


async def test_a_recovery_wakes_what_waits_for_the_zone() -> None:
    woken: list[bool] = []
    zones, _, _ = zone_faults(lambda: woken.append(True))
    await zones.recover("us-east-1a")
    assert woken == [], "nothing was wrong"
    await zones.fail("us-east-1a", ZoneFaultRequest("network"))
    await zones.recover("us-east-1a")
    assert woken == [True]


async def test_a_region_that_starts_injects_recorded_faults() -> None:
    zones, fabric, store = zone_faults()
    await zones.fail("us-east-1a", ZoneFaultRequest("power"))
    assert recorded_faults(store) == {"us-east-1a": fabric_zones.ZoneFault("power")}
    await zones.resume()
    assert fabric.asked == [("us-east-1a", "power", True)] * 2


async def test_a_fault_that_the_kernel_rejects_restores_the_record_of_the_one_before() -> None:
    zones, fabric, store = zone_faults()
    await zones.fail("us-east-1a", ZoneFaultRequest("loss", 20.0))
    fabric.refuses = ZonalError("this kernel cannot delay packets")
    with pytest.raises(ZonalError, match="cannot delay"):
        await zones.fail("us-east-1a", ZoneFaultRequest("delay", 5.0))
    assert statuses(store)[0].fault == "loses 20 % of its packets"


@pytest.mark.parametrize(
    ("zone", "fault", "error"),
    [
        ("us-east-1x", ZoneFaultRequest("power"), UnknownZone),
        ("us-east-1a", ZoneFaultRequest("flood"), BadFault),
        ("us-east-1a", ZoneFaultRequest("loss", 120.0), BadFault),
    ],
)
async def test_an_invalid_fault_is_not_recorded(zone: str, fault: ZoneFaultRequest, error: type[Exception]) -> None:
    zones, fabric, store = zone_faults()
    with pytest.raises(error):
        await zones.fail(zone, fault)
    assert (store.select(RecordedFault), fabric.asked, store.journal()) == ([], [], [])
