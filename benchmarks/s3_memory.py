"""How much memory S3 takes while 5 GiB go in and out: `python -m benchmarks.s3_memory`.

A region's S3, alone in a process, takes an object of 5 GiB in one PUT, sends it, takes it in parts of 64 MiB, four at a time, and sends
that. The largest resident set is read from the kernel (VmHWM, reset before each) and told over what the idle process has.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.measurements import arguments, machine, tell
from benchmarks.s3_client import Connection, head, signed, text_of
from tests.s3_process import S3Process

GIB, MIB = 1024**3, 1024**2
PART_BYTES = 64 * MIB
BUCKET = "bench"
GOAL = "≤ 200 MB"


def main() -> None:
    parser = arguments(__doc__ or "", runs=1)
    parser.add_argument("--gibibytes", type=float, default=5.0, help="How large the object is (default 5).")
    given = parser.parse_args()
    size = int(given.gibibytes * GIB)
    figures: dict[str, list[float]] = {}
    for _ in range(given.runs):
        with tempfile.TemporaryDirectory(prefix="zonal-bench-", dir=Path.cwd()) as directory:
            process = S3Process(Path(directory))
            try:
                measure(process, size, figures)
            finally:
                process.kill()
    print(machine())
    for name, values in figures.items():
        tell(f"S3 {name}, {given.gibibytes:g} GiB, over idle", values, unit="MB", goal=GOAL)


def measure(process: S3Process, size: int, figures: dict[str, list[float]]) -> None:
    port, pid = process.port, process.pid
    connection = Connection(port)
    connection.ask(signed(port, "PUT", f"/{BUCKET}"))
    connection.ask(signed(port, "PUT", f"/{BUCKET}/first", os.urandom(MIB)))  # What a first request loads is no memory of the body.
    connection.ask(signed(port, "GET", f"/{BUCKET}/first"))
    idle = resident_mb(pid, "VmRSS")
    scenes: dict[str, Callable[[], object]] = {
        "one PUT": lambda: put(port, size),
        "GET of it": lambda: connection.ask(signed(port, "GET", f"/{BUCKET}/one")),
        "upload in parts": lambda: upload(port, size),
        "GET of the parts": lambda: connection.ask(signed(port, "GET", f"/{BUCKET}/parts")),
    }
    for name, scene in scenes.items():
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # Begins VmHWM anew.
        scene()
        figures.setdefault(name, []).append(resident_mb(pid, "VmHWM") - idle)
    connection.close()


def resident_mb(pid: int, what: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024


def put(port: int, size: int) -> None:
    """One PUT, signed without its body's hash, as clients do that stream."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(head(port, "PUT", f"/{BUCKET}/one", size=size))
        piece = os.urandom(MIB)
        for _ in range(size // MIB):
            client.sendall(piece)
        assert client.recv(65536).startswith(b"HTTP/1.1 200"), "the object was not taken"


def upload(port: int, size: int) -> None:
    path, piece = f"/{BUCKET}/parts", os.urandom(PART_BYTES)
    connections = [Connection(port) for _ in range(4)]
    id = text_of(connections[0].ask(signed(port, "POST", path, query="uploads=")), "UploadId")

    def send(job: int) -> str:
        etag = ""
        for number in range(1 + job, size // PART_BYTES + 1, len(connections)):
            answer = connections[job].ask(signed(port, "PUT", path, piece, query=f"partNumber={number}&uploadId={id}"))
            etag = answer.lower().partition(b"\netag: ")[2].partition(b"\r")[0].decode()
        return etag

    with ThreadPoolExecutor(len(connections)) as threads:
        etag = next(iter(threads.map(send, range(len(connections)))))
    parts = "".join(f"<Part><PartNumber>{at}</PartNumber><ETag>{etag}</ETag></Part>" for at in range(1, size // PART_BYTES + 1))
    body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
    connections[0].ask(signed(port, "POST", path, body, query=f"uploadId={id}"))
    for connection in connections:
        connection.close()


if __name__ == "__main__":
    main()
