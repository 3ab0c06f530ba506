"""apt and dpkg as an ordinary user: download packages and unpack them below a directory. Nothing is installed.

apt verifies each package against the signed archive of the distribution that the machine is configured for, so libraries fit its C library;
a digest fixed here would name a file that the next security update takes off the mirrors. The machine's package lists are read where they
have the package; else lists are fetched into a directory of zonal's own, because an ordinary user cannot update the machine's and a minimal
machine has none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from zonal.foundation.errors import ZonalError

TOOLS = ("apt-get", "apt-cache", "dpkg-deb")
DOWNLOAD_SECONDS = 900
_QUERY_SECONDS = 300


class AptError(ZonalError):
    """A package could not be found, downloaded or unpacked; the message says why."""


def unavailable() -> str:
    """Why this machine cannot use Debian packages, or an empty string."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"this machine has no Debian packages: {' and '.join(missing)} not found" if missing else ""


class Apt:
    """apt with caches, locks and, where they are needed, package lists of its own below `directory`. Blocking; raises `AptError`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for path in ("downloads", "lists/partial", "cache/archives/partial"):
            (directory / path).mkdir(parents=True, exist_ok=True)
        (directory / "status").touch()
        self._options: tuple[str, ...] = (
            "-o",
            f"Dir::Cache={directory / 'cache'}",
            "-o",
            "Debug::NoLocking=1",
            "-o",
            "APT::Sandbox::User=",
        )
        self._own_lists = False

    def candidate(self, package: str) -> str:
        """The version of a package that apt would install; empty where the distribution has no such package."""
        found = self._policy(package)
        if not found and not self._own_lists:
            self._options += ("-o", f"Dir::State::lists={self._directory / 'lists'}")
            self._own_lists = True
            _run(("apt-get", "-qq", *self._options, "update"), DOWNLOAD_SECONDS)
            found = self._policy(package)
        return found

    def closure(self, packages: tuple[str, ...]) -> tuple[str, ...]:
        """The packages with everything that they depend on, as on a machine on which nothing is installed."""
        options = (*self._options, "-o", f"Dir::State::status={self._directory / 'status'}", "-o", "APT::Install-Recommends=0")
        lines = _run(("apt-get", *options, "-y", "-s", "install", *packages), DOWNLOAD_SECONDS).splitlines()
        return tuple(dict.fromkeys((*packages, *(line.split()[1] for line in lines if line.startswith("Inst ")))))

    def download(self, packages: tuple[str, ...]) -> list[Path]:
        """The packages' files, in the order of their names."""
        downloads = self._directory / "downloads"
        before = set(downloads.glob("*.deb"))
        _run(("apt-get", "-qq", *self._options, "download", *packages), DOWNLOAD_SECONDS, directory=downloads)
        return sorted(set(downloads.glob("*.deb")) - before)

    def _policy(self, package: str) -> str:
        text = _run(("apt-cache", *self._options, "policy", package), _QUERY_SECONDS)
        found = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.strip().startswith("Candidate:")]
        return found[0] if found and found[0] != "(none)" else ""


def unpack(package: Path, target: Path) -> None:
    """Unpack a package's files below `target`. Raises `AptError`."""
    target.mkdir(parents=True, exist_ok=True)
    _run(("dpkg-deb", "--extract", str(package), str(target)), _QUERY_SECONDS)


def package_version(package: Path) -> str:
    """The version in a package's control file. Raises `AptError`."""
    return _run(("dpkg-deb", "--field", str(package), "Version"), _QUERY_SECONDS).strip()


def upstream_version(version: str) -> str:
    """The upstream part of a Debian version: `5:7.0.15-1~deb12u7` is `7.0.15` (Debian Policy 5.6.12: epoch:upstream-revision)."""
    without_epoch = version.partition(":")[2] or version
    return without_epoch.rpartition("-")[0] or without_epoch


def _run(argv: tuple[str, ...], seconds: float, *, directory: Path | None = None) -> str:
    environment = os.environ | {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, check=True, cwd=directory, env=environment)
    except subprocess.CalledProcessError as error:
        raise AptError(f"{argv[0]} failed: {error.stderr.strip()[-300:]}") from error
    except subprocess.TimeoutExpired as error:
        raise AptError(f"{argv[0]} did not end within {seconds:g} s") from error
    except OSError as error:
        raise AptError(f"{argv[0]} cannot be run: {error.strerror}") from error
    return done.stdout
