"""Returning freed memory to the operating system.

CPython frees large objects to the C library, which keeps what lies between objects that live on. glibc's `malloc_trim` gives such pages
back; other C libraries have no such function and nothing is done there.
"""

from __future__ import annotations

import ctypes

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
if _trim is not None:
    _trim.argtypes = [ctypes.c_size_t]
    _trim.restype = ctypes.c_int


def release_free_memory() -> None:
    """Give freed memory back. Other threads of Python run meanwhile."""
    if _trim is not None:
        _trim(0)
