"""Who may do what: every call passes here before its handler runs.

The gateway has said who calls (an account, or nobody). A bucket's owner may do everything that its policy does not deny; others need the
policy's or an ACL's word; the public access block takes from what is given to everybody. An explicit deny comes first, always: only the
policy itself can still be changed by the owner, so that nobody locks himself out. (S3 User Guide, "How Amazon S3 authorizes a request".)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from zonal.buckets.entries import Bucket, Entry
from zonal.services.operation import Call, Handler
from zonal.services.s3 import acls, policies
from zonal.services.s3.errors import access_denied, no_such_bucket
from zonal.services.s3.ground import Ground
from zonal.services.s3.policies import Decision, Question

Request = dict[str, Any]
_NO_BUCKET = frozenset({"ListBuckets", "CreateBucket"})
_POLICY_OPERATIONS = frozenset({"GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy"})

ACTIONS = {
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListParts": "ListMultipartUploadParts",
    "HeadObject": "GetObject",
    "GetObjectAttributes": "GetObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "DeleteObjects": "",
    "GetBucketCors": "GetBucketCORS",
    "PutBucketCors": "PutBucketCORS",
    "DeleteBucketCors": "PutBucketCORS",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "GetBucketLifecycle": "GetLifecycleConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycle": "PutLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeleteBucketTagging": "PutBucketTagging",
    "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
    "GetBucketAccelerateConfiguration": "GetAccelerateConfiguration",
    "PutBucketAccelerateConfiguration": "PutAccelerateConfiguration",
}
"""Actions that are not called as their operation is."""

_VERSIONED = ("GetObject", "DeleteObject", "GetObjectTagging", "PutObjectTagging", "DeleteObjectTagging", "GetObjectAcl", "PutObjectAcl")
_ACL_PERMISSIONS = {
    "GetObject": "READ",
    "GetObjectVersion": "READ",
    "GetObjectAcl": "READ_ACP",
    "GetObjectVersionAcl": "READ_ACP",
    "PutObjectAcl": "WRITE_ACP",
    "PutObjectVersionAcl": "WRITE_ACP",
}
_BUCKET_PERMISSIONS = {
    "ListBucket": "READ",
    "ListBucketVersions": "READ",
    "ListBucketMultipartUploads": "READ",
    "GetBucketAcl": "READ_ACP",
    "PutBucketAcl": "WRITE_ACP",
    "PutObject": "WRITE",
    "PutObjectAcl": "WRITE",  # That is: as a part of a put.
    "DeleteObject": "WRITE",
    "AbortMultipartUpload": "WRITE",
    "ListMultipartUploadParts": "WRITE",
}


class Access:
    """Decides about calls."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def guarded(self, handlers: Mapping[str, Handler]) -> dict[str, Handler]:
        """The handlers, each behind its check."""
        return {name: self._guard(name, handler) for name, handler in handlers.items()}

    def _guard(self, name: str, handler: Handler) -> Handler:
        async def guarded(call: Call, request: Request) -> Any:
            self.check(name, call, request)
            return await handler(call, request)

        guarded.__qualname__ = getattr(handler, "__qualname__", name)
        return guarded

    def check(self, name: str, call: Call, request: Request) -> None:
        """Raises `AwsError` where the caller may not do this, or the bucket is not there."""
        if name in _NO_BUCKET:
            if call.access_key is None:
                raise access_denied()
            return
        bucket = self._ground.bucket(request["Bucket"])
        expected = request.get("ExpectedBucketOwner")
        if expected is not None and expected != bucket.owner:
            raise access_denied()
        if name in _POLICY_OPERATIONS and call.access_key is not None and call.account == bucket.owner:
            return
        for action in _actions(name, request):
            self.require(bucket, action, request.get("Key", ""), call, request, writes=name != action)
        if request.get("CopySource"):
            self._check_source(call, request)

    def require(self, bucket: Bucket, action: str, key: str, call: Call, request: Request, *, writes: bool = False) -> None:
        """Raises `AwsError` AccessDenied where the caller may not."""
        if not self.may(bucket, action, key, call, request, writes=writes):
            raise access_denied()

    def may(self, bucket: Bucket, action: str, key: str, call: Call, request: Request, *, writes: bool = False) -> bool:
        """Whether the caller may do `action` to a key (empty: to the bucket); `writes`: as a part of writing the object anew."""
        account = call.account if call.access_key is not None else None
        caller = self._ground.accounts.of(account) if account is not None else None
        policy = bucket.settings.get("policy")
        entry = self._entry(bucket, key, request) if policy is not None or action in _ACL_PERMISSIONS else None
        if policy is not None:
            resource = f"arn:aws:s3:::{bucket.name}" + (f"/{key}" if key else "")
            question = Question(caller, f"s3:{action}", resource, _context(call, request, bucket, entry))
            decision = policies.decide(policy, question, public=not acls.blocks(bucket, "RestrictPublicBuckets") or account == bucket.owner)
            if decision is not Decision.SILENT:
                return decision is Decision.ALLOW
        if account == bucket.owner and self._owner_suffices(bucket, action, entry):
            return True
        reads = action in _ACL_PERMISSIONS and not (writes and action == "PutObjectAcl")
        if reads and (entry is None or entry.is_marker):  # Who may list is told that it is not there.
            return self.may(bucket, "ListBucket", "", call, {"Bucket": bucket.name, "Prefix": key})
        if bucket.ownership == "BucketOwnerEnforced":
            return False
        public = not acls.blocks(bucket, "IgnorePublicAcls")
        grants = acls.grants_of_bucket(bucket, self._ground.accounts)
        if reads:
            assert entry is not None
            held = acls.grants_of(bucket, entry, self._ground.accounts)
            return acls.allows(held, caller, _ACL_PERMISSIONS[action], public=public)
        needed = _BUCKET_PERMISSIONS.get(action)
        return needed is not None and acls.allows(grants, caller, needed, public=public)

    def _owner_suffices(self, bucket: Bucket, action: str, entry: Entry | None) -> bool:
        """The owner of a bucket may all but read what others have put there under ACLs of their own."""
        mine = entry is None or entry.owner == bucket.owner or bucket.ownership == "BucketOwnerEnforced"
        return mine or action not in _ACL_PERMISSIONS

    def _entry(self, bucket: Bucket, key: str, request: Request) -> Entry | None:
        if not key:
            return None
        version = request.get("VersionId") if request.get("Key") == key else None
        view = self._ground.catalog.view
        return view.version(bucket.number, key, version) if version else view.current(bucket.number, key)

    def _check_source(self, call: Call, request: Request) -> None:
        """A copy reads its source."""
        name, key, version = source_of(request["CopySource"])
        bucket = self._ground.catalog.view.bucket(name)
        if bucket is None:
            raise no_such_bucket(name)
        expected = request.get("ExpectedSourceBucketOwner")
        if expected is not None and expected != bucket.owner:
            raise access_denied()
        asked = {"Bucket": name, "Key": key} | ({"VersionId": version} if version else {})
        self.require(bucket, "GetObjectVersion" if version else "GetObject", key, call, asked)


