"""Calls DynamoDB's handlers without a network, with requests and responses as JSON, over a directory of the test."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from zonal.control.reconciler import Driver
from zonal.dynamo.engine import open_engine
from zonal.foundation.clock import RegionClock
from zonal.foundation.errors import AwsError
from zonal.records.store import Store
from zonal.services.dynamodb.service import DynamoDb
from zonal.services.object_storage import ObjectStorage
from zonal.services.operation import Call, ControlCall
from zonal.wire.http_messages import HttpRequest


class Caller:
    """Calls operations as the gateway does."""

    def __init__(self, service: DynamoDb, driver: Driver, store: Store, clock: RegionClock) -> None:
        self.service, self.driver, self.store, self.clock = service, driver, store, clock

    async def __call__(self, operation: str, service: str = "dynamodb", /, **request: Any) -> dict[str, Any]:
        handler = self.service.handlers[service][operation]
        body = msgspec.json.decode(msgspec.json.encode(request))
        raw = HttpRequest("POST", "/", "", {}, msgspec.json.encode(request))
        now = self.clock.now()
        if inspect.iscoroutinefunction(handler):
            result = await handler(Call(service, operation, now, "request", "test", raw=raw), body)
        else:
            with self.store.transaction() as transaction:
                call = ControlCall(service, operation, now, "request", "test", raw=raw, transaction=transaction)
                result = handler(call, body)
        return msgspec.json.decode(result if isinstance(result, bytes) else msgspec.json.encode(result or {}))

    async def error(self, operation: str, service: str = "dynamodb", /, **request: Any) -> AwsError:
        """The error of the request."""
        with pytest.raises(AwsError) as caught:
            await self(operation, service, **request)
        return caught.value

    async def complaint(self, operation: str, /, **request: Any) -> str:
        """The message of the request's ValidationException."""
        error = await self.error(operation, **request)
        assert error.code == "ValidationException", f"{error.code}: {error.message}"
        return error.message

    async def table(self, name: str, *, keys: str = "a:S", indexes: dict[str, Any] | None = None, **more: Any) -> None:
        """Create a table and wait until it is active.

        `keys` is like `a:S` or `a:S b:N`, an index like `c:S d:N [LOCAL] [KEYS_ONLY]`.
        """
        types: dict[str, str] = {}
        request: dict[str, Any] = {"TableName": name, "KeySchema": schema(keys, types), "BillingMode": "PAY_PER_REQUEST"}
        for index, text in (indexes or {}).items():
            segments = text.split()
            parts = " ".join(word for word in segments if ":" in word)
            kind = "LocalSecondaryIndexes" if "LOCAL" in segments else "GlobalSecondaryIndexes"
            projection = "KEYS_ONLY" if "KEYS_ONLY" in segments else "ALL"
            request.setdefault(kind, []).append(
                {"IndexName": index, "KeySchema": schema(parts, types), "Projection": {"ProjectionType": projection}}
            )
        request["AttributeDefinitions"] = [{"AttributeName": each, "AttributeType": kind} for each, kind in types.items()]
        await self("CreateTable", **request | more)
        await self.driver.idle()

    async def items(self, table: str) -> list[dict[str, Any]]:
        return (await self("Scan", TableName=table, ConsistentRead=True))["Items"]


def schema(text: str, types: dict[str, str]) -> list[dict[str, str]]:
    parts = [part.split(":") for part in text.split()]
    types |= dict(parts)
    return [{"AttributeName": name, "KeyType": "RANGE" if at else "HASH"} for at, (name, _) in enumerate(parts)]


@asynccontextmanager
async def calling(
    directory: Path, *, objects: ObjectStorage | None = None, clock_speed: float = 1.0, **settings: Any
) -> AsyncIterator[Caller]:
    """DynamoDB over the state in `directory`."""
    clock = RegionClock(clock_speed)
    store = Store(directory / "records", clock=clock)
    engine = open_engine(directory / "items", store, clock, **({"durable": False} | settings))
    service = DynamoDb(engine, objects)
    async with Driver(store, service.reconcilers, clock=clock) as driver:
        yield Caller(service, driver, store, clock)
    await engine.close()
    store.close()
