"""The region's end of the link to the keeper: starts it, hands groups of changes over, hears what became of them.

One group at a time is on its way. Sending and hearing take place on the event loop and never wait there; only the start does, because
nothing can be read before the keeper of the region's last life has ended. A keeper that dies takes the group on its way with it, whose
outcome is then unknown; the next group gets a new keeper.
"""

from __future__ import annotations

import asyncio
import marshal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from zonal.dynamo.storage.keeper import LENGTH, Pairs, framed
from zonal.dynamo.storage.storage import StorageFailed

START_SECONDS = 60.0

Landed = Callable[[str], None]


class KeeperLink:
    """A keeper for the store in one directory. `landed` is told of each group: no words if it is durable, else what went wrong."""

    def __init__(self, directory: Path, landed: Landed, *, durable: bool) -> None:
        self._directory = directory
        self._durable = durable
        self._landed = landed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_owed = False  # An answer is due.
        self._unsent = b""
        self._heard = b""
        self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, pairs: Pairs) -> None:
        """Hand a group over; `landed` is called later."""
        if self._process.poll() is not None:
            self.hang_up()
            self._start()
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._socket, self._hear)
        self._is_owed = True
        self._unsent = framed(marshal.dumps(pairs))
        self._send_more()

    def hang_up(self) -> None:
        """Let the keeper end, once it has made its last commit."""
        self._stop_listening()
        self._socket.close()

    def wait(self) -> None:
        """Wait for its end."""
        self._process.wait(START_SECONDS)

    def _start(self) -> None:
        """Start a keeper and wait until it is ready. Raises `StorageFailed`."""
        self._socket, theirs = socket.socketpair()
        arguments = f"0, {str(self._directory)!r}, {self._durable}"
        program = f"import sys; sys.path[:] = {sys.path!r}; from zonal.dynamo.storage.keeper import main; main({arguments})"
        with theirs:
            command = [sys.executable, "-I", "-S", "-c", program]
            self._process = subprocess.Popen(command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, start_new_session=True)
        self._heard = b""
        self._socket.settimeout(START_SECONDS)
        try:
            problem = self._first_answer()
        except OSError as error:
            problem = f"its keeper does not start: {error}"
        if problem:
            self._socket.close()
            raise StorageFailed(f"the store in {self._directory} cannot be opened: {problem}")
        self._socket.setblocking(False)

    def _first_answer(self) -> str:
        while (answer := self._answer()) is None:
            piece = self._socket.recv(4096)
            if not piece:
                return "its keeper ended at once"
            self._heard += piece
        return answer

    def _send_more(self) -> None:
        assert self._loop is not None
        try:
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            self._loop.add_writer(self._socket, self._send_more)
            return
        except OSError:
            self._unsent = b""  # The reader hears the end too, and tells.
        self._loop.remove_writer(self._socket)

    def _hear(self) -> None:
        try:
            piece = self._socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self._stop_listening()
            self._process.wait(START_SECONDS)
            answer: str | None = "the process that writes the store has ended"
        else:
            self._heard += piece
            answer = self._answer()
        if answer is not None and self._is_owed:
            self._is_owed = False
            self._landed(answer)

    def _answer(self) -> str | None:
        """The next whole answer among what was heard."""
        if len(self._heard) < LENGTH:
            return None
        end = LENGTH + int.from_bytes(self._heard[:LENGTH], "big")
        if len(self._heard) < end:
            return None
        answer, self._heard = self._heard[LENGTH:end], self._heard[end:]
        return answer.decode(errors="replace")

    def _stop_listening(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._loop = None
