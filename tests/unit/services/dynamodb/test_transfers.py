"""Exports of tables to buckets, and imports from buckets."""

import asyncio
import base64
import gzip
import hashlib
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.services.dynamodb.caller import Caller, calling, schema
from zonal.dynamo.items import Item, settle_item
from zonal.foundation.errors import AwsError
from zonal.services.dynamodb import import_files

QUARTER_HOURS_A_SECOND = 20
ON = {"PointInTimeRecoveryEnabled": True}


class Bucket:
    """A bucket `things` that belongs to every account."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.piece_bytes = 7  # Pieces end anywhere, within letters and numbers too.

    async def put(self, account: str, bucket: str, key: str, content: bytes, *, content_type: str) -> None:
        self._check(bucket)
        self.objects[key] = content

    def keys(self, account: str, bucket: str, prefix: str) -> list[str]:
        self._check(bucket)
        return [key for key in sorted(self.objects) if key.startswith(prefix)]

    async def read(self, account: str, bucket: str, key: str) -> AsyncIterator[bytes]:
        content = self.objects[key]
        for at in range(0, len(content), self.piece_bytes):
            yield content[at : at + self.piece_bytes]

    def named(self, end: str) -> bytes:
        [content] = [content for key, content in self.objects.items() if key.endswith(end)]
        return content

    def _check(self, bucket: str) -> None:
        if bucket != "things":
            raise AwsError("NoSuchBucket", "The specified bucket does not exist", status=404)


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
async def call(tmp_path: Path, bucket: Bucket) -> AsyncIterator[Caller]:
    async with calling(tmp_path, objects=bucket, clock_speed=QUARTER_HOURS_A_SECOND * 900) as caller:
        yield caller


async def exported(call: Caller, **more: Any) -> dict[str, Any]:
    arn = (await call("DescribeTable", TableName="orders"))["Table"]["TableArn"]
    told = (await call("ExportTableToPointInTime", TableArn=arn, S3Bucket="things", **more))["ExportDescription"]
    await call.driver.idle()
    return (await call("DescribeExport", ExportArn=told["ExportArn"]))["ExportDescription"]  # type: ignore[no-any-return]


def lines(bucket: Bucket) -> list[dict[str, Any]]:
    """The lines of all data files."""
    files = [gzip.decompress(content) for key, content in bucket.objects.items() if "/data/" in key]
    return [json.loads(line) for content in files for line in content.splitlines()]


async def put(call: Caller, **items: int) -> None:
    for key, value in items.items():
        await call("PutItem", TableName="orders", Item={"a": {"S": key}, "v": {"N": str(value)}})


async def recovering_table(call: Caller) -> None:
    await call.table("orders")
    await call("UpdateContinuousBackups", TableName="orders", PointInTimeRecoverySpecification=ON)


async def test_an_export_contains_the_state_at_its_time_and_valid_manifests(call: Caller, bucket: Bucket) -> None:
    await recovering_table(call)
    await put(call, one=1, two=2)
    await asyncio.sleep(0.002)
    moment = call.clock.now().timestamp()
    await asyncio.sleep(0.002)
    await put(call, one=11, three=3)
    told = await exported(call, S3Prefix="daily", ExportTime=moment)
    assert (told["ExportStatus"], told["ItemCount"], "ExportType" in told) == ("COMPLETED", 2, False)
    assert sorted(line["Item"]["a"]["S"] + line["Item"]["v"]["N"] for line in lines(bucket)) == ["one1", "two2"]
    assert all(key.startswith("daily/AWSDynamoDB/") for key in bucket.objects)
    summary = json.loads(bucket.objects[told["ExportManifest"]])
    assert (summary["itemCount"], summary["exportType"]) == (2, "FULL_EXPORT")
    [listed] = [json.loads(line) for line in bucket.objects[summary["manifestFilesS3Key"]].splitlines()]
    assert listed["md5Checksum"] == base64.b64encode(hashlib.md5(bucket.objects[listed["dataFileS3Key"]]).digest()).decode()
    assert bucket.named("manifest-files.md5") == base64.b64encode(hashlib.md5(bucket.named("manifest-files.json")).digest())


async def test_an_incremental_export_contains_the_changes_of_its_period(call: Caller, bucket: Bucket) -> None:
    await recovering_table(call)
    await put(call, kept=0, changed=1, deleted=2)
    await asyncio.sleep(0.002)
    since = call.clock.now().timestamp()
    await asyncio.sleep(1.2 / QUARTER_HOURS_A_SECOND)
    await put(call, changed=3, passing=4, new=6)
    await put(call, changed=5)
    for key in ("deleted", "passing"):
        await call("DeleteItem", TableName="orders", Key={"a": {"S": key}})
    await asyncio.sleep(0.002)
    until = call.clock.now().timestamp()
    await asyncio.sleep(0.002)
    await put(call, kept=7, changed=8)
    period = {"ExportFromTime": since, "ExportToTime": until}
    told = await exported(call, ExportType="INCREMENTAL_EXPORT", IncrementalExportSpecification=period)
    assert (told["ExportStatus"], told["ItemCount"]) == ("COMPLETED", 4)
    found = {line["Keys"]["a"]["S"]: line for line in lines(bucket)}
    images = {key: (line.get("OldImage", {}).get("v"), line.get("NewImage", {}).get("v")) for key, line in found.items()}
    one, two, five, six = ({"N": each} for each in "1256")
    assert images == {"changed": (one, five), "deleted": (two, None), "passing": (None, None), "new": (None, six)}
    assert since * 1e6 < int(found["changed"]["Metadata"]["WriteTimestampMicros"]["N"]) <= until * 1e6


async def test_a_large_export_is_split_into_files(call: Caller, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zonal.services.dynamodb.exports.PART_BYTES", 200)
    await recovering_table(call)
    await put(call, **{f"item{number:02}": number for number in range(30)})
    assert (await exported(call))["ItemCount"] == 30
    assert len(lines(bucket)) == 30
    listed = [json.loads(line) for line in bucket.named("manifest-files.json").splitlines()]
    assert len(listed) > 3 and sum(file["itemCount"] for file in listed) == 30
    assert {file["dataFileS3Key"] for file in listed} == {key for key in bucket.objects if "/data/" in key}


async def test_an_export_that_cannot_be_made_reports_the_reason(call: Caller) -> None:
    await call.table("orders")
    arn = (await call("DescribeTable", TableName="orders"))["Table"]["TableArn"]
    request = {"TableArn": arn, "S3Bucket": "things"}
    assert (await call.error("ExportTableToPointInTime", **request)).code == "PointInTimeRecoveryUnavailableException"
    await call("UpdateContinuousBackups", TableName="orders", PointInTimeRecoverySpecification=ON)
    assert (await call.error("ExportTableToPointInTime", **request, ExportTime=1.0)).code == "InvalidExportTimeException"
    assert (await call.error("ExportTableToPointInTime", **request | {"TableArn": arn + "x"})).code == "TableNotFoundException"
    assert "TableArn" in await call.complaint("ExportTableToPointInTime", **request | {"TableArn": "orders"})
    assert "'s3Prefix'" in await call.complaint("ExportTableToPointInTime", **request, S3Prefix="")
    assert "ION is not available" in await call.complaint("ExportTableToPointInTime", **request, ExportFormat="ION")
    told = (await call("ExportTableToPointInTime", **request | {"S3Bucket": "absent"}))["ExportDescription"]
    await call.driver.idle()
    failed = (await call("DescribeExport", ExportArn=told["ExportArn"]))["ExportDescription"]
    assert (failed["ExportStatus"], failed["FailureCode"]) == ("FAILED", "S3NoSuchBucket")
    assert (await call("ListExports"))["ExportSummaries"] == [
        {"ExportArn": told["ExportArn"], "ExportStatus": "FAILED", "ExportType": "FULL_EXPORT"}
    ]


async def test_a_client_token_asks_for_one_export_only(call: Caller) -> None:
    await recovering_table(call)
    first, again = await exported(call, ClientToken="once"), await exported(call, ClientToken="once")
    assert first["ExportArn"] == again["ExportArn"]
    request = {"TableArn": first["TableArn"], "S3Bucket": "things", "ClientToken": "once", "S3Prefix": "other"}
    assert (await call.error("ExportTableToPointInTime", **request)).code == "ExportConflictException"


async def test_too_short_an_export_period_is_rejected(call: Caller) -> None:
    await recovering_table(call)
    now = call.clock.now().timestamp()
    request = {"ExportType": "INCREMENTAL_EXPORT", "IncrementalExportSpecification": {"ExportFromTime": now - 2, "ExportToTime": now}}
    arn = (await call("DescribeTable", TableName="orders"))["Table"]["TableArn"]
    error = await call.error("ExportTableToPointInTime", TableArn=arn, S3Bucket="things", **request)
    assert error.code == "InvalidExportTimeException"
    assert error.message == "Difference between export period from time and to time is less than 15 minutes"


async def test_a_tables_exports_are_listed_page_by_page_from_the_newest_until_it_is_gone(call: Caller) -> None:
    await recovering_table(call)
    made = [await exported(call, ExportType="FULL_EXPORT") for _ in range(3)]
    assert made[0]["ExportType"] == "FULL_EXPORT"
    arn, listed, token = made[0]["TableArn"], list[str](), dict[str, str]()
    while token or not listed:
        answer = await call("ListExports", TableArn=arn, MaxResults=2, **token)
        listed += [one["ExportArn"] for one in answer["ExportSummaries"]]
        token = {"NextToken": answer["NextToken"]} if "NextToken" in answer else {}
    assert listed == sorted((one["ExportArn"] for one in made), reverse=True)
    await call.complaint("ListExports", NextToken="0123456789abcdef" * 16)
    await call("DeleteTable", TableName="orders")
    await call.driver.idle()
    assert (await call("ListExports", TableArn=arn))["ExportSummaries"] == []
    assert (await call("DescribeExport", ExportArn=listed[0]))["ExportDescription"]["ExportStatus"] == "COMPLETED"


async def test_only_a_transfer_of_this_region_can_be_described(call: Caller) -> None:
    table = "arn:aws:dynamodb:us-east-1:000000000000:table/absent"
    assert await call.complaint("DescribeExport", ExportArn=table) == "Invalid Export ARN"
    assert (
        await call.complaint("DescribeImport", ImportArn=table.replace("absent", "x/import/1658528578619-c4d4e311")) == "Invalid Import ARN"
    )
    assert (await call.error("DescribeExport", ExportArn=table.replace("us-east-1", "elsewhere"))).code == "AccessDeniedException"
    assert (await call.error("DescribeExport", ExportArn=table + "/export/1658528578619-c4d4e311")).code == "ExportNotFoundException"
    assert (await call.error("DescribeImport", ImportArn=table + "/import/1658528578619-c4d4e311")).code == "ImportNotFoundException"


async def imported(call: Caller, *, bucket: str = "things", prefix: str = "", **more: Any) -> dict[str, Any]:
    asked = request_of_import() | {"S3BucketSource": {"S3Bucket": bucket, "S3KeyPrefix": prefix}} | more
    told = (await call("ImportTable", **asked))["ImportTableDescription"]
    assert told["ImportStatus"] == "IN_PROGRESS"
    await call.driver.idle()
    return (await call("DescribeImport", ImportArn=told["ImportArn"]))["ImportTableDescription"]  # type: ignore[no-any-return]


def document(a: str, b: int, **more: Any) -> bytes:
    return json.dumps({"Item": {"a": {"S": a}, "b": {"N": str(b)}} | more}, ensure_ascii=False).encode()


async def test_documents_on_several_lines_and_on_one_line_become_items(call: Caller, bucket: Bucket) -> None:
    bucket.objects["in/one.json"] = b"\n".join([document("é", 1), document("two", 2), b""]) + document("three", 3) + document("four", 4)
    bucket.objects["in/two.json"] = document("two", 2, note={"S": "later"})
    bucket.objects["other.json"] = document("no", 1)
    told = await imported(call, prefix="in/")
    assert (told["ImportStatus"], told["ProcessedItemCount"], told["ImportedItemCount"], told["ErrorCount"]) == ("COMPLETED", 5, 5, 0)
    assert told["ProcessedSizeBytes"] == len(bucket.objects["in/one.json"]) + len(bucket.objects["in/two.json"])
    found = {item["a"]["S"]: item for item in await call.items("orders")}
    assert set(found) == {"é", "two", "three", "four"} and found["two"]["note"] == {"S": "later"}
    assert (await call("DescribeTable", TableName="orders"))["Table"]["ItemCount"] == 4


async def test_compressed_files_may_be_several_in_one(call: Caller, bucket: Bucket) -> None:
    bucket.objects["x.gz"] = gzip.compress(document("one", 1) + b"\n") + gzip.compress(document("two", 2))
    told = await imported(call, InputCompressionType="GZIP")
    assert told["ImportedItemCount"] == 2
    assert told["ProcessedSizeBytes"] == len(document("one", 1) + b"\n" + document("two", 2))


async def test_cells_become_attributes_with_the_keys_types(call: Caller, bucket: Bucket) -> None:
    bucket.objects["x.csv"] = b'a;b;note\n"one; two";1;\nthree;2;"says ""so"""\n'
    told = await imported(call, InputFormat="CSV", InputFormatOptions={"Csv": {"Delimiter": ";"}})
    assert told["ImportStatus"] == "COMPLETED"
    assert sorted(await call.items("orders"), key=lambda item: item["b"]["N"]) == [
        {"a": {"S": "one; two"}, "b": {"N": "1"}},
        {"a": {"S": "three"}, "b": {"N": "2"}, "note": {"S": 'says "so"'}},
    ]


