"""How an AWS operation is written: a method with a mark, called inside one store transaction.

>>> class Keys:
...     @operation("CreateKey")
...     def create(self, call, request):
...         return {"KeyId": "key-1"}
>>> sorted(handlers(Keys()))
['CreateKey']

A plain method is a control-plane operation: it runs at once, in the transaction `call.transaction`, and its changes are durable
before the answer leaves. An `async` method is a data-plane operation (PutItem, GetObject): it gets no transaction and may wait.
The request is a dictionary in the shape that boto3 takes, parsed and type-checked by botocore's model; annotate it with the
service's own type from `types-boto3-*` under `TYPE_CHECKING`. The answer is a dictionary in the shape that boto3 returns. DynamoDB's
requests are the JSON that was sent: its control plane has boto3's types, its items do not, because their shape differs (binary values
are base64 text).
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
    """An answer whose status the model does not tell (206, say), or with headers of its own. `members` is what a handler returns else."""

    members: Mapping[str, Any]
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()


ReadParameters = Mapping[str, Any]
"""What a request asks, where it is only read."""
Parameters = dict[str, Any]
"""What a request asks, by the names of the operation's model."""
ResponseMembers = dict[str, object]
"""An answer's members, by the names of the operation's model."""
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
    """The marked methods of these nouns, by operation name. Raises `ValueError` where two claim one operation."""
    found: dict[str, Handler] = {}
    for noun in nouns:
        for _, method in inspect.getmembers(noun, callable):
            name = getattr(method, "aws_operation", None)
            if name is None:
                continue
            if name in found:
                raise ValueError(f"{name} is claimed by {found[name].__qualname__} and {method.__qualname__}")
            found[name] = method
    return found
