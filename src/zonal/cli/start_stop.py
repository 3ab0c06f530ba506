"""`zonal start` and `zonal stop`: start a region's supervisor and wait for the first answer; stop it and wait for its end."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zonal.cli.options import state_option
from zonal.foundation.errors import ZonalError, describe
from zonal.foundation.log_files import REGION_LOG, bound
from zonal.foundation.signal_forwarding import forward_to

if TYPE_CHECKING:
    from zonal.foundation.settings import Settings

READY_SECONDS = 30.0
STOP_SECONDS = 40.0
LAST_LINES = 3


class StartFailed(ZonalError):
    """The region did not start; the message says why and what to do."""


@click.command()
@click.option("-d", "--detach", is_flag=True, help="Return when the API answers; the region keeps running.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the API endpoint. [default: 4566]")
@click.option("--bind", metavar="ADDRESS", help="Address of the API endpoint. [default: 127.0.0.1]")
@state_option
def start(detach: bool, port: int | None, bind: str | None, state: Path) -> int:
    """Start a region, or start a stopped region again with everything in it."""
    from zonal.foundation.settings import load

    settings = load(state, port=port, bind=bind)
    _make(state)
    _check_absent(state)
    listener = _listen(settings)
    begun = time.monotonic()
    process = _start_supervisor(state, settings, listener, detach=detach)
    listener.close()
    await_ready(process, state, detach=detach)
    click.echo(f"the region answers at {settings.endpoint} after {time.monotonic() - begun:.1f} s", err=not detach)
    if detach and sys.stdout.isatty():
        click.echo('eval "$(zonal env)" makes aws and boto3 use it; `zonal status` shows it, `zonal stop` stops it')
    return 0 if detach else _wait_in_foreground(process)


@click.command()
@state_option
def stop(state: Path) -> None:
    """Stop the region: shut its engines down cleanly and keep everything."""
    from zonal.fabric.sandbox import init_pid
    from zonal.operator_api.client import RegionAbsent, absence

    pid = init_pid(state)
    if pid is None:
        raise RegionAbsent(absence(state))
    try:
        os.kill(pid, signal.SIGTERM)
    except PermissionError:
        raise ZonalError(f"the region on {state} (process {pid}) belongs to another user") from None
    begun = time.monotonic()
    while init_pid(state) is not None or not _is_free(state):
        waited = time.monotonic() - begun
        if waited > STOP_SECONDS:
            raise ZonalError(f"the region has not stopped after {waited:.0f} s; `kill -9 {pid}` ends it, as a power failure would")
        if waited > 1.0 and sys.stderr.isatty():
            click.echo(f"\rstopping, {waited:.0f} s", nl=False, err=True)
        time.sleep(0.02)
    if sys.stderr.isatty() and time.monotonic() - begun > 1.0:
        click.echo(err=True)


def _make(state: Path) -> None:
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartFailed(f"cannot make the state directory {describe(error)}; `--state DIR` uses another one") from error
    if not os.access(state, os.R_OK | os.W_OK | os.X_OK):
        raise StartFailed(f"cannot write to the state directory {state}: permission denied; `--state DIR` uses another one")


def _check_absent(state: Path) -> None:
    from zonal.fabric.sandbox import init_pid

    if init_pid(state) is not None:
        raise StartFailed(f"a region already runs on {state}; `zonal status` shows it, `zonal stop` ends it")


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.bind else socket.AF_INET
    try:
        return socket.create_server((settings.bind, settings.port), family=family, backlog=512)
    except (OSError, UnicodeError, TypeError) as error:  # A name that cannot be encoded is a `TypeError`.
        reason, remedy = _listening_problem(error, settings)
        raise StartFailed(f"cannot listen on {settings.bind}:{settings.port}: {reason}; {remedy}") from error


def _listening_problem(error: Exception, settings: Settings) -> tuple[str, str]:
    """Why the API's address cannot be opened, and what to do. The text of `socket.create_server` repeats the address, so it is not used."""
    number = error.errno if isinstance(error, OSError) and not isinstance(error, socket.gaierror) else None
    another_port = "`zonal start --port N` uses another port"
    if number == errno.EADDRINUSE:
        return "address in use", another_port
    if number == errno.EACCES:
        return f"only root may use port {settings.port}", another_port
    return f"{settings.bind} is not an address of this machine", "`zonal start --bind ADDRESS` uses another address"


def _start_supervisor(state: Path, settings: Settings, listener: socket.socket, *, detach: bool) -> subprocess.Popen[bytes]:
    """Start the supervisor; with `detach` in a session of its own. Its first line on standard output is `ready` or a reason."""
    environment = os.environ | {"ZONAL_PORT": str(settings.port), "ZONAL_BIND": settings.bind}
    argv = [sys.executable, "-m", "zonal.cli.supervisor", str(state), str(listener.fileno())]
    more: dict[str, Any] = {"stdin": subprocess.DEVNULL, "start_new_session": True} if detach else {}
    bound(state / REGION_LOG)
    try:
        log = (state / REGION_LOG).open("ab")
    except OSError as error:
        raise StartFailed(f"cannot write {describe(error)}; `--state DIR` uses another state directory") from error
    with log:
        stderr = log if detach else None
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=stderr, env=environment, pass_fds=[listener.fileno()], **more)


def await_ready(process: subprocess.Popen[bytes], state: Path, *, detach: bool) -> None:
    """Return when the supervisor reports that the API answers. Raises `StartFailed` with the supervisor's reason or the end of the log."""
    assert process.stdout is not None
    found, _, _ = select.select([process.stdout], [], [], READY_SECONDS)
    line = process.stdout.readline().decode(errors="replace").strip() if found else ""
    if line == "ready":
        return
    process.terminate()
    process.wait()
    what = "ended before it answered" if found else f"did not answer within {READY_SECONDS:g} s"
    raise StartFailed(line or f"the region {what}{_last_log_lines(state) if detach else ''}")


def _last_log_lines(state: Path) -> str:
    """The last lines of the region's log, for an error message."""
    lines = (state / REGION_LOG).read_text(errors="replace").splitlines()[-LAST_LINES:]
    return "".join([f"; the end of {state / REGION_LOG}:", *(f"\n  {line}" for line in lines)]) if lines else ""


def _wait_in_foreground(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of a region in the foreground. Ctrl-C reaches the supervisor too, which stops the region in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    forward_to(process.pid)
    return process.wait()


def _is_free(state: Path) -> bool:
    """Whether the supervisor has released the lock on the state directory."""
    import fcntl

    descriptor = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
