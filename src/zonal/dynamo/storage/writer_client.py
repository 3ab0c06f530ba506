"""Client of the writer process: starts it, sends groups of changes, and receives their results over a socket.

One group is in flight at a time. Sending and receiving happen on the event loop and do not block it. Only the start blocks, because
nothing can be read before the writer process of the previous region has exited. If the writer process dies, the outcome of the group in
flight is unknown and reported as failed; the next group is sent to a new writer process.
"""

from __future__ import annotations

import asyncio
import marshal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from zonal.dynamo.storage.storage import StorageFailed
from zonal.dynamo.storage.writer_process import LENGTH, Pairs, framed

START_SECONDS = 60.0

OnCommitEnded = Callable[[str], None]


class WriterClient:
    """A writer process for the store in one directory.

    `commit_ended` is called once for each group: with an empty string when it is durable, otherwise with the error.
    """

    def __init__(self, directory: Path, commit_ended: OnCommitEnded, *, durable: bool) -> None:
        self._directory = directory
        self._durable = durable
        self._commit_ended = commit_ended
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_owed = False  # A group is in flight.
        self._unsent = b""
        self._received = b""
        self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, pairs: Pairs) -> None:
        """Send a group; `commit_ended` is called with the result."""
        if self._process.poll() is not None:
            self.disconnect()
            self._start()
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._socket, self._receive)
        self._is_owed = True
        self._unsent = framed(marshal.dumps(pairs))
        self._send_more()

    def disconnect(self) -> None:
        """Close the socket; the writer process exits after its last commit."""
        self._stop_listening()
        self._socket.close()

    def wait(self) -> None:
        """Wait until the writer process has exited."""
        self._process.wait(START_SECONDS)

    def _start(self) -> None:
        """Start a writer process and wait until it is ready. Raises `StorageFailed`."""
        self._socket, theirs = socket.socketpair()
        arguments = f"0, {str(self._directory)!r}, {self._durable}"
        program = f"import sys; sys.path[:] = {sys.path!r}; from zonal.dynamo.storage.writer_process import main; main({arguments})"
        with theirs:
            command = [sys.executable, "-I", "-S", "-c", program]
            self._process = subprocess.Popen(command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, start_new_session=True)
        self._received = b""
        self._socket.settimeout(START_SECONDS)
        try:
            problem = self._first_answer()
        except OSError as error:
            problem = f"the writer process does not start: {error}"
        if problem:
            self._socket.close()
            raise StorageFailed(f"cannot open the store in {self._directory}: {problem}")
        self._socket.setblocking(False)

    def _first_answer(self) -> str:
        while (answer := self._answer()) is None:
            piece = self._socket.recv(4096)
            if not piece:
                return "the writer process exited at once"
            self._received += piece
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
            self._unsent = b""  # `_receive` sees the closed socket too, and reports it.
        self._loop.remove_writer(self._socket)

    def _receive(self) -> None:
        try:
            piece = self._socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self._stop_listening()
            self._process.wait(START_SECONDS)
            answer: str | None = "the writer process has exited"
        else:
            self._received += piece
            answer = self._answer()
        if answer is not None and self._is_owed:
            self._is_owed = False
            self._commit_ended(answer)

    def _answer(self) -> str | None:
        """The next complete answer in the received bytes; None if there is none yet."""
        if len(self._received) < LENGTH:
            return None
        end = LENGTH + int.from_bytes(self._received[:LENGTH], "big")
        if len(self._received) < end:
            return None
        answer, self._received = self._received[LENGTH:end], self._received[end:]
        return answer.decode(errors="replace")

    def _stop_listening(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._loop = None
