"""The order of a drill's actions, in simulated time, with a scripted region."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from zonal.drills.faults import FAULTS, Victim
from zonal.drills.milestones import Outline, milestones
from zonal.drills.region_operator import ClientPlace, DrillFailed, Pair
from zonal.drills.scenario import Options, carry_out
from zonal.drills.workload import Client
from zonal.foundation.journal import JournalEntry
from zonal.services.rds.model import instance_arn

CLIENTS = (Client(1, "us-east-1b", "subnet-b"), Client(2, "us-east-1c", "subnet-c"), Client(3, "us-east-1a", "subnet-a"))
VICTIM = Victim("orders", instance_arn("orders"), "orders-1", "us-east-1a", force_failover=lambda: None)


class Watch:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.time = 100.0

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float, /) -> None:
        self.time += seconds


class Region:
    """An operator and clients in one: `notices` and `returns` say so many seconds after strike and heal; None: never."""

    clients = CLIENTS

    def __init__(self, watch: Watch, *, notices: float | None = 1.0, returns: float | None = 2.0) -> None:
        self.watch, self.notices, self.returns = watch, notices, returns
        self.struck: float | None = None
        self.healed: float | None = None
        self.calls: list[str] = []
        self.asked_of: set[int] = set()

    def pair(self, database: str) -> Pair:
        promoted = self.struck is not None and self.notices is not None and self.watch.time >= self.struck + self.notices
        back = self.healed is not None and self.returns is not None and self.watch.time >= self.healed + self.returns
        redundancy = "synchronous" if back or not promoted else "alone"
        return Pair("available", redundancy, "orders-2" if promoted else "orders-1", "us-east-1a", "us-east-1b", "the standby catches up")

    def fail_zone(self, zone: str, kind: str) -> None:
        self.calls.append(f"fail {zone} {kind}")
        self.struck = self.watch.time

    def recover_zone(self, zone: str) -> None:
        self.calls.append(f"recover {zone}")
        self.healed = self.watch.time

    def fail_node(self, database: str, node: str, kind: str) -> None:
        self.calls.append(f"fail {node} {kind}")
        self.struck = self.healed = self.watch.time

    def journal(self, *, after: int = 0, subject: str = "") -> list[JournalEntry]:
        return []

    @contextmanager
    def place(self, subnet: str) -> Iterator[ClientPlace]:
        yield ClientPlace((), ())

    def start(self, *, pause_seconds: float) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")

    def have_acknowledged_since(self, moment: float, clients: tuple[Client, ...]) -> bool:
        self.asked_of = {client.number for client in clients}
        return self.watch.time > moment

    def last_output(self) -> str:
        return "nothing"


def perform(region: Region, watch: Watch, fault: str = "power", seed: int = 1) -> Outline:
    options = Options(drill="db-failover", seed=seed, seconds=5.0, settle_seconds=20.0)
    return carry_out(region, region, FAULTS[fault], VICTIM, options, report_progress=lambda _: None, watch=watch)


def test_the_clients_write_before_the_fault_strikes_and_until_after_redundancy() -> None:
    watch = Watch()
    region = Region(watch)
    outline = perform(region, watch)
    assert region.calls == ["start", "fail us-east-1a power", "recover us-east-1a", "stop"]
    assert outline.begun < outline.struck < (outline.healed or 0) < outline.ended
    assert outline.healed == pytest.approx(outline.struck + 5.0, abs=0.1)


def test_clients_in_the_lost_zone_are_not_waited_for() -> None:
    watch = Watch()
    region = Region(watch)
    perform(region, watch)
    assert region.asked_of == {1, 2}


def test_a_fault_that_heals_itself_has_no_moment_of_healing() -> None:
    watch = Watch()
    region = Region(watch)
    assert perform(region, watch, "process").healed is None
    assert region.asked_of == {1, 2, 3}


@pytest.mark.parametrize("never", ["notices", "returns"])
def test_the_zone_is_healed_even_where_the_drill_gets_nowhere(never: str) -> None:
    watch = Watch()
    region = Region(watch, **{never: None})  # type: ignore[arg-type]
    with pytest.raises(DrillFailed):
        perform(region, watch)
    assert "recover us-east-1a" in region.calls


def test_the_seed_chooses_the_moment_of_the_strike() -> None:
    def struck(seed: int) -> float:
        watch = Watch()
        return perform(Region(watch), watch, seed=seed).struck

    assert struck(1) == struck(1) != struck(2)


def test_moments_are_those_of_this_database_and_in_their_order() -> None:
    orders, cache = instance_arn("orders"), "arn:aws:elasticache:us-east-1:000000000000:replicationgroup:orders"

    def entry(sequence: int, monotonic: float, event: str, subject: str = orders) -> JournalEntry:
        return JournalEntry(sequence, datetime.now(UTC), monotonic, event, subject, {})

    timeline = [
        entry(1, 1.0, "failover.decided"),
        entry(2, 11.0, "failover.decided", cache),
        entry(3, 12.0, "failover.decided"),
        entry(4, 12.5, "failover.promoted"),
        entry(5, 13.0, "redundancy.synchronous"),
        entry(6, 30.0, "redundancy.synchronous"),
    ]
    found = milestones(Outline(sequence=0, begun=0.0, ended=40.0, struck=10.0, healed=20.0), timeline, subject=orders)
    assert (found.detected, found.promoted, found.redundant) == (12.0, 12.5, 30.0)
