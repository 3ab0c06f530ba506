"""Debian packages, downloaded by apt and unpacked below a directory: nothing is installed, and root is not needed.

apt verifies each package against the signed archive. Two ways to choose them: `packages` as listed, for an engine that needs a few
libraries beside the C library; or with `closure`, everything that they depend on as well, resolved against an empty package database, for
trees into which a process changes its root. Essential packages are in no dependency closure: list them.

Only for machines with Debian's tools and package lists; `unavailable` gives the reason elsewhere. What a package's maintainer scripts would
have made (alternatives, users, `/bin/sh`) is not there: the engine's module makes what it needs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from zonal.engines.distributions.distribution import DistributionError, Fetched, Package, Provenance, sha256

TOOLS = ("apt-get", "dpkg-deb")
DOWNLOAD_SECONDS = 900
_UNPACK_SECONDS = 300


class DebianPackages(NamedTuple):
    """Packages of the machine's Debian release. The first one carries the engine and its version."""

    packages: tuple[str, ...]
    closure: bool = False

    def unavailable(self) -> str:
        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
        return f"this machine has no Debian packages: {' and '.join(missing)} not found" if missing else ""

    def describe(self) -> str:
        return f"the Debian package {self.packages[0]}"

    def fetch(self, version: str, scratch: Path) -> Fetched:
        """See `Distribution`. The machine's release offers one version; another one is refused with what there is."""
        if reason := self.unavailable():
            raise DistributionError(reason)
        apt = _Apt(scratch / "apt")
        apt.require_package_lists(self.packages[0])
        offered = apt.candidate(self.packages[0])
        if not _matches(offered, version):
            raise DistributionError(f"Debian offers {self.packages[0]} {offered}; no other version can be fetched here")
        files = apt.download(apt.closure(self.packages) if self.closure else self.packages)
        home = scratch / "unpacked"
        home.mkdir()
        for file in files:
            _run(("dpkg-deb", "--extract", str(file), str(home)), _UNPACK_SECONDS)
        packages = tuple(Package(file.name, _package_version(file), sha256(file)) for file in files)
        return Fetched(home, Provenance("Debian", packages))


class _Apt:
    """apt-get with caches of its own below `directory`, so that an ordinary user can run it; the machine's package lists are read."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._downloads = directory / "downloads"
        self._downloads.mkdir(parents=True)
        self._status = directory / "status"
        self._status.touch()
        self._options = ("-o", f"Dir::Cache={directory}", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=")

    def require_package_lists(self, package: str) -> None:
        """Refresh the package lists where the machine has never done so, which only root may. Raises `DistributionError`."""
        if self._candidate(package):
            return
        if os.geteuid() != 0:
            raise DistributionError(f"the machine's package lists do not contain {package}: run `apt-get update` as root first")
        _run(("apt-get", "-qq", "update"), DOWNLOAD_SECONDS)
        if not self._candidate(package):
            raise DistributionError(f"this machine's Debian release has no package {package}")

    def candidate(self, package: str) -> str:
        """The version that apt would install."""
        found = self._candidate(package)
        assert found, "require_package_lists was called"
        return found

    def closure(self, packages: tuple[str, ...]) -> tuple[str, ...]:
        """The packages with everything that they depend on, as on a machine on which nothing is installed."""
        options = (*self._options, "-o", f"Dir::State::status={self._status}", "-o", "APT::Install-Recommends=0")
        lines = _run(("apt-get", *options, "-y", "-s", "install", *packages), DOWNLOAD_SECONDS).splitlines()
        return tuple(dict.fromkeys((*packages, *(line.split()[1] for line in lines if line.startswith("Inst ")))))

    def download(self, packages: tuple[str, ...]) -> list[Path]:
        """The packages' files, in the order of their names."""
        _run(("apt-get", "-qq", *self._options, "download", *packages), DOWNLOAD_SECONDS, directory=self._downloads)
        return sorted(self._downloads.glob("*.deb"))

    def _candidate(self, package: str) -> str:
        text = _run(("apt-cache", *self._options, "policy", package), _UNPACK_SECONDS)
        found = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.strip().startswith("Candidate:")]
        return found[0] if found and found[0] != "(none)" else ""


def upstream_version(version: str) -> str:
    """The upstream part of a Debian version: `5:7.0.15-1~deb12u7` is `7.0.15` (Debian Policy 5.6.12: epoch:upstream-revision)."""
    without_epoch = version.partition(":")[2] or version
    return without_epoch.rpartition("-")[0] or without_epoch


def _matches(offered: str, version: str) -> bool:
    upstream = upstream_version(offered)
    return upstream == version or upstream.startswith(f"{version}.")


def _package_version(file: Path) -> str:
    return _run(("dpkg-deb", "--field", str(file), "Version"), _UNPACK_SECONDS).strip()


def _run(argv: tuple[str, ...], seconds: float, *, directory: Path | None = None) -> str:
    environment = os.environ | {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, check=True, cwd=directory, env=environment)
    except subprocess.CalledProcessError as error:
        raise DistributionError(f"{argv[0]} failed: {error.stderr.strip()[-300:]}") from error
    except subprocess.TimeoutExpired as error:
        raise DistributionError(f"{argv[0]} did not end within {seconds:g} s") from error
    return done.stdout
