"""Whether this machine can run a region, and what to change where it cannot: `doctor`."""

from __future__ import annotations

import click

from zonal.cli.options import json_option


@click.command()
@click.option("-q", "--quiet", is_flag=True, help="Only the exit status.")
@json_option
def doctor(quiet: bool, as_json: bool) -> int:
    """Check whether this machine can run a region, and say what to change where it cannot.

    Everything that a region makes in the kernel is tried, in namespaces that vanish again. The exit status is 1 where something needed is
    missing.
    """
    import msgspec

    from zonal.engines import apt
    from zonal.fabric.doctor import Finding, diagnose

    reason = apt.unavailable()
    remedy = "Only engines that come as Debian packages need them (see `zonal engines install --help`)."
    findings = [*diagnose(), Finding("Debian packages", not reason, reason, remedy, needed=False)]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(findings)).decode())
    elif not quiet:
        for finding in findings:
            absent = "MISSING" if finding.needed else "absent "
            click.echo(f"{'works  ' if finding.works else absent}  {finding.what}{f': {finding.detail}' if finding.detail else ''}")
            if not finding.works:
                click.echo(f"         {finding.remedy}")
    return 0 if all(finding.works or not finding.needed for finding in findings) else 1
