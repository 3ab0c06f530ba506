"""S3 with boto3, through the API endpoint."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import os
import time
import urllib.parse
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.s3_endpoint import Endpoint, open_to_all, raw, resolve_localhost


def fails(code: str, call: Any, /, **parameters: Any) -> Any:
    """The error response of a call that must fail with this code."""
    with pytest.raises(ClientError) as failed:
        call(**parameters)
    assert failed.value.response["Error"]["Code"] == code, failed.value
    return failed.value.response


def test_a_new_bucket_has_the_defaults_of_aws(client: Any, bucket: str) -> None:
    rules = client.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert all(client.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
    default = client.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert default["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert client.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    assert "Status" not in client.get_bucket_versioning(Bucket=bucket)
    fails("AccessControlListNotSupported", client.put_bucket_acl, Bucket=bucket, ACL="public-read")
    fails("NoSuchBucketPolicy", client.get_bucket_policy, Bucket=bucket)
    fails("NoSuchTagSet", client.get_bucket_tagging, Bucket=bucket)
    fails("NoSuchLifecycleConfiguration", client.get_bucket_lifecycle_configuration, Bucket=bucket)
    fails("ObjectLockConfigurationNotFoundError", client.get_object_lock_configuration, Bucket=bucket)


@pytest.mark.parametrize("name", ["UPPER", "a", "192.168.5.4", "two..dots", "-dash", "under_score", "x" * 64, "ends-"])
def test_an_invalid_bucket_name_is_rejected(client: Any, name: str) -> None:
    client.meta.events.unregister("before-parameter-build.s3", None)
    try:
        fails("InvalidBucketName", client.create_bucket, Bucket=name)
    except Exception as error:  # botocore rejects some of them itself.
        assert type(error).__name__ in ("ParamValidationError",), error


def test_a_bucket_that_is_not_empty_is_not_deleted(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"")
    fails("BucketNotEmpty", client.delete_bucket, Bucket=bucket)
    client.delete_object(Bucket=bucket, Key="k")
    client.delete_bucket(Bucket=bucket)
    fails("NoSuchBucket", client.list_objects_v2, Bucket=bucket)
    assert fails("404", client.head_bucket, Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 404


@pytest.mark.parametrize("style", ["path", "virtual"])
def test_an_object_is_returned_as_it_was_put(endpoint: Endpoint, bucket: str, style: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_localhost(monkeypatch)
    client = endpoint.client(style)
    content = os.urandom(300_000)
    put = client.put_object(
        Bucket=bucket, Key="a b/é+%.jpg", Body=content, Metadata={"Who": "me"}, ContentType="image/jpeg", CacheControl="max-age=5"
    )
    assert put["ETag"] == f'"{hashlib.md5(content).hexdigest()}"' and put["ServerSideEncryption"] == "AES256"
    got = client.get_object(Bucket=bucket, Key="a b/é+%.jpg", ChecksumMode="ENABLED")
    assert got["Body"].read() == content
    assert (got["ContentType"], got["CacheControl"], got["Metadata"]) == ("image/jpeg", "max-age=5", {"who": "me"})
    assert got["ChecksumCRC32"] == put["ChecksumCRC32"] and got["ChecksumType"] == "FULL_OBJECT"
    assert [each["Key"] for each in client.list_objects_v2(Bucket=bucket)["Contents"]] == ["a b/é+%.jpg"]


@pytest.mark.parametrize("key", ["..", "../../etc/passwd", "a//b", "/", "//", "./x", "x" * 1024, "日本語/🎉", "a\tb\nc", "?#&=", "a/../b"])
def test_any_utf8_key_can_be_stored(client: Any, bucket: str, key: str) -> None:
    client.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert client.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    assert [each["Key"] for each in client.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    client.delete_object(Bucket=bucket, Key=key)
    assert "Contents" not in client.list_objects_v2(Bucket=bucket)


def test_a_key_that_is_too_long_is_rejected(client: Any, bucket: str) -> None:
    fails("KeyTooLongError", client.put_object, Bucket=bucket, Key="x" * 1025, Body=b"")


def test_a_range_selects_first_middle_or_last_bytes(client: Any, bucket: str) -> None:
    content = os.urandom(100_000)
    client.put_object(Bucket=bucket, Key="k", Body=content)
    got = client.get_object(Bucket=bucket, Key="k", Range="bytes=10-19")
    assert (got["Body"].read(), got["ContentRange"]) == (content[10:20], "bytes 10-19/100000")
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert client.get_object(Bucket=bucket, Key="k", Range="bytes=99990-")["Body"].read() == content[-10:]
    assert client.get_object(Bucket=bucket, Key="k", Range="bytes=-7")["Body"].read() == content[-7:]
    assert fails("InvalidRange", client.get_object, Bucket=bucket, Key="k", Range="bytes=100000-")["Error"]["ActualObjectSize"] == "100000"


def test_failed_preconditions_of_reads_return_304_and_412(client: Any, bucket: str) -> None:
    etag = client.put_object(Bucket=bucket, Key="k", Body=b"1")["ETag"]
    assert fails("304", client.get_object, Bucket=bucket, Key="k", IfNoneMatch=etag)["ResponseMetadata"]["HTTPHeaders"]["etag"] == etag
    fails("PreconditionFailed", client.get_object, Bucket=bucket, Key="k", IfMatch='"other"')
    fails(
        "304", client.get_object, Bucket=bucket, Key="k", IfModifiedSince=datetime.now(UTC) + timedelta(seconds=-1) + timedelta(seconds=1)
    )
    fails("PreconditionFailed", client.get_object, Bucket=bucket, Key="k", IfUnmodifiedSince=datetime(2020, 1, 1, tzinfo=UTC))
    assert client.get_object(Bucket=bucket, Key="k", IfMatch=etag, IfUnmodifiedSince=datetime(2020, 1, 1, tzinfo=UTC))["ETag"] == etag


def test_only_one_of_two_conditional_writes_succeeds(client: Any, bucket: str) -> None:
    etag = client.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    fails("PreconditionFailed", client.put_object, Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*")
    fails("PreconditionFailed", client.put_object, Bucket=bucket, Key="k", Body=b"2", IfMatch='"no"')
    fails("NoSuchKey", client.put_object, Bucket=bucket, Key="absent", Body=b"2", IfMatch=etag)
    client.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch=etag)
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"2"


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums_are_verified_stored_and_returned(client: Any, bucket: str, algorithm: str) -> None:
    for size in (10, 200_000):
        put = client.put_object(Bucket=bucket, Key="k", Body=io.BytesIO(os.urandom(size)), ChecksumAlgorithm=algorithm)
        value = put[f"Checksum{algorithm}"]
        assert client.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")[f"Checksum{algorithm}"] == value
        shown = client.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["Checksum", "ObjectSize", "ETag"])
        assert (shown["Checksum"][f"Checksum{algorithm}"], shown["ObjectSize"]) == (value, size)
        fails("BadDigest", client.put_object, Bucket=bucket, Key="other", Body=b"something else", **{f"Checksum{algorithm}": value})
        fails("404", client.head_object, Bucket=bucket, Key="other")


def test_an_object_without_a_checksum_gets_one(endpoint: Endpoint, bucket: str) -> None:
    client = endpoint.client(request_checksum_calculation="when_required")
    client.put_object(Bucket=bucket, Key="k", Body=b"123456789")
    assert client.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["ChecksumCRC64NVME"] == "rosUhgp5mIg="
    fails("BadDigest", client.put_object, Bucket=bucket, Key="k", Body=b"x", ContentMD5="rL0Y20zC+Fzt72VPzMSk2A==")
    fails("InvalidDigest", client.put_object, Bucket=bucket, Key="k", Body=b"x", ContentMD5="YWJj")


def parts_of(client: Any, bucket: str, key: str, contents: list[bytes], **more: Any) -> tuple[str, list[dict[str, Any]]]:
    upload = client.create_multipart_upload(Bucket=bucket, Key=key, **more)["UploadId"]
    parts = []
    named = {name: more[name] for name in ("ChecksumAlgorithm",) if name in more}
    for number, content in enumerate(contents, start=1):
        done = client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=content, **named)
        parts.append({"PartNumber": number, "ETag": done["ETag"]})
    return upload, parts


def test_a_multipart_upload_becomes_one_object(client: Any, bucket: str) -> None:
    contents = [os.urandom(5 * 1024 * 1024), os.urandom(5 * 1024 * 1024), b"end"]
    upload, parts = parts_of(client, bucket, "big", contents, ContentType="text/x", Metadata={"a": "b"})
    assert [part["Size"] for part in client.list_parts(Bucket=bucket, Key="big", UploadId=upload)["Parts"]] == [
        len(each) for each in contents
    ]
    assert [each["UploadId"] for each in client.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [upload]
    done = client.complete_multipart_upload(Bucket=bucket, Key="big", UploadId=upload, MultipartUpload={"Parts": parts})
    assert done["ETag"].endswith('-3"')
    again = client.complete_multipart_upload(Bucket=bucket, Key="big", UploadId=upload, MultipartUpload={"Parts": parts})
    assert again["ETag"] == done["ETag"]
    whole = b"".join(contents)
    got = client.get_object(Bucket=bucket, Key="big")
    assert got["Body"].read() == whole and got["ContentType"] == "text/x"
    border = len(contents[0])
    assert (
        client.get_object(Bucket=bucket, Key="big", Range=f"bytes={border - 5}-{border + 4}")["Body"].read()
        == whole[border - 5 : border + 5]
    )
    second = client.get_object(Bucket=bucket, Key="big", PartNumber=2)
    assert second["Body"].read() == contents[1] and second["PartsCount"] == 3
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)
    client.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/big")
    assert client.head_object(Bucket=bucket, Key="copy")["ETag"] == f'"{hashlib.md5(whole).hexdigest()}"'


def test_a_composite_checksum_has_the_number_of_parts_except_in_attributes(client: Any, bucket: str) -> None:
    upload, parts = parts_of(client, bucket, "k", [os.urandom(5 * 1024 * 1024), b"end"], ChecksumAlgorithm="SHA256")
    done = client.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": parts})
    shown = client.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["Checksum"])["Checksum"]
    assert done["ChecksumSHA256"] == shown["ChecksumSHA256"] + "-2"
    assert shown["ChecksumType"] == "COMPOSITE"


def test_the_checksum_of_a_whole_upload_is_that_of_its_content(client: Any, bucket: str) -> None:
    contents = [os.urandom(5 * 1024 * 1024), b"end"]
    more = {"ChecksumAlgorithm": "CRC32C", "ChecksumType": "FULL_OBJECT"}
    upload, parts = parts_of(client, bucket, "parts", contents, **more)
    done = client.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload={"Parts": parts})
    put = client.put_object(Bucket=bucket, Key="one", Body=b"".join(contents), ChecksumAlgorithm="CRC32C")
    assert done["ChecksumCRC32C"] == put["ChecksumCRC32C"] and done["ChecksumType"] == "FULL_OBJECT"


def test_an_invalid_completion_is_rejected(client: Any, bucket: str) -> None:
    upload, parts = parts_of(client, bucket, "k", [b"small", b"end"])
    parameters = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    fails("EntityTooSmall", client.complete_multipart_upload, **parameters, MultipartUpload={"Parts": parts})
    fails("InvalidPartOrder", client.complete_multipart_upload, **parameters, MultipartUpload={"Parts": parts[::-1]})
    wrong = [{"PartNumber": 7, "ETag": parts[0]["ETag"]}]
    fails("InvalidPart", client.complete_multipart_upload, **parameters, MultipartUpload={"Parts": wrong})
    fails("MalformedXML", client.complete_multipart_upload, **parameters)
    fails("InvalidArgument", client.upload_part, **parameters, PartNumber=10_001, Body=b"")
    client.abort_multipart_upload(**parameters)
    fails("NoSuchUpload", client.abort_multipart_upload, **parameters)
    fails("NoSuchUpload", client.complete_multipart_upload, **parameters, MultipartUpload={"Parts": parts})


def test_a_part_can_be_a_range_of_another_object(client: Any, bucket: str) -> None:
    content = os.urandom(5 * 1024 * 1024 + 10)
    client.put_object(Bucket=bucket, Key="source", Body=content)
    upload = client.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    parameters = {"Bucket": bucket, "Key": "k", "UploadId": upload, "PartNumber": 1}
    source = {"Bucket": bucket, "Key": "source"}
    copied = client.upload_part_copy(**parameters, CopySource=source, CopySourceRange="bytes=10-109")
    parts = {"Parts": [{"PartNumber": 1, "ETag": copied["CopyPartResult"]["ETag"]}]}
    client.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload=parts)
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == content[10:110]


def test_versions_and_delete_markers_behave_as_on_aws(client: Any, bucket: str) -> None:
    first = client.put_object(Bucket=bucket, Key="k", Body=b"0")
    assert "VersionId" not in first
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    one = client.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    two = client.put_object(Bucket=bucket, Key="k", Body=b"2")["VersionId"]
    listed = client.list_object_versions(Bucket=bucket)
    assert [(each["VersionId"], each["IsLatest"]) for each in listed["Versions"]] == [(two, True), (one, False), ("null", False)]
    gone = client.delete_object(Bucket=bucket, Key="k")
    assert gone["DeleteMarker"] is True
    error = fails("NoSuchKey", client.get_object, Bucket=bucket, Key="k")
    assert error["ResponseMetadata"]["HTTPHeaders"]["x-amz-delete-marker"] == "true"
    fails("MethodNotAllowed", client.get_object, Bucket=bucket, Key="k", VersionId=gone["VersionId"])
    assert client.get_object(Bucket=bucket, Key="k", VersionId=one)["Body"].read() == b"1"
    assert client.delete_object(Bucket=bucket, Key="k", VersionId=gone["VersionId"])["DeleteMarker"] is True
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"2"
    client.delete_object(Bucket=bucket, Key="k", VersionId=two)
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"1"
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    assert "VersionId" not in client.put_object(Bucket=bucket, Key="k", Body=b"n")  # It is `null`; all other responses have it.
    assert client.get_object(Bucket=bucket, Key="k")["VersionId"] == "null"
    assert [each["VersionId"] for each in client.list_object_versions(Bucket=bucket)["Versions"]] == ["null", one]
    fails("NoSuchVersion", client.get_object, Bucket=bucket, Key="k", VersionId=two)
    fails("InvalidArgument", client.get_object, Bucket=bucket, Key="k", VersionId="nonsense")


def test_a_listing_has_common_prefixes_markers_and_encoded_keys(client: Any, bucket: str) -> None:
    keys = sorted(["a", "b/1", "b/2", "b/3", "c/d/e", "f%", "g h", "z/"])
    for key in keys:
        client.put_object(Bucket=bucket, Key=key, Body=b"")
    for limit in (1, 2, 3, 1000):
        found: list[str] = []
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": limit})
        for page in pages:
            found += [each["Key"] for each in page.get("Contents", [])] + [each["Prefix"] for each in page.get("CommonPrefixes", [])]
        assert sorted(found) == ["a", "b/", "c/", "f%", "g h", "z/"]
        old: list[str] = []
        for page in client.get_paginator("list_objects").paginate(Bucket=bucket, PaginationConfig={"PageSize": limit}):
            old += [each["Key"] for each in page.get("Contents", [])]
        assert old == keys
    assert client.list_objects_v2(Bucket=bucket, Prefix="b/", StartAfter="b/1")["KeyCount"] == 2
    assert client.list_objects_v2(Bucket=bucket, MaxKeys=0)["IsTruncated"] is False
    fails("InvalidArgument", client.list_objects_v2, Bucket=bucket, ContinuationToken="nonsense")
    assert raw_status(client, bucket, "max-keys=blah") == 400


def raw_status(client: Any, bucket: str, query: str) -> int:
    url = client.generate_presigned_url("list_objects_v2", Params={"Bucket": bucket})
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=120)
    connection.request("GET", f"{parts.path}?{parts.query}&{query}")
    status = connection.getresponse().status
    connection.close()
    return 400 if status == 403 else status  # The query is signed, so a changed one is rejected before it is parsed.


def test_delete_objects_reports_each_outcome(client: Any, bucket: str) -> None:
    for number in range(3):
        client.put_object(Bucket=bucket, Key=f"k{number}", Body=b"")
    answer = client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k0"}, {"Key": "k1"}, {"Key": "absent"}]})
    assert sorted(each["Key"] for each in answer["Deleted"]) == ["absent", "k0", "k1"]
    assert "Deleted" not in client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k2"}], "Quiet": True})
    many = [{"Key": str(number)} for number in range(1001)]
    fails("MalformedXML", client.delete_objects, Bucket=bucket, Delete={"Objects": many})


def test_copies_keep_or_replace_metadata_and_tags(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="a", Body=b"x", Metadata={"m": "1"}, Tagging="t=1", ContentType="text/a")
    client.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "a"})
    head = client.head_object(Bucket=bucket, Key="b")
    assert (head["Metadata"], head["ContentType"]) == ({"m": "1"}, "text/a")
    assert client.get_object_tagging(Bucket=bucket, Key="b")["TagSet"] == [{"Key": "t", "Value": "1"}]
    client.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "a"}, MetadataDirective="REPLACE", Metadata={"n": "2"})
    assert client.head_object(Bucket=bucket, Key="b")["Metadata"] == {"n": "2"}
    fails("InvalidRequest", client.copy_object, Bucket=bucket, Key="a", CopySource={"Bucket": bucket, "Key": "a"})
    fails("NoSuchKey", client.copy_object, Bucket=bucket, Key="c", CopySource={"Bucket": bucket, "Key": "absent"})
    fails("PreconditionFailed", client.copy_object, Bucket=bucket, Key="c", CopySource=f"{bucket}/a", CopySourceIfMatch="no")


def test_tags_are_stored_within_their_limits(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"")
    client.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "a", "Value": "1"}]})
    assert client.head_object(Bucket=bucket, Key="k").get("TagCount") == 1
    many = {"TagSet": [{"Key": str(number), "Value": ""} for number in range(11)]}
    fails("BadRequest", client.put_object_tagging, Bucket=bucket, Key="k", Tagging=many)
    long = {"TagSet": [{"Key": "x" * 129, "Value": ""}]}
    fails("InvalidTag", client.put_object_tagging, Bucket=bucket, Key="k", Tagging=long)
    client.delete_object_tagging(Bucket=bucket, Key="k")
    assert client.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []


def test_anonymous_reads_need_a_policy_and_no_access_block(endpoint: Endpoint, client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"secret")
    assert raw(endpoint, "GET", f"/{bucket}/k")[0] == 403
    assert raw(endpoint, "GET", "/")[0] == 403
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    fails("AccessDenied", client.put_bucket_policy, Bucket=bucket, Policy=policy)
    open_to_all(client, bucket)
    assert raw(endpoint, "GET", f"/{bucket}/k")[::2] == (200, b"secret")
    assert raw(endpoint, "GET", f"/{bucket}/absent")[0] == 403
    assert raw(endpoint, "PUT", f"/{bucket}/new", b"x")[0] == 403
    assert client.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is True


def test_an_explicit_deny_outweighs_the_owner(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"")
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]}
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": deny}))
    fails("AccessDenied", client.get_object, Bucket=bucket, Key="k")
    fails("AccessDenied", client.list_objects_v2, Bucket=bucket)
    client.delete_bucket_policy(Bucket=bucket)
    assert client.get_object(Bucket=bucket, Key="k")["ContentLength"] == 0
    fails("MalformedPolicy", client.put_bucket_policy, Bucket=bucket, Policy='{"Statement": 1}')


def test_acls_apply_if_they_are_enabled(endpoint: Endpoint, client: Any, bucket: str) -> None:
    client.delete_public_access_block(Bucket=bucket)
    client.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]})
    client.put_object(Bucket=bucket, Key="open", Body=b"o", ACL="public-read")
    client.put_object(Bucket=bucket, Key="closed", Body=b"c")
    assert raw(endpoint, "GET", f"/{bucket}/open")[::2] == (200, b"o")
    assert raw(endpoint, "GET", f"/{bucket}/closed")[0] == 403
    grants = client.get_object_acl(Bucket=bucket, Key="open")["Grants"]
    assert [grant["Permission"] for grant in grants] == ["READ", "FULL_CONTROL"]  # Groups come first.
    blocked = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
    client.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=blocked)
    assert raw(endpoint, "GET", f"/{bucket}/open")[0] == 403
    fails("AccessDenied", client.put_object_acl, Bucket=bucket, Key="open", ACL="public-read")


def test_presigned_urls_work_until_they_expire(endpoint: Endpoint, bucket: str) -> None:
    for version in ("s3v4", "s3"):
        client = endpoint.client(signature_version=version)
        put = urllib.parse.urlsplit(client.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k"}, ExpiresIn=60))
        assert raw(endpoint, "PUT", f"{put.path}?{put.query}", b"signed")[0] == 200
        get = urllib.parse.urlsplit(client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"}, ExpiresIn=60))
        assert raw(endpoint, "GET", f"{get.path}?{get.query}")[::2] == (200, b"signed")
        get = urllib.parse.urlsplit(client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"}, ExpiresIn=1))
        time.sleep(2.1)
        status, _, body = raw(endpoint, "GET", f"{get.path}?{get.query}")
        assert status == 403 and b"Request has expired" in body


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_a_presigned_listing_is_answered(endpoint: Endpoint, client: Any, bucket: str, version: str) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"")
    signer = endpoint.client(signature_version=version)
    for name in ("list_objects", "list_objects_v2", "list_object_versions"):
        url = urllib.parse.urlsplit(signer.generate_presigned_url(name, Params={"Bucket": bucket}))
        status, _, body = raw(endpoint, "GET", f"{url.path}?{url.query}")
        root = "ListVersionsResult" if "versions" in name else "ListBucketResult"
        assert status == 200 and b"<Key>k</Key>" in body
        assert f'<{root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'.encode() in body


def form(fields: dict[str, str], file: bytes) -> tuple[bytes, str]:
    """Post a browser's form."""
    mark = "form-boundary"
    body = b"".join(f'--{mark}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items())
    body += f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="f.txt"\r\nContent-Type: text/plain\r\n\r\n'.encode()
    return body + file + f"\r\n--{mark}--\r\n".encode(), f"multipart/form-data; boundary={mark}"


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_a_browsers_form_uploads_what_its_policy_allows(endpoint: Endpoint, bucket: str, version: str) -> None:
    client = endpoint.client(signature_version=version)
    conditions = [["starts-with", "$key", "up/"], ["content-length-range", 1, 10], {"acl": "bucket-owner-full-control"}]
    signed = client.generate_presigned_post(bucket, "up/${filename}", Conditions=conditions)
    fields = signed["fields"] | {"acl": "bucket-owner-full-control"}
    body, kind = form(fields, b"content")
    status, headers, _ = raw(endpoint, "POST", f"/{bucket}", body, Content_Type=kind)
    assert status == 204, headers
    got = endpoint.client().get_object(Bucket=bucket, Key="up/f.txt")
    assert (got["Body"].read(), got["ContentType"]) == (b"content", "text/plain")
    body, kind = form(fields, b"content that is too long")
    assert b"EntityTooLarge" in raw(endpoint, "POST", f"/{bucket}", body, Content_Type=kind)[2]
    body, kind = form(fields | {"key": "elsewhere"}, b"content")
    assert raw(endpoint, "POST", f"/{bucket}", body, Content_Type=kind)[0] == 403
    body, kind = form(fields | {"x-amz-meta-more": "1"}, b"content")
    assert b"Extra input fields" in raw(endpoint, "POST", f"/{bucket}", body, Content_Type=kind)[2]
    body, kind = form(fields | {"policy": fields["policy"][:-4] + "AAAA"}, b"content")
    assert b"SignatureDoesNotMatch" in raw(endpoint, "POST", f"/{bucket}", body, Content_Type=kind)[2]


def test_a_browsers_form_may_be_larger_than_the_memory_limit(endpoint: Endpoint, client: Any, bucket: str) -> None:
    signed = client.generate_presigned_post(bucket, "large")
    content = os.urandom(1024 * 1024) * 18
    body, kind = form(signed["fields"], content)
    assert raw(endpoint, "POST", f"/{bucket}", body, Content_Type=kind)[0] == 204
    head = client.head_object(Bucket=bucket, Key="large")
    assert (head["ContentLength"], head["ETag"]) == (len(content), f'"{hashlib.md5(content).hexdigest()}"')


def test_browsers_get_cors_headers(endpoint: Endpoint, client: Any, bucket: str) -> None:
    rule = {"AllowedMethods": ["GET", "PUT"], "AllowedOrigins": ["https://*.example.com"], "AllowedHeaders": ["x-*"], "MaxAgeSeconds": 9}
    client.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule | {"ExposeHeaders": ["ETag"]}]})
    asked = {"Origin": "https://a.example.com", "Access_Control_Request_Method": "PUT", "Access_Control_Request_Headers": "x-foo"}
    status, headers, _ = raw(endpoint, "OPTIONS", f"/{bucket}/k", **asked)
    assert status == 200 and headers["access-control-allow-origin"] == "https://a.example.com"
    assert headers["access-control-allow-headers"] == "x-foo" and headers["access-control-max-age"] == "9"
    assert raw(endpoint, "OPTIONS", f"/{bucket}/k", **asked | {"Origin": "https://evil.org"})[0] == 403
    _, headers, _ = raw(endpoint, "GET", f"/{bucket}/k", Origin="https://a.example.com")
    assert headers["access-control-expose-headers"] == "ETag"


