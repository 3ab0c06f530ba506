"""Server access logs: requests to a bucket are delivered as lines to its target bucket, if that one allows it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.running_region import eventually
from tests.s3_endpoint import Endpoint

SPEED = 1000.0  # Logs are delivered every few seconds of the region's clock.
FIELDS = re.compile(r'\[[^\]]*\]|"[^"]*"|\S+')


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    endpoint = Endpoint(tmp_path, clock_speed=SPEED)
    yield endpoint
    endpoint.close()


@pytest.fixture
def s3(endpoint: Endpoint) -> Any:
    client = endpoint.client()
    client.create_bucket(Bucket="pictures")
    client.create_bucket(Bucket="logs")
    return client


def let_in(s3: Any, source: str = "pictures", prefix: str = "") -> None:
    """Allow the log delivery of a bucket to write to `logs`."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::logs/{prefix}*",
        "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{source}"}},
    }
    s3.put_bucket_policy(Bucket="logs", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))


def enable(s3: Any, **more: Any) -> None:
    s3.put_bucket_logging(Bucket="pictures", BucketLoggingStatus={"LoggingEnabled": {"TargetBucket": "logs", "TargetPrefix": "p/"} | more})


def lines(s3: Any, *, with_operation: str, count: int = 1) -> list[list[str]]:
    """The fields of the delivered lines of an operation, once there are at least `count`."""

    def look() -> list[list[str]]:
        keys = [each["Key"] for each in s3.list_objects_v2(Bucket="logs").get("Contents", [])]
        text = "".join(s3.get_object(Bucket="logs", Key=key)["Body"].read().decode() for key in keys)
        found = [fields for fields in map(FIELDS.findall, text.splitlines()) if fields[6] == with_operation]
        return found if len(found) >= count else []

    return eventually(look)  # type: ignore[no-any-return]


def test_requests_to_a_bucket_are_logged_in_its_target_bucket(s3: Any) -> None:
    let_in(s3)
    enable(s3)
    s3.put_object(Bucket="pictures", Key="a b.png", Body=b"12345")
    s3.get_object(Bucket="pictures", Key="a b.png")
    with pytest.raises(ClientError):
        s3.get_object(Bucket="pictures", Key="none")
    [put] = lines(s3, with_operation="REST.PUT.OBJECT")
    owner = s3.get_bucket_acl(Bucket="pictures")["Owner"]["ID"]
    assert (put[0], put[1], put[3], put[4]) == (owner, "pictures", "127.0.0.1", owner)
    assert (put[7], put[9], put[10], put[12]) == ("a%20b.png", "200", "-", "5")
    found = {fields[7]: fields for fields in lines(s3, with_operation="REST.GET.OBJECT", count=2)}
    assert found["a%20b.png"][9:12] == ["200", "-", "5"] and found["none"][9:11] == ["404", "NoSuchKey"]
    assert found["none"][8] == '"GET /pictures/none HTTP/1.1"'
    assert len(put) == 27, "as many fields as S3's own lines have"


def test_collected_lines_are_delivered_when_the_region_stops(tmp_path: Path) -> None:
    slow = Endpoint(tmp_path)
    client = slow.client()
    client.create_bucket(Bucket="pictures")
    client.create_bucket(Bucket="logs")
    let_in(client)
    enable(client)
    client.put_object(Bucket="pictures", Key="last", Body=b"")
    slow.close()
    again = Endpoint(tmp_path)
    try:
        [put] = lines(again.client(), with_operation="REST.PUT.OBJECT")
        assert put[7] == "last"
    finally:
        again.close()


def test_a_caller_cannot_forge_a_line(s3: Any, endpoint: Endpoint) -> None:
    let_in(s3)
    enable(s3)
    forged = endpoint.client(user_agent='me" - - "more')
    forged.head_bucket(Bucket="pictures")
    [head] = lines(s3, with_operation="REST.HEAD.BUCKET")
    assert len(head) == 27 and "%22" in head[16]


@pytest.mark.parametrize("source", ["DeliveryTime", "EventTime"])
def test_keys_can_be_partitioned_by_source_and_day(s3: Any, source: str) -> None:
    let_in(s3)
    enable(s3, TargetObjectKeyFormat={"PartitionedPrefix": {"PartitionDateSource": source}})
    s3.head_bucket(Bucket="pictures")
    lines(s3, with_operation="REST.HEAD.BUCKET")
    key = s3.list_objects_v2(Bucket="logs")["Contents"][0]["Key"]
    moment = r"\d\d-\d\d-\d\d" if source == "DeliveryTime" else "00-00-00"
    assert re.fullmatch(rf"p/\d{{12}}/us-east-1/pictures/\d{{4}}/\d\d/\d\d/\d{{4}}-\d\d-\d\d-{moment}-[0-9A-F]{{16}}", key)


def test_a_target_bucket_that_does_not_allow_the_delivery_is_rejected(s3: Any) -> None:
    with pytest.raises(ClientError, match=r"InvalidTargetBucketForLogging.*log-delivery group"):
        enable(s3)
    let_in(s3, source="another")
    with pytest.raises(ClientError, match="InvalidTargetBucketForLogging"):
        enable(s3)
    with pytest.raises(ClientError, match=r"InvalidTargetBucketForLogging.*does not exist"):
        enable(s3, TargetBucket="nowhere")
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket="pictures")


def test_an_acl_allows_the_log_delivery_and_target_grants_give_read_access(s3: Any) -> None:
    s3.put_bucket_ownership_controls(Bucket="logs", OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]})
    s3.put_bucket_acl(Bucket="logs", ACL="log-delivery-write")
    readers = [
        {"Grantee": {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"}, "Permission": "READ"},
    ]
    enable(s3, TargetGrants=readers)
    assert s3.get_bucket_logging(Bucket="pictures")["LoggingEnabled"]["TargetGrants"] == readers
    s3.head_bucket(Bucket="pictures")
    lines(s3, with_operation="REST.HEAD.BUCKET")
    key = s3.list_objects_v2(Bucket="logs")["Contents"][0]["Key"]
    assert readers[0] in s3.get_object_acl(Bucket="logs", Key=key)["Grants"]


def test_logging_stops_when_it_is_disabled(s3: Any) -> None:
    let_in(s3)
    enable(s3)
    s3.put_bucket_logging(Bucket="pictures", BucketLoggingStatus={})
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket="pictures")
