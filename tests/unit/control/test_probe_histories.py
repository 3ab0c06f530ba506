"""How a probe result extends the history before it."""

from __future__ import annotations

import pytest

from zonal.control.failover import ProbeHistory
from zonal.control.health import LONGEST_SECONDS, next_history
from zonal.engines.node import ProbeResult, ProbeStatus


def seen(moment: float, *, required: tuple[str, ...] = ("two",), synchronous: tuple[str, ...] = (), streaming: bool = False) -> ProbeResult:
    names = ("two",) if streaming else ()
    return ProbeResult("one", "us-east-1b", moment, ProbeStatus.SERVING, "", True, None, None, required, synchronous, names)


@pytest.mark.parametrize("required", [("two",), ()])
def test_a_leader_without_its_standby_is_detached_for_as_long_as_it_reports_that(required: tuple[str, ...]) -> None:
    history: ProbeHistory | None = None
    for moment in (10.0, 10.5, 12.0):
        history = next_history(history, seen(moment, required=required))
    assert history is not None and (history.in_a_row, history.answer_seconds, history.detached_seconds) == (3, 2.0, 2.0)
    assert next_history(history, seen(1000.0, required=required)).detached_seconds == LONGEST_SECONDS
    confirmed = seen(13.0, required=required, synchronous=required, streaming=True)
    assert next_history(history, confirmed).detached_seconds == 0.0
