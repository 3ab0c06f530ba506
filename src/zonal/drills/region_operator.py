"""What a drill needs of the region it breaks, declared by the drill: an operator's hands, and a place to put clients.

The command line fulfils it through the operator's door; a test may fulfil it with a fake.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from zonal.foundation.errors import ZonalError
from zonal.foundation.journal import JournalEntry


class DrillFailed(ZonalError):
    """The drill could not be carried out, so there is no verdict; the message says at which step and why."""


class ClientPlace(msgspec.Struct, frozen=True):
    """Where a client's process may run: the argv that goes before its command's, and what its environment needs."""

    prefix: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]


class Pair(msgspec.Struct, frozen=True):
    """A database as the operator sees it. `standby_zone` is empty where there is no standby.

    `redundancy` is `synchronous` when the standby holds every acknowledged write.
    """

    state: str
    redundancy: str
    primary: str
    primary_zone: str
    standby_zone: str
    why: str


class RegionOperator(Protocol):
    """The region's operator."""

    def pair(self, database: str) -> Pair:
        """How the database stands now."""

    def fail_zone(self, zone: str, kind: str) -> None:
        """Pull a zone: `power` or `network`. Returns once it is done."""

    def recover_zone(self, zone: str) -> None:
        """Put it back."""

    def fail_node(self, database: str, node: str, kind: str) -> None:
        """Kill a node's `process` or pull the plug of its `host`."""

    def journal(self, *, after: int = 0, subject: str = "") -> list[JournalEntry]:
        """What happened since the entry `after`."""

    def place(self, subnet: str) -> AbstractContextManager[ClientPlace]:
        """A place in a subnet, there until the context ends."""
