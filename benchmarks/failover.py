"""RTO of a failover (the longest time without an acknowledgement) for each kind of fault, with seeds 1, 2, 3, …

`--fault power --runs 50` runs fifty seeded zone outages. The exit status is 1 if a verdict does not pass.
"""

from __future__ import annotations

import json
import sys

from benchmarks.measurements import arguments, machine, region, tell

GOALS = {"process": "≤ 1 s", "reboot": "≤ 1 s", "power": "≤ 2.5 s", "network": "≤ 2.5 s", "host": "≤ 2.5 s"}


def main() -> int:
    parser = arguments(__doc__ or "")
    parser.add_argument("--fault", choices=GOALS, action="append", help="Kind of fault; may be repeated (default: all).")
    parser.add_argument("--first-seed", type=int, default=1, help="Seed of the first run.")
    given = parser.parse_args()
    failed = []
    with region() as running:
        identifier = running.create_database(MultiAZ=True)
        for fault in given.fault or GOALS:
            verdicts = []
            for seed in range(given.first_seed, given.first_seed + given.runs):
                argv = ("--fault", fault, "--db", identifier, "--password", "password-of-master", "--seed", str(seed), "--seconds", "4")
                done = running.zonal("drill", "db-failover", *argv, "--json", check=False)
                if not done.stdout.strip():
                    raise SystemExit(f"seed {seed}: no verdict: {done.stderr}\n{running.log()}")
                verdict = json.loads(done.stdout)
                verdicts.append(verdict)
                failed += [] if verdict["passed"] else [f"{fault} seed {seed}: {'; '.join(verdict['reasons'])}"]
                print(f"{fault} seed {seed}: {_short(verdict)}", flush=True)
            _tell(fault, verdicts)
    print(machine())
    print("\n".join(failed) or "every verdict passed")
    return 1 if failed else 0


def _short(verdict: dict[str, object]) -> str:
    figures = ("rto_seconds", "acknowledged", "unknown", "lost", "phantom", "two_primaries", "redundancy_seconds")
    return " ".join(f"{figure}={verdict[figure]}" for figure in figures)


def _tell(fault: str, verdicts: list[dict[str, float]]) -> None:
    tell(f"RTO, {fault}", [verdict["rto_seconds"] for verdict in verdicts], unit="s", goal=GOALS[fault])
    for name in ("detection_seconds", "promotion_seconds", "redundancy_seconds"):
        values = [verdict[name] for verdict in verdicts if verdict[name] is not None]
        if values:
            tell(f"{fault}: {name.removesuffix('_seconds')}", values, unit="s", goal="")
    print(
        f"| {fault}: acknowledged writes, lost | {sum(v['acknowledged'] for v in verdicts):.0f}, {sum(v['lost'] for v in verdicts):.0f} |"
    )


if __name__ == "__main__":
    sys.exit(main())
