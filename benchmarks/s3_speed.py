"""S3's speed beside nginx, the disk, and other S3 servers, in one run over loopback: `python -m benchmarks.s3_speed`.

Each round measures both sides one after the other and gives one ratio; what is printed is the median of the rounds. The servers that it
is measured beside are installed into a throw-away directory, or into `--tools DIRECTORY`, where they stay for the next time.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3

from benchmarks import s3_alternatives
from benchmarks.measurements import arguments, machine, tell
from benchmarks.s3_client import Connection, Key, rate, signed, text_of
from benchmarks.s3_listing import listings
from tests.s3_process import S3Process

KIB, MIB = 1024, 1024**2
PART_BYTES = 8 * MIB
KEYS = 64
BUCKET = "bench"
GOALS = {
    "GET 1 MiB of nginx": "≥ 0.7",
    "GET 64 MiB of nginx": "≥ 0.7",
    "PUT 1 MiB of dd": "≥ 0.6",
    "PUT 64 MiB in parts of dd": "≥ 0.5",
    "GET 1 KiB of the best": "≥ 3",
    "PUT 1 KiB of the best": "≥ 3",
    "list of 1,000 keys out of 100,000": "≤ 25 ms",
}


class Figures:
    """What was measured: by its name, a value for each round."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}
        self._units: dict[str, str] = {}

    def add(self, name: str, unit: str, value: float) -> None:
        self._values.setdefault(name, []).append(value)
        self._units[name] = unit

    def print(self) -> None:
        print(machine())
        for name, values in self._values.items():
            goal = next((goal for what, goal in GOALS.items() if name.startswith(what)), "")
            tell(f"S3 {name}", values, unit=self._units[name], goal=goal)


def main() -> None:
    parser = arguments(__doc__ or "", runs=10)
    parser.add_argument("--tools", type=Path, help="Where the other servers are installed (default: a directory that goes again).")
    parser.add_argument("--only", choices=["files", "small", "listings"], help="Measure only these.")
    given = parser.parse_args()
    figures = Figures()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zonal-bench-", dir=Path.cwd())))
        tools = given.tools or scratch / "tools"
        s3_alternatives.install(tools)
        if given.only in (None, "files"):
            files(figures, given, scratch / "files", tools)
        if given.only in (None, "small"):
            small(figures, given, scratch / "small", tools)
        if given.only in (None, "listings"):
            listings(figures.add, given.runs, scratch / "listings")
    figures.print()


def files(figures: Figures, given: Namespace, scratch: Path, tools: Path) -> None:
    """GET beside nginx, PUT beside `dd conv=fsync`."""
    scratch.mkdir()
    contents = {"1 MiB": os.urandom(MIB), "64 MiB": os.urandom(64 * MIB)}
    with ExitStack() as stack:
        served = scratch / "served"
        served.mkdir()
        for name, content in contents.items():
            (served / name.replace(" ", "")).write_bytes(content)
        beside = Connection(stack.enter_context(s3_alternatives.nginx(tools, served)))
        stack.callback(beside.close)
        process = S3Process(scratch)
        stack.callback(process.kill)
        ours = Connection(process.port)
        stack.callback(ours.close)
        ours.ask(signed(process.port, "PUT", f"/{BUCKET}"))
        for _ in range(given.runs):
            _put(figures, process.port, ours, scratch, contents)
            _get(figures, process.port, ours, beside, contents)


def _get(figures: Figures, port: int, ours: Connection, beside: Connection, contents: dict[str, bytes]) -> None:
    for name, times in (("1 MiB", 100), ("64 MiB", 5)):
        path = name.replace(" ", "")
        nginx = beside.seconds([f"GET /{path} HTTP/1.1\r\nHost: nginx\r\n\r\n".encode()] * times)
        zonal = ours.seconds([signed(port, "GET", f"/{BUCKET}/{path}")] * times)
        figures.add(f"GET {name}", "ms", zonal * 1000)
        figures.add(f"GET {name}, nginx", "ms", nginx * 1000)
        figures.add(f"GET {name} of nginx", "", nginx / zonal)


