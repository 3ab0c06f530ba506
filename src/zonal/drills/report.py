"""A drill's report, for a person: what happened when, in sentences, and the verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zonal.drills.scenario import Report
from zonal.drills.verdict import Verdict
from zonal.foundation.journal import Entry

Fields = dict[str, Any]

FENCED = {"killed": "killed", "off": "off", "unreachable": "out of reach; it cannot acknowledge alone"}
"""How an old primary was fenced."""

SENTENCES: dict[str, Callable[[Fields], str]] = {
    "failover.detected": lambda f: f"the other zones agree that {f['node']} in {f['zone']} is {f['condition']}",
    "failover.decided": lambda f: f"decided: {f['action']} {f['node']}, because {f['why']}",
    "failover.fenced": lambda f: f"{f['node']} is {FENCED[f['how']]}",
    "failover.promoted": lambda f: f"{f['node']} in {f['zone']} takes writes",
    "failover.renamed": lambda f: f"the name leads to {f['address']}",
    "failover.restarted": lambda f: f"{f['node']} is started again, because {f['why']}",
    "node.rejoined": lambda f: f"{f['node']} follows again ({f['how']})",
    "node.cloned": lambda f: f"{f['node']} is a new copy of the primary",
    "node.started": lambda f: f"{f['node']} is started",
    "redundancy.alone": lambda f: f"{f['node']} acknowledges alone",
    "redundancy.synchronous": lambda f: "synchronous: two zones hold every acknowledged write",
}
"""What the journal's events mean, in words."""


def show(report: Report, console: Console) -> None:
    """Print the timeline and the verdict."""
    console.print(timeline(report))
    console.print(verdict(report.verdict))
    for silence in report.verdict.silences:
        note = "" if silence.counted else ", down with its zone"
        console.print(f"  client {silence.client} in {silence.zone}: silent for {silence.seconds:.2f} s{note}")
    if report.verdict.passed:
        console.print(f"[bold green]PASSED[/]: {report.verdict.acknowledged} acknowledged writes, none lost (seed {report.verdict.seed})")
    else:
        console.print(f"[bold red]FAILED[/] (seed {report.verdict.seed}); ledgers are in {escape(str(report.directory))}")
        for reason in report.verdict.reasons:
            console.print(f"  {reason}")


def timeline(report: Report) -> Table:
    """What happened to the database, in seconds since the fault."""
    table = Table("seconds", "what happened", box=box.SIMPLE, title=f"{report.verdict.drill}, {report.verdict.fault}", title_justify="left")
    table.columns[0].justify = "right"
    rows = [(report.struck, f"[red]fault: {report.verdict.fault}, {report.struck_zone}[/]")]
    rows += [(report.healed, f"[green]healed: {report.struck_zone}[/]")] if report.healed is not None else []
    rows += [
        (entry.monotonic, sentence(entry)) for entry in report.timeline if entry.subject == report.database and entry.event in SENTENCES
    ]
    for moment, words in sorted(rows, key=lambda row: row[0]):
        table.add_row(f"{moment - report.struck:+.2f}", words)
    return table


def sentence(entry: Entry) -> str:
    """An entry of the journal in words."""
    return SENTENCES[entry.event](entry.fields)


def verdict(result: Verdict) -> Table:
    """The verdict's figures."""
    table = Table("what", "result", box=box.SIMPLE)
    table.add_row("longest silence of a client (RTO)", f"{result.rto_seconds:.2f} s")
    table.add_row("acknowledged writes lost (RPO)", _red(result.lost))
    table.add_row("acknowledged / failed / unknown", f"{result.acknowledged} / {result.failed} / {result.unknown}")
    table.add_row("refused rows that are there (phantoms)", _red(result.phantom))
    table.add_row("two primaries that acknowledged", _red(result.two_primaries))
    table.add_row("fault to detection", _seconds(result.detection_seconds))
    table.add_row("detection to new primary", _seconds(result.promotion_seconds))
    table.add_row("heal to redundancy", _seconds(result.redundancy_seconds))
    return table


def _red(count: int) -> str:
    return f"[red]{count}[/]" if count else "0"


def _seconds(value: float | None) -> str:
    return "not in this drill" if value is None else f"{value:.2f} s"
