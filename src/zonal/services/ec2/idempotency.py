"""Idempotent creation: `ClientToken`.

SDKs send a token with each creation and repeat it when they retry, so that a lost response does not lead to a second resource. A request
with a known token and the same parameters returns the resource that the first one created; with other parameters it is rejected
("Ensuring idempotency in Amazon EC2 API requests"). A token is stored for one day.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TypeVar

import msgspec

from zonal.foundation.errors import AwsError
from zonal.services.ec2.model import ClientToken, Tagged
from zonal.services.operation import ControlCall

T = TypeVar("T", bound=Tagged)

REMEMBERED = timedelta(days=1)


def once(call: ControlCall, request: Mapping[str, object], kind: type[T], make: Callable[[], T]) -> T:
    """Create a resource by `make`, or return the one that the same token created. Raises `IdempotentParameterMismatch`.

    A resource that has been deleted since is created again.
    """
    token = request.get("ClientToken")
    if not token:
        return make()
    _forget_old(call)
    id = f"{call.operation}:{token}"
    digest = _digest(request)
    used = call.transaction.get(ClientToken, id)
    if used is not None and used.digest != digest:
        raise AwsError(
            "IdempotentParameterMismatch",
            "The request uses the same client token as a previous, but non-identical request."
            " Do not reuse a client token with different requests, unless the requests are identical.",
        )
    present = call.transaction.get(kind, used.resource_id) if used is not None else None
    if present is not None:
        return present
    made = make()
    call.transaction.put(ClientToken(id=id, digest=digest, resource_id=made.id, used=call.now))
    return made


def _digest(request: Mapping[str, object]) -> str:
    compared = {name: value for name, value in request.items() if name not in ("ClientToken", "DryRun")}
    return hashlib.sha256(msgspec.json.encode(compared, order="sorted")).hexdigest()


def _forget_old(call: ControlCall) -> None:
    for token in call.transaction.select(ClientToken, lambda token: token.used < call.now - REMEMBERED):
        call.transaction.delete(ClientToken, token.id)