def _put(figures: Figures, port: int, ours: Connection, scratch: Path, contents: dict[str, bytes]) -> None:
    times = 30
    disk = dd_seconds(scratch, 1, times)
    zonal = ours.seconds([signed(port, "PUT", f"/{BUCKET}/1MiB", contents["1 MiB"])] * times)
    figures.add("PUT 1 MiB", "ms", zonal * 1000)
    figures.add("PUT 1 MiB, dd", "ms", disk * 1000)
    figures.add("PUT 1 MiB of dd", "", disk / zonal)
    disk = dd_seconds(scratch, 64, 3)
    zonal = parts_seconds(port, contents["64 MiB"], times=3)
    figures.add("PUT 64 MiB in parts", "ms", zonal * 1000)
    figures.add("PUT 64 MiB, dd", "ms", disk * 1000)
    figures.add("PUT 64 MiB in parts of dd", "", disk / zonal)
    ours.ask(signed(port, "PUT", f"/{BUCKET}/64MiB", contents["64 MiB"]))


def dd_seconds(directory: Path, mebibytes: int, times: int) -> float:
    """The mean time in which a shell's loop writes and syncs a file of this size."""
    message = f"dd if=/dev/zero of={directory}/dd bs=1M count={mebibytes} conv=fsync status=none"
    began = time.perf_counter()
    subprocess.run(["bash", "-c", f"for ((i = 0; i < {times}; i++)); do {message}; done"], check=True)
    return (time.perf_counter() - began) / times


def parts_seconds(port: int, content: bytes, *, times: int, at_once: int = 4) -> float:
    """The mean time of an upload in parts of 8 MiB, some of them at the same time, from creation to completion."""
    pieces = [content[start : start + PART_BYTES] for start in range(0, len(content), PART_BYTES)]
    connections = [Connection(port) for _ in range(at_once)]
    taken = [_upload_seconds(port, connections, pieces) for _ in range(times)]
    for connection in connections:
        connection.close()
    return sum(taken) / times


def _upload_seconds(port: int, connections: list[Connection], pieces: list[bytes]) -> float:
    path, at_once = f"/{BUCKET}/parts", len(connections)
    upload = text_of(connections[0].ask(signed(port, "POST", path, query="uploads=")), "UploadId")
    requests = [signed(port, "PUT", path, piece, query=f"partNumber={at}&uploadId={upload}") for at, piece in enumerate(pieces, 1)]
    with ThreadPoolExecutor(at_once) as threads:
        began = time.perf_counter()
        answers = list(threads.map(lambda job: _in_turn(connections[job], requests[job::at_once]), range(at_once)))
        etags = {job + at_once * turn + 1: etag for job, found in enumerate(answers) for turn, etag in enumerate(found)}
        parts = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{etags[number]}</ETag></Part>" for number in sorted(etags))
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        connections[0].ask(signed(port, "POST", path, body, query=f"uploadId={upload}"))
        return time.perf_counter() - began


def _in_turn(connection: Connection, requests: list[bytes]) -> list[str]:
    return [connection.ask(request).lower().partition(b"\netag: ")[2].partition(b"\r")[0].decode() for request in requests]


def small(figures: Figures, given: Namespace, scratch: Path, tools: Path) -> None:
    """GET and PUT of 1 KiB beside other S3 servers, which all keep things in memory or sync nothing."""
    scratch.mkdir()
    with ExitStack() as stack:
        process = S3Process(scratch)
        stack.callback(process.kill)
        servers: dict[str, tuple[int, Key]] = {"zonal": (process.port, Key())}
        for rival in s3_alternatives.RIVALS:
            servers[rival.name] = (stack.enter_context(s3_alternatives.serving(rival, tools)), rival.key)
        for port, key in servers.values():
            client = _client(port, key)
            client.create_bucket(Bucket=BUCKET)
            for number in range(KEYS):
                client.put_object(Bucket=BUCKET, Key=f"small-{number}", Body=bytes(KIB))
        for _ in range(given.runs):
            for method in ("PUT", "GET"):
                for connections in (1, 8):
                    rates = {name: _rate(*server, method, connections) for name, server in servers.items()}
                    what = f"{method} 1 KiB, {connections} connection{'s' * (connections > 1)}"
                    for name, value in rates.items():
                        figures.add(f"{what}, {name}", "/s", value)
                    best = max(value for name, value in rates.items() if name != "zonal")
                    figures.add(f"{method} 1 KiB of the best, {connections} connection{'s' * (connections > 1)}", "", rates["zonal"] / best)


def _client(port: int, key: Key) -> Any:
    parameters = {"aws_access_key_id": key.name, "aws_secret_access_key": key.secret, "region_name": "us-east-1"}
    return boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", **parameters)


def _rate(port: int, key: Key, method: str, connections: int) -> float:
    body = os.urandom(KIB) if method == "PUT" else b""
    requests = [signed(port, method, f"/{BUCKET}/small-{number}", body, key=key) for number in range(KEYS)]
    return rate(port, requests, connections=connections, seconds=1.5)


if __name__ == "__main__":
    main()
