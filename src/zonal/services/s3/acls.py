"""Access control lists and ownership controls of buckets and objects.

As on AWS, ACLs are disabled in a new bucket (BucketOwnerEnforced): any ACL except the owner's full control is then rejected. A grant is
stored as a pair of permission and grantee (a canonical user id or a group's URI). (S3 User Guide, "Access control list (ACL) overview",
"Controlling ownership of objects".)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from zonal.buckets.records import Bucket, ObjectVersion
from zonal.foundation.credentials import Account, Accounts
from zonal.foundation.errors import AwsError
from zonal.services.operation import Call, operation
from zonal.services.s3.context import S3Context
from zonal.services.s3.errors import absent, access_denied, invalid_argument, invalid_request, malformed_acl, malformed_xml
from zonal.services.s3.owners import ALL_USERS, AUTHENTICATED_USERS, GROUPS, LOG_DELIVERY

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        DeleteBucketOwnershipControlsRequestTypeDef,
        GetBucketAclRequestTypeDef,
        GetBucketOwnershipControlsRequestTypeDef,
        GetObjectAclRequestTypeDef,
        PutBucketAclRequestTypeDef,
        PutBucketOwnershipControlsRequestTypeDef,
        PutObjectAclRequestTypeDef,
    )

Grants = tuple[tuple[str, str], ...]
PERMISSIONS = ("FULL_CONTROL", "WRITE", "WRITE_ACP", "READ", "READ_ACP")
_HEADERS = {
    "x-amz-grant-read": "READ",
    "x-amz-grant-write": "WRITE",
    "x-amz-grant-read-acp": "READ_ACP",
    "x-amz-grant-write-acp": "WRITE_ACP",
    "x-amz-grant-full-control": "FULL_CONTROL",
}
OWNERSHIPS = ("BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter")
_PUBLIC = (ALL_USERS, AUTHENTICATED_USERS)
ACCESS_BLOCK_SWITCHES = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
"""The members of a public access block."""


class Acls:
    """Operations on ACLs and ownership controls."""

    def __init__(self, s3_context: S3Context) -> None:
        self._s3_context = s3_context

    @operation("GetBucketAcl")
    async def get_of_bucket(self, call: Call, request: GetBucketAclRequestTypeDef) -> dict[str, Any]:
        bucket = self._s3_context.bucket(request["Bucket"])
        return {"Owner": self._s3_context.owner(bucket.owner), "Grants": self._shown(grants_of_bucket(bucket, self._s3_context.accounts))}

    @operation("PutBucketAcl")
    async def put_of_bucket(self, call: Call, request: PutBucketAclRequestTypeDef) -> None:
        bucket = self._s3_context.bucket(request["Bucket"])
        grants = self._replaced(call, request, bucket, bucket.owner)
        await self._s3_context.change_bucket(bucket.name, lambda one: replace(one, grants=grants))

    @operation("GetObjectAcl")
    async def get_of_object(self, call: Call, request: GetObjectAclRequestTypeDef) -> dict[str, Any]:
        bucket, entry = self._s3_context.entry(request)
        return {"Owner": self._s3_context.owner(entry.owner), "Grants": self._shown(grants_of(bucket, entry, self._s3_context.accounts))}

    @operation("PutObjectAcl")
    async def put_of_object(self, call: Call, request: PutObjectAclRequestTypeDef) -> dict[str, Any]:
        bucket, entry = self._s3_context.entry(request, method="PUT")
        grants = self._replaced(call, request, bucket, entry.owner)
        await self._s3_context.change_entry(bucket, entry, lambda one: replace(one, grants=grants))
        return {}

    @operation("GetBucketOwnershipControls")
    async def get_ownership(self, call: Call, request: GetBucketOwnershipControlsRequestTypeDef) -> dict[str, Any]:
        bucket = self._s3_context.bucket(request["Bucket"])
        if not bucket.ownership:
            raise absent("OwnershipControlsNotFoundError", "The bucket ownership controls were not found", bucket.name)
        return {"OwnershipControls": {"Rules": [{"ObjectOwnership": bucket.ownership}]}}

    @operation("PutBucketOwnershipControls")
    async def put_ownership(self, call: Call, request: PutBucketOwnershipControlsRequestTypeDef) -> None:
        rules = request["OwnershipControls"]["Rules"]
        if len(rules) != 1 or rules[0]["ObjectOwnership"] not in OWNERSHIPS:
            raise malformed_xml()
        wanted = rules[0]["ObjectOwnership"]

        def change(bucket: Bucket) -> Bucket:
            owner = self._s3_context.accounts.of(bucket.owner).canonical_id
            if wanted == "BucketOwnerEnforced" and any(grantee != owner for _, grantee in bucket.grants or ()):
                raise _conflicts_with_ownership()
            return replace(bucket, ownership=wanted)

        await self._s3_context.change_bucket(request["Bucket"], change)

    @operation("DeleteBucketOwnershipControls")
    async def delete_ownership(self, call: Call, request: DeleteBucketOwnershipControlsRequestTypeDef) -> None:
        await self._s3_context.change_bucket(request["Bucket"], lambda one: replace(one, ownership=""))

    def _replaced(self, call: Call, request: Mapping[str, Any], bucket: Bucket, owner: str) -> Grants:
        """The grants of a PutBucketAcl or PutObjectAcl request. Raises `AwsError`, also if it has none."""
        grants = asked(call, request, bucket, owner, self._s3_context.accounts, policy=request.get("AccessControlPolicy"))
        if grants is None:
            raise AwsError("MissingSecurityHeader", "Your request was missing a required header", fields={"MissingHeaderName": "x-amz-acl"})
        return grants

    def _shown(self, grants: Grants) -> list[dict[str, Any]]:
        """Grants in a response's form, those to groups first."""
        ordered = sorted(grants, key=lambda grant: grant[1] not in GROUPS)
        return [{"Grantee": self._grantee(grantee), "Permission": permission} for permission, grantee in ordered]

    def _grantee(self, grantee: str) -> dict[str, str]:
        if grantee in GROUPS:
            return {"Type": "Group", "URI": grantee}
        known = self._s3_context.accounts.by_canonical_id(grantee)
        return {"Type": "CanonicalUser", "ID": grantee} | ({"DisplayName": known.display_name} if known else {})


