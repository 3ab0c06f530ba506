"""A process that writes items and prints the acknowledged ones, until it is killed."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from pathlib import Path

from tests.unit.services.dynamodb.caller import Caller, calling
from zonal.foundation.errors import AwsError


async def write_for_ever(call: Caller, worker: int) -> None:
    source = random.Random()
    while True:
        # Values grow with time; otherwise a higher one would be drawn ever more rarely, and the writes would stop.
        key, value = f"w{worker}-{source.randrange(40)}", time.monotonic_ns() // 1000 + source.randrange(-5000, 5000)
        try:
            await call(
                "UpdateItem",
                TableName="kept",
                Key={"a": {"S": key}},
                UpdateExpression="SET v = :v",
                ConditionExpression="attribute_not_exists(v) OR v < :v",
                ExpressionAttributeValues={":v": {"N": str(value)}},
            )
        except AwsError:
            continue
        print(key, value, flush=True)


async def main(directory: Path) -> None:
    async with calling(directory, durable=True, throttles=False) as call:
        if call.service.engine.any_table("kept") is None:
            await call.table("kept", indexes={"by-v": "v:N"})
        print("ready", flush=True)
        await asyncio.gather(*(write_for_ever(call, worker) for worker in range(8)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
