import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from zonal.foundation.clock import RegionClock
from zonal.operator_api import routes as desk_module
from zonal.operator_api.database_view import DatabaseRuntime
from zonal.operator_api.errors import RegionNotReady
from zonal.operator_api.routes import OperatorActions, OperatorRoutes
from zonal.operator_api.schemas import ApiAccess, ZoneStatus
from zonal.operator_api.server import BadRequest, OperatorRequest
from zonal.records.store import Store
from zonal.services.ec2 import default_vpc

STATUS = ZoneStatus("us-east-1a", "use1-az1", "impaired", "no power")


class Zones:
    async def fail(self, zone: str, fault: Any) -> ZoneStatus:
        return STATUS


def routes() -> OperatorRoutes:
    store = Store(":memory:")
    with store.transaction() as tx:
        default_vpc.bootstrap(tx, RegionClock().now())
        tx.note("lamp.lit", "lamp-1", by="hand")
        tx.note("lamp.out", "lamp-2")
    return OperatorRoutes(store, ApiAccess("http://127.0.0.1:4566", "test", "test", "ca.pem"), state=Path("state"), fabric="sandbox")


def actions() -> OperatorActions:
    ground = DatabaseRuntime(SimpleNamespace(), SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type]
    return OperatorActions(Zones(), SimpleNamespace(), ground)  # type: ignore[arg-type]


def request(*argv: str, body: bytes = b"", **query: str) -> OperatorRequest:
    return OperatorRequest(argv, query, body)


async def test_the_status_is_returned_before_the_networks_are_built() -> None:
    seen = await routes().status(request())
    assert (seen.ready, [zone.state for zone in seen.zones], seen.databases, seen.vpcs) == (False, ["available"] * 3, (), 1)


async def test_a_request_that_acts_waits_until_the_networks_are_built() -> None:
    early = routes()
    acting = asyncio.create_task(early.fail_zone(request("us-east-1a", body=b'{"kind":"power"}')))
    await asyncio.sleep(0)
    assert not acting.done()
    early.give(actions())
    assert await acting == STATUS
    assert (await early.status(request())).ready


async def test_a_request_that_waited_in_vain_is_rejected_as_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "READY_SECONDS", 0.01)
    with pytest.raises(RegionNotReady, match="still building"):
        await routes().fail_zone(request("us-east-1a", body=b'{"kind":"power"}'))


async def test_the_journal_is_filtered_by_the_query() -> None:
    here = routes()
    assert [entry.subject for entry in await here.journal(request(event="lamp.", limit="1"))] == ["lamp-2"]
    assert [entry.event for entry in await here.journal(request(subject="lamp-1"))] == ["lamp.lit"]
    with pytest.raises(BadRequest, match="whole number"):
        await here.journal(request(limit="many"))


async def test_the_error_for_a_missing_body_names_its_fields() -> None:
    here = routes()
    here.give(actions())
    with pytest.raises(BadRequest, match="kind"):
        await here.fail_zone(request("us-east-1a"))


async def test_the_repr_of_a_response_hides_secrets() -> None:
    assert "secret" not in repr(ApiAccess("http://127.0.0.1", "key", "a secret", "ca.pem"))
