"""The request writer is the inverse of the parser: what it writes is read back as it was given."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from zonal.wire import request_writer, requests, service_models
from zonal.wire.dispatch import Dialect, ServiceCatalog
from zonal.wire.scalars import Malformed

CATALOG = ServiceCatalog(("ec2", "rds", "s3", "dynamodb", "sns", "efs", "lambda"))
SINCE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

CASES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("ec2", "DescribeVpcs", {"Filters": [{"Name": "tag:a&b", "Values": ["x=1", "ä"]}], "VpcIds": ["vpc-1"], "DryRun": False}),
    ("ec2", "CreateVpc", {"CidrBlock": "10.0.0.0/16", "TagSpecifications": [{"ResourceType": "vpc", "Tags": [{"Key": "k", "Value": ""}]}]}),
    ("rds", "DescribeEvents", {"StartTime": SINCE, "Duration": 60, "EventCategories": ["a", "b"]}),
    ("rds", "CreateDBSubnetGroup", {"DBSubnetGroupName": "g", "DBSubnetGroupDescription": "d", "SubnetIds": ["s-1", "s-2"]}),
    ("sns", "Publish", {"Message": "m", "MessageAttributes": {"a": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}}),
    ("sns", "CreateTopic", {"Name": "t", "Attributes": {"DisplayName": "d", "Policy": "{}"}}),
    ("dynamodb", "GetItem", {"TableName": "table", "Key": {"id": {"B": b"\x00\xff"}}, "ConsistentRead": True}),
    ("s3", "PutObject", {"Bucket": "b", "Key": "a/ä?&+ b", "Body": b"content", "Metadata": {"who": "me"}, "Expires": SINCE}),
    ("s3", "GetObject", {"Bucket": "b", "Key": "k", "VersionId": "v&1", "IfModifiedSince": SINCE, "ResponseContentType": "text/plain"}),
    ("s3", "UploadPart", {"Bucket": "b", "Key": "k", "PartNumber": 3, "UploadId": "u/+", "Body": b""}),
    ("s3", "DeleteObjects", {"Bucket": "b", "Delete": {"Objects": [{"Key": "<&>"}, {"Key": "k", "VersionId": "v"}], "Quiet": True}}),
    ("s3", "GetObjectAttributes", {"Bucket": "b", "Key": "k", "ObjectAttributes": ["ETag", "ObjectSize"]}),
    ("efs", "CreateTags", {"FileSystemId": "fs-12345678", "Tags": [{"Key": "k", "Value": "v"}]}),
    ("lambda", "ListTags", {"Resource": "arn:aws:lambda:us-east-1:000000000000:function:f"}),
)


def dialect(service: str) -> Dialect:
    model = service_models.service(service)
    return Dialect(model.metadata.protocol, service, model)


@pytest.mark.parametrize(("service", "name", "parameters"), CASES, ids=[f"{service}:{name}" for service, name, _ in CASES])
def test_a_written_request_is_read_back_as_it_was_given(service: str, name: str, parameters: dict[str, Any]) -> None:
    operation = service_models.service(service).operation(name)
    assert operation is not None
    located = CATALOG.locate(request := request_writer.write(dialect(service), operation, parameters), dialect(service))
    assert located.operation is operation
    values = requests.parse(located, request)
    values.pop("ContentLength", None)  # A header of every request to S3 that has a body.
    assert values == {key: value for key, value in parameters.items() if value != b""}


@pytest.mark.parametrize(
    ("service", "name", "parameters", "path"),
    [
        ("ec2", "DescribeVpcs", {"VpcIds": "vpc-1"}, "VpcIds"),
        ("rds", "DescribeEvents", {"Duration": {"a": 1}}, "Duration"),
        ("s3", "GetObject", {"Bucket": "b"}, "Key"),
        ("s3", "PutBucketTagging", {"Bucket": "b", "Tagging": "text"}, "Tagging"),
        ("dynamodb", "GetItem", {"Key": object()}, ""),
    ],
)
def test_a_value_that_the_protocol_cannot_express_is_reported_with_its_path(
    service: str, name: str, parameters: dict[str, Any], path: str
) -> None:
    operation = service_models.service(service).operation(name)
    assert operation is not None
    with pytest.raises(Malformed) as caught:
        request_writer.write(dialect(service), operation, parameters)
    assert caught.value.path == path
