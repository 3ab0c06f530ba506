"""Builds a host's view of the machine's files: everything read-only, except for its own directory.

A thread builds it in its own mount namespace. It detaches copies of the host's directory and of the paths that the host may read. Then it
makes all mounts read-only, mounts empty directories where programs write, hides the region's state, and attaches the copies at their paths.
A host for commands of this machine sees the machine's files as they are, with its own `/etc/hostname`, `/etc/hosts` and `/etc/resolv.conf`.
"""

from __future__ import annotations

import os
from pathlib import Path

from zonal.fabric.linux import syscalls
from zonal.fabric.plan import HostSpec

_OWN_DIRECTORIES = (("/tmp", "1777"), ("/run", "755"), ("/dev/shm", "1777"))


def build(spec: HostSpec, *, hidden: Path, files: Path) -> None:
    """Turn the calling thread's mount namespace into the host's. `hidden` is the state directory, `files` holds the host's `/etc` files."""
    syscalls.mount("none", "/", flags=syscalls.RECURSIVE | syscalls.PRIVATE)
    own = {name: (files / name).read_bytes() for name in ("resolv.conf", "hosts", "hostname") if (files / name).exists()}
    trees = {f"/etc/{name}": syscalls.clone_tree(str(files / name)) for name in own}
    if not spec.machine_files:
        _seal(spec, hidden)
    for path, tree in trees.items():
        _cover(path, tree, own[Path(path).name])
        os.close(tree)


def _seal(spec: HostSpec, hidden: Path) -> None:
    trees = {spec.directory: syscalls.clone_tree(spec.directory)}
    for path in spec.readable:
        trees[path] = syscalls.clone_tree(path)
        syscalls.make_read_only(trees[path])
    syscalls.make_read_only("/")
    for place, mode in _OWN_DIRECTORIES:
        if Path(place).is_dir():
            syscalls.mount("tmpfs", place, "tmpfs", syscalls.NO_DEVICES, f"mode={mode}")
    if hidden.is_dir():
        syscalls.mount("tmpfs", str(hidden), "tmpfs", syscalls.NO_DEVICES, "mode=711")
    for path, tree in trees.items():
        if path == spec.directory or not Path(path).exists():
            _attach(tree, path)
        os.close(tree)


def _attach(tree: int, path: str) -> None:
    is_file = not os.stat(tree).st_mode & 0o040000
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    if is_file:
        target.touch()
    else:
        target.mkdir(exist_ok=True)
    syscalls.attach_tree(tree, path)


def _cover(path: str, tree: int, content: bytes) -> None:
    """Mount the host's file over one in `/etc`. When that is a link into an emptied directory, the file is written at the link's target."""
    target = Path(os.path.realpath(path))
    if target.exists():
        syscalls.attach_tree(tree, str(target))
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    except OSError:
        pass  # The machine has neither the file nor a directory for it, so no program reads it.
