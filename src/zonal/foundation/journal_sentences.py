"""Renders journal entries as text: one sentence for each event name.

`sentence` gives the text of one entry, `line` the text with time, event and subject in columns. `zonal journal` and the timeline of a drill
use both. An event without a sentence, or an entry without a field (written by another version), is rendered as its fields: `name=value`
in the fixed order of `foundation.journal.ordered`, nested values flattened, text with spaces quoted once.
`tests/unit/foundation/test_journal_sentences.py` finds every event that the code writes and checks that it has a sentence here.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from zonal.foundation.identifiers import parse_arn
from zonal.foundation.journal import JournalEntry, ordered

Fields = Mapping[str, Any]

EVENT_WIDTH = 24
SUBJECT_WIDTH = 24


def _votes(f: Fields) -> str:
    votes = f.get("votes") or {}
    return f" ({'; '.join(f'{zone}: {votes[zone]}' for zone in sorted(votes))})" if votes else ""


def _because(f: Fields, name: str = "why") -> str:
    return f", because {f[name]}" if f.get(name) else ""


def _decision(f: Fields) -> str:
    verb = {"go-alone": "let the primary acknowledge alone:"}.get(f["action"], f["action"])
    return f"decided: {verb} {f['node']}{_because(f)}"


def _fault(f: Fields) -> str:
    amount = f"{f.get('amount', 0):g}"
    named = {
        "power": "lost power",
        "network": "lost its network",
        "loss": f"loses {amount} % of its packets",
        "delay": f"delays its packets by {amount} ms",
    }
    return named.get(f["fault"], f"has the fault {f['fault']}")


def _times(f: Fields) -> str:
    return "1 attempt" if f["attempts"] == 1 else f"{f['attempts']} attempts"


def _disk_full(f: Fields) -> str:
    return f"the disk of {f['directory']} is full{_since(f)}"


def _disk_recovered(f: Fields) -> str:
    duration = f" after {f['full_seconds']} s" if "full_seconds" in f else ""
    return f"the disk of {f['directory']} has room again{duration}{_since(f)}"


def _since(f: Fields) -> str:
    """The time of a change that could be recorded only later, or that it is not known."""
    known = f", {f['how']}" if f.get("how") else ""
    return f"{known}, since {f['since']}" if f.get("since") else known


_FENCED = {"killed": "killed", "off": "off", "unreachable": "out of reach; it cannot acknowledge alone"}

SENTENCES: dict[str, Callable[[Fields], str]] = {
    "database.disk_full": lambda f: f"{_disk_full(f)}: writes fail until there is room",
    "database.disk_recovered": _disk_recovered,
    "deployment.available": lambda f: "the primary answers and its name resolves",
    "deployment.deleted": lambda f: "every node that can be reached is removed",
    "deployment.stopped": lambda f: "every node that can be reached is stopped",
    "disk.full": lambda f: f"{_disk_full(f)}: writes to databases, tables and buckets fail until there is room",
    "disk.recovered": _disk_recovered,
    "dynamodb.backup.available": lambda f: f"backup {f['backup']} is available",
    "dynamodb.backup.created": lambda f: f"backup {f['backup']} is created",
    "dynamodb.export.completed": lambda f: f"the export to bucket {f['bucket']} is completed",
    "dynamodb.export.failed": lambda f: f"the export to bucket {f['bucket']} failed",
    "dynamodb.export.started": lambda f: f"an export to bucket {f['bucket']} is started",
    "dynamodb.import.completed": lambda f: f"the import from bucket {f['bucket']} is completed",
    "dynamodb.import.failed": lambda f: f"the import from bucket {f['bucket']} failed",
    "dynamodb.import.started": lambda f: f"an import from bucket {f['bucket']} is started",
    "dynamodb.table.active": lambda f: "the table is active",
    "dynamodb.table.created": lambda f: "the table is being created",
    "dynamodb.table.deleted": lambda f: "the table is deleted",
    "dynamodb.table.deleting": lambda f: "the table is being deleted",
    "dynamodb.table.restoring": lambda f: f"the table is being restored from {f['source']}",
    "dynamodb.table.updating": lambda f: "the table is being updated",
    "failover.decided": _decision,
    "failover.detected": lambda f: f"the other zones agree that {f['node']} in {f['zone']} is {f['condition']}{_votes(f)}",
    "failover.fenced": lambda f: f"{f['node']} is {_FENCED.get(f['how'], f['how'])}",
    "failover.promoted": lambda f: f"{f['node']} in {f['zone']} takes writes",
    "failover.renamed": lambda f: f"the name resolves to {f['node']} at {f['address']}",
    "failover.restarted": lambda f: f"{f['node']} is started again{_because(f)}",
    "failover.waiting": lambda f: f"waiting: {f['why']}",
    "host.abandoned": lambda f: f"the host is removed, because its owner ({f['owner']}) no longer needs it",
    "modification.failed": lambda f: f"{f['node']} did not start with the modification and runs its previous configuration{_because(f)}",
    "nat_gateway.available": lambda f: "the NAT gateway is available",
    "nat_gateway.deleted": lambda f: "the NAT gateway is deleted",
    "nat_gateway.deleting": lambda f: "the NAT gateway is being deleted",
    "nat_gateway.failed": lambda f: f"the NAT gateway failed{_because(f, 'reason')}",
    "nat_gateway.pending": lambda f: f"a NAT gateway is being created in {f['subnet']}",
    "node.cloned": lambda f: f"{f['node']} in {f['zone']} is a new copy of the primary{_because(f)}",
    "node.created": lambda f: f"{f['node']} in {f['zone']} is created",
    "node.destroyed": lambda f: f"{f['node']} in {f['zone']} is removed",
    "node.failed": lambda f: f"fault: the {f['fault']} of {f['node']} in {f['zone']} is killed",
    "node.rejoined": lambda f: f"{f['node']} in {f['zone']} follows again ({f['how']})",
    "node.restarted": lambda f: f"{f['node']} in {f['zone']} is restarted",
    "node.started": lambda f: f"{f['node']} in {f['zone']} is started",
    "node.stopped": lambda f: f"{f['node']} in {f['zone']} is stopped",
    "node.upgraded": lambda f: f"{f['node']} in {f['zone']} runs version {f['version']}",
    "place.abandoned": lambda f: f"a host for zonal exec is removed, because {f['reason']}",
    "place.made": lambda f: (
        f"a host for zonal exec is created in {f['zone'] or f['where']}" + (f" at {f['address']}" if f["address"] else "")
    ),
    "rds.event": lambda f: f"RDS event: {f['message']}",
    "rds.renamed": lambda f: f"the DB instance is renamed from {f['former']} to {f['identifier']}",
    "reconcile.failed": lambda f: f"{f['reconciler']}: failed and will be retried: {f['why']}",
    "reconcile.healed": lambda f: f"{f['reconciler']}: succeeded after {_times(f)}",
    "redundancy.alone": lambda f: f"{f['node']} acknowledges alone{_because(f)}",
    "redundancy.building": lambda f: f"a standby is being created{_because(f)}",
    "redundancy.single": lambda f: f"{f['node']} no longer has a standby{_because(f)}",
    "redundancy.synchronous": lambda f: "synchronous: two zones hold every acknowledged write",
    "vpc.default_created": lambda f: f"the default VPC {f['cidr']} is created",
    "vpc.removed": lambda f: "the VPC's networks are removed",
    "zone.failed": lambda f: f"fault: the zone {_fault(f)}",
    "zone.fault_refused": lambda f: "the fault could not be applied; the zone is unchanged",
    "zone.recovered": lambda f: "the zone is recovered",
}
"""The sentence of each event."""


def sentence(entry: JournalEntry) -> str:
    """The text of an entry."""
    render = SENTENCES.get(entry.event)
    if render is not None:
        try:
            return render(entry.fields)
        except (KeyError, TypeError, AttributeError):
            pass  # Another version wrote the entry with other fields.
    return " ".join(f"{name}={value}" for name, value in _flat("", entry.fields))


def _short_subject(subject: str) -> str:
    """An ARN of this region without what all of them share: `rds:db:orders`."""
    parsed = parse_arn(subject)
    return subject if parsed is None else f"{parsed[0]}:{parsed[3]}"


def line(entry: JournalEntry, *, width: int | None = None) -> str:
    """An entry with its region time, event and subject. With `width`, it is wrapped between words, and indented below the first line."""
    head = f"{entry.at:%H:%M:%S.%f}"[:-3] + f"  {entry.event:<{EVENT_WIDTH}}  {_short_subject(entry.subject):<{SUBJECT_WIDTH}}  "
    text = f"{head}{sentence(entry)}".rstrip()
    if width is None or len(text) <= width:
        return text
    indent = " " * (len(head) if width >= len(head) + 40 else 14)
    return textwrap.fill(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, drop_whitespace=True)


def _flat(prefix: str, fields: Fields) -> list[tuple[str, str]]:
    """Every field by its name; those of a nested object as `outer.inner`."""
    found: list[tuple[str, str]] = []
    for name, value in ordered(fields).items():
        if isinstance(value, Mapping):
            found += _flat(f"{prefix}{name}.", value)
        else:
            found.append((f"{prefix}{name}", _value(value)))
    return found


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ",".join(_value(each) for each in value)
    text = str(value)
    if not text or any(character.isspace() or character in '"\\' for character in text):
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    return text
