"""S3's responses to unusual and invalid requests, as recorded from AWS: codes, messages and fields.

Unless a test states otherwise, they were recorded by public suites (LocalStack's snapshots, moto's verified tests).
"""

from __future__ import annotations

import http.client
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.s3_endpoint import Endpoint, resolve_localhost


def refused(call: Any, /, **parameters: Any) -> dict[str, Any]:
    """The error of a call that must fail, with its status."""
    with pytest.raises(ClientError) as failed:
        call(**parameters)
    response = failed.value.response
    return {**response["Error"], "Status": response["ResponseMetadata"]["HTTPStatusCode"]}


def test_a_version_id_that_the_bucket_never_issued_is_invalid(client: Any, bucket: str) -> None:
    invalid = {
        "Code": "InvalidArgument",
        "Message": "Invalid version id specified",
        "ArgumentName": "versionId",
        "ArgumentValue": "HPniJFCxqTsMuIH9KX8K8wEjNUgmABCD",
        "Status": 400,
    }
    foreign = {"Bucket": bucket, "Key": "k", "VersionId": "HPniJFCxqTsMuIH9KX8K8wEjNUgmABCD"}
    client.put_object(Bucket=bucket, Key="k", Body=b"1")
    assert refused(client.get_object, **foreign) == invalid
    assert refused(client.delete_object, **foreign) == invalid
    objects = [{"Key": "k", "VersionId": foreign["VersionId"]}]
    (error,) = client.delete_objects(Bucket=bucket, Delete={"Objects": objects})["Errors"]
    assert (error["Code"], error["Message"]) == ("NoSuchVersion", "The specified version does not exist.")
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    gone = client.put_object(Bucket=bucket, Key="k", Body=b"2")["VersionId"]
    client.delete_object(Bucket=bucket, Key="k", VersionId=gone)
    assert refused(client.get_object, Bucket=bucket, Key="k", VersionId=gone) == {
        "Code": "NoSuchVersion",
        "Message": "The specified version does not exist.",
        "Key": "k",
        "VersionId": gone,
        "Status": 404,
    }


def test_tags_of_a_delete_marker_are_not_allowed(client: Any, bucket: str) -> None:
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    marker = client.delete_object(Bucket=bucket, Key="k")["VersionId"]
    tags = {"TagSet": [{"Key": "a", "Value": "b"}]}
    for which in ({}, {"VersionId": marker}):
        for call, method in ((client.get_object_tagging, "GET"), (client.delete_object_tagging, "DELETE")):
            error = refused(call, Bucket=bucket, Key="k", **which)
            assert (error["Code"], error["Method"], error["ResourceType"]) == ("MethodNotAllowed", method, "DeleteMarker")
        assert refused(client.put_object_tagging, Bucket=bucket, Key="k", Tagging=tags, **which)["Method"] == "PUT"
        assert refused(client.put_object_acl, Bucket=bucket, Key="k", ACL="private", **which)["Method"] == "PUT"
    assert refused(client.get_object_acl, Bucket=bucket, Key="k")["Code"] == "NoSuchKey"


@pytest.mark.parametrize(
    ("text", "found"),
    [("wrongquery&wrongagain", ["wrongagain", "wrongquery"]), ("key1&&key2", ["key1", "key2"]), ("tag=&b=1", ["b", "tag"])],
)
def test_tags_in_a_header_may_lack_values_and_are_returned_in_order(client: Any, bucket: str, text: str, found: list[str]) -> None:
    client.put_object(Bucket=bucket, Key="k", Tagging=text)
    assert [tag["Key"] for tag in client.get_object_tagging(Bucket=bucket, Key="k")["TagSet"]] == found


@pytest.mark.parametrize("text", ["key1=val1&key1=val2", "key1=val1,key2=val2"])
def test_duplicate_or_invalid_tags_in_a_header_are_rejected(client: Any, bucket: str, text: str) -> None:
    error = refused(client.put_object, Bucket=bucket, Key="k", Tagging=text)
    assert error["Message"].endswith("URL query parameters without tag name duplicates.")
    assert (error["Code"], error["ArgumentName"], error["ArgumentValue"]) == ("InvalidArgument", "x-amz-tagging", text)


