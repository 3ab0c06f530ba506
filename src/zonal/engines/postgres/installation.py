"""Completes an unpacked installation of PostgreSQL: adds libraries that the wheel lacks, and offers the extensions that RDS offers.

| what | from |
|---|---|
| libpq, libecpg and libpgtypes for the server's own modules | the wheel; found by `libraries.environment` |
| OpenSSL, Kerberos, libxml2, zlib, lz4, zstd, readline | the machine; those that it lacks, from its distribution's packages, into `lib/` |
| the functions of uuid-ossp | `uuid_ossp.sql` in place of the wheel's script, because the wheel lacks the OSSP library |
| time zones (`/usr/share/zoneinfo`), the locale C.UTF-8 | the machine, refused where they are missing |

Everything may be repeated, on an installation that is in use too: files are replaced by renaming.
"""

from __future__ import annotations

import importlib.resources
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from zonal.engines import apt, libraries, library_packages
from zonal.foundation.errors import ZonalError

NOT_OFFERED = frozenset(
    (
        "adminpack",
        "file_fdw",
        "hstore_plpython3u",
        "jsonb_plpython3u",
        "ltree_plpython3u",
        "pg_logicalinspect",
        "pg_surgery",
        "plpython3u",
        "xml2",
    )
)
"""The wheel's extensions that RDS does not offer ("Extension versions for Amazon RDS for PostgreSQL", release notes): they reach the
server's files, run programs on its host or change pages by hand. xml2's library is one more that a machine may lack."""

TIME_ZONES = Path("/usr/share/zoneinfo")
"""Fixed in the wheel's binaries when they were built (`--with-system-tzdata`)."""

_LOCALE = "C.UTF-8"
_UNUSED_MODULES = ("*plpython3.so", "pgxml.so", "uuid-ossp.so", "file_fdw.so", "pg_surgery.so", "adminpack.so", "pg_logicalinspect.so")
_MOST_ROUNDS = 8


class IncompleteInstallation(ZonalError):
    """The machine lacks something that PostgreSQL needs and that zonal cannot add; the message names it."""


def complete(home: Path, *, progress: Callable[[str], None] = lambda _: None) -> None:
    """Complete the installation at `home`, so that it runs here and offers RDS's extensions. Raises `IncompleteInstallation`."""
    complete_libraries(home, progress=progress)
    check_machine_files()
    complete_extensions(home)


def complete_libraries(home: Path, *, progress: Callable[[str], None] = lambda _: None) -> None:
    """Add the libraries that neither the installation nor the machine has. Raises `IncompleteInstallation`."""
    lacking = libraries.missing(home, _loaded_files(home))
    if not lacking:
        return
    if apt.unavailable():
        raise IncompleteInstallation(_lacking_message(lacking))
    progress(f"fetching libraries that this machine lacks: {', '.join(sorted(lacking))}")
    with tempfile.TemporaryDirectory(prefix=".libraries-", dir=home) as scratch:
        packages = library_packages.LibraryPackages(Path(scratch))
        for _ in range(_MOST_ROUNDS):  # An added library may need others.
            try:
                packages.unpack_libraries(lacking, home / "lib")
            except apt.AptError as error:
                raise IncompleteInstallation(f"{_lacking_message(lacking)} ({error})") from error
            before, lacking = lacking, libraries.missing(home, _loaded_files(home))
            if not lacking:
                return
            if lacking <= before:
                break
    raise IncompleteInstallation(_lacking_message(lacking))


def check_machine_files() -> None:
    """Raise `IncompleteInstallation` where the machine lacks the data that PostgreSQL reads from fixed places."""
    if not (TIME_ZONES / "UTC").exists():
        raise IncompleteInstallation(f"PostgreSQL reads time zones from {TIME_ZONES}, which has none: install the package tzdata")
    if not _has_locale():
        raise IncompleteInstallation(f"the C library of this machine does not have the locale {_LOCALE}")


def complete_extensions(home: Path) -> None:
    """Offer RDS's extensions to the master user, who is not a superuser, and no others.

    On RDS `rds_superuser` may create every extension that is offered. PostgreSQL lets somebody who is not a superuser create an
    extension if it is marked `trusted`: its script then runs as the superuser.
    """
    directory = home / "share/extension"
    for control in sorted(directory.glob("*.control")):
        if control.stem in NOT_OFFERED:
            control.unlink()
        elif not re.search(r"^trusted\s*=\s*true", text := control.read_text(), re.MULTILINE):
            text = re.sub(r"^(superuser|trusted)\s*=.*\n?", "", text, flags=re.MULTILINE)
            _replace_text(control, text.rstrip("\n") + "\ntrusted = true\n")
    module = home / "lib/uuid-ossp.so"
    if module.exists() and libraries.missing(home, (module,)):
        script = importlib.resources.files("zonal.engines.postgres").joinpath("uuid_ossp.sql").read_text()
        _replace_text(directory / "uuid-ossp--1.1.sql", script)


def _loaded_files(home: Path) -> list[Path]:
    """The programs, and the modules that an offered extension or the server itself loads."""
    modules = [path for path in sorted((home / "lib").glob("*.so")) if not any(path.match(pattern) for pattern in _UNUSED_MODULES)]
    return [*sorted(path for path in (home / "bin").iterdir() if path.is_file()), *modules]


def _lacking_message(lacking: set[str]) -> str:
    packages = sorted({names[-1] for names in map(library_packages.candidates, lacking) if names})
    hint = f"; on Debian and Ubuntu they are in {', '.join(packages)}" if packages else ""
    return f"PostgreSQL needs libraries that this machine lacks: {', '.join(sorted(lacking))}{hint}"


def _has_locale() -> bool:
    """Whether the C library has the locale of the clusters. A child process tries it, because a locale applies to the whole process."""
    code = f"import locale; locale.setlocale(locale.LC_ALL, {_LOCALE!r})"
    return subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, timeout=20, check=False).returncode == 0


def _replace_text(path: Path, text: str) -> None:
    """Replace a file by renaming, because installations that are copies of each other may share it by a hard link."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.replace(path)