@pytest.mark.parametrize(
    "broken",
    [
        b'{"a": {"S": "x"}}',
        b"{not json",
        b"\xff\xfe",
        document("x", 1, v={"N": "much"}),
        b'{"Item": {"a": {"S": "x"}}}',
        document("", 1),
        document("x", 1, v={"S": "y" * 410_000}),
        document("x", 1, v={"Q": "?"}),
    ],
)
async def test_an_invalid_item_fails_the_import_and_the_others_are_imported(call: Caller, bucket: Bucket, broken: bytes) -> None:
    bucket.objects["bad"], bucket.objects["good"] = broken, document("fine", 1)
    told = await imported(call)
    assert (told["ImportStatus"], told["FailureCode"]) == ("FAILED", "ItemValidationError")
    assert (told["ProcessedItemCount"], told["ImportedItemCount"], told["ErrorCount"]) == (2, 1, 1)
    assert [item["a"]["S"] for item in await call.items("orders")] == ["fine"]


@pytest.mark.parametrize("compression", ["NONE", "GZIP"])
async def test_a_line_longer_than_any_item_fails_the_import_before_it_is_held(call: Caller, bucket: Bucket, compression: str) -> None:
    pack = gzip.compress if compression == "GZIP" else bytes
    bucket.objects["bad"] = pack(document("before", 1) + b"\n" + b" " * (import_files.MAX_LINE_BYTES + 1) + document("behind", 2))
    bucket.objects["good"] = pack(document("fine", 1))
    bucket.piece_bytes = 1024 * 1024
    told = await imported(call, InputCompressionType=compression)
    assert (told["ImportStatus"], told["FailureCode"]) == ("FAILED", "ItemValidationError")
    assert (told["ProcessedItemCount"], told["ImportedItemCount"], told["ErrorCount"]) == (3, 2, 1)
    assert {item["a"]["S"] for item in await call.items("orders")} == {"before", "fine"}


