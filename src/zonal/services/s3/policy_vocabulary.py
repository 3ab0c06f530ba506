"""The vocabulary of bucket policies: actions, the kind of resource of each, and the condition keys that each supports.

A policy with an unknown action or condition key, or one that cannot apply, is rejected when it is put, because it would silently have no
effect. (Service Authorization Reference, "Actions, resources, and condition keys for Amazon S3"; IAM User Guide, "AWS global condition
context keys".)
"""

from __future__ import annotations

import re
from collections.abc import Set
from functools import lru_cache


def _split(text: str) -> frozenset[str]:
    return frozenset(text.split())


OBJECT_ACTIONS = _split(
    """
    AbortMultipartUpload BypassGovernanceRetention DeleteObject DeleteObjectTagging DeleteObjectVersion DeleteObjectVersionTagging
    GetObject GetObjectAcl GetObjectAttributes GetObjectLegalHold GetObjectRetention GetObjectTagging GetObjectTorrent GetObjectVersion
    GetObjectVersionAcl GetObjectVersionAttributes GetObjectVersionForReplication GetObjectVersionTagging GetObjectVersionTorrent
    InitiateReplication ListMultipartUploadParts ObjectOwnerOverrideToBucketOwner PutObject PutObjectAcl PutObjectLegalHold
    PutObjectRetention PutObjectTagging PutObjectVersionAcl PutObjectVersionTagging ReplicateDelete ReplicateObject ReplicateTags
    RestoreObject UpdateObjectEncryption
    """
)
BUCKET_ACTIONS = _split(
    """
    CreateBucketMetadataTableConfiguration DeleteBucket DeleteBucketMetadataTableConfiguration DeleteBucketPolicy DeleteBucketWebsite
    GetAccelerateConfiguration GetAnalyticsConfiguration GetBucketAbac GetBucketAcl GetBucketCORS GetBucketLocation GetBucketLogging
    GetBucketMetadataTableConfiguration GetBucketNotification GetBucketObjectLockConfiguration GetBucketOwnershipControls GetBucketPolicy
    GetBucketPolicyStatus GetBucketPublicAccessBlock GetBucketRequestPayment GetBucketTagging GetBucketVersioning GetBucketWebsite
    GetEncryptionConfiguration GetIntelligentTieringConfiguration GetInventoryConfiguration GetLifecycleConfiguration
    GetMetricsConfiguration GetReplicationConfiguration ListBucket ListBucketMultipartUploads ListBucketVersions ListTagsForResource
    PauseReplication PutAccelerateConfiguration PutAnalyticsConfiguration PutBucketAbac PutBucketAcl PutBucketCORS PutBucketLogging
    PutBucketNotification PutBucketObjectLockConfiguration PutBucketOwnershipControls PutBucketPolicy PutBucketPublicAccessBlock
    PutBucketRequestPayment PutBucketTagging PutBucketVersioning PutBucketWebsite PutEncryptionConfiguration
    PutIntelligentTieringConfiguration PutInventoryConfiguration PutLifecycleConfiguration PutMetricsConfiguration
    PutReplicationConfiguration TagResource UntagResource UpdateBucketMetadataInventoryTableConfiguration
    UpdateBucketMetadataJournalTableConfiguration
    """
)
"""Without CreateBucket and the account's actions (ListAllMyBuckets), which a bucket policy cannot contain."""

_ANY = OBJECT_ACTIONS | BUCKET_ACTIONS
_ACLS = frozenset({"BypassGovernanceRetention", "PutBucketAcl", "PutObject", "PutObjectAcl", "PutObjectVersionAcl"})
_PUTS = frozenset({"BypassGovernanceRetention", "PutObject"})
_ENCRYPTING = _PUTS | {"ReplicateObject", "UpdateObjectEncryption"}
_TAGGING = _PUTS | {"PutObjectTagging", "PutObjectVersionTagging"}
_LISTS = frozenset({"ListBucket", "ListBucketVersions"})
_RETAINING = frozenset({"PutObject", "PutObjectRetention"})
_TAGGED = _split(
    """
    DeleteObjectTagging DeleteObjectVersionTagging GetObject GetObjectAcl GetObjectAttributes GetObjectTagging GetObjectVersion
    GetObjectVersionAcl GetObjectVersionAttributes GetObjectVersionTagging PutObjectAcl PutObjectTagging PutObjectVersionAcl
    PutObjectVersionTagging
    """
)
_OF_VERSIONS = _split(
    """
    DeleteObjectVersion DeleteObjectVersionTagging GetObjectVersion GetObjectVersionAcl GetObjectVersionAttributes
    GetObjectVersionTagging GetObjectVersionTorrent PutObjectVersionAcl PutObjectVersionTagging
    """
)

