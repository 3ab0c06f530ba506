"""Empty strings in requests of the Query protocol: optional parameters are dropped, required ones rejected.

RDS and similar services treat `DBName=` as a request without `DBName` (Terraform's provider sends it), and reject an empty required
parameter with `InvalidParameterValue`, "The parameter DBInstanceIdentifier must be provided and must not be blank." An empty list has
the same form (`VpcSecurityGroupIds=`) and is dropped too, unless it is required: then the operation validates it. `without_blanks` wraps a
service's handlers, which therefore never receive such a value. Only top-level members are checked: tag values and filter values may be
empty.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from zonal.foundation.errors import AwsError
from zonal.services.operation import Call, Handler
from zonal.wire import service_models


def without_blanks(service: str, handlers: Mapping[str, Handler]) -> dict[str, Handler]:
    """A service's handlers by operation name, each wrapped in the check. `service` is botocore's name."""
    return {name: _checked(service, name, handler) for name, handler in handlers.items()}


def _checked(service: str, operation: str, handler: Handler) -> Handler:
    if inspect.iscoroutinefunction(handler):

        async def checked_async(call: Call, request: Mapping[str, Any]) -> Any:
            return await handler(call, _given(service, operation, request))

        return checked_async

    def checked(call: Call, request: Mapping[str, Any]) -> Any:
        return handler(call, _given(service, operation, request))

    return checked


def _given(service: str, operation: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """The request without blank parameters. Raises `InvalidParameterValue` if a required parameter is an empty string."""
    blank = [name for name, value in request.items() if value in ("", [])]
    if not blank:
        return request
    model = service_models.service(service).operation(operation)
    required = model.input.definition.required if model is not None and model.input is not None else ()
    for name in blank:
        if name in required and request[name] == "":
            raise AwsError("InvalidParameterValue", f"The parameter {name} must be provided and must not be blank.")
    return {name: value for name, value in request.items() if name in required or name not in blank}
