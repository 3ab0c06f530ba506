"""Prints the report of a drill: the timeline in sentences, and the verdict."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zonal.drills.scenario import Report
from zonal.drills.verdict import DrillVerdict
from zonal.foundation.journal_sentences import sentence

EVENTS = (
    "failover.detected",
    "failover.decided",
    "failover.fenced",
    "failover.promoted",
    "failover.renamed",
    "failover.restarted",
    "node.rejoined",
    "node.cloned",
    "node.started",
    "redundancy.alone",
    "redundancy.synchronous",
)
"""The events of the journal that a drill's timeline shows."""


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
        (entry.monotonic, escape(sentence(entry))) for entry in report.timeline if entry.subject == report.subject and entry.event in EVENTS
    ]
    for moment, text in sorted(rows, key=lambda row: row[0]):
        table.add_row(f"{moment - report.struck:+.2f}", text)
    return table


def verdict(result: DrillVerdict) -> Table:
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
