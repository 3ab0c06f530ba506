"""Injecting a fault into a database under load and measuring what its clients saw: `drill db-failover`, `drill zone-outage`."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from zonal.cli.options import Amount, json_option, state_option
from zonal.foundation.errors import ZonalError

F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def drill() -> None:
    """Inject a fault into a Multi-AZ database under load, recover it, and report what its clients saw.

    Clients in several zones write numbered rows and keep ledgers; at the end every row is read back. The exit status is 1 if an
    acknowledged write is lost, a failed one appears, two primaries acknowledged writes, or a client was not served again.
    """


def _options(command: F) -> F:
    for option in reversed(
        (
            click.option("--db", metavar="ID", help="Use this DB instance instead of one created for the drill."),
            click.option("--password", envvar="PGPASSWORD", help="Master password of --db. [env: PGPASSWORD]"),
            click.option("--engine-version", metavar="V", help="PostgreSQL version of the drill's own instance."),
            click.option("--clients", type=click.IntRange(1, 64), default=3, show_default=True, help="Number of clients that write."),
            click.option("--seconds", type=Amount(0), default=5.0, show_default=True, help="Duration of the outage."),
            click.option("--seed", type=int, help="Repeat the choices of an earlier drill. [default: a new seed, printed]"),
            click.option("--keep", is_flag=True, help="Keep the drill's own instance."),
            state_option,
            json_option,
        )
    ):
        command = option(command)
    return command


@drill.command("db-failover")
@click.option(
    "--fault",
    type=click.Choice(["process", "host", "reboot", "power", "network"]),
    default="process",
    show_default=True,
    help="Fault of the primary: its process dies, its host loses power, a forced failover, its zone loses power or network.",
)
@_options
def db_failover(fault: str, **options: Any) -> int:
    """Inject a fault into the primary and measure the failover."""
    return _drill("db-failover", fault, zone="", **options)


@drill.command("zone-outage")
@click.option("--power", "fault", flag_value="power", default="power", help="Cut the links, then kill every process in the zone. [default]")
@click.option("--network", "fault", flag_value="network", help="Partition the zone: drop all traffic in and out; processes keep running.")
@click.option("--zone", default="", metavar="ZONE", help="The zone that fails. [default: the primary's]")
@_options
def zone_outage(fault: str, zone: str, **options: Any) -> int:
    """Make a whole zone fail and measure the outage."""
    return _drill("zone-outage", fault, zone=zone, **options)


def _drill(
    drill: str,
    fault: str,
    *,
    zone: str,
    db: str | None,
    password: str | None,
    engine_version: str | None,
    clients: int,
    seconds: float,
    seed: int | None,
    keep: bool,
    state: Path,
    as_json: bool,
) -> int:
    import msgspec

    from zonal.cli.output import console
    from zonal.cli.socket_operator import SocketOperator
    from zonal.drills.faults import FAULTS
    from zonal.drills.report import show
    from zonal.drills.scenario import Options, run

    if db is not None and not db.strip():
        raise click.UsageError("--db is empty; give a DB instance identifier")
    if db and not password:
        raise click.UsageError("--db needs the master password: --password or PGPASSWORD")
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    report_progress = _report_line(time.monotonic())
    operator = SocketOperator(state)
    if zone not in ("", *(zones := operator.zones())):
        raise ZonalError(f"there is no zone '{zone}'; there are {', '.join(zones)}")
    options = Options(drill=drill, seed=seed, zone=zone, clients=clients, seconds=seconds)
    directory = state / "drills" / f"{time.strftime('%Y%m%d-%H%M%S')}-{fault}-{seed}"
    directory.parent.mkdir(mode=0o700, exist_ok=True)
    with _database(operator, db, password, engine_version, keep=keep, report_progress=report_progress) as database:
        report = run(database, operator, FAULTS[fault], options, directory=directory, report_progress=report_progress)
    (directory / "report.json").write_bytes(msgspec.json.encode(report))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report.verdict)).decode())
    else:
        show(report, console())
    return 0 if report.verdict.passed else 1


def _report_line(begun: float) -> Callable[[str], None]:
    """Return a function that prints a line on standard error, with the seconds since `begun`."""
    return lambda line: click.echo(f"{time.monotonic() - begun:6.1f} s  {line}", err=True)


@contextmanager
def _database(
    operator: Any,
    identifier: str | None,
    password: str | None,
    engine_version: str | None,
    *,
    keep: bool,
    report_progress: Callable[[str], None],
) -> Iterator[Any]:
    """The database of the drill: the caller's, or a new one that is deleted afterwards unless `keep` is set."""
    from botocore.exceptions import BotoCoreError, ClientError

    from zonal.drills.database import Database, connect, create

    client = connect(operator.endpoint())
    try:
        if identifier:
            assert password is not None  # `_drill` has checked it.
            yield Database(client, identifier, password)
            return
        database = create(client, operator, engine_version=engine_version, report_progress=report_progress)
        try:
            yield database
        finally:
            if keep:
                report_progress(f"{database.identifier} is kept; its master user is 'drill', its password {database.password}")
            else:
                database.delete()
    except (BotoCoreError, ClientError) as error:
        raise ZonalError(f"the region's API answered: {error}") from error
