"""Buckets: create, head, list, delete, location.

A new bucket has AWS's current defaults: the bucket owner owns every object (ACLs are disabled), public access is blocked, objects are
encrypted. With the setting `s3_new_buckets = "before-2023"` it has the defaults from before April 2023. (S3 API Reference, CreateBucket; S3
User Guide, "General purpose bucket naming rules".)
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from zonal.buckets.catalog import CatalogChanges
from zonal.buckets.records import Bucket
from zonal.foundation.credentials import Accounts
from zonal.foundation.errors import AwsError
from zonal.services.operation import Call, HandlerResponse, operation
from zonal.services.s3 import acls
from zonal.services.s3.context import S3Context
from zonal.services.s3.errors import access_denied, invalid_argument, malformed_xml, no_such_bucket, not_built
from zonal.services.s3.tags import checked_tags

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        CreateBucketRequestTypeDef,
        DeleteBucketRequestTypeDef,
        GetBucketLocationRequestTypeDef,
        HeadBucketRequestTypeDef,
        ListBucketsRequestTypeDef,
    )

BLOCKED = dict.fromkeys(acls.ACCESS_BLOCK_SWITCHES, True)
OPEN = {"encryption": {"Rules": [{"BlockedEncryptionTypes": {"EncryptionType": ["NONE"]}}]}}
"""Configuration of new buckets before April 2023: public access and SSE-C are not blocked. They have no ownership controls: ACLs apply."""

LIMIT = 10_000


class Buckets:
    """Operations on buckets."""

    def __init__(self, s3_context: S3Context, *, is_open: bool) -> None:
        self._s3_context = s3_context
        self._is_open = is_open

    @operation("CreateBucket")
    async def create(self, call: Call, request: CreateBucketRequestTypeDef) -> dict[str, Any]:
        name = request["Bucket"]
        check_name(name)
        configuration = request.get("CreateBucketConfiguration") or {}
        _check_location(configuration, call.region)
        bucket = _new(call, request, configuration, self._s3_context.accounts, self._is_open)

        def work(changes: CatalogChanges) -> None:
            existing = changes.bucket(name)
            if existing is None:
                if len(changes.buckets()) >= LIMIT:
                    raise AwsError("TooManyBuckets", "You have attempted to create more buckets than allowed")
                changes.add_bucket(bucket)
            elif existing.owner != call.account:
                message = "The requested bucket name is not available. The bucket namespace is shared by all users of the system."
                raise AwsError("BucketAlreadyExists", f"{message} Please select a different name and try again.", status=409)
            else:
                changes.put_bucket(replace(existing, grants=bucket.grants))  # us-east-1 resets the ACL and nothing else.

        await self._s3_context.catalog.change(work)
        return {"Location": f"/{name}", "BucketArn": f"arn:aws:s3:::{name}"}

    @operation("HeadBucket")
    async def head(self, call: Call, request: HeadBucketRequestTypeDef) -> HandlerResponse:
        bucket = self._s3_context.bucket(request["Bucket"])
        members = {"BucketRegion": call.region, "BucketArn": f"arn:aws:s3:::{bucket.name}", "AccessPointAlias": False}
        return HandlerResponse(members, headers=(("Content-Type", "application/xml"),))

    @operation("ListBuckets")
    async def list(self, call: Call, request: ListBucketsRequestTypeDef) -> dict[str, Any]:
        limit = request.get("MaxBuckets", LIMIT)
        if not 1 <= limit <= LIMIT:
            raise invalid_argument(f"Argument max-buckets must be an integer between 1 and {LIMIT}", "max-buckets", limit)
        prefix, after = request.get("Prefix", ""), request.get("ContinuationToken", "")
        mine = [each for each in self._s3_context.catalog.view.buckets() if each.owner == call.account]
        if request.get("BucketRegion", call.region) != call.region:
            mine = []
        found = [each for each in mine if each.name.startswith(prefix) and each.name > after]
        shown = [
            {"Name": each.name, "CreationDate": each.at, "BucketRegion": call.region, "BucketArn": f"arn:aws:s3:::{each.name}"}
            for each in found[:limit]
        ]
        answer: dict[str, Any] = {"Owner": self._s3_context.owner(call.account), "Buckets": shown}
        if "Prefix" in request:
            answer["Prefix"] = prefix
        if len(found) > limit:
            answer["ContinuationToken"] = found[limit - 1].name
        return answer

    @operation("DeleteBucket")
    async def delete(self, call: Call, request: DeleteBucketRequestTypeDef) -> None:
        def work(changes: CatalogChanges) -> None:
            bucket = changes.bucket(request["Bucket"])
            if bucket is None:
                raise no_such_bucket(request["Bucket"])
            if bucket.owner != call.account:
                raise access_denied()
            if not changes.is_empty(bucket.number):
                message = "The bucket you tried to delete is not empty"
                if bucket.versioning:
                    message += ". You must delete all versions in the bucket."
                raise AwsError("BucketNotEmpty", message, status=409, fields={"BucketName": bucket.name})
            changes.delete_bucket(bucket)

        await self._s3_context.catalog.change(work)

    @operation("GetBucketLocation")
    async def location(self, call: Call, request: GetBucketLocationRequestTypeDef) -> dict[str, Any]:
        self._s3_context.bucket(request["Bucket"])
        return {"LocationConstraint": "" if call.region == "us-east-1" else call.region}


_NAME = re.compile(r"(?=.{3,63}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_RESERVED = re.compile(r"xn--.*|sthree-.*|amzn-s3-demo-.*|.*-s3alias|.*--ol-s3|.*\.mrap|.*--x-s3|.*--table-s3")


def check_name(name: str) -> None:
    """Raises `AwsError` InvalidBucketName if this is not a valid bucket name."""
    good = _NAME.fullmatch(name) and not _is_address(name) and not _RESERVED.fullmatch(name)
    if not good:
        raise AwsError("InvalidBucketName", "The specified bucket is not valid.", fields={"BucketName": name})


def _is_address(name: str) -> bool:
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True


def _check_location(configuration: Mapping[str, Any], region: str) -> None:
    wanted = configuration.get("LocationConstraint")
    if configuration.get("Location") or configuration.get("Bucket"):
        raise not_built("directory buckets")
    if not wanted:
        return
    if wanted == "us-east-1" or not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d|EU", wanted):  # us-east-1 is not a valid location.
        raise AwsError("InvalidLocationConstraint", "The specified location-constraint is not valid", fields={"LocationConstraint": wanted})
    if wanted != region:
        message = f"The {wanted} location constraint is incompatible for the region specific endpoint this request was sent to."
        raise AwsError("IllegalLocationConstraintException", message)


def _new(call: Call, request: Mapping[str, Any], configuration: Mapping[str, Any], accounts: Accounts, is_open: bool) -> Bucket:
    tags = checked_tags(configuration["Tags"], 50) if configuration.get("Tags") else {}
    bucket = Bucket(
        name=request["Bucket"],
        number=0,
        created=call.now.timestamp(),
        owner=call.account,
        ownership=acls.ownership(request["ObjectOwnership"]) if "ObjectOwnership" in request else "" if is_open else "BucketOwnerEnforced",
        tags=tags,
        settings=OPEN if is_open else {"public_access_block": BLOCKED},
    )
    if request.get("ObjectLockEnabledForBucket"):
        bucket = replace(bucket, object_lock=True, versioning="Enabled")
    if request.get("BucketNamespace", "global") != "global":
        raise malformed_xml()
    return replace(bucket, grants=acls.for_new_bucket(call, request, bucket, accounts))
