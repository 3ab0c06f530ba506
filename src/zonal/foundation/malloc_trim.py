"""Returns freed memory to the operating system.

CPython frees large objects to the C library, which keeps free pages between objects in use. glibc's `malloc_trim` returns these pages;
with another C library this module does nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable


def release_free_memory() -> None:
    """Return freed memory to the operating system. Releases the interpreter lock meanwhile."""
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    """The C library's function, or None where it has none. `ctypes` is loaded at the first call, not by every import of this module."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim.argtypes = [ctypes.c_size_t]
        trim.restype = ctypes.c_int
    return trim
