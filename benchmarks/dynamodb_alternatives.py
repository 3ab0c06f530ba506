"""Compares DynamoDB with other emulators under the same load: moto's server, MiniStack and dynalite.

The benchmark installs them into a temporary directory (`pip install moto[server] ministack`, `npm install dynalite`), and starts and stops
each with its own command. None of them writes to the disk before it responds, so zonal's writes are measured with `relaxed` durability.
Each run measures all of them in turn. The goal is five times the best. `--installed DIR` keeps the installation for the next run.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.dynamodb_load import Request, ask, call, drive, served, simple_table, zonal
from benchmarks.measurements import arguments, machine, tell

TABLE = "bench"
PARTITIONS, SORTS = 20, 50
TEXT = "x" * 80


def main() -> None:
    parser = arguments(__doc__ or "", runs=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="How long each operation is driven in a run.")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--installed", type=Path, help="Where the others are, or are to be installed and kept.")
    given = parser.parse_args()
    place = given.installed or Path(tempfile.mkdtemp(prefix="zonal-peers-"))
    try:
        commands = install(place)
        figures: dict[tuple[str, str], list[float]] = {}
        for _ in range(given.runs):
            for name in ("zonal", *commands):
                with served(zonal, "relaxed") if name == "zonal" else started(commands[name], place) as port:
                    fill(port)
                    for operation, requests in loads().items():
                        rate = drive(port, requests, connections=given.connections, seconds=given.seconds).rate
                        figures.setdefault((operation, name), []).append(rate)
    finally:
        if given.installed is None:
            shutil.rmtree(place)
    report(figures, list(commands))


def report(figures: Mapping[tuple[str, str], Sequence[float]], others: Sequence[str]) -> None:
    print(machine())
    for operation in loads():
        for name in ("zonal", *others):
            tell(f"{operation}, {name}", figures[operation, name], unit="/s", goal="")
        best = max(others, key=lambda name: statistics.median(figures[operation, name]))
        ratios = [ours / theirs for ours, theirs in zip(figures[operation, "zonal"], figures[operation, best], strict=True)]
        tell(f"{operation}, zonal over {best}", ratios, unit="", goal="≥ 5")


def loads() -> dict[str, list[Request]]:
    keys = [{"a": {"S": f"partition-{number % PARTITIONS}"}, "b": {"N": str(number % SORTS)}} for number in range(500)]
    return {
        "PutItem": [call("PutItem", TableName=TABLE, Item=item(key)) for key in keys],
        "GetItem": [call("GetItem", TableName=TABLE, Key=key) for key in keys],
        "Query": [
            call(
                "Query",
                TableName=TABLE,
                KeyConditionExpression="a = :a AND b >= :b",
                ExpressionAttributeValues={":a": key["a"], ":b": {"N": str(number % (SORTS - 10))}},
                Limit=10,
            )
            for number, key in enumerate(keys)
        ],
        "Scan": [call("Scan", TableName=TABLE)],
    }


def item(key: Mapping[str, object]) -> dict[str, object]:
    return {**key, "n": {"N": "12.5"}, "text": {"S": TEXT}, "flag": {"BOOL": True}}


def fill(port: int) -> None:
    """Create the table with a thousand items of a hundred bytes."""
    ask(port, simple_table(TABLE, sort="b"))
    time.sleep(1.0)
    keys = [{"a": {"S": f"partition-{p}"}, "b": {"N": str(s)}} for p in range(PARTITIONS) for s in range(SORTS)]
    for at in range(0, len(keys), 25):
        puts = [{"PutRequest": {"Item": item(key)}} for key in keys[at : at + 25]]
        ask(port, call("BatchWriteItem", RequestItems={TABLE: puts}))


# The others.

Command = Callable[[int], list[str]]


def install(place: Path) -> dict[str, Command]:
    """Install missing emulators. Returns the command that starts each on a port."""
    place.mkdir(parents=True, exist_ok=True)
    python, node = place / "python", place / "node"
    if not (python / "bin" / "ministack").exists():
        subprocess.run([sys.executable, "-m", "venv", str(python)], check=True)
        subprocess.run([str(python / "bin" / "pip"), "install", "--quiet", "moto[server]", "ministack"], check=True)
    if not (node / "node_modules" / "dynalite").exists():
        node.mkdir(exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(node), "dynalite"], check=True)
    return {
        "moto": lambda port: [str(python / "bin" / "moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        "ministack": lambda port: [str(python / "bin" / "ministack")],
        "dynalite": lambda port: [str(node / "node_modules" / ".bin" / "dynalite"), "--host", "127.0.0.1", "--port", str(port)],
    }


@contextmanager
def started(command: Command, place: Path) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    environment = os.environ | {"GATEWAY_PORT": str(port), "TMPDIR": str(place), "AWS_DEFAULT_REGION": "us-east-1", "LOG_LEVEL": "ERROR"}
    environment.pop("PYTHONPATH", None)
    with (place / "log").open("w") as log:
        process = subprocess.Popen(command(port), env=environment, stdout=log, stderr=log, cwd=place)
    try:
        _wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None, f"{process.args!r} ended at once"
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"{process.args!r} does not answer")


if __name__ == "__main__":
    main()
