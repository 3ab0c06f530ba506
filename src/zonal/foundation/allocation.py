"""Allocates disk blocks to a file before they are needed.

DynamoDB's writer process imports this at every start of a region, so it imports little.
"""

from __future__ import annotations

import os

LEFT_BYTES = 16 * 1024 * 1024
"""A reserve is made only if this much is left beside it: PostgreSQL needs a WAL segment of 16 MiB to continue."""


def allocate(path: str, size_bytes: int) -> bool:
    """Give an existing file blocks up to `size_bytes`; report whether it has them. The content does not change, a shorter file grows."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        size, disk = os.fstat(descriptor).st_size, os.fstatvfs(descriptor)
        if size >= size_bytes:
            return True
        if disk.f_bavail * disk.f_frsize < size_bytes - size + LEFT_BYTES:
            return False
        os.posix_fallocate(descriptor, size, size_bytes - size)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