def test_reserved_tags_are_rejected_with_a_message_for_buckets_and_objects(client: Any, bucket: str) -> None:
    tags = {"TagSet": [{"Key": "aws:a", "Value": "b"}]}
    assert refused(client.put_bucket_tagging, Bucket=bucket, Tagging=tags)["Message"] == "System tags cannot be added/updated by requester"
    client.put_object(Bucket=bucket, Key="k")
    error = refused(client.put_object_tagging, Bucket=bucket, Key="k", Tagging=tags)
    assert (error["Code"], error["Message"]) == ("InvalidTag", "Your TagKey cannot be prefixed with aws:")
    answer = client.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_unsupported_preconditions_of_writes_are_not_implemented(client: Any, bucket: str) -> None:
    key = {"Bucket": bucket, "Key": "k"}
    assert refused(client.put_object, **key, IfNoneMatch="etag") == {
        "Code": "NotImplemented",
        "Message": "A header you provided implies functionality that is not implemented",
        "Header": "If-None-Match",
        "additionalMessage": "We don't accept the provided value of If-None-Match header for this API",
        "Status": 501,
    }
    assert refused(client.put_object, **key, IfMatch="*")["Header"] == "If-Match"
    assert refused(client.put_object, **key, IfMatch="a", IfNoneMatch="*")["Header"] == "If-Match,If-None-Match"
    assert refused(client.put_object, **key, IfMatch="nonsense")["Code"] == "NoSuchKey"


def test_a_delete_with_if_match_requires_an_existing_version(client: Any, bucket: str) -> None:
    assert refused(client.delete_object, Bucket=bucket, Key="k", IfMatch="*")["Status"] == 404
    client.put_object(Bucket=bucket, Key="k")
    assert refused(client.delete_object, Bucket=bucket, Key="k", IfMatch="other")["Code"] == "PreconditionFailed"
    client.delete_object(Bucket=bucket, Key="k", IfMatch="*")


@pytest.mark.parametrize("value", ["bytes=-15", "bytes=0-100"])
def test_a_range_of_the_whole_object_is_returned_with_its_checksum(client: Any, bucket: str, value: str) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    whole = client.get_object(Bucket=bucket, Key="k", Range=value)
    assert (whole["ResponseMetadata"]["HTTPStatusCode"], whole["ContentRange"]) == (206, "bytes 0-9/10")
    assert whole["ChecksumCRC32"] == "poTHxg=="
    assert "ChecksumCRC32" not in client.get_object(Bucket=bucket, Key="k", Range="bytes=0-8")


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        ("0-8", "InvalidArgument", "must be of the form bytes=first-last"),
        ("bytes=1-0", "InvalidArgument", "must be of the form bytes=first-last"),
        ("bytes=0-1,3-4", "InvalidArgument", "must be of the form bytes=first-last"),
        ("bytes=-2", "InvalidArgument", "must be of the form bytes=first-last"),
        ("bytes=0-100", "InvalidArgument", "Range specified is not valid for source object of size: 10"),
        ("bytes=100-200", "InvalidRequest", "The specified copy range is invalid for the source object size"),
    ],
)
def test_the_range_of_a_copied_part_must_lie_in_its_source(client: Any, bucket: str, value: str, code: str, message: str) -> None:
    client.put_object(Bucket=bucket, Key="source", Body=b"0123456789")
    upload = client.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    part = {"Bucket": bucket, "Key": "k", "UploadId": upload, "PartNumber": 1, "CopySource": f"{bucket}/source"}
    error = refused(client.upload_part_copy, **part, CopySourceRange=value)
    assert error["Code"] == code and message in error["Message"]


def test_bypassing_governance_requires_a_bucket_with_object_lock(client: Any, bucket: str) -> None:
    for bypass in (True, False):
        error = refused(client.delete_object, Bucket=bucket, Key="k", BypassGovernanceRetention=bypass)
        assert (error["Code"], error["ArgumentName"]) == ("InvalidArgument", "x-amz-bypass-governance-retention")
    # S3 refuses it for many at once too; but programs clean up so, whatever the bucket is (see docs/limits.md).
    assert "Errors" not in client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}]}, BypassGovernanceRetention=True)


