"""The service `sts`: the identity of the caller.

An access key belongs to the root user of an account: the region's own, or another one from the setting `credentials`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zonal.services.operation import ControlCall, handlers, operation
from zonal.services.service import Service, ServiceOptions

if TYPE_CHECKING:
    from types_boto3_sts.type_defs import GetCallerIdentityResponseTypeDef


def sts() -> Service:
    """The service descriptor."""
    return Service("sts", handlers(CallerIdentity()), ServiceOptions(accounts=True))


class CallerIdentity:
    """Returns the identity behind an access key."""

    @operation("GetCallerIdentity")
    def get(self, call: ControlCall, request: dict[str, object]) -> GetCallerIdentityResponseTypeDef:
        """STS API Reference, GetCallerIdentity: the id of an account's root user is the account's number."""
        return {"UserId": call.account, "Account": call.account, "Arn": f"arn:aws:iam::{call.account}:root"}  # type: ignore[typeddict-item]
