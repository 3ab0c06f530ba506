"""User and group id ranges for the sandbox of an ordinary user.

Without help the kernel lets an ordinary user map one id into a new user namespace: the user's own, as root. Hosts with several users (an
instance with sshd, a domain controller) need a range. `newuidmap` and `newgidmap` (setuid root, Debian's package `uidmap`) write maps of
the ids that `/etc/subuid` and `/etc/subgid` grant (subuid(5), newuidmap(1)); adduser grants each user 65,536.

The granted range is mapped in three pieces:

    0                   the user
    1 .. 59999          ids of the hosts' users
    65534               nobody
    3000000 .. 3005535  the ids that Samba gives to SIDs by default (idmap.ldb)

The sandbox of root has every id of the machine and needs no range.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from zonal.foundation.errors import ZonalError

RANGE = 65536
"""The size of a granted range that is needed, in ids."""

TOOLS = ("newuidmap", "newgidmap")
REMEDY = (
    "Install newuidmap (apt-get install uidmap) and grant a range: "
    "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER"
)

_TOOL_SECONDS = 10
_HOST_IDS = 59999
_NOBODY = 65534
_SAMBA_FIRST, _SAMBA_IDS = 3000000, RANGE - _HOST_IDS - 1


class IdRangeMissing(ZonalError):
    """The sandbox maps one user id only; the message names what needs more, and the remedy."""


class MapRow(NamedTuple):
    """`length` ids from `inside` in the namespace are those from `outside` in its parent (user_namespaces(7))."""

    inside: int
    outside: int
    length: int


class IdMaps(NamedTuple):
    """The two maps of a user namespace."""

    users: tuple[MapRow, ...]
    groups: tuple[MapRow, ...]


def granted_maps(user: int, group: int, *, directory: Path = Path("/etc")) -> IdMaps:
    """The maps for the sandbox of an ordinary user. Raises `IdRangeMissing` where the machine grants no range or lacks the tools."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise IdRangeMissing(f"{' and '.join(missing)} not found")
    names = {str(user), *_name(user)}
    first_user = _granted(directory / "subuid", names)
    first_group = _granted(directory / "subgid", names)
    return IdMaps(_rows(user, first_user), _rows(group, first_group))


def write_maps(pid: int, maps: IdMaps) -> None:
    """Write the maps of a new user namespace whose first process is `pid`, from outside of it. Raises `IdRangeMissing`."""
    for tool, rows in zip(TOOLS, maps, strict=True):
        argv = [tool, str(pid), *(str(number) for row in rows for number in row)]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=_TOOL_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise IdRangeMissing(f"{tool} did not run: {error}") from error
        if done.returncode:
            raise IdRangeMissing(f"{tool} failed: {done.stderr.strip()}")


def has_range(*, process: Path = Path("/proc/self")) -> bool:
    """Whether the user namespace of a process maps the ids that hosts with several users need: users and groups."""
    return all(_maps_hosts(process / name) for name in ("uid_map", "gid_map"))


def require_range(purpose: str, *, process: Path = Path("/proc/self")) -> None:
    """Raise `IdRangeMissing` with the remedy where the calling process's namespace maps no range. `purpose` is what needs one."""
    if not has_range(process=process):
        raise IdRangeMissing(
            f"{purpose} needs a range of user ids, and this sandbox maps one. {REMEDY}; then `zonal stop` and `zonal start`"
        )


def _maps_hosts(path: Path) -> bool:
    rows = [MapRow(*(int(number) for number in line.split())) for line in path.read_text().splitlines()]
    return any(row.inside <= 1 and row.inside + row.length > _HOST_IDS for row in rows)


def _granted(path: Path, names: set[str]) -> int:
    """The first id of the first range of sufficient size that the file grants. Raises `IdRangeMissing`."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        lines = []
    for line in lines:
        name, _, numbers = line.partition(":")
        first, _, count = numbers.partition(":")
        if name in names and first.isdigit() and count.isdigit() and int(count) >= RANGE:
            return int(first)
    raise IdRangeMissing(f"{path} grants no range of {RANGE} ids")


def _rows(own: int, first: int) -> tuple[MapRow, ...]:
    return (
        MapRow(0, own, 1),
        MapRow(1, first, _HOST_IDS),
        MapRow(_NOBODY, first + _HOST_IDS, 1),
        MapRow(_SAMBA_FIRST, first + _HOST_IDS + 1, _SAMBA_IDS),
    )


def _name(user: int) -> tuple[str, ...]:
    try:
        return (pwd.getpwuid(user).pw_name,)
    except KeyError:
        return ()


class MapWriter:
    """A forked helper that stays in the parent user namespace and writes the maps of the one that its parent makes meanwhile.

    Fork it before `unshare` and call `write` afterwards. A process inside the new namespace cannot write them, because `newuidmap` has its
    privileges outside.
    """

    def __init__(self, maps: IdMaps) -> None:
        begin, self._begin = os.pipe2(os.O_CLOEXEC)
        self._result, result = os.pipe2(os.O_CLOEXEC)
        owner = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._begin)
            os.close(self._result)
            try:
                if os.read(begin, 1):
                    write_maps(owner, maps)
            except BaseException as error:
                os.write(result, str(error).encode()[:4000])
            finally:
                os._exit(0)
        os.close(begin)
        os.close(result)

    def write(self) -> None:
        """Let the helper write the maps. Raises `IdRangeMissing`; the namespace is unusable then."""
        os.write(self._begin, b"x")
        with os.fdopen(self._result) as result:
            refusal = result.read()
        self.close()
        if refusal:
            raise IdRangeMissing(refusal)

    def close(self) -> None:
        """End the helper."""
        os.close(self._begin)
        os.waitpid(self._pid, 0)