def test_invalid_configurations_are_malformed(client: Any, bucket: str) -> None:
    put = client.put_object_lock_configuration
    assert refused(put, Bucket=bucket)["Code"] == "MissingRequestBodyError"
    assert refused(put, Bucket=bucket, ObjectLockConfiguration={})["Code"] == "MalformedXML"
    assert refused(put, Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": {}})["Code"] == "MalformedXML"
    assert refused(put, Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})["Code"] == "InvalidBucketState"
    never = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 0}}}
    assert refused(put, Bucket=bucket, ObjectLockConfiguration=never)["Code"] == "InvalidRetentionPeriod"  # As in ceph's suite.
    rules = {"Rules": [{"ObjectOwnership": "ObjectWriter"}, {"ObjectOwnership": "ObjectWriter"}]}
    assert refused(client.put_bucket_ownership_controls, Bucket=bucket, OwnershipControls=rules)["Code"] == "MalformedXML"
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256", "KMSMasterKeyID": "k"}}
    error = refused(client.put_bucket_encryption, Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    assert (error["Code"], error["ArgumentName"]) == ("InvalidArgument", "ApplyServerSideEncryptionByDefault")


@pytest.mark.parametrize(("number", "message"), [(-42, "Argument max-parts must be an integer between 0 and 2147483647"), (2**31 + 42, "")])
def test_the_error_of_a_number_out_of_range_names_it(client: Any, bucket: str, number: int, message: str) -> None:
    upload = client.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    error = refused(client.list_parts, Bucket=bucket, Key="k", UploadId=upload, MaxParts=number)
    assert error["Message"] == (message or "Provided max-parts not an integer or within integer range")
    error = refused(client.list_parts, Bucket=bucket, Key="k", UploadId=upload, PartNumberMarker=number)
    assert error["Message"] == (message or error["Message"]).replace("max-parts", "part-number-marker")


def test_a_bucket_in_us_east_1_cannot_have_a_location_constraint(client: Any) -> None:
    where = {"LocationConstraint": "us-east-1"}
    error = refused(client.create_bucket, Bucket=f"bucket-{os.urandom(5).hex()}", CreateBucketConfiguration=where)
    assert (error["Code"], error["LocationConstraint"]) == ("InvalidLocationConstraint", "us-east-1")


def test_attributes_that_are_not_requested_are_omitted(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="k")
    error = refused(client.get_object_attributes, Bucket=bucket, Key="k", ObjectAttributes=[])
    assert (error["Code"], error["Status"]) == ("InvalidRequest", 400)
    assert error["Message"] == "Missing required header for this request: x-amz-object-attributes"


def part(client: Any, bucket: str, content: bytes = b"part") -> dict[str, Any]:
    """A multipart upload of `k` with one part, ready to be completed."""
    upload = client.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    etag = client.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=content)["ETag"]
    return {"Bucket": bucket, "Key": "k", "UploadId": upload, "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": etag}]}}


def test_a_conditional_completion_conflicts_with_later_writes_and_deletes(client: Any, bucket: str) -> None:
    etag = client.put_object(Bucket=bucket, Key="k", Body=b"test")["ETag"]
    upload = part(client, bucket)
    assert refused(client.complete_multipart_upload, **upload, IfNoneMatch="*")["Code"] == "PreconditionFailed"
    client.delete_object(Bucket=bucket, Key="k")
    error = refused(client.complete_multipart_upload, **upload, IfNoneMatch="*")
    assert (error["Code"], error["Condition"], error["Key"], error["Status"]) == ("ConditionalRequestConflict", "If-None-Match", "k", 409)
    assert refused(client.complete_multipart_upload, **upload, IfMatch=etag)["Code"] == "NoSuchKey"
    client.put_object(Bucket=bucket, Key="k", Body=b"test")
    assert refused(client.complete_multipart_upload, **upload, IfMatch=etag)["Code"] == "ConditionalRequestConflict"
    client.complete_multipart_upload(**part(client, bucket), IfMatch=etag)


def test_a_repeated_completion_succeeds_while_its_object_exists(client: Any, bucket: str) -> None:
    upload = part(client, bucket)
    first = client.complete_multipart_upload(**upload)
    again = client.complete_multipart_upload(**upload)
    assert (first["ETag"], first["ChecksumCRC64NVME"]) == (again["ETag"], again["ChecksumCRC64NVME"])
    client.delete_object(Bucket=bucket, Key="k")
    assert refused(client.complete_multipart_upload, **upload)["Code"] == "NoSuchUpload"


KEY = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"k" * 32}


