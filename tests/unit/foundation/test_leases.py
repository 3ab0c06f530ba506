"""Leases detect the end of their holders."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from zonal.foundation import leases
from zonal.foundation.leases import Lease

HOLDER = """
import subprocess, sys, time
from pathlib import Path
from zonal.foundation.leases import Lease
lease = Lease(Path(sys.argv[1]))
child = subprocess.Popen(["sleep", "1000"])
print(lease.name, child.pid, flush=True)
time.sleep(1000)
"""


def test_a_lease_ends_with_its_holder_even_if_a_child_survives(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        name, child = holder.stdout.readline().split()
        try:
            assert leases.is_held(tmp_path, name)
            holder.kill()
            holder.wait()
            assert not leases.is_held(tmp_path, name)
        finally:
            os.kill(int(child), signal.SIGKILL)


def test_a_lease_that_is_released_or_was_never_there_is_not_held(tmp_path: Path) -> None:
    lease = Lease(tmp_path / "leases")
    assert leases.is_held(tmp_path / "leases", lease.name)
    lease.release()
    lease.release()
    assert not leases.is_held(tmp_path / "leases", lease.name)
    assert list((tmp_path / "leases").iterdir()) == []


def test_only_old_files_without_a_holder_and_a_record_are_removed(tmp_path: Path) -> None:
    held, known, stray, young = "0" * 16, "1" * 16, "2" * 16, "3" * 16
    lease = Lease(tmp_path)
    (tmp_path / lease.name).rename(tmp_path / held)
    for name in (known, stray, young, "something-else"):
        (tmp_path / name).touch()
    for name in (held, known, stray, "something-else"):
        os.utime(tmp_path / name, (0, 0))
    leases.discard_stray(tmp_path, known={known})
    assert {path.name for path in tmp_path.iterdir()} == {held, known, young, "something-else"}


def test_only_a_plain_name_is_the_name_of_a_lease(tmp_path: Path) -> None:
    assert leases.is_name(Lease(tmp_path).name)
    assert not any(leases.is_name(name) for name in ("", "..", "../region.db", "0" * 15, "0" * 16 + "\n"))
