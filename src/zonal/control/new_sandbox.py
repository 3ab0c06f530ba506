"""Detects that a region runs in a new sandbox, in which no engine runs yet.

The engines of a region end with its sandbox: at `zonal stop`, when init dies, when the machine restarts. The records remain and would still
call a deployment `running`. So the region compares its sandbox with the recorded one before it answers the first request. In a new sandbox,
every deployment that was running is `starting` until its leader answers, and no node is on. A restarted region process finds the same
sandbox recorded and changes nothing, because the engines kept running.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec.structs import replace

from zonal.control.deployment_records import DeploymentStatus, Phase
from zonal.records.store import Record, Transaction

_ID = "region"


class SandboxRun(Record, frozen=True, kw_only=True):
    """The sandbox that the region last ran in, by `fabric.sandbox.identity`."""

    kind: ClassVar[str] = "sandbox-run"

    sandbox: str


def record_sandbox(transaction: Transaction, sandbox: str) -> bool:
    """Record the sandbox. True where it is new; then every running deployment is set to `starting`."""
    before = transaction.get(SandboxRun, _ID)
    if before is not None and before.sandbox == sandbox:
        return False
    transaction.put(SandboxRun(id=_ID, sandbox=sandbox))
    for status in transaction.select(DeploymentStatus):
        members = tuple(replace(member, is_on=False, unfenced=False) for member in status.members)
        phase = Phase.STARTING if status.phase is Phase.RUNNING else status.phase
        transaction.put(replace(status, members=members, phase=phase, why=""))
    return True
