"""A value that one part of the program supplies later than the parts that use it are constructed.

The API answers before the networks are built, so the parts that answer get a `Promise` of what is built behind the first answer.
"""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Promise(Generic[T]):
    """A value that is set once. Belongs to one event loop; may be constructed outside of it."""

    def __init__(self) -> None:
        self._value: T | None = None
        self._is_set = asyncio.Event()

    @property
    def value(self) -> T | None:
        """The value, or None while it is not set."""
        return self._value

    def set(self, value: T) -> None:
        """Set the value. It is an `AssertionError` to set it twice."""
        assert not self._is_set.is_set(), "a promise is set once"
        self._value = value
        self._is_set.set()

    async def wait(self) -> T:
        """The value, as soon as it is set."""
        await self._is_set.wait()
        assert self._value is not None
        return self._value
