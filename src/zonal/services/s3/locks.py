"""Object lock: retention until a date, and legal holds, which protect versions from deletion.

COMPLIANCE retention cannot be shortened or removed; GOVERNANCE retention can be, with x-amz-bypass-governance-retention and the permission
for it. Locks protect versions: a delete without a version id still adds a delete marker. (S3 User Guide, "Locking objects with Object
Lock".)
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from zonal.buckets.records import Bucket, ObjectVersion, Retention
from zonal.foundation.errors import AwsError
from zonal.services.operation import Call, operation
from zonal.services.s3.context import S3Context
from zonal.services.s3.errors import absent, invalid_argument, invalid_request, malformed_xml, not_built

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        GetObjectLegalHoldRequestTypeDef,
        GetObjectLockConfigurationRequestTypeDef,
        GetObjectRetentionRequestTypeDef,
        PutObjectLegalHoldRequestTypeDef,
        PutObjectLockConfigurationRequestTypeDef,
        PutObjectRetentionRequestTypeDef,
    )

PROTECTED = "Access Denied because object protected by object lock."
_UNLOCKED = "The specified object does not have a ObjectLock configuration"
MODES = ("GOVERNANCE", "COMPLIANCE")


class Locks:
    """Operations on object lock."""

    def __init__(self, s3_context: S3Context) -> None:
        self._s3_context = s3_context

    @operation("GetObjectLockConfiguration")
    async def get_configuration(self, call: Call, request: GetObjectLockConfigurationRequestTypeDef) -> dict[str, Any]:
        bucket = self._s3_context.bucket(request["Bucket"])
        if not bucket.object_lock:
            raise absent("ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket", bucket.name)
        return {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"} | bucket.settings.get("object_lock", {})}

    @operation("PutObjectLockConfiguration")
    async def put_configuration(self, call: Call, request: PutObjectLockConfigurationRequestTypeDef) -> dict[str, Any]:
        configuration = request.get("ObjectLockConfiguration")
        if configuration is None:
            raise AwsError("MissingRequestBodyError", "Request Body is empty")
        if configuration.get("ObjectLockEnabled") != "Enabled":
            raise malformed_xml()
        rule = _checked_rule(configuration.get("Rule"))

        def change(bucket: Bucket) -> Bucket:
            if bucket.versioning != "Enabled":
                message = "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"
                raise AwsError("InvalidBucketState", message, status=409)
            return replace(bucket, object_lock=True, settings=bucket.settings | {"object_lock": {"Rule": rule} if rule else {}})

        await self._s3_context.change_bucket(request["Bucket"], change)
        return {}

    @operation("GetObjectRetention")
    async def get_retention(self, call: Call, request: GetObjectRetentionRequestTypeDef) -> dict[str, Any]:
        _, entry = self._locked(request)
        if entry.retention is None:
            raise AwsError("NoSuchObjectLockConfiguration", _UNLOCKED, status=404)
        return {"Retention": {"Mode": entry.retention.mode, "RetainUntilDate": entry.retention.until}}

    @operation("PutObjectRetention")
    async def put_retention(self, call: Call, request: PutObjectRetentionRequestTypeDef) -> dict[str, Any]:
        wanted = request.get("Retention") or {}
        until = wanted.get("RetainUntilDate")
        assert not isinstance(until, str), "the request parser returns datetimes"
        retention = checked_retention(wanted.get("Mode"), until, call.now)
        bucket, entry = self._locked(request)
        bypass = bool(request.get("BypassGovernanceRetention"))

        def change(one: ObjectVersion) -> ObjectVersion:
            held = one.retention
            if held is not None and held.until > call.now:
                weaker = retention is None or retention.until < held.until or retention.mode != held.mode
                if weaker and (held.mode == "COMPLIANCE" or not bypass):
                    raise AwsError("AccessDenied", PROTECTED, status=403)
            return replace(one, retention=retention)

        await self._s3_context.change_entry(bucket, entry, change)
        return {}

    @operation("GetObjectLegalHold")
    async def get_hold(self, call: Call, request: GetObjectLegalHoldRequestTypeDef) -> dict[str, Any]:
        _, entry = self._locked(request)
        if not (entry.hold_set or entry.legal_hold):
            raise AwsError("NoSuchObjectLockConfiguration", _UNLOCKED, status=404)
        return {"LegalHold": {"Status": "ON" if entry.legal_hold else "OFF"}}

    @operation("PutObjectLegalHold")
    async def put_hold(self, call: Call, request: PutObjectLegalHoldRequestTypeDef) -> dict[str, Any]:
        status = (request.get("LegalHold") or {}).get("Status")
        if status not in ("ON", "OFF"):
            raise malformed_xml()
        bucket, entry = self._locked(request)
        await self._s3_context.change_entry(bucket, entry, lambda one: replace(one, legal_hold=status == "ON", hold_set=True))
        return {}

    def _locked(self, request: Mapping[str, Any]) -> tuple[Bucket, ObjectVersion]:
        bucket = self._s3_context.bucket(request["Bucket"])
        if not bucket.object_lock:
            raise invalid_request("Bucket is missing Object Lock Configuration")
        return self._s3_context.entry(request)


def _checked_rule(rule: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if rule is None:
        return None
    default = rule.get("DefaultRetention") or {}
    days, years = default.get("Days"), default.get("Years")
    if default.get("Mode") not in MODES or (days is None) == (years is None):
        raise malformed_xml()
    if (days or years or 0) <= 0:
        raise AwsError("InvalidRetentionPeriod", "Default retention period must be a positive integer value")
    if (days or 0) > 36500 or (years or 0) > 100:
        raise invalid_argument("Default retention period is too large")
    return rule


def checked_retention(mode: str | None, until: datetime | None, now: datetime) -> Retention | None:
    """The validated retention of a request, None if it has none. Raises `AwsError`."""
    if mode is None and until is None:
        return None
    if mode is None or until is None:
        raise malformed_xml()
    if mode not in MODES:
        raise malformed_xml()
    if until <= now:
        raise invalid_argument("The retain until date must be in the future!", "RetainUntilDate", until.isoformat())
    return Retention(mode, until)


def for_new(bucket: Bucket, request: Mapping[str, Any], now: datetime) -> tuple[Retention | None, bool]:
    """The retention and legal hold of a new version: the request's, else the bucket's default. Raises `AwsError`."""
    for name in ("ObjectLockEventHold", "ObjectLockEventHoldDurationDays", "ObjectLockEventHoldDurationYears"):
        if name in request:
            raise not_built("event holds")
    mode, until, hold = request.get("ObjectLockMode"), request.get("ObjectLockRetainUntilDate"), request.get("ObjectLockLegalHoldStatus")
    if not bucket.object_lock:
        if mode or until or hold:
            raise invalid_request("Bucket is missing Object Lock Configuration")
        return None, False
    if (mode is None) != (until is None):
        raise invalid_argument("x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied")
    if hold not in (None, "ON", "OFF"):
        raise invalid_argument("Legal Hold must be either of 'ON' or 'OFF'", "x-amz-object-lock-legal-hold", hold)
    if mode is not None and mode not in MODES:
        raise invalid_argument("Unknown wormMode directive.", "x-amz-object-lock-mode", mode)
    return checked_retention(mode, until, now) or _default(bucket, now), hold == "ON"


def _default(bucket: Bucket, now: datetime) -> Retention | None:
    rule = bucket.settings.get("object_lock", {}).get("Rule")
    if not rule:
        return None
    default = rule["DefaultRetention"]
    days = default.get("Days") or 365 * default["Years"]
    return Retention(default["Mode"], (now + timedelta(days=days)).astimezone(UTC))


def check_deletion(entry: ObjectVersion, now: datetime, *, bypass: bool) -> None:
    """Raises `AwsError` AccessDenied if a lock forbids the permanent deletion of a version."""
    held = entry.retention
    if entry.legal_hold or (held is not None and held.until > now and (held.mode == "COMPLIANCE" or not bypass)):
        raise AwsError("AccessDenied", PROTECTED, status=403)


def shown(entry: ObjectVersion) -> dict[str, Any]:
    """The response members about an object's locks."""
    members: dict[str, Any] = {}
    if entry.retention is not None:
        members |= {"ObjectLockMode": entry.retention.mode, "ObjectLockRetainUntilDate": entry.retention.until}
    if entry.legal_hold or entry.hold_set:
        members["ObjectLockLegalHoldStatus"] = "ON" if entry.legal_hold else "OFF"
    return members
