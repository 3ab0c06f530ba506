"""The files of a PostgreSQL node, and the role that it keeps in one of them.

All files are in the host's directory. Configuration, key and passwords are beside the data directory, not in it, so that copying or
rewinding the data does not change them. A long step works in `data.new` and renames it, so a data directory is always complete.
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
    """The role of a node. A `LEADER` admits customers, a `STANDBY` only zonal itself."""

    LEADER = "leader"
    STANDBY = "standby"


class RoleState(msgspec.Struct, frozen=True):
    """A node's role: a leader that requires the replicas `required`, or a standby that follows `origin`.

    `keeps_log` means that it keeps log for an absent replica, which then can follow again without a copy.
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
        """Whether the host has a complete data directory."""
        return (self.data / "PG_VERSION").exists()

    def role_state(self) -> RoleState:
        """The role written last; a node without one is a leader that requires no replica."""
        try:
            return msgspec.json.decode(self._role_state.read_bytes(), type=RoleState)
        except FileNotFoundError:
            return RoleState(Role.LEADER)

    def has_log_to_recover(self) -> bool:
        """Whether the segment with which the recovery of copied or rewound data begins (`backup_label`) exists."""
        try:
            label = (self.data / "backup_label").read_text()
        except FileNotFoundError:
            return True  # The data were neither copied nor rewound.
        first = re.search(r"^START WAL LOCATION: .* \(file ([0-9A-F]{24})\)", label, re.MULTILINE)
        return first is None or (self.data / "pg_wal" / first[1]).exists()

    def write_role_state(self, role_state: RoleState) -> None:
        replace_file(self._role_state, msgspec.json.encode(role_state))

    def least(self) -> dict[str, int]:
        """The minimum values of the ordered settings on a standby, as of its last start."""
        try:
            return msgspec.json.decode(self._least.read_bytes(), type=dict[str, int])
        except FileNotFoundError:
            return {}

    def write_least(self, least: dict[str, int]) -> None:
        replace_file(self._least, msgspec.json.encode(least))

    def discard_new(self) -> None:
        """Remove the incomplete data of an interrupted step."""
        shutil.rmtree(self.new_data, ignore_errors=True)

    def install_new(self) -> None:
        """Replace the old data by the complete new data. After a crash one of them is there completely."""
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
