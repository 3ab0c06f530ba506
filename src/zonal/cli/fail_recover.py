"""Injecting and removing the fault of a zone: `fail`, `recover`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zonal.cli.options import Amount, json_option, state_option

if TYPE_CHECKING:
    from zonal.operator_api.schemas import ZoneStatus


@click.command()
@click.argument("zone")
@click.option("--power", is_flag=True, help="Cut the links, then kill every process in the zone. [default]")
@click.option("--network", is_flag=True, help="Partition the zone: drop all traffic in and out; processes keep running.")
@click.option("--loss", type=Amount(0, 100, min_open=True), metavar="P", help="Drop P percent of the packets on the zone's links.")
@click.option("--delay", type=Amount(0, min_open=True), metavar="MS", help="Delay the packets into the zone by MS milliseconds.")
@state_option
@json_option
def fail(zone: str, power: bool, network: bool, loss: float | None, delay: float | None, state: Path, as_json: bool) -> None:
    """Make ZONE fail (us-east-1a, or its id use1-az1) until it is recovered."""
    from zonal.operator_api.client import RegionClient
    from zonal.operator_api.schemas import ZoneFaultRequest

    faults = [ZoneFaultRequest(kind) for kind, given in (("power", power), ("network", network)) if given]
    faults += [ZoneFaultRequest(kind, amount) for kind, amount in (("loss", loss), ("delay", delay)) if amount is not None]
    if len(faults) > 1:
        raise click.UsageError("--power, --network, --loss and --delay are different faults; give one of them")
    _print_status(RegionClient(state).fail(zone, faults[0] if faults else ZoneFaultRequest("power")), as_json)


@click.command()
@click.argument("zone")
@state_option
@json_option
def recover(zone: str, state: Path, as_json: bool) -> None:
    """Remove the fault of ZONE: restore its links and the power of its hosts."""
    from zonal.operator_api.client import RegionClient

    _print_status(RegionClient(state).recover(zone), as_json)


def _print_status(zone: ZoneStatus, as_json: bool) -> None:
    import msgspec

    if as_json:
        click.echo(msgspec.json.encode(zone))
    else:
        click.echo(f"{zone.name} ({zone.id}): {zone.state}" + (f", {zone.fault}" if zone.fault else ""))
