"""The statuses of a DB instance, in RDS's words ("Viewing Amazon RDS DB instance status" in the RDS User Guide)."""

from __future__ import annotations

from zonal.records.lifecycle import Lifecycle, Row

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
        Row(CREATING, "done", AVAILABLE, "the engine answers at its name; with Multi-AZ the standby holds every write"),
        Row(AVAILABLE, "modify", MODIFYING, "a change is being carried out"),
        Row(MODIFYING, "done", AVAILABLE, "the change is in force"),
        Row(AVAILABLE, "reset", RESETTING, "the master password is being changed"),
        Row(RESETTING, "done", AVAILABLE, "the new password is in force"),
        Row(AVAILABLE, "upgrade", UPGRADING, "the engine is being replaced by another version"),
        Row(UPGRADING, "done", AVAILABLE, "every node runs the new version"),
        Row(AVAILABLE, "rename", RENAMING, "its identifier and its endpoint change"),
        Row(RENAMING, "done", AVAILABLE, "the new endpoint leads to it"),
        Row(AVAILABLE, "reboot", REBOOTING, "the engine restarts, or the standby takes over"),
        Row(REBOOTING, "done", AVAILABLE, "it answers again"),
        Row(AVAILABLE, "stop", STOPPING, "the engines are shut down, the leader first"),
        Row(STOPPING, "done", STOPPED, "nothing runs; the data stay"),
        Row(STOPPED, "start", STARTING, "the engines are started where they were"),
        Row(AVAILABLE, "region-start", STARTING, "the region was started; no engine runs yet"),
        Row(STARTING, "done", AVAILABLE, "it answers at its name"),
        *(Row(state, "delete", DELETING, "the customer wants it gone") for state in _DELETABLE),
        Row(DELETING, "done", DELETED, "everything of it that can be reached is removed"),
    ],
)
