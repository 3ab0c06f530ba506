"""Bucket configurations: versioning, encryption, policy, public access block, and those that zonal only reports as absent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from zonal.buckets.records import Bucket
from zonal.foundation.errors import AwsError
from zonal.services.operation import Call, HandlerResponse, operation
from zonal.services.s3 import acls, encryption, policies
from zonal.services.s3.context import S3Context
from zonal.services.s3.errors import absent, access_denied, invalid_request, malformed_xml, not_built

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        DeleteBucketEncryptionRequestTypeDef,
        DeleteBucketPolicyRequestTypeDef,
        DeletePublicAccessBlockRequestTypeDef,
        GetBucketAccelerateConfigurationRequestTypeDef,
        GetBucketEncryptionRequestTypeDef,
        GetBucketNotificationConfigurationRequestRequestTypeDef,
        GetBucketPolicyRequestTypeDef,
        GetBucketPolicyStatusRequestTypeDef,
        GetBucketReplicationRequestTypeDef,
        GetBucketRequestPaymentRequestTypeDef,
        GetBucketVersioningRequestTypeDef,
        GetObjectTorrentRequestTypeDef,
        GetPublicAccessBlockRequestTypeDef,
        PutBucketAccelerateConfigurationRequestTypeDef,
        PutBucketEncryptionRequestTypeDef,
        PutBucketNotificationConfigurationRequestTypeDef,
        PutBucketPolicyRequestTypeDef,
        PutBucketRequestPaymentRequestTypeDef,
        PutBucketVersioningRequestTypeDef,
        PutPublicAccessBlockRequestTypeDef,
    )


class Configurations:
    """Operations on configurations."""

    def __init__(self, s3_context: S3Context) -> None:
        self._s3_context = s3_context

    @operation("GetBucketVersioning")
    async def get_versioning(self, call: Call, request: GetBucketVersioningRequestTypeDef) -> dict[str, Any]:
        bucket = self._s3_context.bucket(request["Bucket"])
        return {"Status": bucket.versioning} if bucket.versioning else {}

    @operation("PutBucketVersioning")
    async def put_versioning(self, call: Call, request: PutBucketVersioningRequestTypeDef) -> None:
        configuration = request["VersioningConfiguration"]
        status = configuration.get("Status")
        if configuration.get("MFADelete") == "Enabled" or "MFA" in request:
            raise not_built("MFA delete")
        if status not in ("Enabled", "Suspended"):
            raise (
                AwsError("IllegalVersioningConfigurationException", "The Versioning element must be specified")
                if not status
                else malformed_xml()
            )

        def change(bucket: Bucket) -> Bucket:
            if status == "Suspended" and bucket.object_lock:
                message = "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."
                raise AwsError("InvalidBucketState", message, status=409)
            return replace(bucket, versioning=status)

        await self._s3_context.change_bucket(request["Bucket"], change)

    @operation("GetBucketEncryption")
    async def get_encryption(self, call: Call, request: GetBucketEncryptionRequestTypeDef) -> dict[str, Any]:
        bucket = self._s3_context.bucket(request["Bucket"])
        rules = bucket.settings.get("encryption", {}).get("Rules") or [{}]
        rule = {**encryption.SSE_S3, "BlockedEncryptionTypes": {"EncryptionType": encryption.blocked(bucket)}, **rules[0]}
        return {"ServerSideEncryptionConfiguration": {"Rules": [rule]}}

    @operation("PutBucketEncryption")
    async def put_encryption(self, call: Call, request: PutBucketEncryptionRequestTypeDef) -> None:
        configuration = request["ServerSideEncryptionConfiguration"]
        if len(configuration.get("Rules", [])) != 1:
            raise malformed_xml()
        rule = configuration["Rules"][0]
        default = rule.get("ApplyServerSideEncryptionByDefault", {})
        algorithm = default.get("SSEAlgorithm", "AES256")
        if algorithm != "AES256":
            if algorithm in ("aws:kms", "aws:kms:dsse", "aws:fsx", "aws:backup"):
                raise not_built(f"server-side encryption {algorithm} (there is no key management service)")
            raise malformed_xml()
        if "KMSMasterKeyID" in default:
            message = "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse"
            raise AwsError("InvalidArgument", message, fields={"ArgumentName": "ApplyServerSideEncryptionByDefault"})
        types = rule.get("BlockedEncryptionTypes", {}).get("EncryptionType")
        if types is not None and not set(types) <= {"NONE", "SSE-C"}:
            raise malformed_xml()

        def change(bucket: Bucket) -> Bucket:
            kept = {**encryption.SSE_S3, "BucketKeyEnabled": bool(rule.get("BucketKeyEnabled"))}
            kept["BlockedEncryptionTypes"] = {"EncryptionType": encryption.blocked(bucket) if types is None else types}
            return replace(bucket, settings=bucket.settings | {"encryption": {"Rules": [kept]}})

        await self._s3_context.change_bucket(request["Bucket"], change)

    @operation("DeleteBucketEncryption")
    async def delete_encryption(self, call: Call, request: DeleteBucketEncryptionRequestTypeDef) -> None:
        await self._s3_context.set_configuration(request["Bucket"], "encryption", None)

    @operation("GetPublicAccessBlock")
    async def get_access_block(self, call: Call, request: GetPublicAccessBlockRequestTypeDef) -> dict[str, Any]:
        bucket = self._s3_context.bucket(request["Bucket"])
        found = bucket.settings.get("public_access_block")
        if found is None:
            message = "The public access block configuration was not found"
            raise absent("NoSuchPublicAccessBlockConfiguration", message, bucket.name)
        return {"PublicAccessBlockConfiguration": found}

    @operation("PutPublicAccessBlock")
    async def put_access_block(self, call: Call, request: PutPublicAccessBlockRequestTypeDef) -> None:
        given = request["PublicAccessBlockConfiguration"]
        switches = {name: bool(given.get(name)) for name in acls.ACCESS_BLOCK_SWITCHES}
        await self._s3_context.set_configuration(request["Bucket"], "public_access_block", switches)

    @operation("DeletePublicAccessBlock")
    async def delete_access_block(self, call: Call, request: DeletePublicAccessBlockRequestTypeDef) -> None:
        await self._s3_context.set_configuration(request["Bucket"], "public_access_block", None)

    @operation("GetBucketPolicy")
    async def get_policy(self, call: Call, request: GetBucketPolicyRequestTypeDef) -> HandlerResponse:
        bucket = self._s3_context.bucket(request["Bucket"])
        if "policy" not in bucket.settings:
            raise absent("NoSuchBucketPolicy", "The bucket policy does not exist", bucket.name)
        text = bucket.settings.get("policy_text") or json.dumps(bucket.settings["policy"])
        return HandlerResponse({"Policy": text}, headers=(("Content-Type", "application/json"),))

    @operation("PutBucketPolicy")
    async def put_policy(self, call: Call, request: PutBucketPolicyRequestTypeDef) -> HandlerResponse:
        policy = policies.check(request["Policy"], request["Bucket"])

        def change(bucket: Bucket) -> Bucket:
            if acls.blocks(bucket, "BlockPublicPolicy") and policies.is_public(policy):
                raise access_denied()
            return replace(bucket, settings=bucket.settings | {"policy": policy, "policy_text": request["Policy"]})

        await self._s3_context.change_bucket(request["Bucket"], change)
        return HandlerResponse({}, status=204)

    @operation("DeleteBucketPolicy")
    async def delete_policy(self, call: Call, request: DeleteBucketPolicyRequestTypeDef) -> None:
        def change(bucket: Bucket) -> Bucket:
            return replace(bucket, settings={k: v for k, v in bucket.settings.items() if k not in ("policy", "policy_text")})

        await self._s3_context.change_bucket(request["Bucket"], change)

    @operation("GetBucketPolicyStatus")
    async def get_policy_status(self, call: Call, request: GetBucketPolicyStatusRequestTypeDef) -> dict[str, Any]:
        bucket = self._s3_context.bucket(request["Bucket"])
        if "policy" not in bucket.settings:
            raise absent("NoSuchBucketPolicy", "The bucket policy does not exist", bucket.name)
        return {"PolicyStatus": {"IsPublic": policies.is_public(bucket.settings["policy"])}}

    @operation("GetBucketNotificationConfiguration")
    async def get_notification(self, call: Call, request: GetBucketNotificationConfigurationRequestRequestTypeDef) -> dict[str, Any]:
        self._s3_context.bucket(request["Bucket"])
        return {}

    @operation("PutBucketNotificationConfiguration")
    async def put_notification(self, call: Call, request: PutBucketNotificationConfigurationRequestTypeDef) -> None:
        self._s3_context.bucket(request["Bucket"])
        if any(request["NotificationConfiguration"].values()):
            raise not_built("notifications (no service can receive them yet)")

    @operation("GetBucketRequestPayment")
    async def get_payment(self, call: Call, request: GetBucketRequestPaymentRequestTypeDef) -> dict[str, Any]:
        self._s3_context.bucket(request["Bucket"])
        return {"Payer": "BucketOwner"}

    @operation("PutBucketRequestPayment")
    async def put_payment(self, call: Call, request: PutBucketRequestPaymentRequestTypeDef) -> None:
        self._s3_context.bucket(request["Bucket"])
        payer = request["RequestPaymentConfiguration"]["Payer"]
        if payer == "Requester":
            raise not_built("requester pays")
        if payer != "BucketOwner":
            raise malformed_xml()

    @operation("GetBucketAccelerateConfiguration")
    async def get_acceleration(self, call: Call, request: GetBucketAccelerateConfigurationRequestTypeDef) -> dict[str, Any]:
        self._s3_context.bucket(request["Bucket"])
        return {}

    @operation("PutBucketAccelerateConfiguration")
    async def put_acceleration(self, call: Call, request: PutBucketAccelerateConfigurationRequestTypeDef) -> None:
        bucket = self._s3_context.bucket(request["Bucket"])
        status = request["AccelerateConfiguration"].get("Status")
        if "." in bucket.name:
            raise invalid_request("S3 Transfer Acceleration is not supported for buckets with periods (.) in their names")
        if status not in ("Enabled", "Suspended"):
            raise malformed_xml()
        if status == "Enabled":
            raise not_built("transfer acceleration")

    @operation("GetBucketReplication")
    async def get_replication(self, call: Call, request: GetBucketReplicationRequestTypeDef) -> dict[str, Any]:
        bucket = self._s3_context.bucket(request["Bucket"])
        raise absent("ReplicationConfigurationNotFoundError", "The replication configuration was not found", bucket.name)

    @operation("GetObjectTorrent")
    async def get_torrent(self, call: Call, request: GetObjectTorrentRequestTypeDef) -> dict[str, Any]:
        raise invalid_request("Torrents are no longer supported.")
