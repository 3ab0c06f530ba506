"""Public endpoints on loopback addresses of the host, and the forwarder process that serves them.

The loopback address is computed from the region's state directory and the public address, so that it is the same after every restart and
two regions do not collide: 203.0.113.5 becomes 127.R.S.5, where R and S are one of 25,000 pairs. The forwarder is started with the first
endpoint. A restarted region finds it again, and it is restarted when it dies.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path
from zlib import crc32

import msgspec

from zonal.fabric.linux import syscalls
from zonal.fabric.linux.processes import ProcessMark, find, mark, spawn
from zonal.fabric.linux.threads import in_own_thread
from zonal.foundation.clock import wait_for
from zonal.foundation.errors import ZonalError
from zonal.foundation.files import replace_file
from zonal.foundation.log_files import FORWARDER_LOG, open_log
from zonal.foundation.periodic import repeat

_VARIABLE, _NAME = "ZONAL_PROCESS", ".forwarder"
_RUN = "asyncio.run(main(sys.argv[1:]))"
RESTART_SECONDS = 0.2
_SERVING_WITHIN = timedelta(seconds=5)


class NotExposed(ZonalError):
    """The host cannot reach the endpoint on its loopback address; the message gives the reason."""


class Exposure:
    """The exposed endpoints and the forwarder process."""

    def __init__(self, state: Path, run: Path) -> None:
        self._state = state
        self._table = run / "forwards.json"
        self._status = run / "forwards.status"
        self._record = run / "forwarder.process"
        self._rows: dict[str, dict[str, tuple[str, int]]] = {}
        self._namespace: int | None = None
        self._watch: asyncio.Task[None] | None = None

    def start(self, namespace: int) -> None:
        """Load the endpoints that an earlier region process exposed. `namespace` is that of the internet."""
        self._namespace = namespace
        if self._table.exists():
            self._rows = msgspec.json.decode(self._table.read_bytes(), type=dict[str, dict[str, tuple[str, int]]])
        if self._rows:
            self._keep_alive()

    async def stop(self) -> None:
        """Stop watching the forwarder, which keeps serving."""
        if self._watch:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None

    def address(self, public_address: str) -> str:
        """The loopback address of a public address."""
        _, _, block, host = map(int, public_address.split("."))
        first, second = divmod(crc32(str(self._state).encode()) % 25_000, 125)
        return f"127.{20 + first}.{2 * second + block % 2}.{host}"  # The blocks are 203.0.113.0/24 and 198.51.100.0/24: odd and even.

    async def expose(self, public_address: str, port: int) -> str:
        """Serve an endpoint on the host. Returns its loopback address once it is served. Raises `NotExposed`."""
        address = self.address(public_address)
        self._rows.setdefault(address, {})[str(port)] = (public_address, port)
        self._save()
        self._keep_alive()
        self._forwarder().send(signal.SIGHUP)
        name = f"{address}:{port}"
        try:
            said = await wait_for(lambda: self._said().get(name), within=_SERVING_WITHIN)
        except TimeoutError:
            said = "the forwarder does not answer"
        if said != "ok":
            raise NotExposed(f"{public_address}:{port} cannot be reached from this machine at {name}: {said}")
        return address

    async def unexpose(self, public_address: str, port: int) -> None:
        """Stop serving an endpoint. Does nothing when it is not served."""
        address = self.address(public_address)
        if self._rows.get(address, {}).pop(str(port), None) is None:
            return
        if not self._rows[address]:
            del self._rows[address]
        self._save()
        self._forwarder().send(signal.SIGHUP)

    def _save(self) -> None:
        replace_file(self._table, msgspec.json.encode(self._rows), durable=False)
        self._status.unlink(missing_ok=True)

    def _said(self) -> dict[str, str]:
        try:
            return dict(json.loads(self._status.read_text()))
        except (FileNotFoundError, ValueError):
            return {}

    def _keep_alive(self) -> None:
        if self._watch is None:
            self._watch = asyncio.get_running_loop().create_task(self._live(), name="forwarder")

    async def _live(self) -> None:
        await repeat(self._run_forwarder, what="the forwarder", pause_seconds=RESTART_SECONDS)

    async def _run_forwarder(self) -> None:
        """Start the forwarder unless it runs, and wait for its end."""
        running = self._forwarder()
        if not running.is_alive():
            self._record.write_bytes(msgspec.json.encode(ProcessMark()))
            pid = await in_own_thread(self._spawn, name="start forwarder")
            running = mark(pid)
            self._record.write_bytes(msgspec.json.encode(running))
        await running.wait()

    def _forwarder(self) -> ProcessMark:
        if not self._record.exists():
            return ProcessMark()
        known = msgspec.json.decode(self._record.read_bytes(), type=ProcessMark)
        return known if known.pid else find(_VARIABLE, _NAME)

    def _spawn(self) -> int:
        assert self._namespace is not None
        log = open_log(self._state / FORWARDER_LOG)
        nothing = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        source = str(Path(__file__).parents[2])
        program = f"import asyncio, sys; sys.path.insert(0, {source!r}); from zonal.fabric.forwarder import main; {_RUN}"
        argv = (sys.executable, "-S", "-E", "-c", program, str(self._table), str(self._state / "broker.sock"), str(self._status))
        try:
            syscalls.enter(self._namespace, syscalls.NEW_NET)
            return spawn(sys.executable, argv, {_VARIABLE: _NAME, "PATH": os.environ.get("PATH", "")}, stdin=nothing, stdout=log)
        finally:
            os.close(log)
            os.close(nothing)
