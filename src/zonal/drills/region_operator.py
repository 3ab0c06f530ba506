"""The operator actions that a drill needs, as a protocol.

`cli.socket_operator` implements it by the operator API; tests implement it by fakes.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from zonal.foundation.errors import ZonalError
from zonal.foundation.journal import JournalEntry


class DrillFailed(ZonalError):
    """The drill could not be completed, so there is no verdict; the message has the step and the reason."""


class ClientPlace(msgspec.Struct, frozen=True):
    """Where a client's process runs: the argv that precedes its command, and additional environment variables."""

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
        """The present state of the database."""

    def fail_zone(self, zone: str, kind: str) -> None:
        """Fail a zone (`power` or `network`). Returns once the fault is in force."""

    def recover_zone(self, zone: str) -> None:
        """Recover a zone."""

    def fail_node(self, database: str, node: str, kind: str) -> None:
        """Kill a node's `process`, or power its `host` off."""

    def journal(self, *, after: int = 0, subject: str = "") -> list[JournalEntry]:
        """The journal entries after the sequence `after`, about `subject` if it is given."""

    def place(self, subnet: str) -> AbstractContextManager[ClientPlace]:
        """A host in a subnet, which exists until the context ends."""
