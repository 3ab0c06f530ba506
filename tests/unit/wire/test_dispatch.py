"""The service and the operation of a request in every protocol."""

from __future__ import annotations

import pytest

from zonal.foundation.errors import AwsError
from zonal.wire.dispatch import CBOR, EC2, JSON, QUERY, REST_JSON, REST_XML, ServiceCatalog
from zonal.wire.http_messages import HttpRequest

CATALOGUE = ServiceCatalog(("ec2", "rds", "sts", "dynamodb", "s3", "elbv2", "elb", "cloudwatch", "lambda"))
FORM = "application/x-www-form-urlencoded; charset=utf-8"


def request(method: str = "POST", target: str = "/", body: bytes = b"", *, scope: str = "", **headers: str) -> HttpRequest:
    path, _, query = target.partition("?")
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    if scope:
        names["authorization"] = f"AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/{scope}/aws4_request, SignedHeaders=host, Signature=0"
    return HttpRequest(method, path, query, {"host": "127.0.0.1:4566"} | names, body)


@pytest.mark.parametrize(
    ("sent", "service", "protocol"),
    [
        (request(scope="ec2", content_type=FORM), "ec2", EC2),
        (request(scope="rds", content_type=FORM), "rds", QUERY),
        (request(target="/?Action=X&X-Amz-Credential=k%2F20260101%2Fus-east-1%2Fsts%2Faws4_request"), "sts", QUERY),
        (request(x_amz_target="DynamoDB_20120810.ListTables"), "dynamodb", JSON),
        (request(host="rds.us-east-1.amazonaws.com", content_type=FORM), "rds", QUERY),
        (request(scope="elasticloadbalancing", body=b"Action=X&Version=2015-12-01", content_type=FORM), "elbv2", QUERY),
        (request(scope="elasticloadbalancing", body=b"Action=X&Version=2012-06-01", content_type=FORM), "elb", QUERY),
        (request(scope="monitoring", smithy_protocol="rpc-v2-cbor"), "cloudwatch", CBOR),
        (request(scope="monitoring", content_type=FORM), "cloudwatch", QUERY),
        (request(scope="lambda"), "lambda", REST_JSON),
        (request("GET", host="photos.s3.us-east-1.amazonaws.com"), "s3", REST_XML),
        (request("GET", host="photos.localhost:4566"), "s3", REST_XML),
        (request("GET", "/photos/a"), "s3", REST_XML),
        (request("GET", host="s3.localhost.localstack.cloud:4566"), "s3", REST_XML),
    ],
)
def test_service_and_protocol_are_recognised(sent: HttpRequest, service: str, protocol: str) -> None:
    dialect = CATALOGUE.recognise(sent)
    assert (dialect.name, dialect.protocol) == (service, protocol)


@pytest.mark.parametrize(
    ("sent", "operation", "labels"),
    [
        (request("GET", "/", scope="s3"), "ListBuckets", {}),
        (request("GET", "/photos?list-type=2", scope="s3"), "ListObjectsV2", {"Bucket": "photos"}),
        (request("GET", "/photos/", scope="s3"), "ListObjects", {"Bucket": "photos"}),
        (request("GET", "/photos/a%2Fb/c%20d", scope="s3"), "GetObject", {"Bucket": "photos", "Key": "a/b/c d"}),
        (request("GET", "/?uploads", scope="s3", host="photos.s3.amazonaws.com"), "ListMultipartUploads", {"Bucket": "photos"}),
        (request("GET", "/a/b", host="photos.s3.eu-west-1.localhost.localstack.cloud"), "GetObject", {"Bucket": "photos", "Key": "a/b"}),
        (request("PUT", "/k", host="my.dotted.bucket.localhost"), "PutObject", {"Bucket": "my.dotted.bucket", "Key": "k"}),
        (request("PUT", "/b/k?partNumber=1&uploadId=u", scope="s3"), "UploadPart", {"Bucket": "b", "Key": "k"}),
        (request("PUT", "/b/k", scope="s3", x_amz_copy_source="/b/o"), "CopyObject", {"Bucket": "b", "Key": "k"}),
        (
            request("PUT", "/b/k?partNumber=1&uploadId=u", scope="s3", x_amz_copy_source="/b/o"),
            "UploadPartCopy",
            {"Bucket": "b", "Key": "k"},
        ),
        (request("POST", "/b?delete", scope="s3"), "DeleteObjects", {"Bucket": "b"}),
        (request("DELETE", "/b/k?uploadId=u", scope="s3"), "AbortMultipartUpload", {"Bucket": "b", "Key": "k"}),
        (request("GET", "/b?analytics&id=1", scope="s3"), "GetBucketAnalyticsConfiguration", {"Bucket": "b"}),
        (request("GET", "/b?analytics", scope="s3"), "ListBucketAnalyticsConfigurations", {"Bucket": "b"}),
        (request("POST", "/2015-03-31/functions/f/invocations", scope="lambda"), "Invoke", {"FunctionName": "f"}),
        (request(scope="rds", content_type=FORM, body=b"Action=DescribeEvents&Version=2014-10-31"), "DescribeEvents", {}),
        (request("GET", "/?Action=DescribeVpcs&Version=2016-11-15", scope="ec2"), "DescribeVpcs", {}),
        (request(target="/service/X/operation/ListMetrics", scope="monitoring", smithy_protocol="rpc-v2-cbor"), "ListMetrics", {}),
    ],
)
def test_the_operation_is_located(sent: HttpRequest, operation: str, labels: dict[str, str]) -> None:
    found = CATALOGUE.locate(sent, CATALOGUE.recognise(sent))
    assert (found.operation.name, found.labels) == (operation, labels)


@pytest.mark.parametrize(
    ("sent", "code", "status"),
    [
        (request(scope="ec2", content_type=FORM, body=b"Action=Nonsense"), "InvalidAction", 400),
        (request(scope="rds", content_type=FORM, body=b"Action=Nonsense"), "InvalidAction", 400),
        (request(scope="rds", content_type=FORM, body=b"Version=2014-10-31"), "MissingAction", 400),
        (request(scope="rds", content_type=FORM, body=b"Action=DescribeEvents&Version=1999-01-01"), "NoSuchVersion", 400),
        (request(scope="rds", content_type=FORM, body=b"Action=A&Action=B"), "MalformedQueryString", 400),
        (request(scope="rds", content_type=FORM, body=b"Action=%ff"), "MalformedQueryString", 400),
        (request(scope="rds", content_type=FORM, body=b"\xff"), "MalformedQueryString", 400),
        (request(scope="rds", content_type=FORM, body=b"&".join([b"a=1"] * 30000)), "MalformedQueryString", 400),
        (request(x_amz_target="DynamoDB_20120810.Nonsense"), "UnknownOperationException", 400),
        (request("PATCH", "/a/b", scope="s3"), "MethodNotAllowed", 405),
        (request("GET", "/nonsense", scope="lambda"), "UnknownOperationException", 404),
        (request(scope="kms", x_amz_target="TrentService.ListKeys"), "NotImplemented", 501),
    ],
)
def test_a_request_without_a_known_operation_is_rejected_with_the_services_error(sent: HttpRequest, code: str, status: int) -> None:
    with pytest.raises(AwsError) as refused:
        CATALOGUE.locate(sent, CATALOGUE.recognise(sent))
    assert (refused.value.code, refused.value.status) == (code, status)
