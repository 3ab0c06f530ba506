"""State machines as tables: the states of a resource, the events that change them, and the reason of each transition.

A service declares a resource's table once. Handlers and reconcilers read it, the docs print it, and a test verifies that every state can
reach an end.

>>> DOOR = Lifecycle("door", initial="shut", ends={"gone"}, rows=[
...     LifecycleRow("shut", "push", "open", "a visitor comes in"),
...     LifecycleRow("open", "pull", "shut", "the visitor leaves"),
...     LifecycleRow("shut", "remove", "gone", "the house is demolished"),
... ])
>>> DOOR.next("shut", "push")
'open'
>>> DOOR.next("open", "remove")
Traceback (most recent call last):
    ...
zonal.records.lifecycle.NotPossible: door: 'remove' is not possible while 'open'; possible now: pull
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from zonal.foundation.errors import ZonalError


class LifecycleRow(NamedTuple):
    """In `state`, `event` leads to `next`; `why` is printed into the docs."""

    state: str
    event: str
    next: str
    why: str


class NotPossible(ZonalError):
    """The table has no row for this event in this state."""


class Lifecycle:
    """A table of rows, with an initial state and end states."""

    def __init__(self, name: str, *, initial: str, ends: Iterable[str], rows: Iterable[LifecycleRow]) -> None:
        self.name = name
        self.initial = initial
        self.ends = frozenset(ends)
        self.rows = tuple(rows)
        self._next = {(row.state, row.event): row.next for row in self.rows}
        if len(self._next) != len(self.rows):
            raise ValueError(f"{name}: two rows share a state and an event")

    @property
    def states(self) -> tuple[str, ...]:
        """Every state, in the order in which the table names them."""
        return tuple(dict.fromkeys(state for row in self.rows for state in (row.state, row.next)))

    def events(self, state: str) -> tuple[str, ...]:
        """The events that are possible in `state`."""
        return tuple(row.event for row in self.rows if row.state == state)

    def allows(self, state: str, event: str) -> bool:
        return (state, event) in self._next

    def next(self, state: str, event: str) -> str:
        """The state that `event` leads to. Raises `NotPossible`, which lists the possible events."""
        try:
            return self._next[state, event]
        except KeyError:
            possible = ", ".join(self.events(state)) or "nothing"
            raise NotPossible(f"{self.name}: '{event}' is not possible while '{state}'; possible now: {possible}") from None

    def dead_ends(self) -> frozenset[str]:
        """States from which no end can be reached; a sound table has none."""
        alive = set(self.ends)
        while grown := {row.state for row in self.rows if row.next in alive} - alive:
            alive |= grown
        return frozenset(self.states) - alive

    def diagram(self) -> str:
        """The table as a Mermaid state diagram, for the docs."""
        lines = ["stateDiagram-v2", f"    [*] --> {_identifier(self.initial)}"]
        lines += [f"    {_identifier(row.state)} --> {_identifier(row.next)}: {row.event}" for row in self.rows]
        lines += [f"    {_identifier(end)} --> [*]" for end in sorted(self.ends)]
        return "\n".join(lines)


def _identifier(state: str) -> str:
    return state.replace("-", "_")
