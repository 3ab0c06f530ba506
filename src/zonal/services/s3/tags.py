"""Tags of buckets and objects. (S3 User Guide, "Categorizing your objects using tags".)"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from msgspec.structs import replace

from zonal.foundation.errors import AwsError
from zonal.services.common.tags import LONGEST_KEY, LONGEST_VALUE, MOST_TAGS, TagCheck, TagRules, is_reserved
from zonal.services.operation import Call, HandlerResponse, operation
from zonal.services.s3.context import S3Context
from zonal.services.s3.errors import absent, invalid_argument

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        DeleteBucketTaggingRequestTypeDef,
        DeleteObjectTaggingRequestTypeDef,
        GetBucketTaggingRequestTypeDef,
        GetObjectTaggingRequestTypeDef,
        PutBucketTaggingRequestTypeDef,
        PutObjectTaggingRequestTypeDef,
    )

OBJECT_LIMIT, BUCKET_LIMIT = 10, MOST_TAGS


class S3Tags:
    """Operations on tags."""

    def __init__(self, s3_context: S3Context) -> None:
        self._s3_context = s3_context

    @operation("GetBucketTagging")
    async def get_of_bucket(self, call: Call, request: GetBucketTaggingRequestTypeDef) -> dict[str, Any]:
        bucket = self._s3_context.bucket(request["Bucket"])
        if not bucket.tags:
            raise absent("NoSuchTagSet", "The TagSet does not exist", bucket.name)
        return {"TagSet": shown(bucket.tags)}

    @operation("PutBucketTagging")
    async def put_of_bucket(self, call: Call, request: PutBucketTaggingRequestTypeDef) -> HandlerResponse:
        tags = checked_tags(request["Tagging"]["TagSet"], BUCKET_LIMIT)
        await self._s3_context.change_bucket(request["Bucket"], lambda one: replace(one, tags=tags))
        return HandlerResponse({}, status=204)

    @operation("DeleteBucketTagging")
    async def delete_of_bucket(self, call: Call, request: DeleteBucketTaggingRequestTypeDef) -> None:
        await self._s3_context.change_bucket(request["Bucket"], lambda one: replace(one, tags={}))

    @operation("GetObjectTagging")
    async def get_of_object(self, call: Call, request: GetObjectTaggingRequestTypeDef) -> dict[str, Any]:
        bucket, entry = self._s3_context.entry(request, method="GET")
        return {"TagSet": shown(dict(sorted(entry.tags.items())))} | ({"VersionId": entry.version} if bucket.versioning else {})

    @operation("PutObjectTagging")
    async def put_of_object(self, call: Call, request: PutObjectTaggingRequestTypeDef) -> dict[str, Any]:
        bucket, entry = self._s3_context.entry(request, method="PUT")
        tags = checked_tags(request["Tagging"]["TagSet"], OBJECT_LIMIT)
        await self._s3_context.change_entry(bucket, entry, lambda one: replace(one, tags=tags))
        return {"VersionId": entry.version} if bucket.versioning else {}

    @operation("DeleteObjectTagging")
    async def delete_of_object(self, call: Call, request: DeleteObjectTaggingRequestTypeDef) -> dict[str, Any]:
        bucket, entry = self._s3_context.entry(request, method="DELETE")
        await self._s3_context.change_entry(bucket, entry, lambda one: replace(one, tags={}))
        return {"VersionId": entry.version} if bucket.versioning else {}


def shown(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def checked_tags(pairs: Sequence[Mapping[str, Any]], limit: int) -> dict[str, str]:
    """Validated tags as a mapping. Raises `AwsError`."""
    return (_OBJECT_RULES if limit == OBJECT_LIMIT else _BUCKET_RULES).merged({}, pairs)


def _checked(key: str | None, value: str | None) -> AwsError | None:
    key, value = key or "", value or ""
    if not 1 <= len(key) <= LONGEST_KEY or not _is_text(key):
        return AwsError("InvalidTag", "The TagKey you have provided is invalid", fields={"TagKey": key[:200]})
    if len(value) > LONGEST_VALUE or not _is_text(value):
        fields = {"TagKey": key, "TagValue": value[:300]}
        return AwsError("InvalidTag", "The TagValue you have provided is invalid", fields=fields)
    return None


def _reserved(message: str) -> TagCheck:
    """The check that rejects reserved keys with this message."""

    def check(key: str | None, value: str | None) -> AwsError | None:
        return AwsError("InvalidTag", message, fields={"TagKey": key[:200]}) if key and is_reserved(key) else None

    return check


_BUCKET_RULES = TagRules(
    checks=(_reserved("System tags cannot be added/updated by requester"), _checked),
    too_many=lambda count: AwsError("InvalidTag", f"Bucket tags cannot be greater than {BUCKET_LIMIT}"),
    repeated=lambda key: AwsError("InvalidTag", "Cannot provide multiple Tags with the same key", fields={"TagKey": key}),
    most=BUCKET_LIMIT,
    counts_first=True,
)
_OBJECT_RULES = _BUCKET_RULES._replace(
    checks=(_reserved("Your TagKey cannot be prefixed with aws:"), _checked),
    too_many=lambda count: AwsError("BadRequest", f"Object tags cannot be greater than {OBJECT_LIMIT}"),
    most=OBJECT_LIMIT,
)


def from_header(text: str) -> dict[str, str]:
    """The tags of an `x-amz-tagging` header. Raises `AwsError`."""
    parts = [pair.partition("=") for pair in text.split("&") if pair]
    pairs = [{"Key": unquote_plus(key), "Value": unquote_plus(value)} for key, _, value in parts]
    keys = [pair["Key"] for pair in pairs]
    if len(set(keys)) != len(keys) or not all(map(_is_text, (*keys, *(pair["Value"] for pair in pairs)))):
        message = "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates."
        raise invalid_argument(message, "x-amz-tagging", text[:1024])
    return checked_tags(pairs, OBJECT_LIMIT)


def _is_text(text: str) -> bool:
    return re.fullmatch(r"[\w\s+\-=.:/@]*", text) is not None