async def test_gzip_is_decompressed_in_bounded_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    content = gzip.compress(bytes(8 * 1024 * 1024)) + gzip.compress(b"end")
    sizes: list[int] = []

    async def pieces() -> AsyncIterator[bytes]:
        yield content

    with pytest.raises(ValueError, match="a line has more than"):
        async for _ in import_files.documents(pieces(), sizes, is_compressed=True):
            pass
    assert max(sizes) <= import_files.PLAIN_BYTES and sum(sizes) <= import_files.MAX_LINE_BYTES + import_files.PLAIN_BYTES
    plain = b""
    async for piece in import_files._plain(pieces(), [], is_compressed=True):
        plain += piece
    assert plain == bytes(8 * 1024 * 1024) + b"end"


async def test_an_import_leaves_the_event_loop_to_others_between_blank_lines(call: Caller, bucket: Bucket) -> None:
    bucket.objects["blank"] = gzip.compress(b"\n" * 300_000)
    bucket.piece_bytes = 1024 * 1024
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counter = asyncio.create_task(count())
    told = await imported(call, InputCompressionType="GZIP")
    counter.cancel()
    assert told["ImportStatus"] == "COMPLETED" and turns > 300_000 // import_files.STEP_LINES


async def test_a_gzip_file_that_ends_early_fails_the_import(call: Caller, bucket: Bucket) -> None:
    bucket.objects["cut"] = gzip.compress(document("one", 1) + b"\n" + document("two", 2))[:-4]
    told = await imported(call, InputCompressionType="GZIP")
    assert (told["ImportStatus"], told["FailureCode"], told["ErrorCount"]) == ("FAILED", "ItemValidationError", 1)


