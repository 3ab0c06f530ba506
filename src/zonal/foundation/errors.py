"""Two families of errors: `AwsError` for the caller of AWS's API, and `ZonalError` for zonal itself.

An `AwsError` has the code, message and HTTP status that an AWS client receives. It is raised only where AWS behaviour is implemented
(`services`, `dynamo`, `buckets`, `wire`), and the gateway renders it in the service's protocol. The message of a `ZonalError` names the
resource, what was tried, and what is possible now. A `ZonalError` that reaches the `Invoker` is logged with its traceback, and the caller
receives AWS's `InternalFailure`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any


class ZonalError(Exception):
    """An error of zonal itself; the message states the problem and what can be done."""


class AwsError(Exception):
    """An error response that AWS would send to this caller.

    `code` is the code on the wire (botocore's `Error.Code`), `status` the HTTP status. `fields` are further members of the modelled
    error shape (`CancellationReasons`, `Item`, …) by their model names. `headers` are added to the response (S3's `ETag` of a 304).
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
    """An error as one sentence; for a group, its first leaf. For an `OSError`, its file names and the system's text."""
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
    """The 501 error for an operation that is not implemented, of a service that is."""
    return AwsError("NotImplemented", f"zonal does not implement {service}:{operation} yet; see docs/limits.md", status=501)
