"""A region whose state directory is on a small disk of its own, for tests that fill the disk.

The disk is a tmpfs in a mount namespace that one process holds. The command line runs in it by `nsenter`, and the test accesses the files
through that process's root in /proc. The network namespace is this machine's, so clients reach the region as usual.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.running_region import RunningRegion

PIECE_BYTES = 1 << 20


class SmallDiskRegion(RunningRegion):
    """A region on a disk of its own. `inside` is its state directory as this process sees it."""

    def __init__(self, state: Path, holder: int) -> None:
        super().__init__(state)
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        self.prefix = ("nsenter", "--target", str(holder), "--mount", *user, "--")
        self.inside = Path(f"/proc/{holder}/root{state}")
        self._ballast = self.inside / "ballast"

    @property
    def available_bytes(self) -> int:
        disk = os.statvfs(self.inside)
        return disk.f_bavail * disk.f_frsize

    def fill(self) -> None:
        """Use all free space, to the last page, and to the last byte of the pages that the logs already have."""
        fill(self._ballast, *self.inside.glob("*.log"), *self.inside.glob("hosts/*/*.log"))

    def empty(self, *, missing_ok: bool = False) -> None:
        """Free the space."""
        self._ballast.unlink(missing_ok=missing_ok)

    def log(self) -> str:
        path = self.inside / "region.log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""


def fill(*paths: Path) -> None:
    """Append to each file in turn until the disk takes no byte more."""
    for path in paths:
        with path.open("ab", buffering=0) as file:
            for size in (PIECE_BYTES, 4096, 1):
                try:
                    while True:
                        file.write(b"\n" * size)
                except OSError:
                    continue


@contextmanager
def region_on_small_disk(state: Path, size: str) -> Iterator[SmallDiskRegion]:
    """A region on a disk of this size, not started yet; on exit the region is stopped and the disk removed."""
    hold = 'mount -t tmpfs -o size="$1" small "$0" && echo mounted && exec cat'
    whose = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", "--mount", *whose, "sh", "-c", hold, str(state), size]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin is not None and holder.stdout is not None and holder.stdout.readline() == "mounted\n"
        region = SmallDiskRegion(state, holder.pid)
        try:
            yield region
        finally:
            region.zonal("stop", check=False)
            holder.stdin.close()
