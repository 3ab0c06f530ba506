"""The blocking client of the operator API, for other processes; quick to import.

Every response is decoded into its struct. Errors are `RegionAbsent` (no region runs) and `RegionRefused` (the region's own message). Init
restarts a region that died within seconds; meanwhile the client repeats its request.
"""

from __future__ import annotations

import http.client
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from msgspec.structs import replace

from zonal.foundation import unix_sockets
from zonal.foundation.errors import ZonalError
from zonal.foundation.journal import JournalEntry
from zonal.foundation.leases import DIRECTORY, Lease
from zonal.operator_api.schemas import (
    ApiAccess,
    CommandRequest,
    ErrorBody,
    NodeFaultRequest,
    PreparedCommand,
    Status,
    ZoneFaultRequest,
    ZoneStatus,
)

if TYPE_CHECKING:
    from zonal.dynamo.capacity_comparison import CapacityComparison

T = TypeVar("T")

SOCKET = "operator.sock"
"""The name of the socket in the state directory."""

RESTART_SECONDS = 15.0
"""How long the client waits for init to restart the region; init pauses up to 5 s between two attempts."""

AGAIN_SECONDS = 0.1

LOG_END_BYTES = 4096
START_FAILED = "the region cannot start: "
"""The beginning of the last line in the log of a region that could not start."""


class RegionAbsent(ZonalError):
    """No region runs on this state directory."""


class RegionRefused(ZonalError):
    """The region rejected the request; the message is the region's."""


class RegionClient:
    """A client of the region whose state directory is `state`."""

    def __init__(self, state: Path, *, timeout_seconds: float = 60.0) -> None:
        self.state = state
        self._timeout = timeout_seconds
        self._leases: dict[str, Lease] = {}

    def status(self) -> Status:
        return self._ask("GET", "/status", Status)

    def capacity(self, table: str) -> CapacityComparison:
        """The cost of a DynamoDB table's recorded traffic in both capacity modes."""
        from zonal.dynamo.capacity_comparison import CapacityComparison

        return self._ask("GET", f"/tables/{quote(table, safe='')}/capacity", CapacityComparison)

    def access(self) -> ApiAccess:
        """The endpoint, the keys and the CA bundle that customers use."""
        return self._ask("GET", "/access", ApiAccess)

    def fail(self, zone: str, fault: ZoneFaultRequest) -> ZoneStatus:
        """Inject a fault into a zone; it is in force on return."""
        return self._ask("POST", f"/zones/{quote(zone)}/fail", ZoneStatus, fault)

    def recover(self, zone: str) -> ZoneStatus:
        """Remove the fault of a zone."""
        return self._ask("POST", f"/zones/{quote(zone)}/recover", ZoneStatus)

    def fail_node(self, database: str, node: str, fault: NodeFaultRequest) -> None:
        """Inject a fault into one node of a database."""
        self._ask("POST", f"/databases/{quote(database)}/nodes/{quote(node)}/fail", dict[str, str], fault, once=True)

    def journal(self, *, after: int = 0, event: str = "", subject: str = "", limit: int | None = None) -> list[JournalEntry]:
        """Entries of the journal, as `records.store.Store.journal` returns them."""
        query = {"after": after, "event": event, "subject": subject} | ({} if limit is None else {"limit": limit})
        return self._ask("GET", f"/journal?{urlencode(query)}", list[JournalEntry])

    def prepare(self, request: CommandRequest) -> PreparedCommand:
        """Prepare a host for a command of this machine. It is removed by `release`, or when this process ends."""
        if not self.state.is_dir():
            raise RegionAbsent(f"no region runs on {self.state}; `zonal start` starts one")
        lease = Lease(self.state / DIRECTORY)
        try:
            place = self._ask("POST", "/commands", PreparedCommand, replace(request, lease=lease.name))
        except BaseException:
            lease.release()
            raise
        self._leases[place.id] = lease
        return place

    def release(self, place: str) -> None:
        """Release a prepared host."""
        try:
            self._ask("DELETE", f"/commands/{quote(place)}", dict[str, str])
        finally:
            if place in self._leases:
                self._leases.pop(place).release()

    def _ask(self, method: str, path: str, shape: type[T], body: msgspec.Struct | None = None, *, once: bool = False) -> T:
        """Send a request, and repeat it while init restarts the region.

        A request that must take effect only `once` is not repeated when the region may have handled it already.
        """
        begun = time.monotonic()
        while True:
            try:
                status, content = self._exchange(method, path, None if body is None else msgspec.json.encode(body))
                break
            except (FileNotFoundError, ConnectionError, http.client.HTTPException) as error:
                self._check_coming(error, begun=begun, once=once)
                time.sleep(AGAIN_SECONDS)
        if status != 200:
            raise RegionRefused(msgspec.json.decode(content, type=ErrorBody).error)
        return msgspec.json.decode(content, type=shape)

    def _exchange(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        connection = _UnixConnection(self.state / SOCKET, self._timeout)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except PermissionError as error:
            raise RegionRefused(f"the state directory {self.state} belongs to another user: permission denied") from error
        except NotADirectoryError as error:
            raise RegionAbsent(f"{self.state} is not a directory; `--state DIR` names the state directory of a region") from error
        except TimeoutError as error:
            raise RegionRefused(f"the region on {self.state} did not answer within {self._timeout:g} s") from error
        finally:
            connection.close()

    def _check_coming(self, error: Exception, *, begun: float, once: bool) -> None:
        """Return when the request may be repeated, because init is restarting the region. Raises `RegionAbsent` and `RegionRefused`."""
        from zonal.fabric.sandbox import init_pid

        if init_pid(self.state) is None:
            raise RegionAbsent(absence(self.state)) from error
        if once and not isinstance(error, FileNotFoundError | ConnectionRefusedError):
            raise RegionRefused("the region died during the request and may have done it or not; `zonal status` shows which") from error
        if time.monotonic() - begun > RESTART_SECONDS:
            raise RegionRefused(f"the region on {self.state} does not restart; `zonal logs` shows its output") from error


def absence(state: Path) -> str:
    """A message that no region runs on a state directory, with the reason why the last one could not start, if its log ends with one."""
    text = f"no region runs on {state}; `zonal start` starts one"
    try:
        with (state / "region.log").open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - LOG_END_BYTES))
            last = log.read().decode(errors="replace").rstrip().rpartition("\n")[2]
    except OSError:
        return text
    found = last.partition(START_FAILED)
    return f"{text} (the last one: {START_FAILED}{found[2]})" if found[1] else text


class _UnixConnection(http.client.HTTPConnection):
    """`http.client` over a unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("zonal", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        unix_sockets.connect(self.sock, self._path)
