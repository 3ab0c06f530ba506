"""Shared libraries that an engine needs and the machine lacks, taken from the distribution's packages (`engines.apt`)."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from zonal.engines import apt

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


def candidates(library: str) -> tuple[str, ...]:
    """The packages that may have a library (`libxml2.so.2`), the likeliest first; empty for an unknown library."""
    for pattern, names in _NAMES:
        found = re.fullmatch(pattern, library)
        if found:
            return tuple(found.expand(name) for name in names)
    return ()


class LibraryPackages:
    """The libraries in the packages of the machine's distribution. Blocking; raises `apt.AptError`."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._apt = apt.Apt(scratch / "apt")

    def unpack_libraries(self, libraries: Iterable[str], target: Path) -> None:
        """Copy these libraries, with everything else in the library directories of their packages, into `target`."""
        for package in sorted({self._package(library) for library in libraries}):
            tree = Path(tempfile.mkdtemp(dir=self._scratch))
            for file in self._apt.download((package,)):
                apt.unpack(file, tree)
            for path in sorted(tree.rglob("*.so*")):
                _put(path, target / path.name)

    def _package(self, library: str) -> str:
        for package in candidates(library):
            if self._apt.candidate(package):
                return package
        raise apt.AptError(f"no package of this machine's distribution is known to have {library}")


def _put(source: Path, target: Path) -> None:
    """Copy a library or a link to one beside it; a link to another directory is left out."""
    if target.exists():
        return
    if source.is_symlink():
        name = source.readlink().name
        if (source.parent / name).exists():
            target.symlink_to(name)
    elif source.is_file():
        shutil.copyfile(source, target)
        target.chmod(0o755)
