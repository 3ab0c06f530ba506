"""A machine that lacks libraries: inside the sandbox, where mounts are the sandbox's own."""

from __future__ import annotations

import fnmatch
import os
from pathlib import Path

from zonal.fabric.linux import syscalls

_DIRECTORIES = (*sorted(Path("/usr/lib").glob("*-linux-gnu")), Path("/usr/lib64"), Path("/usr/lib"), Path("/lib64"), Path("/lib"))


def hide_libraries(*patterns: str) -> list[str]:
    """Hide every library of the machine with such a file name (`libpq.so*`) from what is started from now on; what was hidden.

    The library directory is covered by one of links into the original, so a hidden name is not there at all, as on a machine where the
    package is not installed. Hosts that are powered on afterwards see the same.
    """
    hidden = []
    for directory in _DIRECTORIES:
        if directory.is_symlink() or not directory.is_dir():
            continue
        names = sorted(path.name for path in directory.iterdir())
        found = [name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
        if not found:
            continue
        original = syscalls.clone_tree(str(directory))
        syscalls.mount("tmpfs", str(directory), "tmpfs")
        (directory / ".machine").mkdir()
        syscalls.attach_tree(original, str(directory / ".machine"))
        os.close(original)
        for name in sorted(set(names) - set(found)):
            (directory / name).symlink_to(f".machine/{name}")
        hidden += found
    return hidden
