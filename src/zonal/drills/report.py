"""A drill's report, for a person: what happened when, and the verdict."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from zonal.drills.scenario import Report
from zonal.drills.verdict import Verdict

_SHOWN = ("zone.", "host.", "failover.", "redundancy.", "name.", "node.", "probe.")


def show(report: Report, console: Console) -> None:
    """Print the timeline and the verdict."""
    console.print(timeline(report))
    console.print(verdict(report.verdict))
    for silence in report.verdict.silences:
        note = "" if silence.counted else ", with its zone"
        console.print(f"  client {silence.client} in {silence.zone}: silent for {silence.seconds:.2f} s{note}")
    if report.verdict.passed:
        console.print(f"[bold green]PASSED[/]: {report.verdict.acknowledged} acknowledged writes, none lost (seed {report.verdict.seed})")
    else:
        console.print(f"[bold red]FAILED[/] (seed {report.verdict.seed}); ledgers are in {report.directory}")
        for reason in report.verdict.reasons:
            console.print(f"  {reason}")


def timeline(report: Report) -> Table:
    """What the journal says of the drill, in seconds since the strike."""
    table = Table("s", "event", "of", "", box=box.SIMPLE, title=f"{report.verdict.drill}, {report.verdict.fault}, seconds since the fault")
    marks = [(report.struck, "fault", report.struck_zone, report.verdict.fault)]
    if report.healed is not None:
        marks.append((report.healed, "heal", report.struck_zone, ""))
    rows = [*marks, *((e.monotonic, e.event, e.subject, _words(e.fields)) for e in report.timeline if e.event.startswith(_SHOWN))]
    for moment, event, subject, words in sorted(rows):
        table.add_row(f"{moment - report.struck:+.3f}", event, subject, words)
    return table


def verdict(result: Verdict) -> Table:
    """The verdict's figures."""
    table = Table("what", "result", box=box.SIMPLE)
    table.add_row("longest silence of a client (RTO)", f"{result.rto_seconds:.2f} s")
    table.add_row("acknowledged writes lost (RPO)", _red(result.lost))
    table.add_row("acknowledged / failed / unknown", f"{result.acknowledged} / {result.failed} / {result.unknown}")
    table.add_row("refused rows that are there (phantoms)", _red(result.phantom))
    table.add_row("two primaries that acknowledged", _red(result.two_primaries))
    table.add_row("fault to decision", _seconds(result.detection_seconds))
    table.add_row("decision to new primary", _seconds(result.promotion_seconds))
    table.add_row("heal to redundancy", _seconds(result.redundancy_seconds))
    return table


def _red(count: int) -> str:
    return f"[red]{count}[/]" if count else "0"


def _seconds(value: float | None) -> str:
    return "not in this drill" if value is None else f"{value:.2f} s"


def _words(fields: dict[str, object]) -> str:
    return " ".join(f"{name}={value}" for name, value in fields.items())
