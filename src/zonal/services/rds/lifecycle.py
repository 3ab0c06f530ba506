"""The statuses of a DB instance, in RDS's words ("Viewing Amazon RDS DB instance status" in the RDS User Guide)."""

from __future__ import annotations

from zonal.records.lifecycle import Lifecycle, LifecycleRow

AVAILABLE, CREATING, DELETING, MODIFYING = "available", "creating", "deleting", "modifying"
REBOOTING, RENAMING, STARTING, STOPPED, STOPPING, UPGRADING = "rebooting", "renaming", "starting", "stopped", "stopping", "upgrading"
RESETTING = "resetting-master-credentials"
DELETED = "deleted"
"""The end: no record has this status, since it is gone."""

CHANGING = frozenset({MODIFYING, UPGRADING, RENAMING, RESETTING, REBOOTING})
"""In these a change is being carried out. Where it cannot come to its end, the instance can be changed again."""

_DELETABLE = (CREATING, AVAILABLE, MODIFYING, UPGRADING, REBOOTING, RENAMING, STOPPING, STOPPED, STARTING, RESETTING)

LIFECYCLE = Lifecycle(
    "db-instance",
    initial=CREATING,
    ends={DELETED},
    rows=[
        LifecycleRow(CREATING, "done", AVAILABLE, "the engine answers at its name; with Multi-AZ the standby holds every write"),
        LifecycleRow(AVAILABLE, "modify", MODIFYING, "a change is being carried out"),
        LifecycleRow(MODIFYING, "done", AVAILABLE, "the change is in force"),
        LifecycleRow(AVAILABLE, "reset", RESETTING, "the master password is being changed"),
        LifecycleRow(RESETTING, "done", AVAILABLE, "the new password is in force"),
        LifecycleRow(AVAILABLE, "upgrade", UPGRADING, "the engine is being replaced by another version"),
        LifecycleRow(UPGRADING, "done", AVAILABLE, "every node runs the new version"),
        LifecycleRow(AVAILABLE, "rename", RENAMING, "its identifier and its endpoint change"),
        LifecycleRow(RENAMING, "done", AVAILABLE, "the new endpoint leads to it"),
        LifecycleRow(AVAILABLE, "reboot", REBOOTING, "the engine restarts, or the standby takes over"),
        LifecycleRow(REBOOTING, "done", AVAILABLE, "it answers again"),
        LifecycleRow(AVAILABLE, "stop", STOPPING, "the engines are shut down, the leader first"),
        LifecycleRow(STOPPING, "done", STOPPED, "nothing runs; the data stay"),
        LifecycleRow(STOPPED, "start", STARTING, "the engines are started where they were"),
        LifecycleRow(AVAILABLE, "region-start", STARTING, "the region was started; no engine runs yet"),
        LifecycleRow(STARTING, "done", AVAILABLE, "it answers at its name"),
        *(LifecycleRow(state, "delete", DELETING, "the customer wants it gone") for state in _DELETABLE),
        LifecycleRow(DELETING, "done", DELETED, "everything of it that can be reached is removed"),
    ],
)
