"""The shared libraries that an engine loads, and where it finds them.

An engine's programs are started with the library directory of their own installation (`environment`). The modules in PostgreSQL's
wheel have a run path that exists on the machine that built them only (`/opt/postgresql/lib`), so without it `libpqwalreceiver` loads
whatever libpq this machine has, or none. The variable was chosen over patching the run paths into the files: it covers what a library
loads in turn, an installation stays as it was published, and those that are installed already are covered too. Programs that an engine
starts itself (an archive command) inherit it; it holds libraries of the engine's own and those that the machine lacks, nothing else.

`missing` asks the dynamic loader, so its answer is what happens when the program starts.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

_LOADER = re.compile(rb"/lib[^\0]*/ld-(?:linux|musl)[^\0]*")
_NOT_FOUND = re.compile(r"^\s*(\S+) => not found", re.MULTILINE)
_ANSWER_SECONDS = 20


def environment(home: Path) -> tuple[tuple[str, str], ...]:
    """The environment variables of programs of the installation at `home`."""
    return (("LD_LIBRARY_PATH", str(home / "lib")),)


def missing(home: Path, files: Iterable[Path]) -> set[str]:
    """The libraries that these files need and that neither the installation nor this machine has."""
    names: set[str] = set()
    variables = dict(environment(home)) | {"LD_TRACE_LOADED_OBJECTS": "1"}  # As `ldd` does: load, print, and run nothing.
    for path in files:
        with (home / "bin/postgres").open("rb") as program:
            loader = _LOADER.search(program.read(4096))
        if loader is None:
            return set()  # A script or a static program loads nothing.
        argv = [loader[0].decode(), str(path)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_ANSWER_SECONDS, env=variables, check=False)
        names |= set(_NOT_FOUND.findall(done.stdout))
    return names
