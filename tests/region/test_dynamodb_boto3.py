"""DynamoDB with boto3, through the API endpoint."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest
from boto3.dynamodb.conditions import Attr, Key
from botocore.config import Config
from botocore.exceptions import ClientError

from zonal.control.reconciler import Driver
from zonal.foundation.clock import RegionClock
from zonal.foundation.settings import Settings
from zonal.gateway.api import Gateway
from zonal.records.store import Store
from zonal.services.dynamodb.service import open_dynamodb
from zonal.services.invocation import Invoker


class Endpoint:
    """A region with DynamoDB alone, in a thread of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._ready.wait(120)

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        settings, clock = Settings(), RegionClock()
        store = Store(self._directory / "region.db", clock=clock)
        dynamodb = open_dynamodb(self._directory / "items", store, clock, settings)
        gateway = Gateway(settings, Invoker(dynamodb.services, store, clock))
        async with Driver(store, dynamodb.reconcilers, clock=clock), gateway.serving([self._socket]):
            self.operations = {service: list(handlers) for service, handlers in dynamodb.handlers.items()}
            self._ready.set()
            await self._ended.wait()
        await dynamodb.engine.close()
        store.close()

    def close(self) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        self._socket.close()


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    endpoint = Endpoint(tmp_path)
    yield endpoint
    endpoint.close()


def access(endpoint: Endpoint) -> dict[str, Any]:
    config = Config(retries={"max_attempts": 1}, parameter_validation=False)
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    return {"endpoint_url": endpoint.url, "config": config} | keys


@pytest.fixture
def client(endpoint: Endpoint) -> Any:
    return boto3.client("dynamodb", **access(endpoint))


@pytest.fixture
def users(endpoint: Endpoint) -> Any:
    resource = boto3.resource("dynamodb", **access(endpoint))
    table = resource.create_table(
        TableName="Users",
        AttributeDefinitions=[{"AttributeName": "UserId", "AttributeType": "S"}, {"AttributeName": "Email", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "UserId", "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "Email",
                "KeySchema": [{"AttributeName": "Email", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    table.wait_until_exists()
    return table


def test_a_users_table_with_an_email_index_follows_the_course(users: Any) -> None:
    for number in range(5):
        users.put_item(
            Item={"UserId": f"u{number}", "Email": f"{number}@example.com", "Age": Decimal("20.5") + number, "Photo": b"\x00\x01"}
        )
    assert users.get_item(Key={"UserId": "u1"})["Item"]["Age"] == Decimal("21.5")
    assert bytes(users.get_item(Key={"UserId": "u1"})["Item"]["Photo"]) == b"\x00\x01"
    found = users.query(IndexName="Email", KeyConditionExpression=Key("Email").eq("3@example.com"))
    assert [item["UserId"] for item in found["Items"]] == ["u3"]
    scanned = users.scan(FilterExpression=Attr("Age").gt(Decimal("22")), ReturnConsumedCapacity="TOTAL")
    assert (scanned["Count"], scanned["ScannedCount"]) == (3, 5)
    updated = users.update_item(
        Key={"UserId": "u1"},
        UpdateExpression="SET Age = Age + :one",
        ExpressionAttributeValues={":one": 1},
        ReturnValues="UPDATED_NEW",
    )
    assert updated["Attributes"] == {"Age": Decimal("22.5")}
    users.delete_item(Key={"UserId": "u0"})
    assert "Item" not in users.get_item(Key={"UserId": "u0"})


def test_acknowledged_writes_are_there_after_a_restart(tmp_path: Path) -> None:
    first = Endpoint(tmp_path)
    table = boto3.resource("dynamodb", **access(first)).create_table(
        TableName="kept",
        AttributeDefinitions=[{"AttributeName": "a", "AttributeType": "N"}],
        KeySchema=[{"AttributeName": "a", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    table.wait_until_exists()
    with table.batch_writer() as writer:
        for number in range(60):
            writer.put_item(Item={"a": number})
    first.close()
    second = Endpoint(tmp_path)
    try:
        client = boto3.client("dynamodb", **access(second))
        assert client.describe_table(TableName="kept")["Table"]["ItemCount"] == 60
        assert client.scan(TableName="kept", Select="COUNT")["Count"] == 60
    finally:
        second.close()


def test_boto3s_exceptions_are_raised_by_name(client: Any, users: Any) -> None:
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.describe_table(TableName="nowhere")
    with pytest.raises(client.exceptions.ConditionalCheckFailedException) as failed:
        users.put_item(Item={"UserId": "x"})
        client.put_item(
            TableName="Users",
            Item={"UserId": {"S": "x"}},
            ConditionExpression="attribute_not_exists(UserId)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    assert failed.value.response["Item"] == {"UserId": {"S": "x"}}
    with pytest.raises(ClientError, match="Invalid UpdateExpression: Syntax error"):
        client.update_item(TableName="Users", Key={"UserId": {"S": "x"}}, UpdateExpression="FOO a = b")


def test_a_cancelled_transaction_returns_its_reasons(client: Any, users: Any) -> None:
    with pytest.raises(client.exceptions.TransactionCanceledException) as cancelled:
        client.transact_write_items(
            TransactItems=[
                {"Put": {"TableName": "Users", "Item": {"UserId": {"S": "new"}}}},
                {
                    "ConditionCheck": {
                        "TableName": "Users",
                        "Key": {"UserId": {"S": "absent"}},
                        "ConditionExpression": "attribute_exists(UserId)",
                    }
                },
            ]
        )
    assert [reason["Code"] for reason in cancelled.value.response["CancellationReasons"]] == ["None", "ConditionalCheckFailed"]
    assert "Item" not in client.get_item(TableName="Users", Key={"UserId": {"S": "new"}})


def test_a_stream_contains_the_changes(endpoint: Endpoint, client: Any) -> None:
    client.create_table(
        TableName="watched",
        AttributeDefinitions=[{"AttributeName": "a", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "a", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    client.get_waiter("table_exists").wait(TableName="watched", WaiterConfig={"Delay": 1})
    for value in ("1", "2"):
        client.put_item(TableName="watched", Item={"a": {"S": "x"}, "v": {"N": value}})
    client.delete_item(TableName="watched", Key={"a": {"S": "x"}})
    streams = boto3.client("dynamodbstreams", **access(endpoint))
    arn = streams.list_streams(TableName="watched")["Streams"][0]["StreamArn"]
    shard = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
    iterator = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    records = streams.get_records(ShardIterator=iterator)["Records"]
    assert [record["eventName"] for record in records] == ["INSERT", "MODIFY", "REMOVE"]
    assert records[1]["dynamodb"]["OldImage"]["v"] == {"N": "1"} and records[1]["dynamodb"]["NewImage"]["v"] == {"N": "2"}


def test_tagging_is_answered_with_an_empty_body(client: Any, users: Any) -> None:
    arn = client.describe_table(TableName=users.name)["Table"]["TableArn"]
    tagged = client.tag_resource(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}])
    untagged = client.untag_resource(ResourceArn=arn, TagKeys=["a"])
    assert [answer["ResponseMetadata"]["HTTPHeaders"]["content-length"] for answer in (tagged, untagged)] == ["0", "0"]
