"""System calls that Python 3.11 does not offer: namespaces and mounts.

Each raises `OSError` with what was tried. They affect the calling *thread*; `namespaces` and `hosts` choose that thread.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import time

NEW_CGROUP = 0x02000000
NEW_MOUNT = 0x00020000
NEW_UTS = 0x04000000
NEW_IPC = 0x08000000
NEW_USER = 0x10000000
NEW_PID = 0x20000000
NEW_NET = 0x40000000
FILE_SYSTEM = 0x00000200
"""Not a namespace: the thread's own working directory and root, required before it may enter another mount namespace."""

READ_ONLY = 1
NO_SETUID = 2
NO_DEVICES = 4
BIND = 4096
RECURSIVE = 16384
PRIVATE = 1 << 18
DETACH = 2

_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442  # The same numbers on every architecture.
_DEATH_SIGNAL, _CHILD_SUBREAPER = 1, 36

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Move the calling thread into new namespaces."""
    _check(_libc.unshare(ctypes.c_int(flags)), f"unshare({flags:#x})")


def enter(descriptor: int, kind: int) -> None:
    """Move the calling thread into the namespace behind a descriptor. `kind` is one of `NEW_…`; a pid namespace applies to its children."""
    _check(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(kind)), "setns")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    _check(
        _libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode()),
        f"mount {kind or 'bind'} on {target}",
    )


def unmount(target: str) -> None:
    """Detach a mount; processes that use it keep it."""
    _check(_libc.umount2(target.encode(), ctypes.c_int(DETACH)), f"unmount {target}")


_BUSY_SECONDS = 1.0
"""How long `make_read_only` repeats its call while a mount is being written."""


def clone_tree(path: str) -> int:
    """A detached copy of the mounts at `path`, as a descriptor."""
    flags = 1 | os.O_CLOEXEC | _AT_RECURSIVE
    return _check(_libc.syscall(_OPEN_TREE, _AT_FDCWD, path.encode(), ctypes.c_uint(flags)), f"open_tree {path}")


def attach_tree(tree: int, path: str) -> None:
    """Mount a detached tree at `path`."""
    _check(_libc.syscall(_MOVE_MOUNT, tree, b"", _AT_FDCWD, path.encode(), ctypes.c_uint(4)), f"move_mount to {path}")


def make_read_only(path: str | int) -> None:
    """Make every mount below `path` (or of a detached tree) read-only. Needs Linux 5.12.

    The kernel returns EBUSY while a file of one of these mounts is being written (rarely, under load), so the call is repeated.
    """
    attributes = struct.pack("=QQQQ", READ_ONLY, 0, 0, 0)
    name, flags = (path.encode(), _AT_RECURSIVE) if isinstance(path, str) else (b"", _AT_RECURSIVE | _AT_EMPTY_PATH)
    at = _AT_FDCWD if isinstance(path, str) else path
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        done = _libc.syscall(_MOUNT_SETATTR, at, name, ctypes.c_uint(flags), attributes, ctypes.c_size_t(len(attributes)))
        if done >= 0 or ctypes.get_errno() != errno.EBUSY or time.monotonic() >= deadline:
            break
        time.sleep(0.005)
    _check(done, f"mount_setattr {path}")


def set_host_name(name: str) -> None:
    data = name.encode()
    _check(_libc.sethostname(data, ctypes.c_size_t(len(data))), "sethostname")


def die_with_parent(signal: int) -> None:
    """Let the kernel send `signal` to the calling process when its parent ends."""
    _check(_libc.prctl(_DEATH_SIGNAL, ctypes.c_ulong(signal), 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")


def adopt_orphans() -> None:
    """Become the parent of descendants whose parents end."""
    _check(_libc.prctl(_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0), "prctl(PR_SET_CHILD_SUBREAPER)")


def _check(result: int, tried: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{tried}: {os.strerror(number)}")
    return result
