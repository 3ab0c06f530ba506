"""How a command of this machine gets inside: the words that go before its own.

The first `nsenter` goes from the host into the sandbox, by the number that init has on the host; the second from there onto a host, by the
number its process 1 has in the sandbox. As an ordinary user the user namespace comes first, and the caller's identity is kept: there he is
root, and only there. The command starts in the directory it was called from, where that is to be seen.

Ctrl-C in a terminal reaches everything in the foreground, also the two `nsenter` that wait for the command, and would end them while the
command goes on. So whoever starts them for a terminal has them ignore it. What stands last before the command's own words then waits for
the command, to which it gives the signals that a command expects, and tells in its own status which one ended it: an `nsenter` that ignores
a signal cannot.
"""

from __future__ import annotations

import os
import sys

INIT_VARIABLE = "ZONAL_INIT"
"""Where the region finds the number that init has on the host."""

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
"""How the command begins; its exit statuses are a shell's."""


def enter_argv(
    init_pid_on_host: int, target: int, *, rootless: bool | None = None, directory: str | None = None, python: str = ""
) -> list[str]:
    """What goes before a command's words. `target` is the process 1 of a host, as the sandbox numbers it (`LinuxHost.init.pid`).

    `python` is by default the interpreter that a virtual environment was made of: the environment itself may be in a directory that a host
    does not see (`/tmp`).

    `rootless` (default: whether the caller is not root) must be what the sandbox was started as.
    """
    rootless = os.geteuid() != 0 if rootless is None else rootless
    user = ["--user", "--preserve-credentials"] if rootless else []
    outer = ["nsenter", "--target", str(init_pid_on_host), *user, "--mount", "--pid", "--"]
    inner = ["nsenter", "--target", str(target), "--mount", "--net", "--uts", "--ipc", "--pid", "--"]
    python = python or os.path.realpath(sys.executable)
    return [*outer, *inner, python, "-S", "-E", "-c", _BEGIN, directory or os.getcwd()]  # noqa: PTH109
