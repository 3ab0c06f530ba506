"""DescribeDBLogFiles and DownloadDBLogFilePortion: the log files of a DB instance's leader.

A portion is addressed by a marker: `0` is the beginning, and each answer gives the marker of what follows. Without a marker the end
of the file is answered. A portion ends at a whole line and is at most a mebibyte (DownloadDBLogFilePortion).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from zonal.control.deployment_records import DeploymentSpec, DeploymentStatus, Member
from zonal.engines.node import LogFile, Node
from zonal.foundation.errors import AwsError
from zonal.records.store import Store
from zonal.services.operation import Call, ResponseMembers, operation
from zonal.services.rds.lookups import PAGING, filters, find_instance, page
from zonal.services.rds.model import DbInstance

if TYPE_CHECKING:
    from types_boto3_rds.type_defs import DescribeDBLogFilesMessageTypeDef, DownloadDBLogFilePortionMessageTypeDef

LARGEST_PORTION = 1 << 20
MOST_LINES = 10_000
_FILES = PAGING.bounded(fewest=1, most=1000)
"""The pages of DescribeDBLogFiles, for which AWS documents no bounds."""


class NodeLookup(Protocol):
    """Builds the node of a deployment's member (`control.engine_nodes.EngineNodes`)."""

    def node(self, deployment_spec: DeploymentSpec, member: Member) -> Node: ...


class Logs:
    """The operations on log files. They wait for file reads, so they run outside of transactions.

    `nodes` returns None until the networks are built.
    """

    def __init__(self, store: Store, nodes: Callable[[], NodeLookup | None] = lambda: None) -> None:
        self._store = store
        self._nodes = nodes

    @operation("DescribeDBLogFiles")
    async def describe(self, call: Call, request: DescribeDBLogFilesMessageTypeDef) -> ResponseMembers:
        filters(request, ())
        found = [
            file
            for file in await self._files(request["DBInstanceIdentifier"])
            if (request.get("FilenameContains") or "") in file.name
            and _milliseconds(file) >= (request.get("FileLastWritten") or 0)
            and file.size_bytes >= (request.get("FileSize") or 0)
        ]

        def render(file: LogFile) -> dict[str, object]:
            return {"LogFileName": file.name, "LastWritten": _milliseconds(file), "Size": file.size_bytes}

        return page(found, request, "DescribeDBLogFiles", lambda file: file.name, render, paging=_FILES)

    @operation("DownloadDBLogFilePortion")
    async def download(self, call: Call, request: DownloadDBLogFilePortionMessageTypeDef) -> ResponseMembers:
        name = request["LogFileName"]
        file = next((file for file in await self._files(request["DBInstanceIdentifier"]) if file.name == name), None)
        if file is None:
            raise AwsError("DBLogFileNotFoundFault", f"DBLog File: {name} is not found on the DB instance", status=404)
        lines = request.get("NumberOfLines")
        if lines is not None and not 0 < lines <= MOST_LINES:
            raise AwsError("InvalidParameterValue", f"Invalid value {lines} for NumberOfLines. Must be between 1 and {MOST_LINES}")
        return await asyncio.to_thread(portion, Path(file.path), request.get("Marker"), lines)

    async def _files(self, identifier: str) -> list[LogFile]:
        instance: DbInstance = find_instance(self._store, identifier)
        deployment_spec, deployment_status = self._store.get(DeploymentSpec, instance.id), self._store.get(DeploymentStatus, instance.id)
        nodes = self._nodes()
        if nodes is None or deployment_spec is None or deployment_status is None or not deployment_status.is_led:
            raise AwsError("DBInstanceNotReady", f"The DB instance {instance.identifier} is not ready to show its log files.")
        return await nodes.node(deployment_spec, deployment_status.leading).logs()


def portion(path: Path, marker: str | None, lines: int | None) -> ResponseMembers:
    """A portion of a file. Raises `InvalidParameterValue` for an invalid marker."""
    if marker is not None and not marker.isdecimal():
        raise AwsError("InvalidParameterValue", f"The marker '{marker}' is not valid for this log file")
    with path.open("rb") as file:
        size = file.seek(0, 2)
        begin = max(size - LARGEST_PORTION, 0) if marker is None else min(int(marker), size)
        file.seek(begin)
        data = file.read(LARGEST_PORTION)
    if marker is None:
        kept = data.splitlines(keepends=True)[-(lines or MOST_LINES) :]
    else:
        kept = data.splitlines(keepends=True)[: lines or MOST_LINES]
        if len(kept) > 1 and not kept[-1].endswith(b"\n"):
            kept.pop()  # The rest of this line follows with the next portion.
    shown = b"".join(kept)
    end = size if marker is None else begin + len(shown)
    return {"LogFileData": shown.decode("utf-8", "replace"), "Marker": str(end), "AdditionalDataPending": end < size}


def _milliseconds(file: LogFile) -> int:
    return int(file.written.timestamp() * 1000)