def source_of(text: str) -> tuple[str, str, str | None]:
    """Bucket, key and version of an `x-amz-copy-source`. Raises `AwsError`."""
    from zonal.services.s3.errors import invalid_argument

    path, mark, version = text.partition("?versionId=")
    bucket, _, key = unquote(path).lstrip("/").partition("/")
    if not bucket or not key:
        raise invalid_argument(
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey", "x-amz-copy-source", text[:200]
        )
    if mark and not version:
        raise invalid_argument("Version id cannot be the empty string", "x-amz-copy-source", text[:200])
    return bucket, key, version if mark else None


def _actions(name: str, request: Request) -> list[str]:
    """The actions that an operation is, with what its parameters add."""
    action = ACTIONS.get(name, name)
    if not action:
        return []
    if action in _VERSIONED and request.get("VersionId"):
        action = re.sub("Object", "ObjectVersion", action, count=1)
    actions = [action]
    if action != "PutObject" or name in ("UploadPart", "UploadPartCopy", "CompleteMultipartUpload"):
        if request.get("BypassGovernanceRetention") and name == "PutObjectRetention":
            actions.append("BypassGovernanceRetention")
        return actions
    if request.get("ACL") or any(request.get(each) for each in ("GrantFullControl", "GrantRead", "GrantReadACP", "GrantWriteACP")):
        actions.append("PutObjectAcl")
    if request.get("Tagging"):
        actions.append("PutObjectTagging")
    if request.get("ObjectLockMode"):
        actions.append("PutObjectRetention")
    if request.get("ObjectLockLegalHoldStatus"):
        actions.append("PutObjectLegalHold")
    return actions


