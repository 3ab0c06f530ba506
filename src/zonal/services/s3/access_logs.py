"""Server access logs: the configuration, and the delivery of log objects.

Requests to a bucket with logging are collected in memory, one line each, and delivered periodically as an object in the target bucket, if
that bucket allows it: by a policy for `logging.s3.amazonaws.com`, or by an ACL for the group LogDelivery. As on AWS, delivery is best
effort: lines that were not delivered when the process was killed are lost. (S3 User Guide, "Logging requests with server access logging".)
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from zonal.buckets.records import Bucket, ObjectVersion
from zonal.foundation.clock import Clock
from zonal.foundation.credentials import Account
from zonal.foundation.errors import AwsError, ZonalError
from zonal.foundation.identifiers import ACCOUNT, REGION, request_id
from zonal.foundation.settings import Settings
from zonal.services.operation import Call, operation
from zonal.services.s3 import acls, internal_objects, log_records, policies
from zonal.services.s3.bucket_address import bucket_and_key, bucket_name, website_of
from zonal.services.s3.context import S3Context
from zonal.services.s3.errors import malformed_xml
from zonal.services.s3.owners import LOG_DELIVERY
from zonal.wire.http_messages import HttpRequest as HttpRequest
from zonal.wire.http_messages import HttpResponse

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        GetBucketLoggingRequestTypeDef,
        PutBucketLoggingRequestTypeDef,
    )

_log = logging.getLogger(__name__)

SERVICE = "logging.s3.amazonaws.com"
PAUSE_SECONDS = 5.0
SHORTEST_PAUSE_SECONDS = 0.1
MOST_LINES = 10_000
"""Number of lines in memory at which they are delivered without waiting for the next interval."""

_GRANTED = ("FULL_CONTROL", "READ", "WRITE")


class LogTarget(NamedTuple):
    """The destination of a source bucket's lines: a target bucket, a prefix and grants."""

    source: str
    owner: str
    bucket: str
    prefix: str
    partitioned_by: str
    grants: tuple[tuple[str, str], ...]


