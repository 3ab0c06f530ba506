"""A region on a full disk reports it, every process runs again, and everything works when there is space."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.full_disk import SmallDiskRegion, region_on_small_disk
from tests.region.test_region_lifecycle import family
from tests.running_region import eventually

TABLE: dict[str, Any] = {
    "TableName": "notes",
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}
PATIENCE_SECONDS = 180


@pytest.fixture(scope="module")
def crowded() -> Iterator[tuple[SmallDiskRegion, str]]:
    """A region with a table, a bucket and a public database in two zones, and the database's identifier. Each test frees the space."""
    with tempfile.TemporaryDirectory(prefix="zonal-test-") as state, region_on_small_disk(Path(state), "900m") as region:
        region.start()
        region.client("dynamodb").create_table(**TABLE)
        region.client("dynamodb").get_waiter("table_exists").wait(TableName="notes", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        region.client("s3").create_bucket(Bucket="crowded")
        database = region.create_database(MultiAZ=True, PubliclyAccessible=True)
        query(region, database, "create table notes (id int primary key)")
        yield region, database


@pytest.fixture
def full(crowded: tuple[SmallDiskRegion, str]) -> Iterator[tuple[SmallDiskRegion, str]]:
    """The same region with a full disk."""
    region, database = crowded
    everything_works(region, database)
    region.fill()
    try:
        yield crowded
    finally:
        region.empty(missing_ok=True)


def query(region: SmallDiskRegion, database: str, sql: str) -> str | None:
    """The output of psql inside the VPC; None if it fails."""
    endpoint = f"host={database_address(region, database)} port=5432 user=master password=password-of-master dbname=app connect_timeout=5"
    options = ("-AtqX", "-v", "ON_ERROR_STOP=1", "-c", f"set statement_timeout = '10s'; {sql}")
    done = region.zonal("exec", "--", "psql", endpoint, *options, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def database_address(region: SmallDiskRegion, database: str) -> str:
    [shown] = region.client("rds").describe_db_instances(DBInstanceIdentifier=database)["DBInstances"]
    return str(shown["Endpoint"]["Address"])


def is_done(call: Any, /, **request: Any) -> bool:
    """Whether a call succeeds."""
    try:
        call(**request)
    except (ClientError, BotoCoreError):
        return False
    return True


def everything_works(region: SmallDiskRegion, database: str) -> None:
    """Each store accepts a write, the pair is synchronous, and the status has no warning."""
    dynamodb, s3 = region.client("dynamodb"), region.client("s3")
    eventually(lambda: is_done(dynamodb.put_item, TableName="notes", Item={"id": {"S": "after"}}), within=PATIENCE_SECONDS)
    eventually(lambda: is_done(s3.put_object, Bucket="crowded", Key="after", Body=b"x" * 100_000), within=PATIENCE_SECONDS)
    eventually(lambda: shown_status(region, database) == "available", within=PATIENCE_SECONDS)
    write = "insert into notes select coalesce(max(id), 0) + 1 from notes returning id"
    eventually(lambda: query(region, database, write), within=PATIENCE_SECONDS)
    eventually(lambda: is_healthy(region), within=PATIENCE_SECONDS)


def is_healthy(region: SmallDiskRegion) -> bool:
    status = region.status()
    [shown] = status["databases"]
    return not status["failures"] and shown["redundancy"] == "synchronous" and shown["state"] == "available"


def shown_status(region: SmallDiskRegion, database: str) -> str:
    try:
        [shown] = region.client("rds").describe_db_instances(DBInstanceIdentifier=database)["DBInstances"]
    except (ClientError, BotoCoreError):
        return ""
    return str(shown["DBInstanceStatus"])


def init(region: SmallDiskRegion) -> int:
    return int((region.inside / "zonal.pid").read_text().split()[0])


def processes(region: SmallDiskRegion, *argv: str) -> list[int]:
    """Processes of the sandbox, except init, with one of the texts in their command line."""
    first = init(region)
    return [process for process, line in family(first).items() if process != first and any(word in line for word in argv)]


def disk_events(region: SmallDiskRegion) -> list[tuple[str, str]]:
    return [
        (entry["event"], entry["subject"]) for entry in region.journal() if ".disk_" in entry["event"] or entry["event"].startswith("disk.")
    ]


def test_a_full_disk_is_reported_and_writes_succeed_again_when_there_is_space(full: tuple[SmallDiskRegion, str]) -> None:
    region, database = full
    dynamodb, s3 = region.client("dynamodb"), region.client("s3")
    [warning] = eventually(lambda: region.status()["failures"], within=PATIENCE_SECONDS)
    assert str(region.state) in warning and "is full" in warning
    assert "is full" in region.zonal("status").stdout
    assert shown_status(region, database) == region.status()["databases"][0]["state"] == "storage-full"
    assert not is_done(s3.put_object, Bucket="crowded", Key="full", Body=b"x" * 100_000)
    assert not is_done(dynamodb.put_item, TableName="notes", Item={"id": {"S": "full"}, "text": {"S": "x" * 300_000}})
    insert = "create table large as select repeat(md5(n::text), 100) from generate_series(1, 100000) as n"
    assert query(region, database, insert) is None, "whether or not the engine survives it"
    assert dynamodb.get_item(TableName="notes", Key={"id": {"S": "after"}})["Item"], "reads go on"
    region.empty()
    everything_works(region, database)
    events = disk_events(region)
    arn = region.client("rds").describe_db_instances(DBInstanceIdentifier=database)["DBInstances"][0]["DBInstanceArn"]
    assert events.count(("disk.full", "region")) == events.count(("disk.recovered", "region")) == 1
    assert events.count(("database.disk_full", arn)) == events.count(("database.disk_recovered", arn)) == 1
    told = region.client("rds").describe_events(SourceIdentifier=database, SourceType="db-instance", EventCategories=["low storage"])
    assert [event["Message"] for event in told["Events"]] == ["Allocated storage has been exhausted"]


@pytest.mark.parametrize(
    "argv",
    [("zonal.region",), ("storage.writer_process",), ("zonal.fabric.forwarder",), ("bin/postgres -D",), ("init -c mount",)],
    ids=["region", "dynamodb-writer", "forwarder", "engines", "host-inits"],
)
def test_a_process_that_dies_on_a_full_disk_is_restarted_when_there_is_space(
    full: tuple[SmallDiskRegion, str], argv: tuple[str, ...]
) -> None:
    region, database = full
    first, killed = init(region), processes(region, *argv)
    assert killed
    for process in killed:
        os.kill(process, signal.SIGKILL)
    eventually(lambda: not set(killed) & set(processes(region, *argv)), within=PATIENCE_SECONDS)
    eventually(lambda: region.zonal("status", check=False).returncode in (0, 1), within=PATIENCE_SECONDS)
    assert init(region) == first and Path(f"/proc/{first}").exists(), "init lives, and with it everything else"
    region.empty()
    everything_works(region, database)
    assert init(region) == first and set(processes(region, *argv)).isdisjoint(killed)


def test_a_region_that_is_killed_on_a_full_disk_records_when_the_disk_became_full_and_for_how_long(
    full: tuple[SmallDiskRegion, str],
) -> None:
    region, database = full
    eventually(lambda: region.status()["failures"], within=PATIENCE_SECONDS)
    killed_at = datetime.now(UTC)
    killed = processes(region, "zonal.region")
    for process in killed:
        os.kill(process, signal.SIGKILL)
    eventually(
        lambda: processes(region, "zonal.region") and not set(killed) & set(processes(region, "zonal.region")), within=PATIENCE_SECONDS
    )
    eventually(lambda: region.zonal("status", check=False).returncode in (0, 1), within=PATIENCE_SECONDS)
    region.empty()
    everything_works(region, database)
    for full_event, recovered_event in (("disk.full", "disk.recovered"), ("database.disk_full", "database.disk_recovered")):
        began, ended = region.journal(event=full_event)[-1], region.journal(event=recovered_event)[-1]
        assert datetime.fromisoformat(began["at"]) < killed_at < datetime.fromisoformat(ended["at"])
        assert "since" not in began["fields"] and "since" not in ended["fields"]
        assert ended["fields"]["full_seconds"] == pytest.approx(ended["monotonic"] - began["monotonic"], abs=0.5)


def test_a_start_on_a_full_disk_fails_with_the_reason_and_succeeds_when_there_is_space(tmp_path: Path) -> None:
    with region_on_small_disk(tmp_path, "100m") as region:
        for _ in ("new", "stopped"):
            region.fill()
            done = region.zonal("start", "-d", "--port", str(region.port), check=False)
            assert done.returncode == 1
            assert str(tmp_path) in done.stderr and "no space left on device" in done.stderr and "Traceback" not in done.stderr
            region.empty()
            region.start()
            region.stop()


def test_everything_can_be_deleted_without_a_free_byte(tmp_path: Path) -> None:
    with region_on_small_disk(tmp_path, "400m") as region:
        region.start()
        dynamodb, s3, rds = region.client("dynamodb"), region.client("s3"), region.client("rds")
        dynamodb.create_table(**TABLE)
        dynamodb.get_waiter("table_exists").wait(TableName="notes", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        for number in range(20):
            dynamodb.put_item(TableName="notes", Item={"id": {"S": str(number)}, "text": {"S": "x" * 10_000}})
        s3.create_bucket(Bucket="crowded")
        s3.put_object(Bucket="crowded", Key="large", Body=b"x" * 1_000_000)
        s3.put_object(Bucket="crowded", Key="small", Body=b"x")
        database = region.create_database()
        region.fill()

        s3.delete_object(Bucket="crowded", Key="small")
        for number in range(10):
            dynamodb.delete_item(TableName="notes", Key={"id": {"S": str(number)}})
        assert not is_done(dynamodb.put_item, TableName="notes", Item={"id": {"S": "full"}, "text": {"S": "x" * 300_000}})
        assert dynamodb.scan(TableName="notes", Select="COUNT")["Count"] == 10
        dynamodb.delete_table(TableName="notes")
        dynamodb.get_waiter("table_not_exists").wait(TableName="notes", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        region.fill()
        s3.delete_object(Bucket="crowded", Key="large")
        s3.delete_bucket(Bucket="crowded")
        region.fill()
        rds.delete_db_instance(DBInstanceIdentifier=database, SkipFinalSnapshot=True)
        eventually(lambda: not rds.describe_db_instances()["DBInstances"], within=PATIENCE_SECONDS)
        eventually(lambda: region.available_bytes > 30_000_000, within=PATIENCE_SECONDS)
