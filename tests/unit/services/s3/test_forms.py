"""Browsers' forms: responses and errors as recorded from S3 (LocalStack's validated tests of presigned posts)."""

from __future__ import annotations

import base64
import hmac
import http.client
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.s3_endpoint import Endpoint


def post(endpoint: Endpoint, bucket: str, fields: dict[str, str], kind: str = "multipart/form-data; boundary=x") -> Any:
    """Post a form with the file `content`; returns status, headers and the elements of the response's body."""
    sections = [f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
    body = "".join([*sections, '--x\r\nContent-Disposition: form-data; name="file"; filename="f.txt"\r\n\r\ncontent\r\n--x--\r\n'])
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=120)
    connection.request("POST", f"/{bucket}", body.encode(), {"Content-Type": kind})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    found = {child.tag: child.text or "" for child in ElementTree.fromstring(text)} if text else {}
    return answer.status, dict(answer.getheaders()), found


def signed(bucket: str, *conditions: Any, **more: str) -> dict[str, str]:
    """The fields of a form with an HMAC-SHA1 signature, as in ceph's suite."""
    until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    document = {"expiration": until, "conditions": [{"bucket": bucket}, ["starts-with", "$key", ""], *conditions]}
    policy = base64.b64encode(json.dumps(document).encode()).decode()
    signature = base64.b64encode(hmac.digest(b"test", policy.encode(), "sha1")).decode()
    return {"key": "a/b", "AWSAccessKeyId": "test", "policy": policy, "signature": signature} | more


def test_the_response_to_a_form_has_the_objects_location_and_checksum(endpoint: Endpoint, bucket: str) -> None:
    status, headers, found = post(endpoint, bucket, signed(bucket, {"success_action_status": "201"}, success_action_status="201"))
    assert status == 201 and found["Key"] == "a/b" and found["Bucket"] == bucket
    assert found["Location"] == headers["Location"] == f"http://127.0.0.1:{endpoint.port}/{bucket}/a%2Fb"
    assert (headers["x-amz-checksum-type"], headers["x-amz-server-side-encryption"]) == ("FULL_OBJECT", "AES256")
    assert "x-amz-checksum-crc64nvme" in headers


def test_the_error_of_a_missing_field_names_it(endpoint: Endpoint, bucket: str) -> None:
    fields = signed(bucket)
    for name, called in (("signature", "Signature"), ("AWSAccessKeyId", "AWSAccessKeyId"), ("policy", "Policy")):
        status, _, error = post(endpoint, bucket, {key: value for key, value in fields.items() if key != name})
        assert (status, error["Code"], error["ArgumentName"], error["ArgumentValue"]) == (400, "InvalidArgument", called, "")
        assert error["Message"].startswith(f"Bucket POST must contain a field named '{called}'.  If it is specified,")
    newer = endpoint.client(signature_version="s3v4").generate_presigned_post(bucket, "k")["fields"]
    error = post(endpoint, bucket, {key: value for key, value in newer.items() if key not in ("x-amz-algorithm", "x-amz-credential")})[2]
    assert error["ArgumentName"] == "X-Amz-Algorithm"
    status, _, error = post(endpoint, bucket, {key: value for key, value in newer.items() if key in ("key", "policy")})
    assert (status, error["Code"]) == (403, "AccessDenied")  # An unsigned form is anonymous, whatever its policy.


def test_the_error_of_a_wrong_signature_has_the_string_to_sign(endpoint: Endpoint, bucket: str) -> None:
    fields = signed(bucket) | {"signature": "wrong"}
    status, _, error = post(endpoint, bucket, fields)
    assert (status, error["Code"], error["SignatureProvided"]) == (403, "SignatureDoesNotMatch", "wrong")
    assert error["StringToSign"] == fields["policy"]


@pytest.mark.parametrize(
    ("condition", "status", "code"),
    [
        ({"acl": "private", "x": "y"}, 400, "InvalidPolicyDocument"),
        ({"content-length": 7}, 400, "InvalidPolicyDocument"),
        (["eq", "key", "a/b"], 403, "AccessDenied"),
        (["eq", "$KEY", "A/B"], 403, "AccessDenied"),
        (["content-length-range", "test", "10"], 403, "AccessDenied"),
        (["content-length-range", "8", "10"], 400, "EntityTooSmall"),
        (["content-length-range", 1, 6], 400, "EntityTooLarge"),
        (["content-length-range", 7, 7], 204, ""),
        (["eq", "$kEy", "a/b"], 204, ""),
    ],
)
def test_a_failed_condition_returns_s3s_error(endpoint: Endpoint, bucket: str, condition: Any, status: int, code: str) -> None:
    found, _, error = post(endpoint, bucket, signed(bucket, condition))
    assert (found, error.get("Code", "")) == (status, code)


def test_a_post_that_is_not_a_form_is_rejected(endpoint: Endpoint, bucket: str) -> None:
    status, _, error = post(endpoint, bucket, signed(bucket), "text/html")
    assert (status, error["Condition"]) == (412, "Bucket POST must be of the enclosure-type multipart/form-data")


def test_a_checksum_in_a_form_needs_no_condition_and_is_verified(endpoint: Endpoint, bucket: str) -> None:
    right = "7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M="
    assert post(endpoint, bucket, signed(bucket, **{"x-amz-checksum-sha256": right}))[0] == 204
    assert post(endpoint, bucket, signed(bucket, **{"x-amz-checksum-sha256": "sailorjerry"}))[0] == 400