def test_reading_an_sse_c_object_requires_the_correct_key(client: Any, bucket: str) -> None:
    rule = {"BlockedEncryptionTypes": {"EncryptionType": ["NONE"]}}
    error = refused(client.put_object, Bucket=bucket, Key="k", **KEY)
    assert error["Code"] == "AccessDenied" and "has blocked upload requests" in error["Message"]
    client.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    client.put_object(Bucket=bucket, Key="k", Body=b"x", **KEY)
    error = refused(client.get_object, Bucket=bucket, Key="k", **KEY | {"SSECustomerKey": b"o" * 32})
    assert (error["Code"], error["Status"]) == ("AccessDenied", 403) and "must provide the correct secret key" in error["Message"]
    assert refused(client.get_object, Bucket=bucket, Key="k")["Code"] == "InvalidRequest"
    error = refused(client.put_object, Bucket=bucket, Key="k", **KEY | {"SSECustomerAlgorithm": "AES128"})
    assert (error["Code"], error["ArgumentValue"]) == ("InvalidEncryptionAlgorithmError", "AES128")
    error = refused(client.put_object, Bucket=bucket, Key="k", **KEY | {"SSECustomerKey": b"short"})
    assert error["Message"] == "The secret key was invalid for the specified algorithm."
    error = refused(client.put_object, Bucket=bucket, Key="k", ServerSideEncryption="AES256", **KEY)
    assert "incompatible with the encryption method" in error["Message"]
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    client.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    found = client.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert found["BlockedEncryptionTypes"] == {"EncryptionType": ["NONE"]}  # An omitted member keeps its value.


def test_a_url_that_is_not_utf8_is_rejected(endpoint: Endpoint, bucket: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=120)
    request = AWSRequest("PUT", f"{endpoint.url}/{bucket}/%FF%FE", data=b"x")
    S3SigV4Auth(Credentials("test", "test"), "s3", "us-east-1").add_auth(request)
    connection.request("PUT", f"/{bucket}/%FF%FE", b"x", dict(request.headers))
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 400 and b"<Code>InvalidURI</Code>" in body, body
    connection.close()


