"""Several accounts in S3, with boto3: buckets with the defaults before 2023, where ACLs apply, and access between accounts."""

from __future__ import annotations

import base64
import hmac
import http.client
import json
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore import UNSIGNED
from botocore.exceptions import ClientError

from tests.s3_endpoint import Endpoint
from zonal.foundation.credentials import Credential
from zonal.foundation.settings import Settings

ME, OTHER = "a" * 64, "b" * 64
KEYS = (
    Credential(access_key="AKME", secret_key="mine", canonical_id=ME, display_name="M. Tester", email="me@example.com"),
    Credential(
        access_key="AKOTHER", secret_key="theirs", account="111111111111", canonical_id=OTHER, display_name="j", email="o@example.com"
    ),
)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    endpoint = Endpoint(tmp_path_factory.mktemp("s3"), settings=Settings(credentials=KEYS, s3_new_buckets="before-2023"))
    yield endpoint
    endpoint.close()


@pytest.fixture
def mine(endpoint: Endpoint) -> Any:
    return endpoint.client(key=("AKME", "mine"))


@pytest.fixture
def theirs(endpoint: Endpoint) -> Any:
    return endpoint.client(key=("AKOTHER", "theirs"))


@pytest.fixture
def nobody(endpoint: Endpoint) -> Any:
    return endpoint.client(signature_version=UNSIGNED)


@pytest.fixture
def bucket(mine: Any) -> str:
    name = f"bucket-{os.urandom(5).hex()}"
    mine.create_bucket(Bucket=name)
    return name


def code(call: Any, /, **parameters: Any) -> str:
    """The code of a call that must fail."""
    with pytest.raises(ClientError) as failed:
        call(**parameters)
    found: str = failed.value.response["Error"]["Code"]
    return found


def grants(answer: Any) -> set[tuple[str, str]]:
    return {(each["Grantee"].get("ID") or each["Grantee"]["URI"].rpartition("/")[2], each["Permission"]) for each in answer["Grants"]}


def test_a_bucket_with_the_defaults_before_2023_blocks_nothing(mine: Any, nobody: Any, bucket: str) -> None:
    assert code(mine.get_bucket_ownership_controls, Bucket=bucket) == "OwnershipControlsNotFoundError"
    assert code(mine.get_public_access_block, Bucket=bucket) == "NoSuchPublicAccessBlockConfiguration"
    mine.put_object(Bucket=bucket, Key="open", Body=b"o", ACL="public-read")
    assert nobody.get_object(Bucket=bucket, Key="open")["Body"].read() == b"o"
    mine.put_object(Bucket=bucket, Key="own key", Body=b"o", SSECustomerAlgorithm="AES256", SSECustomerKey=b"k" * 32)


def test_accounts_list_only_their_own_buckets(mine: Any, theirs: Any, bucket: str) -> None:
    assert bucket not in [each["Name"] for each in theirs.list_buckets()["Buckets"]]
    assert theirs.list_buckets()["Owner"] == {"DisplayName": "j", "ID": OTHER}
    assert code(theirs.list_objects_v2, Bucket=bucket) == "AccessDenied"
    assert code(theirs.put_object, Bucket=bucket, Key="k") == "AccessDenied"
    assert code(theirs.delete_bucket, Bucket=bucket) == "AccessDenied"
    assert code(theirs.create_bucket, Bucket=bucket) == "BucketAlreadyExists"


def test_a_grant_gives_only_its_permission(mine: Any, theirs: Any, bucket: str) -> None:
    mine.put_bucket_acl(Bucket=bucket, GrantRead=f"id={OTHER}", GrantFullControl="emailAddress=me@example.com")
    assert grants(mine.get_bucket_acl(Bucket=bucket)) == {(OTHER, "READ"), (ME, "FULL_CONTROL")}
    assert theirs.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert code(theirs.put_object, Bucket=bucket, Key="k") == "AccessDenied"
    assert code(mine.put_bucket_acl, Bucket=bucket, GrantRead="emailAddress=no@example.com") == "UnresolvableGrantByEmailAddress"
    assert code(mine.put_bucket_acl, Bucket=bucket, GrantRead="id=unknown") == "InvalidArgument"


def test_the_writer_owns_an_object_if_acls_are_enabled(mine: Any, theirs: Any, bucket: str) -> None:
    mine.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    theirs.put_object(Bucket=bucket, Key="theirs", Body=b"t")
    assert theirs.get_object_acl(Bucket=bucket, Key="theirs")["Owner"] == {"DisplayName": "j", "ID": OTHER}
    assert code(mine.get_object, Bucket=bucket, Key="theirs") == "AccessDenied"
    theirs.put_object_acl(Bucket=bucket, Key="theirs", ACL="bucket-owner-read")
    assert mine.get_object(Bucket=bucket, Key="theirs")["Body"].read() == b"t"
    mine.delete_object(Bucket=bucket, Key="theirs")


def test_a_policy_allows_another_account(mine: Any, theirs: Any, bucket: str) -> None:
    statement = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:root"}, "Action": "s3:ListBucket"}
    policy = {"Version": "2012-10-17", "Statement": [statement | {"Resource": f"arn:aws:s3:::{bucket}"}]}
    mine.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    assert theirs.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert code(theirs.get_bucket_policy, Bucket=bucket) == "AccessDenied"


