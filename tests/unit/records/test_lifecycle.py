"""Lifecycles: transitions, diagrams and dead ends."""

from __future__ import annotations

import pytest

from zonal.records.lifecycle import Lifecycle, LifecycleRow, NotPossible

DOOR = Lifecycle(
    "door",
    initial="shut",
    ends={"gone"},
    rows=[
        LifecycleRow("shut", "push", "open", "somebody came"),
        LifecycleRow("open", "pull", "shut", "and left"),
        LifecycleRow("shut", "remove", "gone", "the house is sold"),
    ],
)


def test_an_event_leads_to_the_next_state() -> None:
    assert DOOR.next("shut", "push") == "open"
    assert DOOR.allows("open", "pull")
    assert DOOR.states == ("shut", "open", "gone")


def test_an_impossible_event_is_rejected_with_the_possible_ones() -> None:
    with pytest.raises(NotPossible, match="door: 'remove' is not possible while 'open'; possible now: pull"):
        DOOR.next("open", "remove")
    with pytest.raises(NotPossible, match="possible now: nothing"):
        DOOR.next("gone", "push")


def test_states_from_which_no_end_can_be_reached_are_found() -> None:
    assert DOOR.dead_ends() == frozenset()
    trap = Lifecycle("trap", initial="a", ends={"c"}, rows=[LifecycleRow("a", "go", "b", ""), LifecycleRow("a", "end", "c", "")])
    assert trap.dead_ends() == {"b"}


def test_a_table_with_two_rows_for_an_event_is_rejected() -> None:
    with pytest.raises(ValueError, match="two rows share"):
        Lifecycle("doubt", initial="a", ends={"b"}, rows=[LifecycleRow("a", "go", "b", ""), LifecycleRow("a", "go", "a", "")])


def test_the_diagram_contains_every_row() -> None:
    assert DOOR.diagram().splitlines()[1:] == [
        "    [*] --> shut",
        "    shut --> open: push",
        "    open --> shut: pull",
        "    shut --> gone: remove",
        "    gone --> [*]",
    ]
