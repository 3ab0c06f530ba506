"""Bucket policies with real requests: the values of condition keys, and the messages of denials."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.s3_endpoint import Endpoint


@pytest.fixture
def bucket(client: Any, request: pytest.FixtureRequest) -> str:
    name = f"policies-{abs(hash(request.node.name)) % 10**12}"
    client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return name


def deny(client: Any, bucket: str, action: str, condition: dict[str, Any] | None = None) -> None:
    statement = {"Effect": "Deny", "Principal": "*", "Action": action, "Resource": f"arn:aws:s3:::{bucket}/*", "Condition": condition or {}}
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))


def denied(call: Any, **request: Any) -> str:
    """The message of the denial; empty if the call was allowed."""
    try:
        call(**request)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDenied", error
        return str(error.response["Error"]["Message"])
    return ""


def test_conditions_apply_to_puts_and_multipart_uploads(client: Any, bucket: str) -> None:
    deny(client, bucket, "s3:PutObject", {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}})
    assert denied(client.put_object, Bucket=bucket, Key="k", Body=b"x")
    assert not denied(client.put_object, Bucket=bucket, Key="k", Body=b"x", IfNoneMatch="*")
    upload = {"Bucket": bucket, "Key": "parts", "UploadId": client.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]}
    part = client.upload_part(**upload, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    assert denied(client.complete_multipart_upload, **upload, MultipartUpload=parts)
    assert not denied(client.complete_multipart_upload, **upload, MultipartUpload=parts, IfNoneMatch="*")


def test_an_old_signature_can_be_denied_before_it_expires(endpoint: Endpoint, client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    signed = endpoint.client(signature_version="s3v4").generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"})
    deny(client, bucket, "s3:GetObject", {"NumericGreaterThan": {"s3:signatureAge": "60000"}})
    assert urllib.request.urlopen(signed).read() == b"x"
    deny(client, bucket, "s3:GetObject", {"NumericGreaterThanEquals": {"s3:signatureAge": "0"}})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(signed)
    assert refused.value.code == 403


def test_retention_can_be_limited_in_days_and_by_mode(client: Any, bucket: str) -> None:
    deny(client, bucket, "s3:PutObjectRetention", {"NumericGreaterThan": {"s3:object-lock-remaining-retention-days": "10"}})

    def put(days: float) -> str:
        lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": datetime.now(UTC) + timedelta(days=days)}
        return denied(client.put_object, Bucket=bucket, Key="k", Body=b"x", **lock)

    assert put(10.5)
    assert not put(10)
    longer = {"Mode": "GOVERNANCE", "RetainUntilDate": datetime.now(UTC) + timedelta(days=11)}
    assert denied(client.put_object_retention, Bucket=bucket, Key="k", Retention=longer)
    deny(client, bucket, "s3:PutObjectLegalHold", {"StringEquals": {"s3:object-lock-legal-hold": "ON"}})
    assert denied(client.put_object_legal_hold, Bucket=bucket, Key="k", LegalHold={"Status": "ON"})
    assert not denied(client.put_object_legal_hold, Bucket=bucket, Key="k", LegalHold={"Status": "OFF"})


def test_calls_of_services_are_distinguished_from_those_of_accounts(client: Any, bucket: str) -> None:
    deny(client, bucket, "s3:PutObject", {"Bool": {"aws:PrincipalIsAWSService": "true"}})
    assert not denied(client.put_object, Bucket=bucket, Key="k", Body=b"x")
    deny(client, bucket, "s3:PutObject", {"BoolIfExists": {"aws:PrincipalIsAWSService": "false"}})
    assert denied(client.put_object, Bucket=bucket, Key="k", Body=b"x")


def test_attributes_require_their_own_permission_and_get_object(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    asked = {"Bucket": bucket, "Key": "k", "ObjectAttributes": ["ETag"]}
    for action in ("s3:GetObject", "s3:GetObjectAttributes"):
        deny(client, bucket, action)
        assert f"to perform: {action} on" in denied(client.get_object_attributes, **asked)
    assert not denied(client.get_object, Bucket=bucket, Key="k")


def test_an_explicit_denial_is_explained_to_the_buckets_account(client: Any, bucket: str) -> None:
    deny(client, bucket, "s3:DeleteObject")
    assert denied(client.delete_object, Bucket=bucket, Key="a/k") == (
        "User: arn:aws:iam::000000000000:root is not authorized to perform: s3:DeleteObject on resource: "
        f'"arn:aws:s3:::{bucket}/a/k" with an explicit deny in a resource-based policy'
    )