def ownership(text: str) -> str:
    """The validated ownership of a header. Raises `AwsError` InvalidArgument."""
    if text not in OWNERSHIPS:
        message = f"Invalid x-amz-object-ownership header: {text}"
        raise AwsError("InvalidArgument", message, fields={"ArgumentName": "x-amz-object-ownership"})
    return text


def asked(
    call: Call, request: Mapping[str, Any], bucket: Bucket, owner: str, accounts: Accounts, *, policy: Mapping[str, Any] | None = None
) -> Grants | None:
    """The grants of a request for a bucket or object of `owner`; None if the request has none.

    Raises `AwsError` if the bucket does not allow them.
    """
    headers: Mapping[str, str] = call.raw.headers
    holder, canned = accounts.of(owner), request.get("ACL")
    named = [(permission, headers[name]) for name, permission in _HEADERS.items() if headers.get(name)]
    if canned and named:
        raise invalid_request("Specifying both Canned ACLs and Header Grants is not allowed")
    if policy is not None and (canned or named):
        raise AwsError("UnexpectedContent", "This request does not support content")
    if canned:
        grants = _canned(canned, holder, accounts.of(bucket.owner))
    elif named:
        grants = tuple((permission, grantee) for permission, text in named for grantee in _grantees(text, accounts))
    elif policy is not None:
        grants = _of_policy(policy, holder, accounts)
    else:
        return None
    if bucket.ownership == "BucketOwnerEnforced":
        mine = full_control(accounts.of(bucket.owner))
        if canned == "bucket-owner-full-control" or (not canned and grants == mine):
            return mine
        raise AwsError("AccessControlListNotSupported", "The bucket does not allow ACLs")
    if blocks(bucket, "BlockPublicAcls") and is_public(grants):
        raise access_denied()
    return grants


def for_new_bucket(call: Call, request: Mapping[str, Any], bucket: Bucket, accounts: Accounts) -> Grants | None:
    """The grants of a new bucket. Raises `AwsError` if its ownership or public access block forbids them (CreateBucket)."""
    owner = accounts.of(bucket.owner)
    free = replace(bucket, ownership="ObjectWriter", settings={})
    grants = asked(call, request, free, bucket.owner, accounts)
    if grants is None:
        return None
    if bucket.ownership == "BucketOwnerEnforced" and grants != full_control(owner):
        raise _conflicts_with_ownership()
    if blocks(bucket, "BlockPublicAcls") and is_public(grants):
        message = "Bucket cannot have public ACLs set with BlockPublicAccess enabled"
        raise AwsError("InvalidBucketAclWithBlockPublicAccessError", message)
    return grants


def _conflicts_with_ownership() -> AwsError:
    message = "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"
    return AwsError("InvalidBucketAclWithObjectOwnership", message)


def blocks(bucket: Bucket, name: str) -> bool:
    """Whether this switch of the bucket's public access block is on."""
    return bool(bucket.settings.get("public_access_block", {}).get(name))


def is_public(grants: Grants) -> bool:
    return any(grantee in _PUBLIC for _, grantee in grants)


