"""Authorization: every call is checked here before its handler runs.

The gateway has authenticated the caller (an account, or anonymous). A bucket's owner may do everything that its policy does not deny; other
callers need an allow by the policy or an ACL; the public access block removes what is granted to everybody. An explicit deny takes
precedence, except that the owner can always read and change the policy itself and so cannot be locked out. (S3 User Guide, "How Amazon S3
authorizes a request".)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from zonal.buckets.records import Bucket, ObjectVersion
from zonal.services.operation import Call, Handler
from zonal.services.s3 import acls, policies
from zonal.services.s3.context import S3Context
from zonal.services.s3.errors import access_denied, explicitly_denied, invalid_argument, no_such_bucket
from zonal.services.s3.policies import AuthorizationRequest, PolicyDecision
from zonal.services.s3.policy_context import context_of

_NO_BUCKET = frozenset({"ListBuckets", "CreateBucket"})
_POLICY_OPERATIONS = frozenset({"GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy"})

_JUDGED_BY_BODY = frozenset(
    {"DeleteObjects", "PutBucketTagging", "PutObjectTagging", "PutObjectRetention", "PutObjectLegalHold", "PutObjectLockConfiguration"}
)
"""Operations whose policy conditions depend on the body: keys, tags, retention."""

ACTIONS = {
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListParts": "ListMultipartUploadParts",
    "HeadObject": "GetObject",
    "SelectObjectContent": "GetObject",
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
    "GetBucketReplication": "GetReplicationConfiguration",
    "PutBucketReplication": "PutReplicationConfiguration",
    "DeleteBucketReplication": "PutReplicationConfiguration",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
    "GetBucketAccelerateConfiguration": "GetAccelerateConfiguration",
    "PutBucketAccelerateConfiguration": "PutAccelerateConfiguration",
}
"""Policy actions of the operations whose action has another name."""

_VERSIONED = (
    "GetObject",
    "GetObjectAttributes",
    "DeleteObject",
    "GetObjectTagging",
    "PutObjectTagging",
    "DeleteObjectTagging",
    "GetObjectAcl",
    "PutObjectAcl",
)
_ACL_PERMISSIONS = {
    "GetObject": "READ",
    "GetObjectVersion": "READ",
    "GetObjectAttributes": "READ",
    "GetObjectVersionAttributes": "READ",
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
    "PutObjectAcl": "WRITE",  # As part of a put.
    "DeleteObject": "WRITE",
    "AbortMultipartUpload": "WRITE",
    "ListMultipartUploadParts": "WRITE",
}


class AccessControl:
    """Authorizes calls."""

    def __init__(self, s3_context: S3Context) -> None:
        self._s3_context = s3_context

    def guarded(self, handlers: Mapping[str, Handler]) -> dict[str, Handler]:
        """The handlers, each wrapped in its check."""
        return {name: self._guard(name, handler) for name, handler in handlers.items()}

    def _guard(self, name: str, handler: Handler) -> Handler:
        async def guarded(call: Call, request: Mapping[str, Any]) -> Any:
            self.check(name, call, request)
            return await handler(call, request)

        guarded.__qualname__ = getattr(handler, "__qualname__", name)
        return guarded

    def check(self, name: str, call: Call, request: Mapping[str, Any]) -> None:
        """Raises `AwsError` if the caller may not do this or the bucket does not exist."""
        if name in _NO_BUCKET:
            if call.access_key is None:
                raise access_denied()
            return
        bucket = self._s3_context.bucket(request["Bucket"])
        expected = request.get("ExpectedBucketOwner")
        if expected is not None and expected != bucket.owner:
            raise access_denied()
        if name in _POLICY_OPERATIONS and call.access_key is not None and call.account == bucket.owner:
            return
        for action in actions_for(name, request):
            self.require(bucket, action, request.get("Key", ""), call, request, writes=name != action)
        if request.get("CopySource"):
            self._check_source(call, request)

    def check_head(self, call: Call, request: Mapping[str, Any]) -> None:
        """Raises `AwsError` if the caller may not do this, whatever the body is; `request` has the members of the head only.

        If the bucket has a policy whose conditions may depend on the body, only the bucket is checked.
        """
        name = call.operation
        if name in _NO_BUCKET:
            self.check(name, call, dict(request))
            return
        bucket = self._s3_context.bucket(request["Bucket"])
        if bucket.settings.get("policy") is not None and name in _JUDGED_BY_BODY:
            return
        if name == "DeleteObjects" and call.access_key is None:  # Without a policy the result is the same for every key.
            self.require(bucket, "DeleteObject", "", call, dict(request))
            return
        self.check(name, call, dict(request))

    def require(self, bucket: Bucket, action: str, key: str, call: Call, request: Mapping[str, Any], *, writes: bool = False) -> None:
        """Raises `AwsError` AccessDenied if the caller may not do `action` (see `may`)."""
        if not self.may(bucket, action, key, call, request, writes=writes):
            own = call.access_key is not None and call.account == bucket.owner
            if own and self._by_policy(bucket, action, key, call, request, self._entry(bucket, key, request)) is PolicyDecision.DENY:
                raise explicitly_denied(call.account, action, _arn(bucket, key))
            raise access_denied()

    def may(self, bucket: Bucket, action: str, key: str, call: Call, request: Mapping[str, Any], *, writes: bool = False) -> bool:
        """Whether the caller may do `action` on a key (empty: on the bucket); `writes`: as part of writing the object."""
        account = call.account if call.access_key is not None else None
        caller = self._s3_context.accounts.of(account) if account is not None else None
        has_policy = bucket.settings.get("policy") is not None
        entry = self._entry(bucket, key, request) if has_policy or action in _ACL_PERMISSIONS else None
        decision = self._by_policy(bucket, action, key, call, request, entry)
        if decision is not PolicyDecision.SILENT:
            return decision is PolicyDecision.ALLOW
        if account == bucket.owner and self._owner_suffices(bucket, action, entry):
            return True
        reads = action in _ACL_PERMISSIONS and not (writes and action == "PutObjectAcl")
        if reads and (entry is None or entry.is_marker):  # Callers who may list get NoSuchKey from the handler.
            return self.may(bucket, "ListBucket", "", call, {"Bucket": bucket.name, "Prefix": key})
        if bucket.ownership == "BucketOwnerEnforced":
            return False
        public = not acls.blocks(bucket, "IgnorePublicAcls")
        grants = acls.grants_of_bucket(bucket, self._s3_context.accounts)
        if reads:
            assert entry is not None
            held = acls.grants_of(bucket, entry, self._s3_context.accounts)
            return acls.allows(held, caller, _ACL_PERMISSIONS[action], public=public)
        needed = _BUCKET_PERMISSIONS.get(action)
        return needed is not None and acls.allows(grants, caller, needed, public=public)

    def _by_policy(
        self, bucket: Bucket, action: str, key: str, call: Call, request: Mapping[str, Any], entry: ObjectVersion | None
    ) -> PolicyDecision:
        policy = bucket.settings.get("policy")
        if policy is None:
            return PolicyDecision.SILENT
        account = call.account if call.access_key is not None else None
        caller = self._s3_context.accounts.of(account) if account is not None else None
        authorization = AuthorizationRequest(caller, f"s3:{action}", _arn(bucket, key), context_of(call, request, bucket, entry))
        return policies.decide(policy, authorization, public=not acls.blocks(bucket, "RestrictPublicBuckets") or account == bucket.owner)

    def _owner_suffices(self, bucket: Bucket, action: str, entry: ObjectVersion | None) -> bool:
        """Whether ownership of the bucket suffices: for everything except reading other accounts' objects that have ACLs."""
        mine = entry is None or entry.owner == bucket.owner or bucket.ownership == "BucketOwnerEnforced"
        return mine or action not in _ACL_PERMISSIONS

    def _entry(self, bucket: Bucket, key: str, request: Mapping[str, Any]) -> ObjectVersion | None:
        if not key:
            return None
        version = request.get("VersionId") if request.get("Key") == key else None
        view = self._s3_context.catalog.view
        return view.version(bucket.number, key, version) if version else view.current(bucket.number, key)

    def _check_source(self, call: Call, request: Mapping[str, Any]) -> None:
        """Raises `AwsError` if the caller may not read the source of a copy."""
        name, key, version = source_of(request["CopySource"])
        bucket = self._s3_context.catalog.view.bucket(name)
        if bucket is None:
            raise no_such_bucket(name)
        expected = request.get("ExpectedSourceBucketOwner")
        if expected is not None and expected != bucket.owner:
            raise access_denied()
        asked = {"Bucket": name, "Key": key} | ({"VersionId": version} if version else {})
        self.require(bucket, "GetObjectVersion" if version else "GetObject", key, call, asked)


def _arn(bucket: Bucket, key: str) -> str:
    return f"arn:aws:s3:::{bucket.name}" + (f"/{key}" if key else "")


def source_of(text: str) -> tuple[str, str, str | None]:
    """Bucket, key and version of an `x-amz-copy-source`. Raises `AwsError`."""
    path, mark, version = text.partition("?versionId=")
    bucket, _, key = unquote(path).lstrip("/").partition("/")
    if not bucket or not key:
        raise invalid_argument(
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey", "x-amz-copy-source", text[:200]
        )
    if mark and not version:
        raise invalid_argument("Version id cannot be the empty string", "x-amz-copy-source", text[:200])
    return bucket, key, version if mark else None


def actions_for(name: str, request: Mapping[str, Any]) -> list[str]:
    """The policy actions of an operation, including those that its parameters add."""
    action = ACTIONS.get(name, name)
    if not action:
        return []
    if action in _VERSIONED and request.get("VersionId"):
        action = re.sub("Object", "ObjectVersion", action, count=1)
    actions = [action]
    if name == "GetObjectAttributes":  # "You need both the s3:GetObject and s3:GetObjectAttributes permissions."
        actions.insert(0, action.removesuffix("Attributes"))
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
