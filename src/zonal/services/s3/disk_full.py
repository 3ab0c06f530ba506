"""The error for a full disk: 507 `InsufficientStorage`, which AWS does not have.

SDKs retry a 503, in vain until somebody deletes something. A rejected write has no effect; deletions still work, because content
leaves room for them on the disk (`buckets.file_writer`) and the catalog has a reserve (`foundation.disk_reserve`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zonal.buckets.blobs import DiskFull
from zonal.foundation.errors import AwsError
from zonal.services.operation import Call, Handler


def with_disk_full_error(handlers: Mapping[str, Handler]) -> dict[str, Handler]:
    """The handlers, each of which raises `InsufficientStorage` if the disk is full."""
    return {name: _with_disk_full_error(handler) for name, handler in handlers.items()}


def _with_disk_full_error(handler: Handler) -> Handler:
    async def translated(call: Call, request: Any) -> Any:
        try:
            return await handler(call, request)
        except DiskFull as error:
            message = "The disk of this region is full. Delete objects or free disk space."
            raise AwsError("InsufficientStorage", message, status=507) from error

    translated.__qualname__ = handler.__qualname__
    return translated
