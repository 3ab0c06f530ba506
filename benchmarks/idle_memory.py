"""Memory of an idle region: region, init, supervisor and forwarder, shared pages counted by share (PSS) and in full (RSS)."""

from __future__ import annotations

import os
import time
from pathlib import Path

from benchmarks.measurements import arguments, machine, region, tell


def main() -> None:
    runs = arguments(__doc__ or "").parse_args().runs
    shares, wholes = [], []
    for run in range(runs):
        with region() as running:
            running.client("rds").describe_db_instances()
            time.sleep(3)
            found = processes(running.state)
            shares.append(sum(_kilobytes(process, "smaps_rollup", "Pss:") for process in found) / 1024)
            wholes.append(sum(_kilobytes(process, "status", "VmRSS:") for process in found) / 1024)
            names = ", ".join(f"{_name(process)} {_kilobytes(process, 'smaps_rollup', 'Pss:') / 1024:.0f}" for process in found)
            print(f"run {run + 1}: PSS {shares[-1]:.0f} MB, RSS {wholes[-1]:.0f} MB ({names})", flush=True)
    print(machine())
    tell("idle memory, PSS", shares, unit="MB", goal="≤ 150 MB")
    tell("idle memory, RSS", wholes, unit="MB", goal="")


def processes(state: Path) -> list[Path]:
    """Every process of the region: the supervisor and its descendants."""
    parents = {int(path.name): _parent(path) for path in Path("/proc").iterdir() if path.name.isdigit() and (path / "stat").exists()}
    family = {parents[int((state / "zonal.pid").read_text().split()[0])]}
    while grown := {process for process, parent in parents.items() if parent in family} - family:
        family |= grown
    return [Path(f"/proc/{process}") for process in sorted(family) if Path(f"/proc/{process}/exe").exists()]


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _kilobytes(process: Path, file: str, field: str) -> int:
    lines = (process / file).read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(field)), 0)


def _name(process: Path) -> str:
    segments = (process / "cmdline").read_bytes().split(b"\0")
    return os.fsdecode(segments[0]).rsplit("/", 1)[-1]


if __name__ == "__main__":
    main()
