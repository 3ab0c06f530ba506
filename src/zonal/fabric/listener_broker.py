"""The supervisor's door: a unix socket in the state directory at which the sandbox asks for listeners on the host's loopback addresses.

Only the host's network namespace has the loopback that the user's programs reach, and only the supervisor is in it. The forwarder connects,
names an address (127.x.y.z) and a port, and gets a listening socket's descriptor, or the reason why not. Nothing else can be asked for.
"""

from __future__ import annotations

import socket
from pathlib import Path
from types import TracebackType

from zonal.foundation import unix_sockets
from zonal.foundation.errors import describe

BACKLOG = 1024


class ListenerBroker:
    """Serves the door; `fileno` for waiting, `serve` when somebody is there. A context: leaving it removes the door."""

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
        """Answer one caller."""
        try:
            caller, _ = self._socket.accept()
        except OSError:
            return  # It has gone already, or there is no descriptor for it; the sandbox must not end with this.
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
                    pass  # The caller has gone.


def request_listener(path: Path, address: str, port: int) -> socket.socket:
    """A listener of the host, from inside the sandbox. Raises `OSError` with the supervisor's reason."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
        caller.settimeout(5.0)
        unix_sockets.connect(caller, path)
        caller.send(f"{address} {port}".encode())
        answer, descriptors, _, _ = socket.recv_fds(caller, 1024, 1)
    if not descriptors:
        raise OSError(f"the host gives no listener on {address}:{port}: {answer.decode(errors='replace')}")
    return socket.socket(fileno=descriptors[0])


def listen(address: str, port: int) -> socket.socket:
    """A listener on a loopback address. Raises `ValueError` for any other address, `OSError` where it cannot be had."""
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
