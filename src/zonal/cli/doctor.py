"""Whether this machine can run a region, and what to change where it cannot: `doctor`.

Every check tries the thing itself (makes the namespaces, loads a rule) in a process of its own that takes all of it away again; settings of
the kernel are only read to say which one to change.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import click

from zonal.cli.options import json_option

TOOLS = {"unshare": "util-linux", "nsenter": "util-linux"}
_NAMESPACES = ("--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--uts", "--mount-proc")


class Finding(NamedTuple):
    """One check: what was tried, whether it works, and what to do where it does not."""

    what: str
    works: bool
    advice: str = ""


def examine() -> list[Finding]:
    """All checks, the most basic first."""
    findings = [_python(), *(_tool(name, package) for name, package in TOOLS.items())]
    if all(finding.works for finding in findings):
        findings += [_namespaces(), _links(), _firewall()]
    return findings


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(f"Python {version}", sys.version_info >= (3, 11), "zonal needs Python 3.11 or newer")


def _tool(name: str, package: str) -> Finding:
    advice = f"install {package} (Debian and Ubuntu: apt-get install {package})"
    return Finding(f"the command {name}", shutil.which(name) is not None, advice)


def _namespaces() -> Finding:
    works, said = _inside("pass")
    return Finding("namespaces for networks, processes and mounts", works, "" if works else _namespace_advice(said))


def _namespace_advice(said: str) -> str:
    for path, wrong, change in (
        ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sudo sysctl kernel.unprivileged_userns_clone=1"),
        ("/proc/sys/user/max_user_namespaces", "0", "sudo sysctl user.max_user_namespaces=15000"),
    ):
        setting = Path(path)
        if os.geteuid() != 0 and setting.exists() and setting.read_text().strip() == wrong:
            return f"the kernel refuses namespaces to ordinary users; `{change}` allows them"
    if Path("/.dockerenv").exists():
        return "the container refuses namespaces; run it with --privileged, or with --cap-add SYS_ADMIN --security-opt seccomp=unconfined"
    return f"the kernel refused: {said}"


def _links() -> Finding:
    works, said = _inside(
        "from pyroute2 import IPRoute; i = IPRoute(); i.link('add', ifname='zonal0', kind='veth', peer='zonal1'); i.close()"
    )
    return Finding("virtual network links (veth)", works, "" if works else f"the kernel module veth is needed; it said: {said}")


def _firewall() -> Finding:
    works, said = _inside(
        "from pyroute2.nftables.main import NFTables; n = NFTables(nfgen_family=1);"
        " n.begin(); n.table('add', name='zonal'); n.commit(); n.close()"
    )
    return Finding("the kernel's firewall (nf_tables)", works, "" if works else f"the kernel module nf_tables is needed; it said: {said}")


def _inside(script: str) -> tuple[bool, str]:
    """Whether a script runs in namespaces of its own, and the last line that it said."""
    words = ["unshare", *_NAMESPACES, sys.executable, "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30)
    return done.returncode == 0, (done.stderr.strip().splitlines() or ["nothing"])[-1]


@click.command()
@click.option("-q", "--quiet", is_flag=True, help="Only the exit status.")
@json_option
def doctor(quiet: bool, as_json: bool) -> int:
    """Check whether this machine can run a region, and say what to change where it cannot."""
    import json

    findings = examine()
    if as_json:
        click.echo(json.dumps([finding._asdict() for finding in findings], indent=2))
    elif not quiet:
        for finding in findings:
            click.echo(f"{'works  ' if finding.works else 'MISSING'}  {finding.what}")
            if not finding.works:
                click.echo(f"         {finding.advice}")
    return 0 if all(finding.works for finding in findings) else 1
