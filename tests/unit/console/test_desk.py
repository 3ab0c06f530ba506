import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from zonal.console import desk as desk_module
from zonal.console.databases import Ground
from zonal.console.desk import Desk, Hands
from zonal.console.door import BadRequest, Request
from zonal.console.readiness import NotReady
from zonal.console.shapes import Access, ZoneStatus
from zonal.foundation.clock import RegionClock
from zonal.records.store import Store
from zonal.services.ec2 import default_vpc

STATUS = ZoneStatus("us-east-1a", "use1-az1", "impaired", "no power")


class Zones:
    async def fail(self, zone: str, fault: Any) -> ZoneStatus:
        return STATUS


def desk() -> Desk:
    store = Store(":memory:")
    with store.transaction() as tx:
        default_vpc.bootstrap(tx, RegionClock().now())
        tx.note("lamp.lit", "lamp-1", by="hand")
        tx.note("lamp.out", "lamp-2")
    return Desk(store, Access("http://127.0.0.1:4566", "test", "test", "ca.pem"), state=Path("state"), fabric="sandbox")


def hands() -> Hands:
    ground = Ground(SimpleNamespace(), SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type]
    return Hands(Zones(), SimpleNamespace(), ground)  # type: ignore[arg-type]


def request(*words: str, body: bytes = b"", **query: str) -> Request:
    return Request(words, query, body)


async def test_the_status_is_told_before_the_networks_are_built() -> None:
    seen = await desk().status(request())
    assert (seen.ready, [zone.state for zone in seen.zones], seen.databases, seen.vpcs) == (False, ["available"] * 3, (), 1)


async def test_whoever_acts_early_waits_until_the_networks_are_built() -> None:
    early = desk()
    acting = asyncio.create_task(early.fail_zone(request("us-east-1a", body=b'{"kind":"power"}')))
    await asyncio.sleep(0)
    assert not acting.done()
    early.give(hands())
    assert await acting == STATUS
    assert (await early.status(request())).ready


async def test_who_has_waited_in_vain_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "READY_SECONDS", 0.01)
    with pytest.raises(NotReady, match="still building"):
        await desk().fail_zone(request("us-east-1a", body=b'{"kind":"power"}'))


async def test_the_journal_is_filtered_as_asked() -> None:
    here = desk()
    assert [entry.subject for entry in await here.journal(request(event="lamp.", limit="1"))] == ["lamp-2"]
    assert [entry.event for entry in await here.journal(request(subject="lamp-1"))] == ["lamp.lit"]
    with pytest.raises(BadRequest, match="whole number"):
        await here.journal(request(limit="many"))


async def test_an_action_without_its_body_is_told_what_it_needs() -> None:
    here = desk()
    here.give(hands())
    with pytest.raises(BadRequest, match="kind"):
        await here.fail_zone(request("us-east-1a"))


async def test_secrets_do_not_show_where_an_answer_is_printed() -> None:
    assert "secret" not in repr(Access("http://127.0.0.1", "key", "a secret", "ca.pem"))
