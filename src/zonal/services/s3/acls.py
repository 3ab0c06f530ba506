"""Access control lists: who was granted what on a bucket or an object.

Buckets have them disabled (BucketOwnerEnforced) unless their ownership controls say otherwise, as new buckets at AWS do: then one that
says anything but "the owner has full control" is refused. A grant is kept as a pair: permission and grantee (a canonical id or a group's
URI). (S3 User Guide, "Access control list (ACL) overview", "Controlling ownership of objects".)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from zonal.buckets.entries import Bucket, Entry
from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import ACCOUNT
from zonal.services.operation import Call, operation
from zonal.services.s3.errors import absent, access_denied, invalid_argument, invalid_request, malformed_acl
from zonal.services.s3.ground import Ground
from zonal.services.s3.owners import ALL_USERS, AUTHENTICATED_USERS, GROUPS, LOG_DELIVERY, canonical_id, owner

Grants = tuple[tuple[str, str], ...]
Request = dict[str, Any]
PERMISSIONS = ("FULL_CONTROL", "WRITE", "WRITE_ACP", "READ", "READ_ACP")
_HEADERS = {
    "GrantFullControl": "FULL_CONTROL",
    "GrantRead": "READ",
    "GrantReadACP": "READ_ACP",
    "GrantWrite": "WRITE",
    "GrantWriteACP": "WRITE_ACP",
}
_PUBLIC = (ALL_USERS, AUTHENTICATED_USERS)


class Acls:
    """Operations on ACLs and ownership controls."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    @operation("GetBucketAcl")
    async def get_of_bucket(self, call: Call, request: Request) -> Request:
        bucket = self._ground.bucket(request["Bucket"])
        return {"Owner": owner(bucket.owner), "Grants": shown(bucket.grants or full_control(bucket.owner))}

    @operation("PutBucketAcl")
    async def put_of_bucket(self, call: Call, request: Request) -> None:
        bucket = self._ground.bucket(request["Bucket"])
        grants = asked(request, call.account, bucket, policy=request.get("AccessControlPolicy"), owner_of=bucket.owner)
        if grants is None:
            raise AwsError("MissingSecurityHeader", "Your request was missing a required header", fields={"MissingHeaderName": "x-amz-acl"})
        await self._ground.change_bucket(bucket.name, lambda one: replace(one, grants=grants))

    @operation("GetObjectAcl")
    async def get_of_object(self, call: Call, request: Request) -> Request:
        bucket, entry = self._ground.entry(request)
        return {"Owner": owner(entry.owner), "Grants": shown(grants_of(bucket, entry))}

    @operation("PutObjectAcl")
    async def put_of_object(self, call: Call, request: Request) -> Request:
        bucket, entry = self._ground.entry(request)
        grants = asked(request, call.account, bucket, policy=request.get("AccessControlPolicy"), owner_of=entry.owner)
        if grants is None:
            raise AwsError("MissingSecurityHeader", "Your request was missing a required header", fields={"MissingHeaderName": "x-amz-acl"})
        await self._ground.change_entry(bucket, entry, lambda one: replace(one, grants=grants))
        return {}

    @operation("GetBucketOwnershipControls")
    async def get_ownership(self, call: Call, request: Request) -> Request:
        bucket = self._ground.bucket(request["Bucket"])
        if not bucket.ownership:
            raise absent("OwnershipControlsNotFoundError", "The bucket ownership controls were not found", bucket.name)
        return {"OwnershipControls": {"Rules": [{"ObjectOwnership": bucket.ownership}]}}

    @operation("PutBucketOwnershipControls")
    async def put_ownership(self, call: Call, request: Request) -> None:
        rules = request["OwnershipControls"]["Rules"]
        if len(rules) != 1:
            raise invalid_request("The request must have exactly one rule of ownership.")
        wanted = ownership(rules[0]["ObjectOwnership"])

        def change(bucket: Bucket) -> Bucket:
            if wanted == "BucketOwnerEnforced" and any(grantee != canonical_id(bucket.owner) for _, grantee in bucket.grants):
                words = "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"
                raise AwsError("InvalidBucketAclWithObjectOwnership", words)
            return replace(bucket, ownership=wanted)

        await self._ground.change_bucket(request["Bucket"], change)

    @operation("DeleteBucketOwnershipControls")
    async def delete_ownership(self, call: Call, request: Request) -> None:
        await self._ground.change_bucket(request["Bucket"], lambda one: replace(one, ownership=""))


def ownership(text: str) -> str:
    if text not in ("BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"):
        raise invalid_argument(f"Invalid x-amz-object-ownership header: {text}", "x-amz-object-ownership", text)
    return text


def asked(request: Request, account: str, bucket: Bucket, *, policy: Mapping[str, Any] | None = None, owner_of: str = "") -> Grants | None:
    """The grants that a request asks for, or None where it says nothing of them. Raises `AwsError` where the bucket refuses."""
    holder = owner_of or account
    canned = request.get("ACL")
    named = [(permission, request[name]) for name, permission in _HEADERS.items() if request.get(name)]
    if canned and named:
        raise invalid_request("Specifying both Canned ACLs and Header Grants is not allowed")
    if canned:
        grants = _canned(canned, holder, bucket.owner)
    elif named:
        grants = tuple((permission, grantee) for permission, text in named for grantee in _grantees(text))
    elif policy is not None:
        grants = _of_policy(policy, holder)
    else:
        return None
    if bucket.ownership == "BucketOwnerEnforced":
        if canned == "bucket-owner-full-control" or grants == full_control(bucket.owner):
            return None if canned and not owner_of else full_control(bucket.owner)
        raise AwsError("AccessControlListNotSupported", "The bucket does not allow ACLs")
    if blocks(bucket, "BlockPublicAcls") and is_public(grants):
        raise access_denied()
    return grants


