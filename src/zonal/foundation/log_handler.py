"""The handler of the region's own messages: standard error, which `zonal start --detach` leads into a log file, kept bounded."""

from __future__ import annotations

import logging
from pathlib import Path

from zonal.foundation.log_files import LOG_BYTES, bound


class BoundedHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to standard error, and starts the file `path` again where it has become longer than the limit.

    As every handler of `logging` it never raises: a message that cannot be written is lost.
    """

    def __init__(self, path: Path, *, limit_bytes: int = LOG_BYTES) -> None:
        super().__init__()
        self._path = path
        self._limit_bytes = limit_bytes

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        bound(self._path, limit_bytes=self._limit_bytes)
