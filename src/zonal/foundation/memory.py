"""Returns freed memory to the operating system.

CPython frees large objects to the C library, which keeps free pages between objects in use. glibc's `malloc_trim` returns these pages;
with another C library this module does nothing.
"""

from __future__ import annotations

import ctypes

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
if _trim is not None:
    _trim.argtypes = [ctypes.c_size_t]
    _trim.restype = ctypes.c_int


def release_free_memory() -> None:
    """Return freed memory. Releases the interpreter lock meanwhile."""
    if _trim is not None:
        _trim(0)
