"""The command `script/soak NAME`: runs one soak within its time and prints its result as one JSON line.

Exit status: 0 passed, 1 failed, 2 wrong usage, 3 unavailable on this machine.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections.abc import Callable

import msgspec

from tests.soak import aws_cli, kills, outages, storms, terraform
from tests.soak.result import Budget, Outcome, SoakFailed, SoakResult, SoakUnavailable

Soak = Callable[[Budget, int, dict[str, float]], None]
"""Runs until the budget is used up, from a seed, and adds to the counts. Raises `SoakFailed` or `SoakUnavailable`."""

SOAKS: dict[str, Soak] = {
    "storms": storms.soak,
    "outages": outages.soak,
    "kills": kills.soak,
    "terraform": terraform.soak,
    "aws-cli": aws_cli.soak,
}
STATUS: dict[Outcome, int] = {"passed": 0, "failed": 1, "unavailable": 3}


def run(name: str, soak: Soak, *, minutes: float, most_runs: int | None, seed: int) -> SoakResult:
    """Run one soak and return its result; any other exception than `SoakUnavailable` is a failure."""
    budget, counts, begun = Budget(minutes=minutes, most_runs=most_runs), {}, time.monotonic()
    outcome: Outcome = "passed"
    reason = ""
    try:
        soak(budget, seed, counts)
    except SoakUnavailable as error:
        outcome, reason = "unavailable", str(error)
    except SoakFailed as error:
        outcome, reason = "failed", str(error)[-4000:]
    except Exception:
        outcome, reason = "failed", traceback.format_exc()[-4000:]
    seconds = round(time.monotonic() - begun, 1)
    return SoakResult(soak=name, outcome=outcome, seed=seed, runs=budget.runs, seconds=seconds, reason=reason, counts=counts)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="script/soak", description="Run one long test within a time and print its result as one JSON line."
    )
    parser.add_argument("name", choices=SOAKS, metavar="NAME", help=f"One of {', '.join(SOAKS)}.")
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="No run begins after this time; one in progress may take ten more minutes (default 10)."
    )
    parser.add_argument("--runs", type=int, help="At most so many runs (default: as many as the time allows).")
    parser.add_argument("--seed", type=int, help="The first seed (default: a random one, printed in the result).")
    given = parser.parse_args(argv)
    if not 0 < given.minutes < 24 * 60 or (given.runs is not None and given.runs < 1):
        parser.error("--minutes takes a number between 0 and 1440, --runs a number of at least 1")
    seed = random.randrange(1_000_000) if given.seed is None else given.seed
    result = run(given.name, SOAKS[given.name], minutes=given.minutes, most_runs=given.runs, seed=seed)
    print(msgspec.json.encode(result).decode(), flush=True)
    return STATUS[result.outcome]


if __name__ == "__main__":
    sys.exit(main())
