"""Rejection of parameters that request something zonal does not implement.

A service sets its error code and message in `UnsupportedParameters`; each operation lists its unsupported parameters with the reason.
A parameter that is absent, empty, false or 0 requests nothing and is accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from zonal.foundation.errors import AwsError


class UnsupportedParameters(NamedTuple):
    """A service's error: `code`, and `message(parameter, reason)`."""

    code: str
    message: Callable[[str, str], str]

    def reject(self, request: Mapping[str, object], reasons: Mapping[str, str]) -> None:
        """Raises for the first parameter of `reasons` (name: what is missing) that the request sets."""
        for name, reason in reasons.items():
            if request.get(name) not in (None, "", False, [], 0, ()):
                raise AwsError(self.code, self.message(name, reason))

    def require_only(self, request: Mapping[str, object], only: Mapping[str, object]) -> None:
        """Raises for the first parameter of `only` (name: the only supported value) that the request sets to another value."""

        for name, value in only.items():
            if request.get(name) not in (None, value):
                raise AwsError(self.code, f"{name} can only be {value}, not {request[name]}; see docs/limits.md")
