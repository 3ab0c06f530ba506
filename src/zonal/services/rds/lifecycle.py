"""The life cycle of a DB instance, with RDS's statuses ("Viewing Amazon RDS DB instance status" in the RDS User Guide)."""

from __future__ import annotations

from zonal.records.lifecycle import Lifecycle, LifecycleRow

AVAILABLE, CREATING, DELETING, MODIFYING = "available", "creating", "deleting", "modifying"
REBOOTING, RENAMING, STARTING, STOPPED, STOPPING, UPGRADING = "rebooting", "renaming", "starting", "stopped", "stopping", "upgrading"
RESETTING = "resetting-master-credentials"
DELETED = "deleted"
"""The end; the record is deleted with it, so no record has this status."""

CHANGING = frozenset({MODIFYING, UPGRADING, RENAMING, RESETTING, REBOOTING})
"""The statuses of a change in progress. Where the change cannot complete, another modification is permitted."""

_DELETABLE = (CREATING, AVAILABLE, MODIFYING, UPGRADING, REBOOTING, RENAMING, STOPPING, STOPPED, STARTING, RESETTING)

LIFECYCLE = Lifecycle(
    "db-instance",
    initial=CREATING,
    ends={DELETED},
    rows=[
        LifecycleRow(CREATING, "done", AVAILABLE, "the engine answers at its endpoint; with Multi-AZ the standby holds every write"),
        LifecycleRow(AVAILABLE, "modify", MODIFYING, "a change is carried out"),
        LifecycleRow(MODIFYING, "done", AVAILABLE, "the change is in force"),
        LifecycleRow(AVAILABLE, "reset", RESETTING, "the master password is changed"),
        LifecycleRow(RESETTING, "done", AVAILABLE, "the new password is in force"),
        LifecycleRow(AVAILABLE, "upgrade", UPGRADING, "the engine is replaced by another version"),
        LifecycleRow(UPGRADING, "done", AVAILABLE, "every node runs the new version"),
        LifecycleRow(AVAILABLE, "rename", RENAMING, "the identifier and the endpoint change"),
        LifecycleRow(RENAMING, "done", AVAILABLE, "the new endpoint resolves to the leader"),
        LifecycleRow(AVAILABLE, "reboot", REBOOTING, "the engine restarts, or the standby is promoted"),
        LifecycleRow(REBOOTING, "done", AVAILABLE, "the engine answers again"),
        LifecycleRow(AVAILABLE, "stop", STOPPING, "the engines are shut down, the leader first"),
        LifecycleRow(STOPPING, "done", STOPPED, "no engine runs; the data remain"),
        LifecycleRow(STOPPED, "start", STARTING, "the engines are started in their zones"),
        LifecycleRow(AVAILABLE, "region-start", STARTING, "the region was started, and no engine runs yet"),
        LifecycleRow(STARTING, "done", AVAILABLE, "the engine answers at its endpoint"),
        *(LifecycleRow(state, "delete", DELETING, "the customer deletes it") for state in _DELETABLE),
        LifecycleRow(DELETING, "done", DELETED, "every node whose host is reachable is removed"),
    ],
)
