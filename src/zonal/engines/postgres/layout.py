"""Where a PostgreSQL node keeps what, and what it remembers of its part.

Everything lies in the host's directory. Configuration, key and passwords lie beside the data, not in it, so that copying or rewinding
the data leaves them alone. A step that takes long works in `data.new` and renames: there is never half a data directory.
"""

from __future__ import annotations

import re
import shutil
from enum import StrEnum
from pathlib import Path

import msgspec

from zonal.engines.node import Origin
from zonal.foundation.files import replace_file, sync_directory


class Role(StrEnum):
    """The part a node plays. `LEADER` admits customers, `STANDBY` admits nobody but zonal."""

    LEADER = "leader"
    STANDBY = "standby"


class RoleState(msgspec.Struct, frozen=True):
    """What a node does: lead, waiting for `required` replicas; or follow `origin`.

    `keeps_log`: it keeps log for a replica that is away, so that the replica can follow again without being copied.
    """

    role: Role
    origin: Origin | None = None
    required: tuple[str, ...] = ()
    keeps_log: bool = False


class Layout:
    """The paths of one node's files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.new_data = directory / "data.new"
        self.configuration = directory / "postgresql.conf"
        self.rewind_configuration = directory / "rewind.conf"
        self.hba = directory / "pg_hba.conf"
        self.identity = directory / "pg_ident.conf"
        self.certificate = directory / "server.crt"
        self.private_key = directory / "server.key"
        self.passwords = directory / "passwords"
        self.logs = directory / "log"
        self.console = directory / "console.log"
        self._role_state = directory / "part.json"
        self._least = directory / "least.json"

    @property
    def standby_signal(self) -> Path:
        return self.data / "standby.signal"

    def exists(self) -> bool:
        """Whether a data directory was completed here."""
        return (self.data / "PG_VERSION").exists()

    def role_state(self) -> RoleState:
        """The part that was last written; a node without one leads, waiting for nobody."""
        try:
            return msgspec.json.decode(self._role_state.read_bytes(), type=RoleState)
        except FileNotFoundError:
            return RoleState(Role.LEADER)

    def has_log_to_recover(self) -> bool:
        """Whether the segment with which the recovery of copied or rewound data begins (`backup_label`) is here."""
        try:
            label = (self.data / "backup_label").read_text()
        except FileNotFoundError:
            return True  # Nothing had to be rewound.
        first = re.search(r"^START WAL LOCATION: .* \(file ([0-9A-F]{24})\)", label, re.MULTILINE)
        return first is None or (self.data / "pg_wal" / first[1]).exists()

    def write_role_state(self, role_state: RoleState) -> None:
        replace_file(self._role_state, msgspec.json.encode(role_state))

    def least(self) -> dict[str, int]:
        """What settings must not go below while this node is a standby, as of its last start."""
        try:
            return msgspec.json.decode(self._least.read_bytes(), type=dict[str, int])
        except FileNotFoundError:
            return {}

    def write_least(self, least: dict[str, int]) -> None:
        replace_file(self._least, msgspec.json.encode(least))

    def discard_new(self) -> None:
        """Remove what an interrupted step left behind."""
        shutil.rmtree(self.new_data, ignore_errors=True)

    def install_new(self) -> None:
        """Put the completed new data in the place of the old, so that after a crash either one or the other is there."""
        shutil.rmtree(self.data, ignore_errors=True)
        self.new_data.rename(self.data)
        sync_directory(self.directory)

    def remove_all(self) -> None:
        """Remove everything, keeping the host's directory itself."""
        for path in self.directory.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