def full_control(account: Account) -> Grants:
    return (("FULL_CONTROL", account.canonical_id),)


def grants_of_bucket(bucket: Bucket, accounts: Accounts) -> Grants:
    """The grants in force on a bucket."""
    if bucket.ownership == "BucketOwnerEnforced" or bucket.grants is None:
        return full_control(accounts.of(bucket.owner))
    return bucket.grants


def grants_of(bucket: Bucket, entry: ObjectVersion, accounts: Accounts) -> Grants:
    """The grants in force on an object."""
    if bucket.ownership == "BucketOwnerEnforced":
        return full_control(accounts.of(bucket.owner))
    return full_control(accounts.of(entry.owner)) if entry.grants is None else entry.grants


def allows(grants: Grants, caller: Account | None, permission: str, *, public: bool = True) -> bool:
    """Whether grants give a caller (None: anonymous) a permission; with `public=False` grants to everybody are ignored."""
    holders = {caller.canonical_id} if caller is not None else set()
    if public:
        holders |= {ALL_USERS} | ({AUTHENTICATED_USERS} if caller is not None else set())
    return any(granted in (permission, "FULL_CONTROL") and grantee in holders for granted, grantee in grants)


def _canned(name: str, account: Account, bucket_owner: Account) -> Grants:
    mine = full_control(account)
    foreign = account.canonical_id != bucket_owner.canonical_id
    canned: dict[str, Grants] = {
        "private": mine,
        "public-read": (*mine, ("READ", ALL_USERS)),
        "public-read-write": (*mine, ("READ", ALL_USERS), ("WRITE", ALL_USERS)),
        "authenticated-read": (*mine, ("READ", AUTHENTICATED_USERS)),
        "aws-exec-read": mine,
        "log-delivery-write": (*mine, ("WRITE", LOG_DELIVERY), ("READ_ACP", LOG_DELIVERY)),
        "bucket-owner-read": (*mine, ("READ", bucket_owner.canonical_id)) if foreign else mine,
        "bucket-owner-full-control": (*mine, ("FULL_CONTROL", bucket_owner.canonical_id)) if foreign else mine,
    }
    if name not in canned:
        raise invalid_argument("", "x-amz-acl", name)
    return canned[name]


def _grantees(text: str, accounts: Accounts) -> list[str]:
    """The grantees of a grant header: `id="…", uri="…"`. Raises `AwsError`."""
    found = []
    for pair in text.split(","):
        match = re.fullmatch(r'\s*(id|uri|emailAddress)\s*=\s*"?([^"]*)"?\s*', pair, re.IGNORECASE)
        if match is None:
            raise invalid_argument("Argument format not recognized", "x-amz-grant", text[:100])
        kind = {"id": "CanonicalUser", "uri": "Group"}.get(match[1].lower(), "AmazonCustomerByEmail")
        found.append(_known_grantee(kind, match[2], accounts, "id" if kind == "CanonicalUser" else "uri"))
    return found


def _known_grantee(kind: str, value: str, accounts: Accounts, name: str) -> str:
    """A grantee in its stored form. `name` is the argument's name in an error. Raises `AwsError` for an unknown grantee."""
    if kind == "Group":
        if value not in GROUPS:
            raise invalid_argument("Invalid group uri", name, value)
        return value
    known = accounts.by_email(value) if kind == "AmazonCustomerByEmail" else accounts.by_canonical_id(value)
    if known is not None:
        return known.canonical_id
    if kind == "AmazonCustomerByEmail":
        message = "The e-mail address you provided does not match any account on record."
        raise AwsError("UnresolvableGrantByEmailAddress", message, fields={"EmailAddress": value[:200]})
    raise invalid_argument("Invalid id", name, value)


def _of_policy(policy: Mapping[str, Any], account: Account, accounts: Accounts) -> Grants:
    """The grants of an `AccessControlPolicy` document. Raises `AwsError`."""
    if not policy.get("Owner", {}).get("ID") or "Grants" not in policy:
        raise malformed_acl()
    if policy["Owner"]["ID"] != account.canonical_id:
        raise access_denied()
    grants = []
    for grant in policy["Grants"]:
        grantee, permission = grant.get("Grantee") or {}, grant.get("Permission")
        if permission not in PERMISSIONS or grantee.get("Type") not in ("CanonicalUser", "Group", "AmazonCustomerByEmail"):
            raise malformed_acl()
        member = {"CanonicalUser": "ID", "Group": "URI"}.get(grantee["Type"], "EmailAddress")
        name = "CanonicalUser/ID" if member == "ID" else "Group/URI"
        grants.append((permission, _known_grantee(grantee["Type"], grantee.get(member, ""), accounts, name)))
    return tuple(grants)
