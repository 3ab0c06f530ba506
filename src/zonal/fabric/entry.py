"""How a command of this machine gets inside: the words that go before its own.

The first `nsenter` goes from the host into the sandbox, by the number that init has on the host; the second from there onto a host, by the
number its process 1 has in the sandbox. As an ordinary user the user namespace comes first, and the caller's identity is kept: there he is
root, and only there. The command starts in the directory it was called from, where that is to be seen.
"""

from __future__ import annotations

import os

INIT_VARIABLE = "ZONAL_INIT"
"""Where the region finds the number that init has on the host."""

_CHANGE_DIRECTORY = 'cd -- "$1" 2>/dev/null || cd /; shift; exec "$@"'


def enter_argv(init_pid_on_host: int, target: int, *, rootless: bool | None = None, directory: str | None = None) -> list[str]:
    """What goes before a command's words. `target` is the process 1 of a host, as the sandbox numbers it (`LinuxHost.init.pid`).

    `rootless` (default: whether the caller is not root) must be what the sandbox was started as.
    """
    rootless = os.geteuid() != 0 if rootless is None else rootless
    user = ["--user", "--preserve-credentials"] if rootless else []
    outer = ["nsenter", "--target", str(init_pid_on_host), *user, "--mount", "--pid", "--"]
    inner = ["nsenter", "--target", str(target), "--mount", "--net", "--uts", "--ipc", "--pid", "--"]
    return [*outer, *inner, "/bin/sh", "-c", _CHANGE_DIRECTORY, "sh", directory or os.getcwd()]  # noqa: PTH109
