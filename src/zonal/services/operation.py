"""Declares AWS operations: a method marked `@operation(name)` is the handler of the operation.

>>> class Keys:
...     @operation("CreateKey")
...     def create(self, call, request):
...         return {"KeyId": "key-1"}
>>> sorted(handlers(Keys()))
['CreateKey']

A plain method is a control-plane operation: it receives a `ControlCall`, runs inside the transaction `call.transaction` without waiting,
and its changes are durable before the response is sent. An `async` method is a data-plane operation (PutItem, GetObject): it receives a
`Call` without a transaction, and may wait. The request is a dictionary in the shape that boto3 takes, parsed and validated by botocore's
model; its annotation is the service's type from `types-boto3-*` under `TYPE_CHECKING`. The result is a dictionary in the shape that boto3
returns. DynamoDB's requests are the JSON that was sent: items differ from boto3's shape in binary values, which are base64 strings.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import msgspec

from zonal.foundation.identifiers import ACCOUNT, REGION
from zonal.records.store import Transaction


class Call(msgspec.Struct, frozen=True):
    """One call of an operation: who calls it, when, and the request.

    `now` is region time. `access_key` is None for an anonymous caller, which only S3 accepts. `raw` is the HTTP request, for the few
    operations that need more than their model holds (streamed bodies, host names, headers).
    """

    service: str
    operation: str
    now: datetime
    request_id: str
    access_key: str | None = None
    account: str = ACCOUNT
    region: str = REGION
    raw: Any = None


class ControlCall(Call, frozen=True, kw_only=True):
    """A call of a control-plane operation, with its open store transaction."""

    transaction: Transaction


class HandlerResponse(NamedTuple):
    """A result with a status that is not in the model (206, for example) or with headers. `members` is the result of other handlers."""

    members: Mapping[str, Any]
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()


ReadParameters = Mapping[str, Any]
"""Parameters that a function only reads."""
Parameters = dict[str, Any]
"""The parameters of a request, by their names in the model."""
ResponseMembers = dict[str, object]
"""The members of a response, by their names in the model."""
Handler = Callable[[Any, Any], Any]
"""Called with a `ControlCall`, or with a `Call` where it is `async`, and the parameters."""
F = TypeVar("F", bound=Callable[..., Any])


def operation(name: str) -> Callable[[F], F]:
    """Mark a method as the handler of the AWS operation `name` (as botocore spells it)."""

    def mark(method: F) -> F:
        method.__dict__["aws_operation"] = name
        return method

    return mark


def handlers(*nouns: object) -> dict[str, Handler]:
    """The marked methods of these objects, by operation name. Raises `ValueError` if two have the same operation."""
    found: dict[str, Handler] = {}
    for noun in nouns:
        for _, method in inspect.getmembers(noun, callable):
            name = getattr(method, "aws_operation", None)
            if name is None:
                continue
            if name in found:
                raise ValueError(f"{name} has two handlers: {found[name].__qualname__} and {method.__qualname__}")
            found[name] = method
    return found
