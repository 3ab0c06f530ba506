"""Empty strings in requests of the Query protocol: an optional parameter with one is not given, a required one is refused.

RDS and its relatives read `DBName=` as a request without a `DBName` (Terraform's provider sends it so), and answer a required
parameter with an empty value with `InvalidParameterValue`, "The parameter DBInstanceIdentifier must be provided and must not be blank."
An empty list is written in the same way (`VpcSecurityGroupIds=`), so it is not given either; a required one is the operation's to judge.
`without_blanks` wraps a service's handlers so that no handler sees such a value. Only a request's own members are meant: an empty
tag value or filter value is a value.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from zonal.foundation.errors import AwsError
from zonal.services.operation import Call, Handler
from zonal.wire import service_models


def without_blanks(service: str, handlers: Mapping[str, Handler]) -> dict[str, Handler]:
    """The handlers of a service, by operation name, each behind the check of its request. `service` is botocore's name."""
    return {name: _checked(service, name, handler) for name, handler in handlers.items()}


def _checked(service: str, operation: str, handler: Handler) -> Handler:
    if inspect.iscoroutinefunction(handler):

        async def answer_later(call: Call, request: Mapping[str, Any]) -> Any:
            return await handler(call, _given(service, operation, request))

        return answer_later

    def answer(call: Call, request: Mapping[str, Any]) -> Any:
        return handler(call, _given(service, operation, request))

    return answer


def _given(service: str, operation: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """The request without empty parameters. Raises `InvalidParameterValue` where a required one is an empty string."""
    blank = [name for name, value in request.items() if value in ("", [])]
    if not blank:
        return request
    model = service_models.service(service).operation(operation)
    required = model.input.definition.required if model is not None and model.input is not None else ()
    for name in blank:
        if name in required and request[name] == "":
            raise AwsError("InvalidParameterValue", f"The parameter {name} must be provided and must not be blank.")
    return {name: value for name, value in request.items() if name in required or name not in blank}
