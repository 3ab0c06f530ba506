"""STS: who is calling. A key belongs to an account's root user: the region's own account, or another one that S3 knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zonal.services.operation import Call, operation

if TYPE_CHECKING:
    from types_boto3_sts.type_defs import GetCallerIdentityResponseTypeDef


class CallerIdentity:
    """The caller as AWS sees it."""

    @operation("GetCallerIdentity")
    def get(self, call: Call, request: dict[str, object]) -> GetCallerIdentityResponseTypeDef:
        """STS API Reference, GetCallerIdentity: for the account's root user the id is the account's number."""
        return {"UserId": call.account, "Account": call.account, "Arn": f"arn:aws:iam::{call.account}:root"}  # type: ignore[typeddict-item]
