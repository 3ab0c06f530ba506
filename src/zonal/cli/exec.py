"""`zonal exec`: runs a command of this machine inside the region."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zonal.cli.options import state_option
from zonal.foundation.errors import ZonalError
from zonal.foundation.signal_forwarding import forward_to

if TYPE_CHECKING:
    from collections.abc import Mapping


@click.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option(
    "--in",
    "place",
    default="default",
    show_default=True,
    metavar="PLACE",
    help="A subnet's id, a host of the region, internet, or default.",
)
@click.option("--security-group", "groups", multiple=True, metavar="ID", help="Security group of the command's interface; may be repeated.")
@state_option
@click.argument("command", nargs=-1, required=True, metavar="-- COMMAND…", type=click.UNPROCESSED)
def execute(place: str, groups: tuple[str, ...], state: Path, command: tuple[str, ...]) -> int:
    """Run COMMAND of this machine inside the region, where names and routes are those of AWS.

    In a subnet, the command gets a network interface, with the VPC's default security group unless others are given. `default` is the
    default subnet of the first zone that is not lost; `internet` is outside every VPC. Streams and the exit status are the command's.
    psql and pgbench are those of the newest installed PostgreSQL unless the machine has its own.
    """
    from zonal.operator_api.client import RegionClient
    from zonal.operator_api.schemas import CommandRequest

    client = RegionClient(state)
    prepared = client.prepare(CommandRequest(place, groups))
    try:
        return run(enter_argv(state, prepared.target), command, environment=dict(prepared.environment))
    finally:
        if prepared.id:
            client.release(prepared.id)


def enter_argv(state: Path, target: int) -> tuple[str, ...]:
    """The argv prefix that runs a command on a host of the region on `state`. Raises `RegionAbsent`."""
    from zonal.fabric.nsenter import enter_argv
    from zonal.fabric.sandbox import init_pid
    from zonal.operator_api.client import RegionAbsent

    pid = init_pid(state)
    if pid is None:
        raise RegionAbsent(f"no region runs on {state}; `zonal start` starts one")
    return tuple(enter_argv(pid, target))


def run(prefix: tuple[str, ...], command: tuple[str, ...], *, environment: Mapping[str, str]) -> int:
    """Run a command behind a prefix, on this process's streams. Returns its exit status (128 + n when signal n killed it)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # A terminal sends it to the command as well, which handles it.
    try:
        child = subprocess.Popen([*prefix, *command], env=os.environ | {"PATH": search_path()} | dict(environment))
    except FileNotFoundError as error:
        raise ZonalError(f"{error.filename} is not installed on this machine (Debian and Ubuntu: apt-get install util-linux)") from error
    forward_to(child.pid)
    status = child.wait()
    return status if status >= 0 else 128 - status


def search_path() -> str:
    """The caller's `PATH`, followed by the programs of the newest PostgreSQL in the engine store."""
    from zonal.engines.engine_store import default_root, version_order

    homes = sorted(default_root().glob("postgres/*/bin"), key=lambda path: version_order(path.parent.name))
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, homes[-1:])])
