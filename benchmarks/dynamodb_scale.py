"""Measures DynamoDB with many items: Query, Scan, back-fill, memory and start-up.

Three stores are filled directly, since HTTP would take an hour: partitions of 5,000 and of 1,000,000 items, from each of which ten are
read; ten million small items, which are opened and read; and a table that is read and written during the back-fill of a new index. Filling
ten million items takes some minutes and a few GB; `--items` reduces it.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import msgspec

from benchmarks.dynamodb_load import Request, ask, call, drive, memory_bytes, processor_seconds, served, simple_table, zonal
from benchmarks.measurements import arguments, machine, tell
from zonal.dynamo.engine import open_engine
from zonal.dynamo.items import settle_item
from zonal.dynamo.table_writer import WriteBatch
from zonal.foundation.clock import RegionClock
from zonal.records.store import Store

TABLE = "bench"
GROUP = 20_000
SMALL, LARGE = 5_000, 1_000_000


def main() -> None:
    parser = arguments(__doc__ or "", runs=3)
    parser.add_argument("--items", type=int, default=10_000_000, help="How many items the large table has.")
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    print(machine())
    with filled({"small": SMALL, "large": LARGE}) as place:
        partitions(place, given.runs, given.seconds)
    with filled({f"p{number}": 100 for number in range(2000)}) as place:
        scans(place, given.runs)
        back_fill(place, given.runs)
    with filled({f"p{number}": 100 for number in range(given.items // 100)}) as place:
        much(place, given.runs, given.items)


def partitions(place: Path, runs: int, seconds: float) -> None:
    times: dict[str, list[float]] = {"small": [], "large": []}
    with served(zonal, "relaxed", directory=place) as port:
        for _ in range(runs):
            for name, size in (("small", SMALL), ("large", LARGE)):
                starts = [number * (size // 500) for number in range(499)]
                outcome = drive(port, [ten(name, start) for start in starts], connections=1, seconds=seconds)
                times[name].append(outcome.median * 1e3)
    tell("DynamoDB Query of 10 in a partition of 5,000, p50", times["small"], unit="ms", goal="≤ 2 ms")
    tell("DynamoDB Query of 10 in a partition of 1,000,000, p50", times["large"], unit="ms", goal="≤ 2 ms")
    ratios = [large / small for small, large in zip(times["small"], times["large"], strict=True)]
    tell("DynamoDB Query, large over small partition", ratios, unit="", goal="≤ 1.2")


def ten(partition: str, start: int) -> Request:
    values = {":a": {"S": partition}, ":b": {"N": str(start)}}
    return call("Query", TableName=TABLE, KeyConditionExpression="a = :a AND b >= :b", ExpressionAttributeValues=values, Limit=10)


def scans(place: Path, runs: int) -> None:
    """Items a second of the server's processor time for a Scan of the whole table in pages of 1 MB."""
    rates = []
    with served(zonal, "relaxed", directory=place) as port:
        for _ in range(runs):
            before, seen, start = processor_seconds(port), 0, None
            while True:
                request = {"TableName": TABLE} | ({} if start is None else {"ExclusiveStartKey": start})
                page = msgspec.json.decode(ask(port, call("Scan", **request))[0])
                seen, start = seen + page["Count"], page.get("LastEvaluatedKey")
                if start is None:
                    break
            rates.append(seen / (processor_seconds(port) - before))
    tell("DynamoDB Scan, items of 100 bytes per second of one core", rates, unit="/s", goal="≥ 100,000 /s")