async def test_a_cell_may_be_as_large_as_an_item_and_a_broken_row_is_one_error(call: Caller, bucket: Bucket) -> None:
    bucket.objects["x.csv"] = b"a,b,note\none,1," + b"x" * 300_000 + b"\nbad\rrow,2,x\nthree,3,y"
    bucket.piece_bytes = 1024
    told = await imported(call, InputFormat="CSV")
    assert (told["ImportStatus"], told["ImportedItemCount"], told["ErrorCount"]) == ("FAILED", 2, 1)
    found = {item["a"]["S"]: len(item["note"]["S"]) for item in await call.items("orders")}
    assert found == {"one": 300_000, "three": 1}


async def test_the_item_of_a_long_line_is_checked_in_a_thread(call: Caller, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.objects["x"] = document("one", 1, v={"S": "x" * 100_000}) + b"\n" + document("two", 2)
    bucket.piece_bytes = 1024 * 1024
    on_loop: dict[str, bool] = {}

    def settle(item: Item) -> int:
        on_loop[item["a"]["S"]] = threading.current_thread() is threading.main_thread()
        return settle_item(item)

    monkeypatch.setattr(import_files, "settle_item", settle)
    assert (await imported(call))["ImportedItemCount"] == 2
    assert on_loop == {"one": False, "two": True}


async def test_an_invalid_document_ends_the_import_of_its_file_only(call: Caller, bucket: Bucket) -> None:
    bucket.objects["bad"] = b"\n".join([document("before", 1), b'{"a": 1}', b"{not json", document("behind", 2)])
    bucket.objects["good"] = document("fine", 1)
    told = await imported(call)
    assert (told["ProcessedItemCount"], told["ImportedItemCount"], told["ErrorCount"]) == (3, 2, 1)
    assert {item["a"]["S"] for item in await call.items("orders")} == {"before", "fine"}


async def test_a_prefix_without_objects_makes_an_empty_table(call: Caller) -> None:
    told = await imported(call, prefix="nowhere/")
    assert (told["ImportStatus"], told["ProcessedItemCount"], "ProcessedSizeBytes" in told) == ("COMPLETED", 0, False)
    assert (await call("DescribeTable", TableName="orders"))["Table"]["TableStatus"] == "ACTIVE"


async def test_a_token_identifies_one_import_while_it_runs_and_one_table_afterwards(call: Caller, bucket: Bucket) -> None:
    asked = request_of_import() | {"ClientToken": "once"}
    first = (await call("ImportTable", **asked))["ImportTableDescription"]
    other = asked | {"S3BucketSource": {"S3Bucket": "elsewhere"}, "InputFormat": "CSV"}
    assert (await call("ImportTable", **other))["ImportTableDescription"] == first
    elsewhere = asked | {"TableCreationParameters": asked["TableCreationParameters"] | {"TableName": "others"}}
    error = await call.error("ImportTable", **elsewhere)
    assert (error.code, error.message) == ("ImportConflictException", "Duplicate request detected with conflicting parameters")
    await call.driver.idle()
    assert (await call.error("ImportTable", **asked)).code == "ResourceInUseException"


async def test_an_import_needs_a_token_and_options_that_fit_its_format(call: Caller) -> None:
    asked = request_of_import()
    assert "InputFormatOptions" in await call.complaint("ImportTable", **asked, InputFormatOptions={"Csv": {"Delimiter": ","}})
    del asked["ClientToken"]
    assert "clientToken" in await call.complaint("ImportTable", **asked)


async def test_without_its_bucket_an_import_leaves_no_table(call: Caller) -> None:
    told = await imported(call, bucket="absent")
    assert (told["ImportStatus"], told["FailureCode"]) == ("FAILED", "S3NoSuchBucket")
    assert (await call("ListTables"))["TableNames"] == []
    assert [one["ImportStatus"] for one in (await call("ListImports"))["ImportSummaryList"]] == ["FAILED"]


async def test_an_interrupted_import_starts_again(tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zonal.services.dynamodb.imports.STEP_ITEMS", 10)
    bucket.objects["x"] = b"\n".join(document(f"item{number}", number) for number in range(500))

    class Halting(Bucket):
        async def read(self, account: str, bucket: str, key: str) -> AsyncIterator[bytes]:
            bytes_left = len(self.objects[key]) // 2
            async for piece in super().read(account, bucket, key):
                yield piece
                bytes_left -= len(piece)
                if bytes_left < 0:
                    await asyncio.Event().wait()  # Until the import is interrupted.

    halting = Halting()
    halting.objects = bucket.objects
    async with calling(tmp_path, objects=halting) as call:
        await call("ImportTable", **request_of_import())
        async with asyncio.timeout(120):
            while not (count := (await call("DescribeTable", TableName="orders"))["Table"]["ItemCount"]):  # noqa: ASYNC110 (as a client)
                await asyncio.sleep(0.01)
        assert 0 < count < 500
    async with calling(tmp_path, objects=bucket) as call:
        await call.driver.idle()
        [told] = (await call("ListImports"))["ImportSummaryList"]
        assert told["ImportStatus"] == "COMPLETED" and len(await call.items("orders")) == 500
        assert (await call("DescribeTable", TableName="orders"))["Table"]["ItemCount"] == 500


def request_of_import() -> dict[str, Any]:
    types: dict[str, str] = {}
    keys = schema("a:S b:N", types)
    definitions = [{"AttributeName": name, "AttributeType": kind} for name, kind in types.items()]
    table = {"TableName": "orders", "KeySchema": keys, "AttributeDefinitions": definitions, "BillingMode": "PAY_PER_REQUEST"}
    source = {"S3Bucket": "things"}
    return {"ClientToken": "token", "S3BucketSource": source, "InputFormat": "DYNAMODB_JSON", "TableCreationParameters": table}
