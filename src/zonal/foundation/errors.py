"""Two trees of errors: the caller's, in AWS's words, and ours.

`AwsError` is what an AWS client sees: a code, a message and an HTTP status. It is raised only where AWS behaviour is implemented
(`services`, `dynamo`, `buckets`, `wire`) and rendered by the gateway in the service's protocol. `ZonalError` is everything that
is zonal's own affair; it names the thing, what was tried, and what is possible now. A `ZonalError` that reaches the gateway is
answered as AWS's `InternalFailure` and logged with its traceback, never shown.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any


class ZonalError(Exception):
    """Something of zonal's own went wrong; the message says what, and what can be done."""


class AwsError(Exception):
    """An answer that AWS itself would give to this caller.

    `code` is the wire code (what botocore shows as `Error.Code`), `status` the HTTP status. `fields` are further members of the
    modelled error shape (`CancellationReasons`, `Item`, …) by their model names. `headers` go into the
    answer's head (S3's `ETag` of a 304).
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 400,
        fields: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.fields: Mapping[str, Any] = fields or {}
        self.headers: Mapping[str, str] = headers or {}


def describe(error: BaseException) -> str:
    """An error as one sentence for people; of a group, its first leaf. An `OSError` is its file and the text of the system."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ZonalError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
        if error.errno and text == os.strerror(error.errno):
            text = text[:1].lower() + text[1:]
        names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
        return ": ".join([*names, text])
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def not_implemented(service: str, operation: str) -> AwsError:
    """The 501 answer for an operation of an owned service that is not built."""
    return AwsError("NotImplemented", f"zonal does not implement {service}:{operation} yet; see docs/limits.md", status=501)
