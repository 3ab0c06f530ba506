"""Other servers to be measured beside: nginx, and the S3 servers moto, ministack and s3rver, each installed into a throw-away directory.

nginx comes as Debian's package and is unpacked, not installed, so that nothing is started and root is not needed; the others come from
PyPI and npm.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.s3_client import Key

STARTING_SECONDS = 60
_ALONE = os.environ | {"PYTHONPATH": ""}


class Rival(NamedTuple):
    """How to install an S3 server (in a directory) and how to start it (there, on a port, with room for its files in `data`)."""

    name: str
    install: tuple[str, ...]
    start: tuple[str, ...]
    key: Key = Key()


RIVALS = (
    Rival("moto", ("{python} -m venv moto", "moto/bin/pip -q install moto[s3,server]"), ("moto/bin/moto_server", "-p", "{port}")),
    Rival(
        "ministack",
        ("{python} -m venv ministack", "ministack/bin/pip -q install ministack"),
        ("env", "GATEWAY_PORT={port}", "PORT={port}", "LOG_LEVEL=ERROR", "ministack/bin/ministack"),
    ),
    Rival(
        "s3rver",
        ("mkdir s3rver", "env -C s3rver npm install --silent --no-fund --no-audit s3rver"),
        ("s3rver/node_modules/.bin/s3rver", "--silent", "-a", "127.0.0.1", "-p", "{port}", "-d", "{data}"),
        Key("S3RVER", "S3RVER"),
    ),
)


def install(tools: Path) -> None:
    """Everything that is not there yet. Raises `CalledProcessError` where a registry cannot be reached."""
    tools.mkdir(parents=True, exist_ok=True)
    if not (tools / "nginx").exists():
        subprocess.run(["apt-get", "-qq", "download", "nginx"], cwd=tools, check=True, stderr=subprocess.DEVNULL)
        subprocess.run(["dpkg", "-x", *(str(path) for path in tools.glob("nginx_*.deb")), "nginx"], cwd=tools, check=True)
    for rival in RIVALS:
        stamp = tools / f"{rival.name}.installed"
        if not stamp.exists():
            shutil.rmtree(tools / rival.name, ignore_errors=True)
            for line in rival.install:
                argv = [word.format(python=sys.executable) for word in line.split()]
                subprocess.run(argv, cwd=tools, check=True, env=_ALONE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stamp.touch()


@contextmanager
def nginx(tools: Path, files: Path) -> Iterator[int]:
    """nginx with `sendfile` that serves a directory, at this port."""
    port, scratch = free_port(), tools / "nginx-scratch"
    scratch.mkdir(exist_ok=True)
    temporary = "".join(f"{name}_temp_path {scratch}/{name}; " for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    configuration = scratch / "nginx.conf"
    configuration.write_text(
        f"user {getpass.getuser()}; worker_processes 2; daemon off; pid {scratch}/pid; error_log {scratch}/errors;\n"
        f"events {{}}\nhttp {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; {temporary}\n"
        f"server {{ listen 127.0.0.1:{port}; root {files}; }} }}\n"
    )
    command = [str(tools / "nginx/usr/sbin/nginx"), "-e", str(scratch / "errors"), "-p", str(scratch), "-c", str(configuration)]
    with _running(command, tools, port):
        yield port


@contextmanager
def serving(rival: Rival, tools: Path) -> Iterator[int]:
    """A rival that serves, at this port; what it stored is gone afterwards."""
    port, data = free_port(), tools / f"{rival.name}-data"
    data.mkdir(exist_ok=True)
    try:
        with _running([word.format(port=port, data=data) for word in rival.start], tools, port):
            yield port
    finally:
        shutil.rmtree(data)


@contextmanager
def _running(command: list[str], tools: Path, port: int) -> Iterator[None]:
    process = subprocess.Popen(
        command,
        cwd=tools,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=_ALONE,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + STARTING_SECONDS
        while not _answers(port):
            assert process.poll() is None, f"{command[0]} ended"
            assert time.monotonic() < deadline, f"{command[0]} does not answer"
            time.sleep(0.05)
        yield
    finally:
        os.killpg(process.pid, 15)
        process.wait(10)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