def test_a_rule_without_an_id_gets_the_same_id_each_time(client: Any, bucket: str) -> None:
    rules = {"Rules": [{"Status": "Enabled", "Filter": {"Prefix": "a/"}, "Expiration": {"Days": 3}}]}
    found = []
    for _ in range(2):
        client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=rules)
        found.append(client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"][0]["ID"])
        client.delete_bucket_lifecycle(Bucket=bucket)
    assert found[0] == found[1] and len(found[0]) == 48


def test_governance_retention_changes_its_mode_only_with_the_bypass(client: Any) -> None:
    name = f"bucket-{os.urandom(5).hex()}"
    client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    until = datetime.now(UTC) + timedelta(days=1)
    client.put_object(Bucket=name, Key="k", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until)
    longer = {"Mode": "COMPLIANCE", "RetainUntilDate": until + timedelta(days=1)}
    assert refused(client.put_object_retention, Bucket=name, Key="k", Retention=longer)["Code"] == "AccessDenied"
    client.put_object_retention(Bucket=name, Key="k", Retention=longer | {"Mode": "GOVERNANCE"})
    client.put_object_retention(Bucket=name, Key="k", Retention=longer, BypassGovernanceRetention=True)


def test_a_legal_hold_is_reported_after_it_has_been_set_once(client: Any) -> None:
    name = f"bucket-{os.urandom(5).hex()}"
    client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    client.put_object(Bucket=name, Key="k")
    assert "ObjectLockLegalHoldStatus" not in client.head_object(Bucket=name, Key="k")
    assert refused(client.get_object_legal_hold, Bucket=name, Key="k")["Code"] == "NoSuchObjectLockConfiguration"
    for status in ("ON", "OFF"):
        client.put_object_legal_hold(Bucket=name, Key="k", LegalHold={"Status": status})
        assert client.get_object_legal_hold(Bucket=name, Key="k")["LegalHold"] == {"Status": status}
        assert client.head_object(Bucket=name, Key="k")["ObjectLockLegalHoldStatus"] == status


def test_a_copy_onto_itself_must_change_something_unless_the_bucket_has_an_encryption_configuration(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="k")
    assert refused(client.copy_object, Bucket=bucket, Key="k", CopySource=f"{bucket}/k")["Code"] == "InvalidRequest"
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    client.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    client.copy_object(Bucket=bucket, Key="k", CopySource=f"{bucket}/k")
    rules = {"Rules": [{"Status": "Enabled", "Expiration": {"Days": 1}}]}
    assert refused(client.put_bucket_lifecycle_configuration, Bucket=bucket, LifecycleConfiguration=rules)["Code"] == "MalformedXML"


def test_a_missing_upload_is_reported_before_its_parts_are_validated(client: Any, bucket: str) -> None:
    error = refused(client.complete_multipart_upload, Bucket=bucket, Key="k", UploadId="fakeid")
    assert (error["Code"], error["UploadId"]) == ("NoSuchUpload", "fakeid")


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        ({"NoncurrentVersionExpiration": {"NewerNoncurrentVersions": 3}}, "MalformedXML", ""),
        ({"Expiration": {"Date": "2030-01-01T05:00:00Z"}}, "InvalidArgument", "'Date' must be at midnight GMT"),
        ({"Expiration": {"Days": 1, "ExpiredObjectDeleteMarker": True}}, "MalformedXML", ""),
        ({"Filter": {"And": {"Tags": [{"Key": "a", "Value": "1"}] * 2}}}, "InvalidRequest", "Duplicate Tag Keys are not allowed."),
        ({"Filter": {"Prefix": "a", "ObjectSizeLessThan": 1}}, "MalformedXML", ""),
        (
            {"Transitions": [{"Date": "2030-01-01T05:00:00Z", "StorageClass": "GLACIER"}]},
            "InvalidArgument",
            "'Date' must be at midnight GMT",
        ),
        ({"Transitions": [{"Days": 1}]}, "MalformedXML", ""),
        ({"Transitions": [{"Days": -1, "StorageClass": "GLACIER"}]}, "InvalidArgument", ""),
        ({"Transitions": [{"Days": 1, "StorageClass": "GLACIER"}]}, "NotImplemented", ""),
    ],
)
def test_invalid_lifecycle_rules_are_rejected(client: Any, bucket: str, more: dict[str, Any], code: str, message: str) -> None:
    rule = {"ID": "r", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 1}} | more
    error = refused(client.put_bucket_lifecycle_configuration, Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    assert error["Code"] == code and (not message or error["Message"] == message)


def test_an_expiration_is_reported_for_the_current_version_only(client: Any, bucket: str) -> None:
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    rules = {"Rules": [{"ID": "r", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 1}}]}
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=rules)
    version = client.put_object(Bucket=bucket, Key="k")["VersionId"]
    assert 'rule-id="r"' in client.head_object(Bucket=bucket, Key="k")["Expiration"]
    assert "Expiration" not in client.head_object(Bucket=bucket, Key="k", VersionId=version)


def test_uploads_of_one_key_are_listed_in_order_of_creation(client: Any, bucket: str) -> None:
    begun = [client.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"] for _ in range(8)]
    assert [each["UploadId"] for each in client.list_multipart_uploads(Bucket=bucket)["Uploads"]] == begun
    rest = client.list_multipart_uploads(Bucket=bucket, KeyMarker="k", UploadIdMarker=begun[4])["Uploads"]
    assert [each["UploadId"] for each in rest] == begun[5:]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("deflate, gzip", "deflate, gzip"),
        ("gzip,br", "gzip,br"),
        ("aws-chunked, gzip", "gzip"),
        ("gzip,AWS-Chunked", "gzip"),
        ("aws-chunked, aws-chunked", None),
    ],
)
def test_a_content_encoding_is_returned_unchanged_without_the_transfers(client: Any, bucket: str, given: str, kept: str | None) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"content", ContentEncoding=given)
    assert client.head_object(Bucket=bucket, Key="k").get("ContentEncoding") == kept


@pytest.mark.parametrize("text", ["Hello World\xe9", "voil\xe0", "\u6771\u4eac \u90fd"])
def test_non_ascii_metadata_is_signed_as_the_bytes_that_were_sent(client: Any, bucket: str, text: str) -> None:
    def say(params: dict[str, Any], **_: Any) -> None:
        params["headers"]["x-amz-meta-words"] = text  # After boto3's check, which accepts ASCII only.

    client.meta.events.register("before-call.s3.PutObject", say)
    client.put_object(Bucket=bucket, Key="k")
    answered = client.head_object(Bucket=bucket, Key="k")["Metadata"]["words"]
    assert answered.encode("latin-1").decode() == text


