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

    from zonal.fabric.doctor import diagnose

    findings = diagnose()
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(findings)).decode())
    elif not quiet:
        for finding in findings:
            missing = "MISSING" if finding.needed else "absent "
            click.echo(f"{'works  ' if finding.works else missing}  {finding.what}{f': {finding.detail}' if finding.detail else ''}")
            if not finding.works:
                click.echo(f"         {finding.remedy}")
    return 0 if all(finding.works or not finding.needed for finding in findings) else 1
