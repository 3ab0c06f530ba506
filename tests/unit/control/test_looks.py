"""What a look adds to the one before it."""

from __future__ import annotations

import pytest

from zonal.control.failover import Look
from zonal.control.health import LONGEST_SECONDS, following
from zonal.engines.node import Answer, Sighting


def seen(moment: float, *, required: tuple[str, ...] = ("two",), synchronous: tuple[str, ...] = (), streaming: bool = False) -> Sighting:
    names = ("two",) if streaming else ()
    return Sighting("one", "us-east-1b", moment, Answer.SERVING, "", True, None, None, required, synchronous, names)


@pytest.mark.parametrize("required", [("two",), ()])
def test_a_leader_without_its_standby_is_detached_for_as_long_as_it_says_so(required: tuple[str, ...]) -> None:
    look: Look | None = None
    for moment in (10.0, 10.5, 12.0):
        look = following(look, seen(moment, required=required))
    assert look is not None and (look.in_a_row, look.answer_seconds, look.detached_seconds) == (3, 2.0, 2.0)
    assert following(look, seen(1000.0, required=required)).detached_seconds == LONGEST_SECONDS
    confirmed = seen(13.0, required=required, synchronous=required, streaming=True)
    assert following(look, confirmed).detached_seconds == 0.0
