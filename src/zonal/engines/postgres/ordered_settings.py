"""The settings that must be at least as large on a standby as on its primary.

PostgreSQL reserves shared memory for them at its start, and a standby needs as much as the primary that wrote its WAL (section 26.4.3,
"Administrator's Overview", of the PostgreSQL documentation): a smaller one does not start, or stops replaying. Replay writes the minimum of
each into the standby's control file. So a standby starts with the larger of the configured value and that minimum; a raised setting has to
reach the standby first, a lowered one the primary first (`control.deployment_plan`).
"""

from __future__ import annotations

from collections.abc import Mapping

_CONTROL_FILE = {
    "max_connections": "max_connections setting",
    "max_worker_processes": "max_worker_processes setting",
    "max_wal_senders": "max_wal_senders setting",
    "max_prepared_transactions": "max_prepared_xacts setting",
    "max_locks_per_transaction": "max_locks_per_xact setting",
}
"""Each setting with its label in the output of `pg_controldata`."""

_DEFAULTS = {"max_connections": 100, "max_worker_processes": 8, "max_wal_senders": 10, "max_prepared_transactions": 0}
_DEFAULTS |= {"max_locks_per_transaction": 64}

NAMES = tuple(_CONTROL_FILE)


def configured(settings: Mapping[str, str]) -> dict[str, int]:
    """The values of the ordered settings in a configuration."""
    return {name: int(settings.get(name, _DEFAULTS[name])) for name in NAMES}


def recorded(control_data: str) -> dict[str, int]:
    """A standby's minimum values, from the output of `pg_controldata`."""
    lines = dict(line.split(":", 1) for line in control_data.splitlines() if ":" in line)
    return {name: int(lines[label]) for name, label in _CONTROL_FILE.items()}


def raised(settings: Mapping[str, str], least: Mapping[str, int]) -> dict[str, str]:
    """The settings whose minimum is larger than their configured value, with the minimum."""
    values = configured(settings)
    return {name: str(value) for name, value in least.items() if value > values[name]}
