"""Wrappers that make each step of a reconciler fail once, before or after it takes effect, or run twice.

They wrap the object that a reconciler acts on (a node, a host, a fabric) and pass calls through:

>>> node = fails_once(FakeNode(...))                 # each method raises the first time it is called, without effect
>>> node = fails_once(FakeNode(...), after=True)     # each takes effect the first time, and then raises
>>> node = runs_twice(FakeNode(...))                 # each takes effect twice
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from zonal.foundation.errors import ZonalError

T = TypeVar("T")


class StepFailed(ZonalError):
    """The failure that a test injects."""


def fails_once(target: T, *, after: bool = False, but: tuple[str, ...] = ("look",)) -> T:
    """`target`, with each async method raising `StepFailed` the first time; methods in `but` are passed through."""
    failed: set[str] = set()

    def failures(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*arguments: Any, **named: Any) -> Any:
            first = name not in failed
            failed.add(name)
            if first and not after:
                raise StepFailed(f"{name} fails the first time")
            result = await method(*arguments, **named)
            if first:
                raise StepFailed(f"{name} took effect and fails the first time")
            return result

        return call

    return _Wrapped(target, failures, but)  # type: ignore[return-value]


def runs_twice(target: T, *, but: tuple[str, ...] = ("look",)) -> T:
    """`target`, with each async method called twice; returns the second result."""

    def twice(_: str, method: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*arguments: Any, **named: Any) -> Any:
            await method(*arguments, **named)
            return await method(*arguments, **named)

        return call

    return _Wrapped(target, twice, but)  # type: ignore[return-value]


class _Wrapped:
    def __init__(self, target: Any, wrap: Callable[[str, Callable[..., Any]], Callable[..., Any]], but: tuple[str, ...]) -> None:
        self._target = target
        self._wrap = wrap
        self._but = but

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if name in self._but or not inspect.iscoroutinefunction(value):
            return value
        return self._wrap(name, value)
