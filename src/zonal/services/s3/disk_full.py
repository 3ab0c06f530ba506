"""The answer of a full disk: 507 `InsufficientStorage`, which S3 has no need of and no error for.

A 503 would make every client try again for a while, although only somebody who deletes something can help. Nothing of what was refused has
taken effect; deletions still work, since content leaves room for them (`buckets.file_writer`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zonal.buckets.blobs import DiskFull
from zonal.foundation.errors import AwsError
from zonal.services.operation import Call, Handler


def with_disk_full_error(handlers: Mapping[str, Handler]) -> dict[str, Handler]:
    """The handlers, each of which tells its caller where the disk is full."""
    return {name: _with_disk_full_error(handler) for name, handler in handlers.items()}


def _with_disk_full_error(handler: Handler) -> Handler:
    async def telling(call: Call, request: Any) -> Any:
        try:
            return await handler(call, request)
        except DiskFull as error:
            message = "The disk of this region is full. Delete something, or give it more room."
            raise AwsError("InsufficientStorage", message, status=507) from error

    telling.__qualname__ = handler.__qualname__
    return telling
