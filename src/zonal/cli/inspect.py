"""Commands that read a region: `status`, `env`, `journal`, `logs`."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zonal.cli.options import json_option, state_option
from zonal.foundation.errors import ZonalError
from zonal.foundation.log_files import REGION_LOG

if TYPE_CHECKING:
    from zonal.operator_api.schemas import ApiAccess, DatabaseStatus, Status


@click.command()
@state_option
@json_option
def status(state: Path, as_json: bool) -> None:
    """Show zones, databases with their nodes, and the public endpoints that this machine can reach."""
    import msgspec

    from zonal.operator_api.client import RegionClient

    seen = RegionClient(state).status()
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(seen)).decode())
    else:
        show_status(seen)


def show_status(seen: Status) -> None:
    """Print a status for a person."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from zonal.cli import output

    console = output.console()
    readiness = "" if seen.ready else ", still building its networks"
    console.print(f"[bold]{seen.region}[/] at {seen.endpoint} ({seen.fabric}{readiness}), state in {escape(seen.state_directory)}")
    for failure in seen.failures:
        console.print(f"[red]warning:[/] {escape(failure)}")
    zones = Table("zone", "id", "state", "fault", box=box.SIMPLE)
    for zone in seen.zones:
        zones.add_row(zone.name, zone.id, zone.state if not zone.fault else f"[red]{zone.state}[/]", zone.fault)
    console.print(zones)
    if seen.databases:
        console.print(_databases(seen.databases))
    for database in seen.databases:
        if database.why:
            console.print(f"{database.identifier}: {escape(database.why)}")
    if seen.public_endpoints:
        publics = Table("public endpoint", "address", "from this machine", box=box.SIMPLE)
        for each in seen.public_endpoints:
            publics.add_row(each.name, each.public_address, f"{each.loopback_address}:{each.port}")
        console.print(publics)


def _databases(databases: tuple[DatabaseStatus, ...]) -> object:
    from rich import box
    from rich.table import Table

    table = Table("database", "engine", "state", "redundancy", "node", "zone", "role", "seen", box=box.SIMPLE)
    for database in databases:
        first = (database.identifier, database.engine, database.state, database.redundancy)
        for index, node in enumerate(database.nodes):
            table.add_row(*(first if index == 0 else ("", "", "", "")), node.name, node.zone, node.role, node.state)
        if not database.nodes:
            table.add_row(*first, "", "", "", "")
    return table


OTHER_ENDPOINTS = ("AWS_DEFAULT_PROFILE", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_PROFILE", "AWS_SESSION_TOKEN")
OTHER_ENDPOINT_PREFIXES = ("AWS_ENDPOINT_URL_", "AWS_USE_DUALSTACK_", "AWS_USE_FIPS_")
"""Variables that override AWS_ENDPOINT_URL or the access key. Those with one of the prefixes are unset if they are set."""


@click.command()
@state_option
@json_option
def env(state: Path, as_json: bool) -> None:
    """Print exports that make aws and boto3 use this region: eval "$(zonal env)"."""
    import json

    from zonal.operator_api.client import RegionClient

    variables = environment(state, RegionClient(state).access())
    if as_json:
        click.echo(json.dumps(variables, indent=2))
        return
    click.echo(f"unset {' '.join([*OTHER_ENDPOINTS, *sorted(each for each in os.environ if each.startswith(OTHER_ENDPOINT_PREFIXES))])}")
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")


def environment(state: Path, access: ApiAccess) -> dict[str, str]:
    """The variables under which every AWS SDK and both versions of the AWS CLI use the region in `state`."""
    from zonal.cli.endpoint_rules import can_be_in_data_path, data_path, write_endpoint_rules
    from zonal.foundation.identifiers import REGION

    rules = write_endpoint_rules(state, access.endpoint)
    if can_be_in_data_path(rules):
        more = {"AWS_DATA_PATH": data_path(rules, os.environ)}
    else:
        more = {}
        click.echo(f"zonal: warning: {rules} cannot be in AWS_DATA_PATH; version 1 of the AWS CLI needs --endpoint-url for rds", err=True)
    return more | {
        "AWS_ENDPOINT_URL": access.endpoint,
        "AWS_ACCESS_KEY_ID": access.access_key,
        "AWS_SECRET_ACCESS_KEY": access.secret_key,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "ZONAL_STATE": str(state),
        "ZONAL_CA_BUNDLE": access.ca_bundle,
    }


@click.command()
@state_option
@click.option("--event", default="", metavar="PREFIX", help="Only events with this prefix, e.g. failover.")
@click.option("--subject", default="", help="Only entries about this resource, by its name or ARN, also under its former names.")
@click.option("-n", "--last", type=click.IntRange(min=1), default=100, show_default=True, help="Print at most so many entries.")
@click.option("-f", "--follow", is_flag=True, help="Continue with new entries.")
@json_option
def journal(state: Path, event: str, subject: str, last: int, follow: bool, as_json: bool) -> None:
    """Show the region's timeline, oldest entry first."""
    import msgspec

    from zonal.foundation.journal_sentences import line
    from zonal.operator_api.client import RegionClient

    client = RegionClient(state)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None  # Lines on a pipe are not wrapped, for grep.
    after, limit = 0, last
    while True:
        entries = client.journal(after=after, event=event, subject=subject, limit=limit)
        for entry in entries:
            click.echo(msgspec.json.encode(entry) if as_json else line(entry, width=width))
            after = entry.sequence
        if not follow:
            if not after:
                click.echo("no entries", err=True)
            return
        limit = 1000
        time.sleep(0.2)


@click.command()
@state_option
@click.option("-n", "--last", type=click.IntRange(min=1), default=200, show_default=True, help="Print at most so many lines.")
@click.option("-f", "--follow", is_flag=True, help="Continue with new lines.")
def logs(state: Path, last: int, follow: bool) -> None:
    """Show the log of the region's own processes, to diagnose zonal itself."""
    path = state / REGION_LOG
    if not path.exists():
        raise ZonalError(f"there is no {path}; no region was started with `zonal start -d` on this state directory")
    with path.open("rb") as file:
        sys.stdout.buffer.write(b"".join(file.readlines()[-last:]))
        while follow:
            if path.stat().st_size < file.tell():
                file.seek(0)  # The log was started again at its size limit (`log_files.bound`).
            sys.stdout.buffer.write(file.read())
            sys.stdout.buffer.flush()
            time.sleep(0.2)