def blocks(bucket: Bucket, name: str) -> bool:
    """Whether the bucket's public access block has this switch on."""
    return bool(bucket.settings.get("public_access_block", {}).get(name))


def is_public(grants: Grants) -> bool:
    return any(grantee in _PUBLIC for _, grantee in grants)


def full_control(account: str) -> Grants:
    return (("FULL_CONTROL", canonical_id(account)),)


def grants_of(bucket: Bucket, entry: Entry) -> Grants:
    """The grants in force on an object."""
    if bucket.ownership == "BucketOwnerEnforced" or entry.grants is None:
        return full_control(bucket.owner if bucket.ownership == "BucketOwnerEnforced" else entry.owner)
    return entry.grants


def allows(grants: Grants, account: str | None, permission: str, *, public: bool = True) -> bool:
    """Whether grants give a caller (None: anonymous) a permission; with `public=False` those to everybody do not count."""
    holders = {canonical_id(account)} if account is not None else set()
    if public:
        holders |= {ALL_USERS} | ({AUTHENTICATED_USERS} if account is not None else set())
    return any(granted in (permission, "FULL_CONTROL") and grantee in holders for granted, grantee in grants)


def shown(grants: Grants) -> list[dict[str, Any]]:
    """Grants as an answer shows them."""
    return [{"Grantee": _grantee(grantee), "Permission": permission} for permission, grantee in grants]


def _grantee(grantee: str) -> dict[str, str]:
    if grantee in GROUPS:
        return {"Type": "Group", "URI": grantee}
    known = {canonical_id(account): account for account in _ACCOUNTS}
    return {"Type": "CanonicalUser", "ID": grantee} | ({"DisplayName": known[grantee]} if grantee in known else {})


_ACCOUNTS = {ACCOUNT}
"""Accounts that grants may name; more are made known by `know`."""


def know(accounts: set[str]) -> None:
    """Make further accounts known, whom grants may then name."""
    _ACCOUNTS.update(accounts)


def _canned(name: str, account: str, bucket_owner: str) -> Grants:
    mine = full_control(account)
    canned: dict[str, Grants] = {
        "private": mine,
        "public-read": (*mine, ("READ", ALL_USERS)),
        "public-read-write": (*mine, ("READ", ALL_USERS), ("WRITE", ALL_USERS)),
        "authenticated-read": (*mine, ("READ", AUTHENTICATED_USERS)),
        "aws-exec-read": mine,
        "log-delivery-write": (*mine, ("WRITE", LOG_DELIVERY), ("READ_ACP", LOG_DELIVERY)),
        "bucket-owner-read": mine if account == bucket_owner else (*mine, ("READ", canonical_id(bucket_owner))),
        "bucket-owner-full-control": mine if account == bucket_owner else (*mine, ("FULL_CONTROL", canonical_id(bucket_owner))),
    }
    if name not in canned:
        raise invalid_argument("", "x-amz-acl", name)
    return canned[name]


def _grantees(text: str) -> list[str]:
    """The grantees of a header: `id="…", uri="…"`."""
    found = []
    for word in text.split(","):
        match = re.fullmatch(r'\s*(id|uri|emailAddress)\s*=\s*"?([^"]*)"?\s*', word)
        if match is None:
            raise invalid_argument("Argument format not recognized", "x-amz-grant", text[:100])
        found.append(_known_grantee({"id": "CanonicalUser", "uri": "Group"}.get(match[1], "AmazonCustomerByEmail"), match[2]))
    return found


def _known_grantee(kind: str, value: str) -> str:
    if kind == "Group":
        if value not in GROUPS:
            raise invalid_argument("Invalid group uri", "uri", value)
        return value
    if kind == "AmazonCustomerByEmail":
        raise AwsError("UnresolvableGrantByEmailAddress", "The e-mail address you provided does not match any account on record.")
    if value not in {canonical_id(account) for account in _ACCOUNTS}:
        raise invalid_argument("Invalid id", "CanonicalUser/ID", value)
    return value


def _of_policy(policy: Mapping[str, Any], account: str) -> Grants:
    """The grants of an `AccessControlPolicy` document."""
    if not policy.get("Owner", {}).get("ID") or "Grants" not in policy:
        raise malformed_acl()
    if policy["Owner"]["ID"] != canonical_id(account):
        raise access_denied()
    grants = []
    for grant in policy["Grants"]:
        grantee, permission = grant.get("Grantee") or {}, grant.get("Permission")
        if permission not in PERMISSIONS or grantee.get("Type") not in ("CanonicalUser", "Group", "AmazonCustomerByEmail"):
            raise malformed_acl()
        value = grantee.get({"CanonicalUser": "ID", "Group": "URI"}.get(grantee["Type"], "EmailAddress"), "")
        grants.append((permission, _known_grantee(grantee["Type"], value)))
    return tuple(grants)
