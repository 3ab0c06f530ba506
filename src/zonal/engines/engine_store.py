"""The engine store: lists, installs and removes versions of the engines.

Versions lie side by side in a directory of the user's (`$ZONAL_ENGINES`, else `$XDG_DATA_HOME/zonal/engines`), as `postgres/18.6/bin/…`.
They are fetched from the distributions of the engine's row in `engines.registry`. A version is unpacked beside its final path, tried,
synced and renamed, so it is installed completely or not at all, and two processes may install at once. `.provenance.json` in its directory
records the packages it was made from with their SHA-256 digests. Complete installations of the machine are offered too.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from zonal.engines import libraries
from zonal.engines.distributions.distribution import DistributionError, Fetched, Provenance
from zonal.engines.registry import ENGINES, EngineDefinition
from zonal.foundation.errors import ZonalError, describe

PROVENANCE = ".provenance.json"


class Installation(NamedTuple):
    """One installed version of an engine. `removable` means that it is in the store and does not belong to the machine."""

    engine: str
    version: str
    home: Path
    removable: bool

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])

    @property
    def order(self) -> tuple[int, ...]:
        """The key by which versions are compared."""
        return version_order(self.version)


class EngineStoreError(ZonalError):
    """A version cannot be found, installed or removed; the message names the alternatives."""


class EngineStore:
    """The engine store at `root`. The first lookup runs each installation once; `refresh` discards what was found."""

    def __init__(self, root: Path | None = None, *, search_machine: bool = True, engines: Mapping[str, EngineDefinition] = ENGINES) -> None:
        self.root = root or default_root()
        self._search_machine = search_machine
        self._engines = engines
        self._found: list[Installation] | None = None

    def installed(self, engine: str = "postgres") -> list[Installation]:
        """Every installed version, oldest first, each once: the store's own before the machine's."""
        if self._found is None:
            self._found = [each for definition in self._engines.values() for each in self._find_all(definition)]
        return [each for each in self._found if each.engine == engine]

    def refresh(self) -> None:
        """Discard what was found: another process may have installed something."""
        self._found = None

    def find(self, engine: str, version: str = "") -> Installation | None:
        """The newest installed version that `version` names: a full one (`17.6`), a major (`17`) or any (empty)."""
        matching = [
            each for each in self.installed(engine) if not version or each.version == version or each.version.startswith(f"{version}.")
        ]
        return matching[-1] if matching else None

    def upgrades(self, installation: Installation) -> list[Installation]:
        """Newer minor versions of the same major that are installed."""
        return [
            each for each in self.installed(installation.engine) if each.major == installation.major and each.order > installation.order
        ]

    def provenance(self, installation: Installation) -> Provenance | None:
        """The provenance of an installation; None for the machine's own."""
        try:
            return msgspec.json.decode((installation.home / PROVENANCE).read_bytes(), type=Provenance)
        except FileNotFoundError:
            return None

    def install(self, engine: str, version: str = "", *, progress: Callable[[str], None] = lambda _: None) -> Installation:
        """Install a version, the newest of a major, or the newest of the default major.

        Nothing is fetched that is there already, but what an installation in the store lacks is completed. Blocking.
        Raises `EngineStoreError`.
        """
        definition = self._engines.get(engine)
        if definition is None:
            raise EngineStoreError(f"there is no engine '{engine}' to install; there is {', '.join(sorted(self._engines))}")
        major = definition.default_major
        if version and not re.fullmatch(r"\d+(\.\d+)*", version):
            raise EngineStoreError(f"'{version}' is not a valid {engine} version; give a major ({major}) or a full version ({major}.1)")
        version = version or major
        self._make_root()
        with self._locked():
            self.refresh()
            present = self.find(engine, version)
            if present is not None:
                if present.removable:
                    _complete(definition, present.home, progress)
                return present
            with tempfile.TemporaryDirectory(dir=self.root, prefix=".install-") as scratch:
                fetched = _fetch(definition, version, Path(scratch), progress)
                _complete(definition, fetched.home, progress)
                found = _version(definition, fetched.home)
                if found is None:
                    packages = ", ".join(package.file for package in fetched.provenance.packages)
                    raise EngineStoreError(f"{packages} contains no {engine} that runs on this machine")
                target = self.root / engine / found
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                if not target.exists():
                    (fetched.home / PROVENANCE).write_bytes(msgspec.json.encode(fetched.provenance))
                    os.sync()  # The content must be durable before the rename makes it visible.
                    fetched.home.rename(target)
            self.refresh()
        return Installation(engine, found, target, removable=True)

    def remove(self, engine: str, version: str) -> None:
        """Remove a version from the store. Raises `EngineStoreError` where it is not installed or belongs to the machine."""
        present = self.find(engine, version)
        if present is None:
            installed = ", ".join(each.version for each in self.installed(engine)) or "none"
            raise EngineStoreError(f"{engine} {version} is not installed; installed: {installed}")
        if not present.removable:
            raise EngineStoreError(
                f"{engine} {present.version} at {present.home} belongs to this machine; remove it with the machine's own tools"
            )
        with self._locked():
            discarded = Path(tempfile.mkdtemp(dir=self.root, prefix=".remove-"))
            present.home.rename(discarded / present.version)
            shutil.rmtree(discarded)
            self.refresh()

    def _make_root(self) -> None:
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise EngineStoreError(
                f"cannot make the engine store {self.root}: {describe(error)}; ZONAL_ENGINES names another directory"
            ) from error
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise EngineStoreError(
                f"cannot write to the engine store {self.root}: permission denied; ZONAL_ENGINES names another directory"
            )

    def _find_all(self, definition: EngineDefinition) -> list[Installation]:
        candidates = [(home, True) for home in sorted((self.root / definition.name).glob("*"))]
        if self._search_machine and definition.machine is not None:
            candidates += [(home, False) for home in definition.machine.homes()]
        found: dict[str, Installation] = {}
        for home, removable in candidates:
            version = _version(definition, home)
            if version is not None and version not in found:
                found[version] = Installation(definition.name, version, home, removable)
        return sorted(found.values(), key=lambda each: each.order)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.root / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def default_root() -> Path:
    """The directory of the user's engines."""
    if "ZONAL_ENGINES" in os.environ:
        return Path(os.environ["ZONAL_ENGINES"])
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share"
    return Path(data) / "zonal/engines"


