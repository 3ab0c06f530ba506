"""Debian packages unpacked into a directory: nothing is installed and no privilege is needed.

apt fetches them, with package lists of its own below a temporary directory, because an ordinary user cannot update the machine's and a
minimal machine has none. apt verifies the signatures of the distribution that the machine is configured for, so the libraries fit its C
library; a hash fixed here would name a file that the next security update takes off the mirrors.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from zonal.foundation.errors import ZonalError

_FETCH_SECONDS = 600
_NAMES = (
    (r"libicu(?:uc|data|i18n)\.so\.(\d+)", (r"libicu\1",)),
    (r"libssl\.so\.3|libcrypto\.so\.3", ("libssl3t64", "libssl3")),
    (r"libreadline\.so\.8", ("libreadline8t64", "libreadline8")),
    (r"libgssapi_krb5\.so\.2", ("libgssapi-krb5-2",)),
    (r"libkrb5\.so\.3", ("libkrb5-3",)),
    (r"libk5crypto\.so\.3", ("libk5crypto3",)),
    (r"libkrb5support\.so\.0", ("libkrb5support0",)),
    (r"libcom_err\.so\.2", ("libcom-err2",)),
    (r"libkeyutils\.so\.1", ("libkeyutils1",)),
    (r"libxslt\.so\.1|libexslt\.so\.0", ("libxslt1.1",)),
    (r"liblz4\.so\.1", ("liblz4-1",)),
    (r"libz\.so\.1", ("zlib1g",)),
    (r"libstdc\+\+\.so\.6", ("libstdc++6",)),
    (r"libgcc_s\.so\.1", ("libgcc-s1",)),
    (r"libxml2\.so\.(\d+)", (r"libxml2-\1", "libxml2")),
    (r"lib(zstd|lzma|tinfo)\.so\.(\d+)", (r"lib\1\2",)),
)
"""Which packages may have a library: names differ between releases of Debian and Ubuntu, so the first that exists is taken."""


class PackageError(ZonalError):
    """A package could not be fetched or unpacked; the message says why."""


def is_available() -> bool:
    """Whether this machine has apt and dpkg."""
    return all(shutil.which(program) for program in ("apt-get", "apt-cache", "dpkg-deb"))


def candidates(library: str) -> tuple[str, ...]:
    """The packages that may have a library (`libxml2.so.2`), the likeliest first; none for a library that is not known."""
    for pattern, names in _NAMES:
        found = re.fullmatch(pattern, library)
        if found:
            return tuple(found.expand(name) for name in names)
    return ()


class DebianPackages:
    """The packages of the distribution that this machine is configured for. The lists are fetched once, at the first use."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        (scratch / "lists/partial").mkdir(parents=True)
        (scratch / "cache/archives/partial").mkdir(parents=True)
        self._options = [
            "-o",
            f"Dir::State::lists={scratch / 'lists'}",
            "-o",
            f"Dir::Cache={scratch / 'cache'}",
            "-o",
            "APT::Sandbox::User=",
        ]
        self._is_updated = False

    def unpack_libraries(self, libraries: Iterable[str], target: Path) -> None:
        """Put these libraries, with what else their packages have in library directories, into `target`. Raises `PackageError`."""
        packages = {self._package(library) for library in sorted(libraries)}
        for package in sorted(packages):
            tree = Path(tempfile.mkdtemp(dir=self._scratch))
            self._run(["apt-get", *self._options, "download", "--quiet", package], tree)
            for path in tree.glob("*.deb"):
                self._run(["dpkg-deb", "--extract", str(path), "tree"], tree)
            for path in sorted((tree / "tree").rglob("*.so*")):
                _put(path, target / path.name)

    def _package(self, library: str) -> str:
        if not self._is_updated:
            self._run(["apt-get", *self._options, "update", "--quiet"], self._scratch)
            self._is_updated = True
        for package in candidates(library):
            shown = self._run(["apt-cache", *self._options, "policy", package], self._scratch)
            if re.search(r"Candidate: (?!\(none\))", shown):
                return package
        raise PackageError(f"no package of this machine's distribution is known to have {library}")

    def _run(self, argv: list[str], directory: Path) -> str:
        try:
            done = subprocess.run(argv, cwd=directory, capture_output=True, text=True, timeout=_FETCH_SECONDS, check=True)
        except subprocess.CalledProcessError as error:
            raise PackageError(f"{argv[0]} failed: {error.stderr.strip()[-300:]}") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PackageError(f"{argv[0]} failed: {error}") from error
        return done.stdout


def _put(source: Path, target: Path) -> None:
    """Copy a library or a link to one beside it; a link that leads elsewhere is left out."""
    if target.exists():
        return
    if source.is_symlink():
        name = source.readlink().name
        if (source.parent / name).exists():
            target.symlink_to(name)
    elif source.is_file():
        shutil.copyfile(source, target)
        target.chmod(0o755)