KEYS: dict[str, Set[str]] = {
    "accessgrantsinstancearn": _ANY,
    "accesspointnetworkorigin": _ANY,
    "authtype": _ANY,
    "dataaccesspointaccount": _ANY,
    "dataaccesspointarn": _ANY,
    "resourceaccount": _ANY,
    "signatureage": _ANY,
    "signatureversion": _ANY,
    "tlsversion": _ANY,
    "x-amz-content-sha256": _ANY,
    "delimiter": _LISTS,
    "max-keys": _LISTS,
    "prefix": _LISTS,
    "versionid": _OF_VERSIONS,
    "if-match": frozenset({"DeleteObject", "PutObject"}),
    "if-none-match": frozenset({"PutObject"}),
    "objectcreationoperation": frozenset({"PutObject"}),
    "object-lock-legal-hold": frozenset({"PutObject", "PutObjectLegalHold"}),
    "object-lock-mode": _RETAINING,
    "object-lock-remaining-retention-days": _RETAINING,
    "object-lock-retain-until-date": _RETAINING,
    "requestobjecttagkeys": _TAGGING,
    "x-amz-acl": _ACLS,
    "x-amz-grant-full-control": _ACLS,
    "x-amz-grant-read": _ACLS,
    "x-amz-grant-read-acp": _ACLS,
    "x-amz-grant-write": _ACLS,
    "x-amz-grant-write-acp": _ACLS,
    "x-amz-copy-source": _PUTS,
    "x-amz-metadata-directive": _PUTS,
    "x-amz-server-side-encryption": _ENCRYPTING,
    "x-amz-server-side-encryption-aws-kms-key-id": _ENCRYPTING,
    "x-amz-server-side-encryption-customer-algorithm": _ENCRYPTING,
    "x-amz-storage-class": _ACLS - {"PutBucketAcl"},
    "x-amz-website-redirect-location": _PUTS,
    "destinationregion": frozenset({"PauseReplication"}),
    "inventoryaccessibleoptionalfields": frozenset({"PutInventoryConfiguration"}),
    "isreplicationpauserequest": frozenset({"PutReplicationConfiguration"}),
}
"""S3's condition keys (without `s3:`, in lower case) and the actions that support each."""

_KEYS_OF_TAGS: dict[str, Set[str]] = {
    "accesspointtag": _ANY,
    "buckettag": _ANY,
    "existingobjecttag": _TAGGED,
    "requestobjecttag": _TAGGING,
}
GLOBAL_KEYS = _split(
    """
    assumedroot calledvia calledviafirst calledvialast chatbotsourcearn currenttime ec2instancesourceprivateipv4 ec2instancesourcevpc
    epochtime federatedprovider ismcpserviceaction multifactorauthage multifactorauthpresent principalaccount principalarn
    principalisawsservice principalorgid principalorgpaths principalservicename principalservicenameslist principaltype referer
    requestedregion resourceaccount resourceorgid resourceorgpaths securetransport signinsessionarn sourceaccount sourcearn sourceidentity
    sourceip sourceorgid sourceorgpaths sourceowner sourcevpc sourcevpcarn sourcevpce tagkeys tokenissuetime useragent userid username
    viaawsmcpservice viaawsservice vpceaccount vpceorgid vpceorgpaths vpcsourceip
    """
)
_GLOBAL_KEYS_OF_TAGS = frozenset({"principaltag", "requesttag", "resourcetag"})
ADDRESS_KEYS = frozenset({"aws:sourceip", "aws:vpcsourceip"})
"""Condition keys whose values must be addresses or networks, whatever the operator."""


@lru_cache(2048)
def pattern(text: str, ignore_case: bool = False) -> re.Pattern[str]:
    """A policy's pattern (`*` and `?`) as a regular expression for whole strings."""
    parts = [".*" if letter == "*" else "." if letter == "?" else re.escape(letter) for letter in text]
    return re.compile("".join(parts), re.DOTALL | (re.IGNORECASE if ignore_case else re.NOFLAG))


def actions_of(text: str) -> Set[str]:
    """The actions, without `s3:`, that an action pattern of a policy (`s3:Get*`) matches; empty if none."""
    if text == "*":
        return _ANY
    service, _, name = text.partition(":")
    if service.lower() != "s3":
        return frozenset()
    matching = pattern(name, ignore_case=True)
    return {each for each in _ANY if matching.fullmatch(each)}


def actions_with_key(key: str) -> Set[str] | None:
    """The actions that support a condition key; None if there is no such key. Keys of other services (`saml:sub`) are valid."""
    service, _, name = key.lower().partition(":")
    prefix, _, tag = name.partition("/")
    if service == "s3":
        return _KEYS_OF_TAGS.get(prefix) if tag else KEYS.get(name)
    if service == "aws":
        return _ANY if name in GLOBAL_KEYS or (tag and prefix in _GLOBAL_KEYS_OF_TAGS) else None
    return _ANY if name else None
