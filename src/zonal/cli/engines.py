"""`zonal engines list | install | remove`: the engine store, which all regions of a user share."""

from __future__ import annotations

import json

import click

from zonal.cli.options import json_option
from zonal.engines.registry import ENGINES
from zonal.foundation.errors import ZonalError


@click.group()
def engines() -> None:
    """List, install and remove database engines.

    Several versions can be installed; all regions of a user share them. Installations of the machine are listed too.
    """


@engines.command("list")
@json_option
def list_engines(as_json: bool) -> None:
    """List the engine versions that databases can use."""
    from zonal.engines.engine_store import EngineStore

    store = EngineStore()
    found = [each for engine in ENGINES for each in reversed(store.installed(engine))]
    if as_json:
        click.echo(json.dumps([{**each._asdict(), "home": str(each.home)} for each in found], indent=2))
        return
    for each in found:
        click.echo(f"{each.engine} {each.version:<8} {each.home}{'' if each.removable else '  (of the machine)'}")
    if not found:
        click.echo("no engine is installed; `zonal engines install postgres 18` installs one")


@engines.command()
@click.argument("engine", type=click.Choice(sorted(ENGINES)))
@click.argument("version", default="")
def install(engine: str, version: str) -> None:
    """Install ENGINE in VERSION (a major, 18, or a full version, 18.6); without VERSION the newest of the default major.

    Libraries that this machine lacks are downloaded from its distribution, without root. On an installed version only what it lacks
    is added.
    """
    from zonal.engines.engine_store import EngineStore

    there = EngineStore().install(engine, version, progress=lambda line: click.echo(f"{line} …", err=True))
    click.echo(f"{there.engine} {there.version} is at {there.home}")


@engines.command()
@click.argument("engine", type=click.Choice(sorted(ENGINES)))
@click.argument("version")
def remove(engine: str, version: str) -> None:
    """Remove ENGINE VERSION from the store. Databases of that version cannot start afterwards."""
    from zonal.engines.engine_store import EngineStore

    store = EngineStore()
    there = store.find(engine, version)
    if there is None:
        raise ZonalError(f"{engine} {version} is not installed; `zonal engines list` lists the installed versions")
    store.remove(engine, version)
    click.echo(f"{there.engine} {there.version} is removed")
