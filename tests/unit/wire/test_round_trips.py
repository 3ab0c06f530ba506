"""Round trips with botocore as the client, for every operation of the region's services and some of each other protocol."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.wire.oracle import Values, model, parsed, request_of
from zonal.foundation.errors import AwsError
from zonal.wire import requests, responses
from zonal.wire.dispatch import Located, ServiceCatalog

WHOLE = ("ec2", "rds", "sts", "dynamodb", "s3")
SAMPLED = ("lambda", "cloudwatch", "elbv2", "elasticache", "ds", "ssm", "iam", "route53", "sqs", "cloudformation", "efs", "logs")
CATALOGUE = ServiceCatalog((*WHOLE, *SAMPLED))
XML = ("query", "ec2", "rest-xml")


INDISTINCT = {
    "s3": {"GetBucketLifecycle", "PutBucketLifecycle", "GetBucketNotification", "PutBucketNotification", "ListDirectoryBuckets"},
}
"""Operations that share a route with another one on purpose: deprecated ones, and those of S3's other endpoints."""


def operations(service: str) -> list[str]:
    names: list[str] = [name for name in model(service).operation_names if name not in INDISTINCT.get(service, ())]
    return names if service in WHOLE else names[:: max(1, len(names) // 12)]


def located(service: str, name: str, protocol: str, request: Any) -> Located:
    dialect = CATALOGUE.recognise(request)
    assert (dialect.name, dialect.protocol) == (service, protocol)
    found = CATALOGUE.locate(request, dialect)
    assert found.operation.name == name
    return found


def has_stream(shape: Any) -> bool:
    return shape is not None and any(member.serialization.get("eventstream") for member in shape.members.values())


def protocols(service: str) -> list[str]:
    spoken: list[str] = model(service).metadata.get("protocols", [model(service).metadata["protocol"]])
    return spoken


@pytest.mark.parametrize("service", [*WHOLE, *SAMPLED])
def test_a_request_of_botocore_is_parsed_into_the_callers_parameters(service: str) -> None:
    for protocol in protocols(service):
        for name in operations(service):
            operation = model(service).operation_model(name)
            shape = operation.input_shape
            given = Values((service, name, "input"), xml=protocol in XML).of(shape) if shape else {}
            request = request_of(operation, given, protocol=protocol)
            found = located(service, name, protocol, request)
            if has_stream(shape):
                with pytest.raises(AwsError, match="event streams"):
                    requests.read(found, request)
                continue
            assert requests.read(found, request) == given, f"{service}:{name} over {protocol}"


@pytest.mark.parametrize("service", [*WHOLE, *SAMPLED])
def test_a_rendered_response_is_parsed_by_botocore_into_the_handlers_result(service: str) -> None:
    for protocol in protocols(service):
        if (service, protocol) == ("cloudwatch", "query"):
            continue  # The present model has no result wrappers, so botocore cannot read CloudWatch's Query responses.
        for name in operations(service):
            operation = model(service).operation_model(name)
            shape = operation.output_shape
            if has_stream(shape):
                continue
            if (service, name) == ("s3", "GetBucketLocation"):
                continue  # Its root contains the text itself, which a handler of botocore's client reads, not its parser.
            given = Values((service, name, "output"), xml=protocol in XML).of(shape) if shape else {}
            request = request_of(
                operation, Values((service, name), xml=True).of(operation.input_shape) if operation.input_shape else {}, protocol=protocol
            )
            answer = responses.render(located(service, name, protocol, request), given, "request-1")
            assert as_botocore_sees(operation, parsed(operation, answer, protocol=protocol)) == as_botocore_sees(operation, given), (
                f"{service}:{name}"
            )


def as_botocore_sees(operation: Any, values: dict[str, Any]) -> dict[str, Any]:
    """botocore's parser returns a blob that is the whole body as text."""
    shape = operation.output_shape
    result = dict(values)
    for name in shape.members if shape else ():
        if name == shape.serialization.get("payload") and isinstance(result.get(name), bytes):
            result[name] = result[name].decode("latin-1")
    return result


@pytest.mark.parametrize("service", [*WHOLE, *SAMPLED])
def test_every_modelled_error_reaches_botocore_with_its_code_its_messages_and_its_fields(service: str) -> None:
    name = model(service).operation_names[0]
    operation = model(service).operation_model(name)
    given = Values(service, xml=True).of(operation.input_shape) if operation.input_shape else {}
    for protocol in protocols(service):
        request = request_of(operation, given, protocol=protocol)
        dialect = CATALOGUE.recognise(request)
        for shape in model(service).error_shapes:
            fields = Values((service, shape.name), xml=protocol in XML).of(shape)
            fields = {key: value for key, value in fields.items() if key.lower() not in ("message", "code", "type")}
            answer = responses.render_error(dialect, AwsError(shape.name, "why <not> & how", fields=fields), "request-1", request)
            error = parsed(operation, answer, protocol=protocol)["Error"]
            assert (error["Code"].rpartition("#")[2], error["Message"]) == (code_of(service, protocol, shape), "why <not> & how")
            assert answer.status == shape.metadata.get("error", {}).get("httpStatusCode", 500 if shape._shape_model.get("fault") else 400)
            seen = parsed(operation, answer, protocol=protocol, shape=shape)
            assert {key: value for key, value in seen.items() if key in fields} == fields, shape.name


def code_of(service: str, protocol: str, shape: Any) -> str:
    """The code that botocore reports: JSON has the shape's name, unless the service was a Query service before."""
    old = model(service).metadata.get("awsQueryCompatible") is not None
    named_by_shape = protocol in ("json", "rest-json", "smithy-rpc-v2-cbor") and not old
    name: str = shape.name if named_by_shape else shape.error_code
    return name