_QUERY_KEYS = {"Prefix": "s3:prefix", "Delimiter": "s3:delimiter", "MaxKeys": "s3:max-keys", "VersionId": "s3:versionid"}
_HEADER_KEYS = (
    "x-amz-acl",
    "x-amz-copy-source",
    "x-amz-metadata-directive",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-storage-class",
    "x-amz-content-sha256",
    "x-amz-grant-read",
    "x-amz-grant-write",
    "x-amz-grant-read-acp",
    "x-amz-grant-write-acp",
    "x-amz-grant-full-control",
    "x-amz-website-redirect-location",
    "x-amz-object-ownership",
    "if-match",
    "if-none-match",
)


def _context(call: Call, request: Request, bucket: Bucket, entry: Entry | None) -> dict[str, list[str]]:
    """The condition keys of a call, in lower case."""
    raw, now = call.raw, datetime.now(UTC)
    context = {
        "aws:securetransport": ["false"],
        "aws:currenttime": [now.isoformat()],
        "aws:epochtime": [str(now.timestamp())],
        "aws:requestedregion": [call.region],
        "s3:resourceaccount": [bucket.owner],
    }
    if call.access_key is not None:
        context["aws:principalaccount"] = [call.account]
        context["aws:principalarn"] = [f"arn:aws:iam::{call.account}:root"]
        context["aws:principaltype"] = ["Account"]
        context["aws:userid"] = [call.account]
    else:
        context["aws:principaltype"] = ["Anonymous"]
    if raw is not None:
        context["aws:sourceip"] = [raw.peer or "127.0.0.1"]
        context |= _of_headers(raw.headers)
        if raw.signature is not None:
            presigned = "authorization" not in raw.headers
            context["s3:authtype"] = ["REST-QUERY-STRING" if presigned else "REST-HEADER"]
            context["s3:signatureversion"] = ["AWS4-HMAC-SHA256" if raw.signature.key else "AWS"]
    for name, key in _QUERY_KEYS.items():
        if request.get(name) is not None:
            context[key] = [str(request[name])]
    if entry is not None:
        context |= {f"s3:existingobjecttag/{key.lower()}": [value] for key, value in entry.tags.items()}
    context |= _of_tags(request)
    return context


def _of_headers(headers: Mapping[str, str]) -> dict[str, list[str]]:
    found = {f"s3:{name}": [headers[name]] for name in _HEADER_KEYS if name in headers}
    if "x-amz-copy-source" in headers:
        found["s3:x-amz-copy-source"] = [unquote(headers["x-amz-copy-source"]).lstrip("/")]  # Clients send it with a slash or without.
    for name, key in (("referer", "aws:referer"), ("user-agent", "aws:useragent")):
        if name in headers:
            found[key] = [headers[name]]
    return found


def _of_tags(request: Request) -> dict[str, list[str]]:
    """The tags that a request brings."""
    tagging = request.get("Tagging")
    if isinstance(tagging, dict):
        pairs = [(tag["Key"], tag["Value"]) for tag in tagging.get("TagSet", [])]
    elif isinstance(tagging, str):
        pairs = [(unquote(key), unquote(value)) for key, _, value in (word.partition("=") for word in tagging.split("&") if word)]
    else:
        return {}
    found = {f"s3:requestobjecttag/{key.lower()}": [value] for key, value in pairs}
    return found | {"s3:requestobjecttagkeys": [key for key, _ in pairs]}
