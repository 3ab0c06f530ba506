"""Lifecycle rules: validation, filters and due dates. Pure functions; `lifecycle` executes the rules.

As on S3, days are counted from the midnight (UTC) after the event. (S3 User Guide, "Managing the lifecycle of objects".)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

from zonal.buckets.records import Bucket, ObjectVersion
from zonal.foundation.errors import AwsError
from zonal.services.s3.errors import invalid_argument, invalid_request, malformed_xml, not_built
from zonal.wire.scalars import timestamp_text

LifecycleRule = Mapping[str, Any]
LIMIT = 1000


def checked(rules: Sequence[LifecycleRule]) -> list[LifecycleRule]:
    """Validated rules, each with an id. Raises `AwsError`."""
    if not 1 <= len(rules) <= LIMIT:
        raise malformed_xml()
    kept = [_checked(rule, number) for number, rule in enumerate(rules, start=1)]
    ids = [rule["ID"] for rule in kept]
    for id in ids:
        if ids.count(id) > 1:
            raise invalid_argument(f"Rule ID must be unique. Found same ID for more than one rule: {id}")
    return kept


def _checked(rule: LifecycleRule, number: int) -> LifecycleRule:
    if rule.get("Status") not in ("Enabled", "Disabled"):
        raise malformed_xml()
    if len(rule.get("ID", "")) > 255:
        raise invalid_argument("ID length should not exceed allowed limit of 255")
    if ("Filter" in rule) == ("Prefix" in rule):
        raise malformed_xml()
    for transition in (*rule.get("Transitions", ()), *rule.get("NoncurrentVersionTransitions", ())):
        _check_transition(transition)
    expiration, noncurrent = rule.get("Expiration"), rule.get("NoncurrentVersionExpiration")
    abort = rule.get("AbortIncompleteMultipartUpload")
    moves = bool(rule.get("Transitions") or rule.get("NoncurrentVersionTransitions"))
    if expiration is None and noncurrent is None and abort is None and not moves:
        raise invalid_request("At least one action needs to be specified in a rule.")
    if expiration is not None:
        _check_expiration(expiration)
    for action, name in ((noncurrent, "NoncurrentDays"), (abort, "DaysAfterInitiation")):
        if action is not None and name not in action:
            raise malformed_xml()
        if action is not None and action[name] <= 0:
            raise invalid_argument(f"'{name}' for the action must be a positive integer")
    _check_filter(rule.get("Filter") or {})
    if moves:
        raise not_built("transitions to other storage classes")
    return {**rule, "ID": rule.get("ID") or _generated_id(rule, number)}


def _generated_id(rule: LifecycleRule, number: int) -> str:
    """A generated id, equal for an equal rule at the same position."""
    return hashlib.sha256(f"{number} {json.dumps(rule, default=str, sort_keys=True)}".encode()).hexdigest()[:48]


def _check_expiration(expiration: LifecycleRule) -> None:
    if len([name for name in ("Date", "Days", "ExpiredObjectDeleteMarker") if name in expiration]) != 1:
        raise malformed_xml()
    if "Days" in expiration and expiration["Days"] <= 0:
        raise invalid_argument("'Days' for Expiration action must be a positive integer")
    _check_date(expiration.get("Date"))


def _check_transition(transition: LifecycleRule) -> None:
    """Raises `AwsError` for a transition that AWS rejects too. A valid one is rejected as not built after the rest of the rule."""
    if "StorageClass" not in transition or len([name for name in ("Date", "Days", "NoncurrentDays") if name in transition]) != 1:
        raise malformed_xml()
    for name in ("Days", "NoncurrentDays"):
        if transition.get(name, 0) < 0:
            raise invalid_argument(f"'{name}' in the Transition action must be a nonnegative integer")
    _check_date(transition.get("Date"))


def _check_date(date: datetime | None) -> None:
    if date is not None and (date.hour, date.minute, date.second) != (0, 0, 0):
        raise invalid_argument("'Date' must be at midnight GMT", "Date", timestamp_text(date, "iso8601"))


def _check_filter(filter: LifecycleRule) -> None:
    if len(filter) > 1:
        raise malformed_xml()
    keys = [tag["Key"] for tag in filter.get("And", {}).get("Tags", [])]
    if len(set(keys)) != len(keys):
        raise invalid_request("Duplicate Tag Keys are not allowed.")
    if "And" in filter and len(filter["And"].get("Tags", [])) + len(filter["And"]) - ("Tags" in filter["And"]) < 2:
        raise malformed_xml()


def applies_to(rule: LifecycleRule, entry: ObjectVersion) -> bool:
    """Whether a rule is enabled and its filter matches an object."""
    if rule["Status"] != "Enabled":
        return False
    filter = rule.get("Filter") or {}
    parts: Mapping[str, Any] = filter.get("And") or filter
    tags = parts.get("Tags") or ([parts["Tag"]] if "Tag" in parts else [])
    return (
        entry.key.startswith(parts.get("Prefix") or rule.get("Prefix") or "")
        and all(entry.tags.get(tag["Key"]) == tag["Value"] for tag in tags)
        and entry.size > parts.get("ObjectSizeGreaterThan", -1)
        and entry.size < parts.get("ObjectSizeLessThan", 2**63)
    )


def due(since: datetime, days: int) -> datetime:
    """When an action is due, `days` after the event `since`: at the following midnight."""
    return (since + timedelta(days=days + 1)).replace(hour=0, minute=0, second=0, microsecond=0)


def expires(rule: LifecycleRule, entry: ObjectVersion) -> datetime | None:
    """When this rule expires the current version, or None."""
    expiration = rule.get("Expiration") or {}
    if "Date" in expiration:
        moment: datetime = expiration["Date"]
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return due(entry.at, expiration["Days"]) if "Days" in expiration else None


def expiration(bucket: Bucket, entry: ObjectVersion) -> str:
    """The `x-amz-expiration` header of an object, of the rule that applies first; empty if there is none."""
    found: list[tuple[datetime, str]] = []
    for rule in bucket.settings.get("lifecycle", ()):
        moment = expires(rule, entry) if applies_to(rule, entry) else None
        if moment is not None:
            found.append((moment, rule["ID"]))
    if not found:
        return ""
    moment, id = min(found)
    return f'expiry-date="{format_datetime(moment, usegmt=True)}", rule-id="{quote(id, safe="")}"'


def no_configuration(bucket: str) -> AwsError:
    return AwsError("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist", status=404, fields={"BucketName": bucket})