class AccessLogs:
    """Operations on the logging configuration."""

    def __init__(self, s3_context: S3Context) -> None:
        self._s3_context = s3_context

    @operation("GetBucketLogging")
    async def get(self, call: Call, request: GetBucketLoggingRequestTypeDef) -> dict[str, Any]:
        found = self._s3_context.bucket(request["Bucket"]).settings.get("logging")
        return {"LoggingEnabled": found} if found else {}

    @operation("PutBucketLogging")
    async def put(self, call: Call, request: PutBucketLoggingRequestTypeDef) -> None:
        source = self._s3_context.bucket(request["Bucket"])
        asked = request["BucketLoggingStatus"].get("LoggingEnabled")
        await self._s3_context.set_configuration(source.name, "logging", None if asked is None else self._checked(source, asked))

    def _checked(self, source: Bucket, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The validated configuration in its stored form. Raises `AwsError`."""
        if "TargetBucket" not in asked or "TargetPrefix" not in asked:
            raise malformed_xml()
        bucket = self._s3_context.catalog.view.bucket(asked["TargetBucket"])
        if bucket is None:
            raise _invalid_target("The target bucket for logging does not exist", asked["TargetBucket"])
        if bucket.owner != source.owner:
            raise _invalid_target("The owner for the bucket to be logged and the target bucket must be the same.", bucket.name)
        grants = asked.get("TargetGrants") or []
        for grant in grants:
            if grant.get("Permission") not in _GRANTED or "Grantee" not in grant:
                raise malformed_xml()
        if grants and bucket.ownership == "BucketOwnerEnforced":
            message = "TargetGrants are not allowed: the target bucket's object ownership setting BucketOwnerEnforced disables ACLs"
            raise AwsError("InvalidArgument", message, fields={"ArgumentName": "TargetGrants"})
        if not may_deliver(self._s3_context, source, bucket, asked["TargetPrefix"]):
            raise _invalid_target("You must give the log-delivery group WRITE and READ_ACP permissions to the target bucket", bucket.name)
        return {
            name: asked[name] for name in ("TargetBucket", "TargetPrefix", "TargetGrants", "TargetObjectKeyFormat") if asked.get(name)
        } | {"TargetPrefix": asked["TargetPrefix"]}


class AccessLogDelivery:
    """Collects log lines and delivers them: periodically while `run` runs, and once more by a final `deliver`."""

    def __init__(self, s3_context: S3Context, clock: Clock, settings: Settings) -> None:
        self._s3_context = s3_context
        self._clock = clock
        self._accounts = {each.access_key: each.account for each in settings.credentials} | {settings.access_key: ACCOUNT}
        self._lines: defaultdict[LogTarget, list[str]] = defaultdict(list)
        self._count = 0
        self._is_full = asyncio.Event()

    def note(self, request: HttpRequest, response: HttpResponse) -> None:
        """Log a request if its bucket has a logging configuration."""
        website = website_of(request.host)
        name = website or bucket_name(request)
        bucket = self._s3_context.catalog.view.bucket(name) if name else None
        configuration = bucket.settings.get("logging") if bucket is not None else None
        if bucket is None or not configuration:
            return
        key = request.path[1:] if website else bucket_and_key(request)[1]
        record = log_records.LogRecord(
            owner=self._s3_context.accounts.of(bucket.owner).canonical_id,
            bucket=bucket.name,
            key=key,
            requester=self._requester(request),
            at=self._clock.now(),
        )
        self._lines[_target(bucket, configuration)].append(log_records.line(record, request, response))
        self._count += 1
        if self._count >= MOST_LINES:
            self._is_full.set()

    async def run(self) -> None:
        """Deliver every `PAUSE_SECONDS` of the region's clock until cancelled."""
        pause = max(SHORTEST_PAUSE_SECONDS, PAUSE_SECONDS / getattr(self._clock, "speed", 1.0))
        while True:
            try:
                async with asyncio.timeout(pause):
                    await self._is_full.wait()
            except TimeoutError:
                pass
            await self.deliver()

    async def deliver(self) -> None:
        """Write the collected lines to their target buckets; lines that cannot be written are dropped."""
        lines, self._lines, self._count = self._lines, defaultdict(list), 0
        self._is_full.clear()
        for target, found in lines.items():
            try:
                await self._write(target, "\n".join(found) + "\n")
            except (AwsError, ZonalError, OSError) as error:
                _log.warning("cannot deliver %d lines of the access log of %s: %s", len(found), target.source, error)

    async def _write(self, target: LogTarget, text: str) -> None:
        view, now = self._s3_context.catalog.view, self._clock.now()
        bucket, source = view.bucket(target.bucket), view.bucket(target.source)
        if bucket is None or source is None or not may_deliver(self._s3_context, source, bucket, target.prefix):
            return
        is_shared = bucket.ownership != "BucketOwnerEnforced"
        entry = ObjectVersion(
            key=_key(target, now),
            version="",
            modified=now.timestamp(),
            owner=bucket.owner,
            headers={"content-type": "text/plain"},
            grants=(*acls.full_control(self._s3_context.accounts.of(bucket.owner)), *target.grants)
            if is_shared and target.grants
            else None,
        )
        await internal_objects.write_object(self._s3_context, bucket, entry, text.encode())

    def _requester(self, request: HttpRequest) -> str:
        """The caller's canonical user id; empty for an unsigned request or an unknown key."""
        number = self._accounts.get(request.signature.access_key) if request.signature else None
        return self._s3_context.accounts.of(number).canonical_id if number else ""


def may_deliver(s3_context: S3Context, source: Bucket, target: Bucket, prefix: str) -> bool:
    """Whether the target bucket allows the log delivery to write the source's logs under a prefix."""
    policy = target.settings.get("policy")
    if policy is not None:
        context = {
            "aws:sourcearn": [f"arn:aws:s3:::{source.name}"],
            "aws:sourceaccount": [source.owner],
            "aws:principalisawsservice": ["true"],
            "aws:principalservicename": [SERVICE],
        }
        resource = f"arn:aws:s3:::{target.name}/{prefix}0"
        decision = policies.decide(policy, policies.AuthorizationRequest(None, "s3:PutObject", resource, context, service=SERVICE))
        if decision is not policies.PolicyDecision.SILENT:
            return decision is policies.PolicyDecision.ALLOW
    group = Account("", LOG_DELIVERY, "")
    grants = acls.grants_of_bucket(target, s3_context.accounts)
    return all(acls.allows(grants, group, permission, public=False) for permission in ("WRITE", "READ_ACP"))


def _target(bucket: Bucket, configuration: Mapping[str, Any]) -> LogTarget:
    partitioned = configuration.get("TargetObjectKeyFormat", {}).get("PartitionedPrefix")
    return LogTarget(
        source=bucket.name,
        owner=bucket.owner,
        bucket=configuration["TargetBucket"],
        prefix=configuration["TargetPrefix"],
        partitioned_by=partitioned.get("PartitionDateSource", "DeliveryTime") if partitioned is not None else "",
        grants=tuple(
            (grant["Permission"], grant["Grantee"].get("ID") or grant["Grantee"].get("URI", ""))
            for grant in configuration.get("TargetGrants", [])
        ),
    )


def _key(target: LogTarget, now: datetime) -> str:
    """The key of a new log object. (User Guide, "Log object key format".)"""
    unique = request_id().replace("-", "")[:16].upper()
    if not target.partitioned_by:
        return f"{target.prefix}{now:%Y-%m-%d-%H-%M-%S}-{unique}"
    moment = f"{now:%Y-%m-%d-%H-%M-%S}" if target.partitioned_by == "DeliveryTime" else f"{now:%Y-%m-%d}-00-00-00"
    return f"{target.prefix}{target.owner}/{REGION}/{target.source}/{now:%Y/%m/%d}/{moment}-{unique}"


def _invalid_target(message: str, bucket: str) -> AwsError:
    return AwsError("InvalidTargetBucketForLogging", message, fields={"TargetBucket": bucket})
