"""The machine's own installations (Debian's paths, `PATH`). They are offered unchanged and never removed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple


class MachineInstallations(NamedTuple):
    """Directories that match `patterns`, and the one whose program `program` is on the `PATH`."""

    patterns: tuple[str, ...]
    program: str

    def homes(self) -> list[Path]:
        """Every candidate directory; the engine store verifies that it is complete and runs."""
        homes = [home for pattern in self.patterns for home in sorted(Path("/").glob(pattern.removeprefix("/")))]
        program = shutil.which(self.program)
        if program is not None:
            homes.append(Path(program).resolve().parent.parent)
        return homes