def test_a_read_with_an_encryption_header_is_rejected(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="k")
    client.meta.events.register("before-call.s3.HeadObject", asks_for_encryption)
    client.meta.events.register("before-call.s3.GetObject", asks_for_encryption)
    try:
        error = refused(client.get_object, Bucket=bucket, Key="k")
        assert (error["Code"], error["ArgumentName"]) == ("InvalidArgument", "x-amz-server-side-encryption")
        assert refused(client.head_object, Bucket=bucket, Key="k")["Code"] == "400"
    finally:
        client.meta.events.unregister("before-call.s3.HeadObject", asks_for_encryption)
        client.meta.events.unregister("before-call.s3.GetObject", asks_for_encryption)


def asks_for_encryption(params: dict[str, Any], **_: Any) -> None:
    params["headers"]["x-amz-server-side-encryption"] = "AES256"


def test_a_part_is_returned_with_the_type_of_its_objects_checksum(client: Any, bucket: str) -> None:
    upload = client.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="SHA256")["UploadId"]
    part = client.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"one", ChecksumAlgorithm="SHA256")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]}]}
    client.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload=parts)
    got = client.get_object(Bucket=bucket, Key="k", PartNumber=1, ChecksumMode="ENABLED")
    assert (got["ChecksumSHA256"], got["ChecksumType"]) == (part["ChecksumSHA256"], "COMPOSITE")


def test_an_invalid_part_number_is_rejected_before_the_key_lookup(client: Any, bucket: str) -> None:
    assert refused(client.head_object, Bucket=bucket, Key="none", PartNumber=-3)["Code"] == "400"
    assert refused(client.get_object, Bucket=bucket, Key="none", PartNumber=10001)["Code"] == "InvalidArgument"
    assert refused(client.get_object, Bucket=bucket, Key="none", PartNumber=1, Range="bytes=0-1")["Code"] == "InvalidRequest"


def test_an_upload_id_marker_is_ignored_without_a_key_marker(client: Any, bucket: str) -> None:
    uploads = [client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"] for key in "abc"]
    listed = client.list_multipart_uploads(Bucket=bucket, UploadIdMarker=uploads[1])
    assert [upload["UploadId"] for upload in listed["Uploads"]] == uploads
    after = client.list_multipart_uploads(Bucket=bucket, KeyMarker="b", UploadIdMarker=uploads[1])
    assert [upload["UploadId"] for upload in after["Uploads"]] == uploads[2:]


def test_an_invalid_lock_is_rejected_before_the_key_lookup(client: Any) -> None:
    name = f"bucket-{os.urandom(5).hex()}"
    client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    past = {"Mode": "COMPLIANCE", "RetainUntilDate": datetime.now(UTC) - timedelta(hours=3)}
    assert refused(client.put_object_retention, Bucket=name, Key="none", Retention=past)["Code"] == "InvalidArgument"
    assert refused(client.put_object_legal_hold, Bucket=name, Key="none", LegalHold={"Status": "PERHAPS"})["Code"] == "MalformedXML"


@pytest.mark.parametrize("style", ["path", "virtual"])
def test_headers_signed_by_version_2_are_accepted(endpoint: Endpoint, bucket: str, style: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_localhost(monkeypatch)
    old = endpoint.client(style, signature_version="s3")
    old.put_object(Bucket=bucket, Key="a b+ü?&", Body=b"cat", Metadata={"place": "here"}, Tagging="kind=pet")
    answer = old.get_object(Bucket=bucket, Key="a b+ü?&", ResponseContentType="text/ü plain")
    assert (answer["Body"].read(), answer["Metadata"], answer["ContentType"]) == (b"cat", {"place": "here"}, "text/ü plain")
    assert old.get_object_tagging(Bucket=bucket, Key="a b+ü?&")["TagSet"] == [{"Key": "kind", "Value": "pet"}]
    assert old.list_objects_v2(Bucket=bucket, Prefix="a ")["KeyCount"] == 1
    assert old.head_bucket(Bucket=bucket)["BucketRegion"] == "us-east-1"
    old.meta.events.register("before-call.s3.GetObject", lambda params, **_: params["headers"].update({"x-amz-date": "Bad Date"}))
    assert refused(old.get_object, Bucket=bucket, Key="a b+ü?&") == {
        "Code": "AccessDenied",
        "Message": "AWS authentication requires a valid Date or x-amz-date header",
        "Status": 403,
    }
