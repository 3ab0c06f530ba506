"""Journal entries as text."""

import ast
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import zonal
from zonal.control.failover import Redundancy
from zonal.foundation.journal import JournalEntry, ordered
from zonal.foundation.journal_sentences import SENTENCES, line, sentence

SOURCE = Path(zonal.__file__).parent
BRANCHES = {
    "redundancy.{}": [f"redundancy.{each}" for each in Redundancy],
    "dynamodb.export.{}": ["dynamodb.export.completed", "dynamodb.export.failed"],
    "dynamodb.import.{}": ["dynamodb.import.completed", "dynamodb.import.failed"],
}
"""The events whose last part the code computes."""


def entry(event: str, subject: str = "orders", **fields: Any) -> JournalEntry:
    return JournalEntry(7, datetime(2026, 11, 30, 12, 34, 56, 789000, UTC), 1.0, event, subject, fields)


def written_events() -> Iterator[str]:
    """Every event that the source code passes to a `note` method."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and "note" in node.func.attr:
                yield from (event for argument in node.args[:2] for event in _events(argument))


def _events(argument: ast.expr) -> Iterator[str]:
    for node in ast.walk(argument):
        if isinstance(node, ast.JoinedStr):
            template = "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)  # type: ignore[misc]
            yield from BRANCHES.get(template, [template])
            return
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            yield node.value


def test_every_event_that_the_code_writes_has_a_sentence() -> None:
    written = set(written_events())
    assert {"failover.promoted", "zone.failed", "redundancy.alone", "dynamodb.table.active", "node.cloned"} <= written
    assert sorted(written - set(SENTENCES)) == []
    assert sorted(set(SENTENCES) - written - {"rds.event"}) == [], "sentences of events that nobody writes"


def test_a_detection_lists_the_votes_without_json() -> None:
    votes = {"us-east-1c": "silent, 3 in a row", "us-east-1b": "silent, 4 in a row"}
    text = sentence(entry("failover.detected", node="orders-1", zone="us-east-1a", condition="lost", leads=True, votes=votes, epoch=1))
    assert text == (
        "the other zones agree that orders-1 in us-east-1a is lost (us-east-1b: silent, 4 in a row; us-east-1c: silent, 3 in a row)"
    )


def test_an_event_of_another_version_is_shown_as_its_fields_each_quoted_once() -> None:
    votes = {"b": 'says "no" twice', "a": "up"}
    assert sentence(entry("lamp.lit", why="a hand", votes=votes, node="lamp-1", hot=True)) == (
        'node=lamp-1 hot=yes why="a hand" votes.a=up votes.b="says \\"no\\" twice"'
    )
    assert sentence(entry("failover.promoted", action="old")) == "action=old", "a field of the sentence is missing"


def test_the_fields_of_every_entry_are_in_one_order() -> None:
    first = {"epoch": 1, "why": "x", "zone": "b", "address": "1", "node": "n"}
    second = {"node": "n", "zone": "b", "why": "x", "address": "1", "epoch": 1}
    assert list(ordered(first)) == list(ordered(second)) == ["node", "zone", "address", "why", "epoch"]


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_a_line_is_wrapped_between_words_only(width: int) -> None:
    written = entry("failover.restarted", node="orders-1", why="the standby cannot take over because it is not seen serving; start it here")
    whole = line(written)
    wrapped = line(written, width=width).splitlines()
    assert all(len(each) <= width for each in wrapped)
    assert " ".join(" ".join(wrapped).split()) == " ".join(whole.split())


def test_a_line_begins_with_time_event_and_subject() -> None:
    assert line(entry("failover.promoted", node="orders-2", zone="us-east-1b", why="x", epoch=2)) == (
        "12:34:56.789  failover.promoted         orders                    orders-2 in us-east-1b takes writes"
    )