def test_object_lock_protects_versions(client: Any) -> None:
    bucket = f"locked-{os.urandom(5).hex()}"
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    until = datetime.now(UTC) + timedelta(days=1)
    parameters = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": until}
    version = client.put_object(Bucket=bucket, Key="k", Body=b"1", **parameters)["VersionId"]
    fails("AccessDenied", client.delete_object, Bucket=bucket, Key="k", VersionId=version)
    client.put_object_legal_hold(Bucket=bucket, Key="k", VersionId=version, LegalHold={"Status": "ON"})
    fails("AccessDenied", client.delete_object, Bucket=bucket, Key="k", VersionId=version, BypassGovernanceRetention=True)
    client.put_object_legal_hold(Bucket=bucket, Key="k", VersionId=version, LegalHold={"Status": "OFF"})
    client.delete_object(Bucket=bucket, Key="k", VersionId=version, BypassGovernanceRetention=True)
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}
    client.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule})
    version = client.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    assert client.get_object_retention(Bucket=bucket, Key="k")["Retention"]["Mode"] == "COMPLIANCE"
    fails("AccessDenied", client.delete_object, Bucket=bucket, Key="k", VersionId=version, BypassGovernanceRetention=True)
    weaker = {"Mode": "COMPLIANCE", "RetainUntilDate": datetime.now(UTC) + timedelta(hours=1)}
    fails("AccessDenied", client.put_object_retention, Bucket=bucket, Key="k", Retention=weaker)
    status = {"Status": "Suspended"}
    fails("InvalidBucketState", client.put_bucket_versioning, Bucket=bucket, VersioningConfiguration=status)


