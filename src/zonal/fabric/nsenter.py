"""The argv prefix that runs a command of this machine on a host of the region.

The first `nsenter` enters the sandbox, by the pid of init on the host. The second enters a host of the region, by the pid of its process 1
in the sandbox. For an ordinary user, the first enters the user namespace as well and keeps the caller's credentials: the user is root
there, and only there. The command starts in the caller's directory, if the host sees it.

Ctrl-C in a terminal reaches every process in the foreground, also the two `nsenter` that wait for the command, and would end them while the
command continues. A caller in a terminal therefore starts them with SIGINT ignored. The Python program at the end of the prefix then waits
for the command, which it starts with the default signal handlers, and returns the signal that ended it in its own exit status; an `nsenter`
that ignores a signal cannot do that.
"""

from __future__ import annotations

import os
import sys

INIT_VARIABLE = "ZONAL_INIT"
"""The environment variable with the pid of init on the host, in the region."""

_BEGIN = """
import os, signal, sys
command = os.fork() if signal.getsignal(signal.SIGINT) is signal.SIG_IGN else 0
if command:
    status = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
    os._exit(status if status >= 0 else 128 - status)
for each in (signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(each, signal.SIG_DFL)
directory, *argv = sys.argv[1:]
try:
    os.chdir(directory)
except OSError:
    os.chdir("/")
try:
    os.execvp(argv[0], argv)
except OSError as error:
    print(f"zonal: {argv[0]}: {error.strerror}", file=sys.stderr)
    sys.exit(127 if isinstance(error, FileNotFoundError) else 126)
"""
"""Starts the command; its exit statuses are those of a shell."""


def enter_argv(
    init_pid_on_host: int, target: int, *, rootless: bool | None = None, directory: str | None = None, python: str = ""
) -> list[str]:
    """The argv prefix. `target` is the pid of a host's process 1 in the sandbox (`LinuxHost.init.pid`).

    `python` defaults to the base interpreter of a virtual environment, because the environment may be in a directory that a host does not
    see (`/tmp`). `rootless` (default: whether the caller is not root) must be that of the sandbox.
    """
    rootless = os.geteuid() != 0 if rootless is None else rootless
    user = ["--user", "--preserve-credentials"] if rootless else []
    outer = ["nsenter", "--target", str(init_pid_on_host), *user, "--mount", "--pid", "--"]
    inner = ["nsenter", "--target", str(target), "--mount", "--net", "--uts", "--ipc", "--pid", "--"]
    python = python or os.path.realpath(sys.executable)
    return [*outer, *inner, python, "-S", "-E", "-c", _BEGIN, directory or os.getcwd()]  # noqa: PTH109
