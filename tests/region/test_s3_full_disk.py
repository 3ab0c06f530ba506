"""S3 on a full disk: writes are rejected, nothing is torn, deletions work, and S3 continues when there is room."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.s3_process import on_small_disk

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
    with on_small_disk(tmp_path, "64m") as client:
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
