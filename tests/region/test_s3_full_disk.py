"""S3 on a full disk: writes are rejected, nothing is torn, deletions work, and S3 continues when there is room."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.full_disk import fill
from tests.s3_process import on_reachable_small_disk, on_small_disk
from zonal.foundation.disk_reserve import SPARE_BYTES

PIECE_BYTES = 3 * 1024 * 1024


def is_refused(call: Any, /, **parameters: Any) -> bool:
    """Whether the call is rejected because the disk is full. Other errors are raised."""
    try:
        call(**parameters)
    except ClientError as error:
        if error.response["Error"]["Code"] != "InsufficientStorage":
            raise
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 507
        return True
    return False


def test_a_full_disk_rejects_writes_and_s3_recovers_when_there_is_space(tmp_path: Path) -> None:
    with on_small_disk(tmp_path, "80m") as client:
        client.create_bucket(Bucket="full")
        upload = client.create_multipart_upload(Bucket="full", Key="parts")["UploadId"]
        kept: dict[str, bytes] = {}
        for size in (PIECE_BYTES, 100_000):
            while not is_refused(client.put_object, Bucket="full", Key=f"{len(kept):03d}", Body=(whole := os.urandom(size))):
                kept[f"{len(kept):03d}"] = whole
                assert len(kept) < 60
        assert sum(map(len, kept.values())) > 30_000_000

        part = {"Bucket": "full", "Key": "parts", "UploadId": upload}
        assert is_refused(client.upload_part, **part, PartNumber=1, Body=os.urandom(PIECE_BYTES))
        assert is_refused(client.put_object, Bucket="full", Key="000", Body=os.urandom(PIECE_BYTES))
        assert is_refused(client.put_object, Bucket="full", Key="small", Body=b"x")
        assert is_refused(client.copy_object, Bucket="full", Key="copy", CopySource="full/000")
        assert [one["Key"] for one in client.list_objects_v2(Bucket="full")["Contents"]] == list(kept)
        assert client.list_parts(**part).get("Parts", []) == []
        assert {key: client.get_object(Bucket="full", Key=key)["Body"].read() for key in kept} == kept

        client.delete_objects(Bucket="full", Delete={"Objects": [{"Key": key} for key in list(kept)[:3]]})
        deadline = time.monotonic() + 120
        while is_refused(client.put_object, Bucket="full", Key="again", Body=whole):
            assert time.monotonic() < deadline, "what was deleted still takes room"
            time.sleep(0.05)
        assert client.get_object(Bucket="full", Key="again")["Body"].read() == whole
        assert not is_refused(client.upload_part, **part, PartNumber=1, Body=b"x")


def test_a_disk_that_is_too_small_from_the_start_rejects_writes(tmp_path: Path) -> None:
    with on_small_disk(tmp_path, "8m") as client:
        client.create_bucket(Bucket="full")
        assert is_refused(client.put_object, Bucket="full", Key="k", Body=b"x")
        with pytest.raises(ClientError, match="404"):
            client.head_object(Bucket="full", Key="k")
        client.delete_bucket(Bucket="full")


def test_objects_versions_uploads_and_buckets_are_deleted_without_a_free_byte(tmp_path: Path) -> None:
    with on_reachable_small_disk(tmp_path, "96m") as (client, inside):
        for bucket in ("full", "versioned"):
            client.create_bucket(Bucket=bucket)
        client.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
        for number in range(300):
            client.put_object(Bucket="full", Key=f"small/{number:03d}", Body=b"x" * 2000)
        client.put_object(Bucket="full", Key="large", Body=os.urandom(PIECE_BYTES))
        version = client.put_object(Bucket="versioned", Key="key", Body=b"x")["VersionId"]
        upload = client.create_multipart_upload(Bucket="full", Key="parts")["UploadId"]

        fill(inside / "ballast")
        for number in range(100):
            client.delete_object(Bucket="full", Key=f"small/{number:03d}")
        rest = [{"Key": f"small/{number:03d}"} for number in range(100, 300)]
        assert len(client.delete_objects(Bucket="full", Delete={"Objects": rest})["Deleted"]) == 200
        marker = client.delete_object(Bucket="versioned", Key="key")["VersionId"]
        for each in (marker, version):
            client.delete_object(Bucket="versioned", Key="key", VersionId=each)
        client.abort_multipart_upload(Bucket="full", Key="parts", UploadId=upload)
        client.delete_bucket(Bucket="versioned")
        assert is_refused(client.put_object, Bucket="full", Key="new", Body=b"x")
        assert [one["Key"] for one in client.list_objects_v2(Bucket="full")["Contents"]] == ["large"]
        disk = os.statvfs(inside)
        assert disk.f_bavail * disk.f_frsize <= SPARE_BYTES, "at most the spare file is given back"
        fill(inside / "ballast")
        client.delete_object(Bucket="full", Key="large")
        client.delete_bucket(Bucket="full")


def test_any_number_of_small_objects_is_deleted_without_a_free_byte(tmp_path: Path) -> None:
    with on_reachable_small_disk(tmp_path, "96m") as (client, inside):
        client.create_bucket(Bucket="full")
        for number in range(1500):
            client.put_object(Bucket="full", Key=f"{number:04d}", Body=b"x" * 2000)
        fill(inside / "ballast")
        client.delete_object(Bucket="full", Key="0000")
        fill(inside / "ballast")
        for number in range(1, 1500):
            client.delete_object(Bucket="full", Key=f"{number:04d}")
        client.delete_bucket(Bucket="full")