def test_an_sse_c_key_encrypts_the_stored_content(endpoint: Endpoint, client: Any, bucket: str) -> None:
    key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
    plain = b"plain words " * 5000
    fails("AccessDenied", client.put_object, Bucket=bucket, Key="k", Body=plain, **key)
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BlockedEncryptionTypes": {"EncryptionType": ["NONE"]}}
    client.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    client.put_object(Bucket=bucket, Key="k", Body=plain, **key)
    kept = b"".join(path.read_bytes() for path in (endpoint._directory / "s3").rglob("*") if path.is_file())
    assert b"plain words plain words" not in kept
    assert client.get_object(Bucket=bucket, Key="k", **key)["Body"].read() == plain
    assert client.get_object(Bucket=bucket, Key="k", Range="bytes=30001-30050", **key)["Body"].read() == plain[30001:30051]
    fails("InvalidRequest", client.get_object, Bucket=bucket, Key="k")
    fails("AccessDenied", client.get_object, Bucket=bucket, Key="k", SSECustomerAlgorithm="AES256", SSECustomerKey="x" * 32)
    upload, parts = parts_of_encrypted(client, bucket, key)
    client.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload={"Parts": parts}, **key)
    got = client.get_object(Bucket=bucket, Key="parts", Range="bytes=5242870-5242890", **key)["Body"].read()
    assert got == (b"a" * 5242880 + b"b" * 100)[5242870:5242891]