def version_order(version: str) -> tuple[int, ...]:
    """The key by which versions are compared: `"17.10"` is newer than `"17.9"`."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _fetch(definition: EngineDefinition, version: str, scratch: Path, progress: Callable[[str], None]) -> Fetched:
    """Fetch from the first distribution that has the version. Raises `EngineStoreError` with every distribution's reason."""
    reasons: list[str] = []
    for number, distribution in enumerate(definition.distributions):
        progress(f"downloading {definition.name} {version} ({distribution.describe()})")
        directory = scratch / str(number)
        directory.mkdir()
        try:
            return distribution.fetch(version, directory)
        except DistributionError as error:
            reasons.append(str(error))
    raise EngineStoreError(f"{definition.name} {version} could not be downloaded: {'; '.join(reasons)}")


def _complete(definition: EngineDefinition, home: Path, progress: Callable[[str], None]) -> None:
    if definition.complete is None:
        return
    try:
        definition.complete(home, progress)
    except ZonalError as error:
        raise EngineStoreError(str(error)) from error


def _version(definition: EngineDefinition, home: Path) -> str | None:
    """The version of an installation that is complete and runs, or None."""
    if any(not os.access(home / program, os.X_OK) for program in definition.programs):
        return None
    program, *arguments = definition.version_argv
    try:
        argv = [str(home / program), *arguments]
        variables = os.environ | dict(libraries.environment(home))
        printed = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=True, env=variables).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(definition.version_pattern, printed)
    return found[1] if found else None