def back_fill(place: Path, runs: int) -> None:
    """The times of GetItem beside as many connections that put, during a back-fill and without one."""
    ratios, slowest = [], []
    with served(zonal, "durable", directory=place) as port:
        for run in range(runs):
            index = {"IndexName": f"by-text-{run}", "KeySchema": [{"AttributeName": "t", "KeyType": "HASH"}]}
            create = {"Create": index | {"Projection": {"ProjectionType": "ALL"}}}
            definitions = [{"AttributeName": "t", "AttributeType": "S"}]
            ask(port, call("UpdateTable", TableName=TABLE, AttributeDefinitions=definitions, GlobalSecondaryIndexUpdates=[create]))
            keys = [{"a": {"S": f"p{number}"}, "b": {"N": "7"}} for number in range(500)]
            gets = [call("GetItem", TableName=TABLE, Key=key) for key in keys]
            puts = [call("PutItem", TableName=TABLE, Item=key | {"t": {"S": "new" * 20}}) for key in keys]
            outcome = drive(port, gets + puts, connections=16, seconds=2.0, timed=range(len(gets)))
            status = msgspec.json.decode(ask(port, call("DescribeTable", TableName=TABLE))[0])
            assert any(each["IndexStatus"] == "CREATING" for each in status["Table"]["GlobalSecondaryIndexes"]), "filled too soon"
            ratios.append(outcome.quantile(0.99) / outcome.median)
            slowest.append(outcome.quantile(0.99) * 1e3)
            _wait_until_filled(port)
    tell("DynamoDB GetItem under a mixed load and a back-fill, p99", slowest, unit="ms", goal="")
    tell("DynamoDB GetItem under a mixed load and a back-fill, p99 over p50", ratios, unit="", goal="≤ 5")


def _wait_until_filled(port: int) -> None:
    for _ in range(600):
        table = msgspec.json.decode(ask(port, call("DescribeTable", TableName=TABLE))[0])["Table"]
        if all(each["IndexStatus"] == "ACTIVE" for each in table["GlobalSecondaryIndexes"]):
            return
        time.sleep(0.5)
    raise TimeoutError("an index is still being filled")


def much(place: Path, runs: int, items: int) -> None:
    starts, anonymous = [], []
    for _ in range(runs):
        start = time.perf_counter()
        with served(zonal, "relaxed", directory=place) as port:
            ask(port, call("DescribeTable", TableName=TABLE))
            starts.append(time.perf_counter() - start)
            keys = [{"a": {"S": f"p{number}"}, "b": {"N": "7"}} for number in range(0, items // 100, max(items // 100_000, 1))]
            drive(port, [call("GetItem", TableName=TABLE, Key=key) for key in keys], connections=16, seconds=2.0)
            drive(port, [call("Scan", TableName=TABLE)], connections=2, seconds=2.0)
            anonymous.append(memory_bytes(port, "Anonymous") / 2**20)
    tell(f"DynamoDB start with {items:,} items, to the first answer (with Python's own)", starts, unit="s", goal="≤ 2 s")
    tell(f"DynamoDB memory with {items:,} items, beyond the page cache", anonymous, unit="MB", goal="≤ 400 MB")


# Filling a store.


@contextmanager
def filled(partition_sizes: dict[str, int]) -> Iterator[Path]:
    """A directory with a table that has partitions of these sizes, with items of about a hundred bytes."""
    place = Path(tempfile.mkdtemp(prefix="zonal-bench-", dir=Path.cwd()))
    try:
        with served(zonal, "relaxed", directory=place) as port:
            ask(port, simple_table(TABLE, sort="b"))
            time.sleep(1.0)
        process = get_context("spawn").Process(target=_fill, args=(place, partition_sizes))
        process.start()
        process.join()
        assert process.exitcode == 0
        yield place
    finally:
        shutil.rmtree(place)


def _fill(place: Path, partition_sizes: dict[str, int]) -> None:
    async def fill() -> None:
        clock = RegionClock()
        engine = open_engine(place / "items", Store(place / "region.db", clock=clock), clock, durable=False)
        table, batch = engine.table(TABLE), WriteBatch()
        now = clock.now()
        for partition, size in partition_sizes.items():
            for number in range(size):
                item = {"a": {"S": partition}, "b": {"N": str(number)}, "t": {"S": "x" * 80}}
                engine.writer.change(batch, table, table.schema.key(item), None, item, settle_item(item), now=now)
                if len(batch.changes) >= GROUP:
                    await engine.submit(batch)
                    batch = WriteBatch()
        await engine.submit(batch)
        await engine.close()

    asyncio.run(fill())


if __name__ == "__main__":
    main()
