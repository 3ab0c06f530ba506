"""The listener broker: opens listeners on loopback addresses of the host for processes in the sandbox.

Only the supervisor is in the host's network namespace, whose loopback device the user's programs reach. It serves a unix socket in the
state directory. The forwarder connects, sends an address (127.x.y.z) and a port, and receives the descriptor of a listening socket, or the
reason for a refusal. The broker offers nothing else.
"""

from __future__ import annotations

import socket
from pathlib import Path
from types import TracebackType

from zonal.foundation import unix_sockets
from zonal.foundation.errors import describe

BACKLOG = 1024


class ListenerBroker:
    """The unix socket: wait for `fileno`, then call `serve`. Leaving the context removes the socket."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def __enter__(self) -> ListenerBroker:
        unix_sockets.bind(self._socket, self._path)
        self._socket.listen(16)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def fileno(self) -> int:
        return self._socket.fileno()

    def serve(self) -> None:
        """Answer one client."""
        try:
            caller, _ = self._socket.accept()
        except OSError:
            return  # The client has closed, or no descriptor is free; the supervisor must not end because of it.
        with caller:
            caller.settimeout(2.0)
            try:
                address, _, port = caller.recv(256).decode().partition(" ")
                with listen(address, int(port)) as listener:
                    socket.send_fds(caller, [b"ok"], [listener.fileno()])
            except (OSError, ValueError) as error:
                try:
                    caller.send(describe(error).encode())
                except OSError:
                    pass  # The client has closed the connection.


def request_listener(path: Path, address: str, port: int) -> socket.socket:
    """Request a listener of the host from inside the sandbox. Raises `OSError` with the supervisor's reason."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
        caller.settimeout(5.0)
        unix_sockets.connect(caller, path)
        caller.send(f"{address} {port}".encode())
        answer, descriptors, _, _ = socket.recv_fds(caller, 1024, 1)
    if not descriptors:
        raise OSError(f"the host gives no listener on {address}:{port}: {answer.decode(errors='replace')}")
    return socket.socket(fileno=descriptors[0])


def listen(address: str, port: int) -> socket.socket:
    """Open a listener on a loopback address. Raises `ValueError` for any other address, and `OSError`."""
    if not address.startswith("127.") or not 0 < port < 65536:
        raise ValueError(f"{address}:{port} is not a port of a loopback address")
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