def parts_of_encrypted(client: Any, bucket: str, key: dict[str, str]) -> tuple[str, list[dict[str, Any]]]:
    upload = client.create_multipart_upload(Bucket=bucket, Key="parts", **key)["UploadId"]
    parts = []
    for number, content in enumerate((b"a" * 5242880, b"b" * 100), start=1):
        done = client.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=number, Body=content, **key)
        parts.append({"PartNumber": number, "ETag": done["ETag"]})
    return upload, parts


def test_unsupported_features_are_rejected_and_not_ignored(client: Any, bucket: str) -> None:
    fails("NotImplemented", client.put_object, Bucket=bucket, Key="k", Body=b"", ServerSideEncryption="aws:kms")
    fails("NotImplemented", client.put_object, Bucket=bucket, Key="k", Body=b"", StorageClass="GLACIER")
    target = {"QueueConfigurations": [{"QueueArn": "arn:aws:sqs:us-east-1:000000000000:q", "Events": ["s3:ObjectCreated:*"]}]}
    fails("NotImplemented", client.put_bucket_notification_configuration, Bucket=bucket, NotificationConfiguration=target)
    rule = {"Status": "Enabled", "Filter": {}, "Transitions": [{"Days": 1, "StorageClass": "GLACIER"}]}
    fails("NotImplemented", client.put_bucket_lifecycle_configuration, Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    fails("404", client.head_object, Bucket=bucket, Key="k")


def test_lifecycle_rules_run_by_the_regions_clock(tmp_path: Path) -> None:
    endpoint = Endpoint(tmp_path, clock_speed=86_400)
    try:
        client = endpoint.client()
        client.create_bucket(Bucket="short")
        rule = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 1}}
        rule |= {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}
        client.put_bucket_lifecycle_configuration(Bucket="short", LifecycleConfiguration={"Rules": [rule]})
        put = client.put_object(Bucket="short", Key="tmp/a", Body=b"1")
        assert 'rule-id="r"' in put["Expiration"]
        client.put_object(Bucket="short", Key="kept", Body=b"1")
        client.create_multipart_upload(Bucket="short", Key="tmp/b")
        deadline = time.monotonic() + 100
        while client.list_objects_v2(Bucket="short")["KeyCount"] > 1 or client.list_multipart_uploads(Bucket="short").get("Uploads"):
            assert time.monotonic() < deadline
            time.sleep(1)
        assert client.list_objects_v2(Bucket="short")["Contents"][0]["Key"] == "kept"
    finally:
        endpoint.close()


def test_malformed_bodies_return_s3s_errors(client: Any, bucket: str) -> None:
    def put(body: bytes) -> str:
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        url = f"{client.meta.endpoint_url}/{bucket}?tagging"
        request = AWSRequest("PUT", url, data=body, headers={"Content-Type": "application/xml"})
        S3SigV4Auth(Credentials("test", "test"), "s3", "us-east-1").add_auth(request)
        parts = urllib.parse.urlsplit(url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=120)
        connection.request("PUT", f"{parts.path}?{parts.query}", body, dict(request.headers))
        answer = connection.getresponse().read().decode()
        connection.close()
        return answer

    assert "MalformedXML" in put(b"<Tagging><TagSet>")
    assert "MalformedXML" in put(b'<!DOCTYPE x [<!ENTITY a "b">]><Tagging><TagSet><Tag><Key>&a;</Key><Value/></Tag></TagSet></Tagging>')
    assert "MalformedXML" in put(b"<a>" * 500)
    assert "MissingRequestBodyError" in put(b"")
