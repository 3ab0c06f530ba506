"""Random sequences of faults, repairs and changes on a simulated deployment, with many more examples than the unit test.

Each run takes the next seed and generates `EXAMPLES` storms of `tests/unit/control/test_storms.py` in virtual time. No storm may lose an
acknowledged write, leave two nodes that can acknowledge, or leave a deployment that does not become synchronous again.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests import virtual_time
from tests.soak.result import Budget, SoakFailed
from tests.unit.control.simulation import Simulation
from tests.unit.control.test_storms import STORM, ride_out

EXAMPLES = 200


def soak(budget: Budget, first_seed: int, counts: dict[str, float]) -> None:
    """Run storms; a failure names the storm and its seed."""
    counts["storms"] = 0
    while budget.take_run():
        _run_examples(budget, first_seed + budget.runs - 1, counts)


def _run_examples(budget: Budget, number: int, counts: dict[str, float]) -> None:
    @seed(number)
    @settings(max_examples=EXAMPLES, phases=(Phase.generate,), database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(STORM)
    def ride(storm: list[tuple[Any, float]]) -> None:
        if budget.seconds_left == 0.0 and counts["storms"]:
            return  # The time is over: the remaining examples of this run are not counted.
        try:
            virtual_time.run(ride_out(Simulation(), storm))
        except AssertionError as error:
            raise SoakFailed(f"seed {number}: {error}; the storm: {storm!r}") from error
        counts["storms"] += 1

    ride()
