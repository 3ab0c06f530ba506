"""The forwarder: serves public endpoints of the region on loopback addresses of the host.

It is a process in the internet's namespace and keeps running while the region restarts. The endpoints are in a file,
`{"127.9.113.5": {"5432": ["203.0.113.5", 5432]}}`, which it reads again on SIGHUP. It gets each listener from the supervisor and connects
every client to the public address, through the internet gateway and the security groups. When nothing answers there, the client gets no
answer either.

Run as a program: `forwarder TABLE BROKER-SOCKET STATUS`. The status file holds `ok` for each endpoint, or why it is not served.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from zonal.fabric.listener_broker import request_listener
from zonal.foundation.errors import describe
from zonal.foundation.files import replace_file
from zonal.foundation.log_files import write_line

CHUNK = 1 << 16
_Endpoint = tuple[str, int]


class Forwarder:
    """The listeners that are served."""

    def __init__(self, table: Path, broker: Path, status: Path) -> None:
        self._table = table
        self._broker = broker
        self._status = status
        self._servers: dict[_Endpoint, tuple[asyncio.Server, _Endpoint]] = {}
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Serve what the table holds until the process ends."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._changed.set)
        while True:
            self._changed.clear()
            report = await self._follow()
            self._report(report)
            try:
                async with asyncio.timeout(1.0 if set(report.values()) - {"ok"} else None):
                    await self._changed.wait()
            except TimeoutError:
                pass  # An address that was in use may be free now.

    async def _follow(self) -> dict[str, str]:
        wanted = _read(self._table)
        for endpoint, (server, target) in list(self._servers.items()):
            if wanted.get(endpoint) != target:
                server.close()
                del self._servers[endpoint]
        report = {}
        for endpoint, target in wanted.items():
            name = f"{endpoint[0]}:{endpoint[1]}"
            try:
                if endpoint not in self._servers:
                    self._servers[endpoint] = (await self._serve(endpoint, target), target)
                report[name] = "ok"
            except OSError as error:
                report[name] = describe(error)
        return report

    async def _serve(self, endpoint: _Endpoint, target: _Endpoint) -> asyncio.Server:
        listener = await asyncio.to_thread(request_listener, self._broker, *endpoint)
        listener.setblocking(False)

        async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await _join(reader, writer, target)

        return await asyncio.start_server(connect, sock=listener)

    def _report(self, report: dict[str, str]) -> None:
        try:
            replace_file(self._status, json.dumps(report), durable=False)
        except OSError as error:  # The endpoints are served nevertheless.
            write_line(f"zonal: the forwarder's status cannot be written: {error}")


async def _join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: _Endpoint) -> None:
    """Connect a client to the target and copy bytes until both sides are done. A reset on one side resets the other."""
    try:
        far_reader, far_writer = await asyncio.open_connection(*target)
    except OSError:
        writer.transport.abort()
        return
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_carry(reader, far_writer))
            group.create_task(_carry(far_reader, writer))
    except* OSError:
        writer.transport.abort()
        far_writer.transport.abort()
    finally:
        writer.close()
        far_writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK):
        writer.write(chunk)
        await writer.drain()
    writer.write_eof()


def _read(table: Path) -> dict[_Endpoint, _Endpoint]:
    try:
        rows = json.loads(table.read_text())
    except FileNotFoundError:
        return {}
    return {(address, int(port)): (target[0], int(target[1])) for address, ports in rows.items() for port, target in ports.items()}


async def main(argv: list[str]) -> None:
    table, broker, status = (Path(word) for word in argv)
    await Forwarder(table, broker, status).run()


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1:]))
    except KeyboardInterrupt:
        os._exit(130)
