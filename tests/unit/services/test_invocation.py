"""A call in the process gets exactly what an HTTP client gets: the same members, the same error codes, messages and statuses."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import botocore.session
import pytest
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.unit.services.rds.region import Catalog, authority
from zonal.control.reconciler import Driver
from zonal.foundation.clock import RegionClock
from zonal.foundation.credentials import Credential
from zonal.foundation.errors import AwsError, ZonalError
from zonal.foundation.settings import Settings
from zonal.gateway.api import Gateway
from zonal.records.store import Record, Store, StoreUnavailable
from zonal.services.dynamodb.service import open_dynamodb
from zonal.services.ec2 import default_vpc
from zonal.services.ec2.service import ec2
from zonal.services.invocation import Caller, Invoker
from zonal.services.operation import Call, ControlCall
from zonal.services.rds.service import rds
from zonal.services.s3.service import open_s3
from zonal.services.service import Service
from zonal.services.sts import sts
from zonal.wire import service_models

OWN, OTHER = Caller("test"), Caller("AKOTHER", "111111111111")
OTHER_KEY = Credential(access_key="AKOTHER", secret_key="test", account="111111111111")


class Region(NamedTuple):
    """Services behind both ways to call them."""

    invoker: Invoker
    port: int

    async def over_http(self, caller: Caller, service: str, operation: str, parameters: Mapping[str, Any]) -> Any:
        """The members of the response, or (code, message, status) of the error."""
        keys = {"aws_access_key_id": caller.access_key, "aws_secret_access_key": "test"}
        config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, parameter_validation=False)
        url = f"http://127.0.0.1:{self.port}"
        client = botocore.session.Session().create_client(service, region_name="us-east-1", endpoint_url=url, config=config, **keys)
        try:
            response = await asyncio.to_thread(getattr(client, xform_name(operation)), **parameters)
        except ClientError as error:
            found = error.response["Error"]
            return found["Code"], found["Message"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        finally:
            client.close()
        del response["ResponseMetadata"]
        return response

    async def in_process(self, caller: Caller, service: str, operation: str, parameters: Mapping[str, Any]) -> Any:
        try:
            return await self.invoker.invoke(caller, service, operation, parameters)
        except AwsError as error:
            return error.code, error.message, error.status


@pytest.fixture
async def region(tmp_path: Path) -> AsyncIterator[Region]:
    clock, settings = RegionClock(), Settings(credentials=(OTHER_KEY,))
    async with AsyncExitStack() as stack:
        store = Store(":memory:", clock=clock)
        stack.callback(store.close)
        with store.transaction() as tx:
            default_vpc.bootstrap(tx, clock.now())
        databases = rds(store, Catalog("17.6"), authority(), is_lost=lambda zone: False, nodes=lambda: None)  # type: ignore[arg-type]
        s3 = open_s3(tmp_path / "s3", clock, settings)
        dynamodb = open_dynamodb(tmp_path / "dynamodb", store, clock, settings)
        services = (ec2(store), databases, s3.service, *dynamodb.services, sts())
        for service in services:
            await stack.enter_async_context(service.running())
        driver = await stack.enter_async_context(Driver(store, dynamodb.reconcilers, clock=clock))
        invoker = Invoker(services, store, clock)
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        await stack.enter_async_context(Gateway(settings, invoker).serving([listener]))
        await invoker.invoke(OWN, "dynamodb", "CreateTable", table("items"))
        await driver.idle()
        await invoker.invoke(OWN, "dynamodb", "PutItem", {"TableName": "items", "Item": {"id": {"S": "a"}, "raw": {"B": b"\x00\xff"}}})
        await invoker.invoke(OWN, "s3", "CreateBucket", {"Bucket": "photos"})
        await invoker.invoke(OWN, "s3", "PutObject", {"Bucket": "photos", "Key": "ä b/c", "Body": b"content", "Metadata": {"Who": "me"}})
        yield Region(invoker, listener.getsockname()[1])


def table(name: str) -> dict[str, Any]:
    return {
        "TableName": name,
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    }


class Case(NamedTuple):
    service: str
    operation: str
    parameters: dict[str, Any]


ANSWERED = (
    Case("ec2", "DescribeVpcs", {"Filters": [{"Name": "is-default", "Values": ["true"]}]}),
    Case("ec2", "DescribeSubnets", {"MaxResults": 5}),
    Case("rds", "DescribeDBEngineVersions", {"Engine": "postgres", "MaxRecords": 20}),
    Case("rds", "DescribeDBSubnetGroups", {}),
    Case("dynamodb", "GetItem", {"TableName": "items", "Key": {"id": {"S": "a"}}}),
    Case("dynamodb", "DescribeTable", {"TableName": "items"}),
    Case("s3", "HeadObject", {"Bucket": "photos", "Key": "ä b/c"}),
    Case("s3", "ListObjectsV2", {"Bucket": "photos", "Prefix": "ä", "EncodingType": "url"}),
    Case("s3", "PutBucketTagging", {"Bucket": "photos", "Tagging": {"TagSet": [{"Key": "a", "Value": "b c"}]}}),
    Case("sts", "GetCallerIdentity", {}),
)
REJECTED = (
    Case("ec2", "DescribeVpcs", {"VpcIds": ["vpc-0123456789abcdef0"]}),
    Case("ec2", "CreateVpc", {"CidrBlock": "10.0.0.0/16", "DryRun": True}),
    Case("ec2", "CreateSubnet", {"CidrBlock": "10.0.0.0/24"}),
    Case("ec2", "DescribeSubnets", {"MaxResults": "many"}),
    Case("ec2", "RunInstances", {"MinCount": 1, "MaxCount": 1}),
    Case("rds", "DescribeDBInstances", {"DBInstanceIdentifier": "missing"}),
    Case("rds", "CreateDBSubnetGroup", {"DBSubnetGroupName": "group"}),
    Case("rds", "DeleteDBInstance", {"DBInstanceIdentifier": ""}),
    Case("rds", "DescribeDBLogFiles", {"DBInstanceIdentifier": "missing"}),
    Case("rds", "DescribeDBInstances", {"MaxRecords": "many"}),
    Case("dynamodb", "GetItem", {"TableName": "missing", "Key": {"id": {"S": "a"}}}),
    Case("dynamodb", "GetItem", {"TableName": "items", "Key": {"id": {"N": "1"}}}),
    Case("dynamodb", "PutItem", {"TableName": "it"}),
    Case("dynamodb", "PutItem", {"TableName": "items", "Item": {"id": {"S": "a"}}, "ConditionExpression": "attribute_not_exists(id)"}),
    Case("s3", "ListObjectsV2", {"Bucket": "missing"}),
    Case("s3", "PutObjectTagging", {"Bucket": "photos", "Key": "missing", "Tagging": {"TagSet": []}}),
    Case("s3", "CreateBucket", {"Bucket": "Photos"}),
    Case("s3", "PutObject", {"Bucket": "photos", "Key": "a", "Body": b"x", "ContentMD5": "bm90IHRoZSBkaWdlc3Q="}),
    Case("s3", "ListObjectsV2", {"Bucket": "photos", "MaxKeys": "many"}),
)


def title(case: Case) -> str:
    return f"{case.service}:{case.operation}"


@pytest.mark.parametrize("case", ANSWERED, ids=title)
async def test_a_call_in_the_process_returns_what_an_http_client_gets(region: Region, case: Case) -> None:
    expected = await region.over_http(OWN, *case)
    found = await region.in_process(OWN, *case)
    assert not isinstance(expected, tuple), expected
    output = service_models.service(case.service).operation(case.operation).output  # type: ignore[union-attr]
    assert normal(found) == normal(expected)
    assert output is not None or found == {}


@pytest.mark.parametrize("case", REJECTED, ids=title)
async def test_a_call_in_the_process_raises_the_error_that_an_http_client_gets(region: Region, case: Case) -> None:
    expected = await region.over_http(OWN, *case)
    assert isinstance(expected, tuple), f"not rejected: {expected}"
    assert await region.in_process(OWN, *case) == expected


@pytest.mark.parametrize("case", [ANSWERED[0], ANSWERED[2], ANSWERED[4], ANSWERED[7]], ids=title)
async def test_a_key_of_another_account_is_rejected_alike(region: Region, case: Case) -> None:
    expected = await region.over_http(OTHER, *case)
    assert isinstance(expected, tuple), f"not rejected: {expected}"
    assert await region.in_process(OTHER, *case) == expected


async def test_an_anonymous_caller_reaches_only_services_that_accept_one(region: Region) -> None:
    assert (await region.in_process(Caller(), "ec2", "DescribeVpcs", {}))[0] == "MissingAuthenticationToken"
    assert (await region.in_process(Caller(), "dynamodb", "ListTables", {}))[0] == "MissingAuthenticationTokenException"
    assert (await region.in_process(Caller(), "s3", "ListObjectsV2", {"Bucket": "photos"}))[:2] == ("AccessDenied", "Access Denied")


async def test_a_service_and_an_operation_that_do_not_exist_are_rejected(region: Region) -> None:
    assert (await region.in_process(OWN, "glue", "ListJobs", {}))[::2] == ("NotImplemented", 501)
    assert (await region.in_process(OWN, "ec2", "DescribeNothing", {}))[0] == "InvalidAction"


class Mark(Record):
    kind: ClassVar[str] = "mark"


async def test_what_a_rejected_call_wrote_is_rolled_back_and_the_cause_of_an_internal_error_stays_hidden() -> None:
    store = Store(":memory:")

    def fail(call: ControlCall, request: Any) -> Any:
        call.transaction.put(Mark(id="written"))
        raise {"late": AwsError("VpcLimitExceeded", "limit"), "ours": ZonalError("a secret"), "disk": StoreUnavailable("full")}[
            request["CidrBlock"]
        ]

    invoker = Invoker([Service("ec2", {"CreateVpc": fail})], store, RegionClock())
    for cidr, code, status in (("late", "VpcLimitExceeded", 400), ("ours", "InternalError", 500), ("disk", "ServiceUnavailable", 503)):
        with pytest.raises(AwsError) as caught:
            await invoker.invoke(OWN, "ec2", "CreateVpc", {"CidrBlock": cidr})
        assert (caught.value.code, caught.value.status, "secret" in caught.value.message) == (code, status, False)
    assert store.get(Mark, "written") is None


@pytest.mark.parametrize("is_async", [False, True], ids=["control plane", "data plane"])
async def test_the_authorizer_decides_before_the_handler_over_http_and_in_the_process(is_async: bool) -> None:
    called: list[str] = []

    def deny(call: Call, parameters: Any) -> None:
        if parameters.get("VpcIds") == ["vpc-denied"]:
            raise AwsError("UnauthorizedOperation", f"{call.account} may not call {call.service}:{call.operation}", status=403)

    def describe(call: ControlCall, request: Any) -> Any:
        called.append(request["VpcIds"][0])
        return {"Vpcs": []}

    async def describe_later(call: Call, request: Any) -> Any:
        return describe(call, request)  # type: ignore[arg-type]

    handler = describe_later if is_async else describe
    invoker = Invoker([Service("ec2", {"DescribeVpcs": handler})], Store(":memory:"), RegionClock(), authorizer=deny)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with Gateway(Settings(), invoker).serving([listener]):
            region = Region(invoker, listener.getsockname()[1])
            for call in (region.over_http, region.in_process):
                denied = await call(OWN, "ec2", "DescribeVpcs", {"VpcIds": ["vpc-denied"]})
                assert denied == ("UnauthorizedOperation", "000000000000 may not call ec2:DescribeVpcs", 403)
                assert not isinstance(await call(OWN, "ec2", "DescribeVpcs", {"VpcIds": ["vpc-allowed"]}), tuple)
    assert called == ["vpc-allowed", "vpc-allowed"]


def normal(value: Any) -> Any:
    """A response without empty lists, which only some protocols send, and with the whole seconds that headers have."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(microsecond=0)
    if isinstance(value, Mapping):
        members = {name: normal(item) for name, item in value.items() if item is not None}
        return {name: item for name, item in members.items() if item != []}
    return [normal(item) for item in value] if isinstance(value, list | tuple) else value
