"""The `logging` handler of the region: writes to standard error, which `zonal start --detach` redirects to a bounded log file."""

from __future__ import annotations

import logging
from pathlib import Path

from zonal.foundation.log_files import LOG_BYTES, bound


class BoundedHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to standard error, and truncates the file `path` when it exceeds the limit.

    Like every `logging` handler it never raises; a message that cannot be written is dropped.
    """

    def __init__(self, path: Path, *, limit_bytes: int = LOG_BYTES) -> None:
        super().__init__()
        self._path = path
        self._limit_bytes = limit_bytes

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        bound(self._path, limit_bytes=self._limit_bytes)
