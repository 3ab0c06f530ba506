"""Calls of an ordinary client through the gateway."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.unit.gateway.conftest import Lamp, Wire


async def error_of(call: Callable[..., Any], **parameters: Any) -> tuple[str, str, int]:
    with pytest.raises(ClientError) as raised:
        await asyncio.to_thread(call, **parameters)
    response: Any = raised.value.response
    return response["Error"]["Code"], response["Error"]["Message"], response["ResponseMetadata"]["HTTPStatusCode"]


async def test_get_caller_identity_returns_the_keys_account(wire: Wire) -> None:
    identity = await asyncio.to_thread(wire.client("sts").get_caller_identity)
    assert identity["Arn"] == "arn:aws:iam::000000000000:root"
    assert identity["ResponseMetadata"]["RequestId"]


async def test_a_handlers_changes_are_committed_with_its_answer_and_not_with_its_error(wire: Wire) -> None:
    ec2 = wire.client("ec2")
    assert (await asyncio.to_thread(ec2.create_vpc, CidrBlock="10.0.0.0/16"))["Vpc"]["VpcId"] == "vpc-1"
    assert (await error_of(ec2.create_vpc, CidrBlock="late"))[::2] == ("VpcLimitExceeded", 400)
    assert [lamp.id for lamp in wire.store.select(Lamp)] == ["10.0.0.0/16"]


async def test_an_async_handler_is_awaited(wire: Wire) -> None:
    key = {"id": {"S": "x"}, "wait": {"N": "0.05"}}
    assert (await asyncio.to_thread(wire.client("dynamodb").get_item, TableName="Users", Key=key))["Item"] == key


async def test_an_operation_that_is_not_implemented_is_answered_501_with_its_name(wire: Wire) -> None:
    code, message, status = await error_of(wire.client("ec2").describe_instances)
    assert (code, status) == ("NotImplemented", 501)
    assert "ec2:DescribeInstances" in message
    code, message, status = await error_of(wire.client("kms").list_keys)
    assert (code, status) == ("NotImplemented", 501)
    assert "'kms'" in message
    assert (await error_of(wire.client("lambda").list_functions))[::2] == ("NotImplemented", 501)
    assert (await error_of(wire.client("cloudwatch").list_metrics))[::2] == ("NotImplemented", 501)


@pytest.mark.parametrize("how", ["broken", "ours"])
async def test_an_internal_error_is_logged_and_not_shown(wire: Wire, how: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        code, message, status = await error_of(wire.client("ec2").delete_vpc, VpcId=how)
    assert (code, status) == ("InternalError", 500)
    assert "secret" not in message
    assert "a secret" in caplog.text


async def test_a_result_that_is_not_in_the_model_is_an_internal_error(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    assert (await error_of(wire.client("ec2").describe_vpcs))[::2] == ("InternalError", 500)
    assert "Vpc has no member NoSuchMember" in caplog.text


async def test_a_store_that_cannot_commit_is_reported_as_unavailable(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    assert (await error_of(wire.client("ec2").delete_vpc, VpcId="disk"))[::2] == ("ServiceUnavailable", 503)


async def test_missing_parameters_and_wrong_types_are_rejected(wire: Wire) -> None:
    lax = wire.client("ec2", parameter_validation=False)
    assert (await error_of(lax.delete_vpc)) == ("MissingParameter", "The request must contain the parameter VpcId", 400)
    lax = wire.client("dynamodb", parameter_validation=False)
    code, message, _ = await error_of(lax.get_item, TableName="", Key={})
    assert code == "ValidationException"
    assert "Value '' at 'tableName' failed to satisfy constraint: Member must have length greater than or equal to 1" in message


async def test_a_body_is_streamed_and_a_changed_one_is_rejected(wire: Wire) -> None:
    s3 = wire.client("s3", request_checksum_calculation="when_required")
    body = b"0123456789" * 300_000
    answer = await asyncio.to_thread(s3.put_object, Bucket="photos", Key="a/b c", Body=body)
    assert answer["ETag"] == hashlib.sha256(body).hexdigest()

    def change(request: Any, **_: Any) -> None:
        request.body = b"other"
        request.headers["Content-Length"] = "5"

    s3.meta.events.register("before-send.s3", change)
    assert (await error_of(s3.put_object, Bucket="photos", Key="x", Body=b"hello"))[0] == "XAmzContentSHA256Mismatch"


@pytest.mark.parametrize("key", ["known", "unknown"])
async def test_a_response_is_streamed(wire: Wire, key: str) -> None:
    answer = await asyncio.to_thread(wire.client("s3").get_object, Bucket="photos", Key=key)
    assert await asyncio.to_thread(answer["Body"].read) == b"x" * 64 * 65536


async def test_the_health_check_requires_no_signature(wire: Wire) -> None:
    answer = await wire.say(b"GET /_zonal/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'"status":"running"' in answer
