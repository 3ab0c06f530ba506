"""An installation on a machine that lacks libraries: the loader finds out, and the distribution's packages bring them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.contract.engines.engine_hosts import installation, share_engines
from tests.contract.engines.hidden_libraries import hide_libraries
from tests.contract.fabric.sandboxed import ROOT
from zonal.engines import apt, libraries
from zonal.engines.postgres.installation import IncompleteInstallation, complete_libraries
from zonal.fabric.linux import syscalls

HIDDEN = ("libxml2.so*", "libicu*.so*", "libreadline.so*", "libpq.so*")


def test_the_loader_names_what_is_missing() -> None:
    _, home = installation("18")
    assert libraries.missing(home, [home / "bin/postgres", home / "lib/libpqwalreceiver.so"]) == set()
    assert libraries.missing(home, [home / "lib/uuid-ossp.so"]) <= {"libossp-uuid.so.16"}


def test_what_the_machine_lacks_is_brought_or_refused_by_name() -> None:
    """In a mount namespace of its own, with the network of this machine: packages come from its distribution."""
    root = share_engines(("18",))
    try:
        home = next((root / "postgres").iterdir())
        path = os.pathsep.join([str(ROOT), str(ROOT / "src")])
        argv = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-m", __name__, str(home)]
        done = subprocess.run(argv, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        printed = done.stdout.splitlines()
    finally:
        shutil.rmtree(root)
    assert printed[0].startswith("before: ") and {"libxml2.so.2", "libreadline.so.8"} <= set(printed[0].removeprefix("before: ").split())
    if not apt.unavailable():
        assert printed[1:] == ["after:", "runs: True"]
    else:
        assert printed[1].startswith("refused: PostgreSQL needs libraries that this machine lacks: ")


def _play(home: Path) -> None:
    syscalls.mount("none", "/", flags=syscalls.RECURSIVE | syscalls.PRIVATE)
    hide_libraries(*HIDDEN)
    programs = [home / "bin/postgres", home / "bin/psql"]
    print("before:", *sorted(libraries.missing(home, programs)))
    try:
        complete_libraries(home)
    except IncompleteInstallation as error:
        print("refused:", error)
        return
    print("after:", *sorted(libraries.missing(home, programs)))
    variables = dict(libraries.environment(home))
    print("runs:", subprocess.run([home / "bin/postgres", "--version"], env=variables, check=False, capture_output=True).returncode == 0)


if __name__ == "__main__":
    _play(Path(sys.argv[1]))
