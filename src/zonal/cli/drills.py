"""Breaking a database on purpose and measuring what its clients saw: `drill db-failover`, `drill zone-outage`."""

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
    """Break a Multi-AZ database under load, heal it, and judge what its clients saw.

    Clients in several zones write numbered rows and keep ledgers; in the end every row is read back. The exit status is 1 when an
    acknowledged write is lost, a refused one appears, two primaries acknowledged, or the clients did not come back.
    """


def _options(command: F) -> F:
    for option in reversed(
        (
            click.option("--db", metavar="ID", help="Take this DB instance, instead of one made for the drill."),
            click.option("--password", envvar="PGPASSWORD", help="Master password of --db. [env: PGPASSWORD]"),
            click.option("--engine-version", metavar="V", help="PostgreSQL version of the drill's own instance."),
            click.option("--clients", type=click.IntRange(1, 64), default=3, show_default=True, help="How many clients write."),
            click.option("--seconds", type=Amount(0), default=5.0, show_default=True, help="How long the outage lasts."),
            click.option("--seed", type=int, help="Repeats a drill's choices. [default: a new one, printed]"),
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
    help="What happens to the primary: its process dies, its host loses power, a forced failover, its zone loses power or network.",
)
@_options
def db_failover(fault: str, **options: Any) -> int:
    """Take the primary away."""
    return _drill("db-failover", fault, zone="", **options)


@drill.command("zone-outage")
@click.option("--power", "fault", flag_value="power", default="power", help="Links are cut, then everything in the zone dies. [default]")
@click.option("--network", "fault", flag_value="network", help="Links are cut; what is inside lives on, alone.")
@click.option("--zone", default="", metavar="ZONE", help="The zone to lose. [default: the primary's]")
@_options
def zone_outage(fault: str, zone: str, **options: Any) -> int:
    """Take a whole zone away."""
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
        raise click.UsageError("--db is empty; it takes a DB instance identifier")
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
    """Prints a line of progress on standard error, with the seconds since the command began."""
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
    """The database to break: the caller's, or one of the drill's own that is deleted in the end."""
    from botocore.exceptions import BotoCoreError, ClientError

    from zonal.drills.database import Database, connect, create

    client = connect(operator.endpoint())
    try:
        if identifier:
            assert password is not None  # The command has checked it.
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
