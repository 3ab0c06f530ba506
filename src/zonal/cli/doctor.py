"""`zonal doctor`: checks what a region needs from this machine and prints a remedy for what is missing."""

from __future__ import annotations

import click

from zonal.cli.options import json_option


@click.command()
@click.option("-q", "--quiet", is_flag=True, help="Print nothing; return the exit status only.")
@json_option
def doctor(quiet: bool, as_json: bool) -> int:
    """Check whether this machine can run a region, and print a remedy for what is missing.

    The command tries everything that a region needs from the kernel, in namespaces that it removes. The exit status is 1 if a
    required item is missing.
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