def test_a_new_buckets_acl_must_be_allowed_by_its_ownership_and_access_block(endpoint: Endpoint, mine: Any) -> None:
    name = f"bucket-{os.urandom(5).hex()}"
    assert (
        code(mine.create_bucket, Bucket=name, ACL="public-read", ObjectOwnership="BucketOwnerEnforced")
        == "InvalidBucketAclWithObjectOwnership"
    )
    mine.create_bucket(Bucket=name, ACL="public-read", ObjectOwnership="ObjectWriter")
    assert ("AllUsers", "READ") in grants(mine.get_bucket_acl(Bucket=name))


def test_all_grants_in_headers_are_stored(mine: Any, bucket: str) -> None:
    parameters = dict.fromkeys(("GrantRead", "GrantWrite", "GrantReadACP", "GrantWriteACP", "GrantFullControl"), f"id={OTHER}")
    mine.put_bucket_acl(Bucket=bucket, **parameters)
    found = [each["Permission"] for each in mine.get_bucket_acl(Bucket=bucket)["Grants"]]
    assert found == ["READ", "WRITE", "READ_ACP", "WRITE_ACP", "FULL_CONTROL"]
    mine.put_bucket_acl(Bucket=bucket, AccessControlPolicy={"Owner": {"ID": ME}, "Grants": []})
    assert mine.get_bucket_acl(Bucket=bucket)["Grants"] == []
    mine.create_bucket(Bucket=bucket)  # Creating it again resets its ACL.
    assert grants(mine.get_bucket_acl(Bucket=bucket)) == {(ME, "FULL_CONTROL")}


def test_a_policy_that_allows_writing_does_not_allow_grants(mine: Any, theirs: Any, bucket: str) -> None:
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    mine.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    theirs.put_object(Bucket=bucket, Key="k")
    assert code(theirs.put_object, Bucket=bucket, Key="k2", ACL="public-read") == "AccessDenied"
    statement["Action"] = ["s3:PutObject", "s3:PutObjectAcl"]
    mine.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    theirs.put_object(Bucket=bucket, Key="k2", ACL="public-read")


def test_a_missing_key_is_404_for_callers_who_may_list(mine: Any, nobody: Any, bucket: str) -> None:
    assert code(nobody.get_object, Bucket=bucket, Key="k") == "AccessDenied"
    mine.put_bucket_acl(Bucket=bucket, ACL="public-read")
    assert code(nobody.get_object, Bucket=bucket, Key="k") == "NoSuchKey"


def test_a_request_rejected_by_its_head_gets_no_100_continue(endpoint: Endpoint, mine: Any, bucket: str) -> None:
    def said() -> bytes:
        with socket.create_connection(("127.0.0.1", endpoint.port), timeout=120) as connection:
            connection.sendall(f"PUT /{bucket}/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n".encode())
            return connection.recv(1024).split(b" ")[1]

    assert said() == b"403"
    mine.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    assert said() == b"100"


def test_a_forms_policy_must_name_the_bucket(endpoint: Endpoint, bucket: str) -> None:
    def post(*conditions: Any) -> tuple[int, bytes]:
        until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        policy = base64.b64encode(json.dumps({"expiration": until, "conditions": [["starts-with", "$key", ""], *conditions]}).encode())
        signature = base64.b64encode(hmac.digest(b"mine", policy, "sha1"))
        fields = {"key": b"k", "AWSAccessKeyId": b"AKME", "policy": policy, "signature": signature, "file": b"content"}
        sections = [b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (k.encode(), v) for k, v in fields.items()]
        connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=120)
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        connection.request("POST", f"/{bucket}", b"".join(sections) + b"--x--\r\n", headers)
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found

    assert post({"bucket": bucket})[0] == 204
    status, body = post()
    assert status == 403 and b"Invalid according to Policy: Extra input fields: bucket" in body


def test_a_missing_key_is_404_if_a_policy_allows_listing_its_prefix(mine: Any, theirs: Any, bucket: str) -> None:
    statement: dict[str, Any] = {"Effect": "Allow", "Principal": "*", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{bucket}"}
    statement["Condition"] = {"StringLike": {"s3:prefix": "public/*"}}
    mine.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    assert code(theirs.head_object, Bucket=bucket, Key="public/none") == "404"
    assert code(theirs.head_object, Bucket=bucket, Key="private/none") == "403"


def test_completing_an_sse_c_upload_with_checksums_requires_its_key(mine: Any, bucket: str) -> None:
    ours, other = ({"SSECustomerAlgorithm": "AES256", "SSECustomerKey": letter * 32} for letter in "ab")
    upload = mine.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="CRC32", **ours)["UploadId"]
    part = mine.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"one", **ours)
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]}]}
    for wrong in ({}, other):
        asked = {"Bucket": bucket, "Key": "k", "UploadId": upload, "MultipartUpload": parts, **wrong}
        assert code(mine.complete_multipart_upload, **asked) == "InvalidRequest"
    mine.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload=parts, **ours)
    assert mine.get_object(Bucket=bucket, Key="k", **ours)["Body"].read() == b"one"


def test_an_sse_c_key_cannot_be_combined_with_kms(mine: Any, bucket: str) -> None:
    asked = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "a" * 32, "ServerSideEncryption": "aws:kms"}
    assert code(mine.put_object, Bucket=bucket, Key="k", **asked) == "InvalidArgument"
