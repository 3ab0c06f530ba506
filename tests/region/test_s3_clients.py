"""S3 with third-party clients: the AWS CLI, rclone, s3fs as a file system and in Python."""

from __future__ import annotations

import hashlib
import os
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.outside_clients import on_mounted_bucket, rclone, run, s3fs_python
from tests.s3_endpoint import Endpoint


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    (tmp_path / "region").mkdir()
    endpoint = Endpoint(tmp_path / "region")
    yield endpoint
    endpoint.close()


def aws(endpoint: Endpoint, *argv: str) -> str:
    """The output of an AWS CLI command."""
    return run([str(Path(sys.executable).parent / "aws"), "--endpoint-url", endpoint.url, "s3", *argv], {}, within_seconds=120)


def written(directory: Path) -> dict[str, bytes]:
    """Files to upload: small, nested, with a name that must be encoded, and one for a multipart upload."""
    contents = {"a.txt": b"a", "deep/er/é ü+&.bin": os.urandom(70_000), "large.bin": os.urandom(17_000_000)}
    for name, content in contents.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
    return contents


def test_the_aws_cli_syncs_a_directory_in_both_directions(endpoint: Endpoint, tmp_path: Path) -> None:
    here, back = tmp_path / "here", tmp_path / "back"
    contents = written(here)
    aws(endpoint, "mb", "s3://synced")
    aws(endpoint, "sync", str(here), "s3://synced/x")
    assert "upload" not in aws(endpoint, "sync", str(here), "s3://synced/x")  # Nothing has changed.
    listed = aws(endpoint, "ls", "--recursive", "s3://synced")
    assert all(name in listed for name in contents)
    aws(endpoint, "sync", "s3://synced/x", str(back))
    assert {name: (back / name).read_bytes() for name in contents} == contents
    aws(endpoint, "mv", "s3://synced/x/a.txt", "s3://synced/b.txt")
    aws(endpoint, "rb", "--force", "s3://synced")
    assert "synced" not in aws(endpoint, "ls")


def test_the_aws_cli_copies_presigns_and_removes(endpoint: Endpoint, tmp_path: Path) -> None:
    here = tmp_path / "here"
    contents = written(here)
    aws(endpoint, "mb", "s3://copied")
    aws(endpoint, "cp", str(here / "large.bin"), "s3://copied/x/large.bin")
    aws(endpoint, "cp", "s3://copied/x/large.bin", "s3://copied/y/large.bin")
    with urllib.request.urlopen(aws(endpoint, "presign", "s3://copied/y/large.bin", "--expires-in", "60").strip(), timeout=120) as answer:
        assert answer.read() == contents["large.bin"]
    aws(endpoint, "rm", "--recursive", "s3://copied/x")
    assert aws(endpoint, "ls", "--recursive", "s3://copied").split()[-1:] == ["y/large.bin"]


def test_rclone_syncs_checks_and_purges(endpoint: Endpoint, tmp_path: Path) -> None:
    here, back = tmp_path / "here", tmp_path / "back"
    contents = written(here)
    rclone(endpoint.url, "mkdir", "zonal:cloned")
    rclone(endpoint.url, "sync", str(here), "zonal:cloned/x", "--s3-upload-cutoff", "8M", "--s3-chunk-size", "5M")
    rclone(endpoint.url, "check", str(here), "zonal:cloned/x")  # By the ETags, which are MD5s.
    assert rclone(endpoint.url, "lsf", "-R", "--files-only", "zonal:cloned").split("\n")[:-1] == sorted(f"x/{name}" for name in contents)
    rclone(endpoint.url, "moveto", "zonal:cloned/x/a.txt", "zonal:cloned/y/b.txt")
    assert rclone(endpoint.url, "cat", "zonal:cloned/y/b.txt") == "a"
    rclone(endpoint.url, "copy", "zonal:cloned/x", str(back))
    assert (back / "large.bin").read_bytes() == contents["large.bin"]
    rclone(endpoint.url, "purge", "zonal:cloned")
    assert "cloned" not in rclone(endpoint.url, "lsd", "zonal:")


@pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="this machine has no /dev/fuse, so nothing can be mounted that a program serves")
def test_s3fs_mounts_a_bucket_as_a_file_system(endpoint: Endpoint, tmp_path: Path) -> None:
    client = endpoint.client()
    client.create_bucket(Bucket="mounted")
    (tmp_path / "disk").mkdir()
    large = os.urandom(12_000_000)
    (tmp_path / "large").write_bytes(large)
    script = f"""
        mkdir notes; echo hello > notes/a.txt; cp {tmp_path}/large large
        mv notes/a.txt b.txt; cp large notes/copy; rm large
        cat b.txt; ls notes; sha256sum < notes/copy
    """
    printed = on_mounted_bucket(endpoint.url, "mounted", tmp_path / "disk", script).split()
    assert printed[:3] == ["hello", "copy", hashlib.sha256(large).hexdigest()]
    assert client.get_object(Bucket="mounted", Key="notes/copy")["Body"].read() == large
    assert {one["Key"] for one in client.list_objects_v2(Bucket="mounted")["Contents"]} == {"b.txt", "notes/", "notes/copy"}


def test_s3fs_for_python_reads_and_writes_files(endpoint: Endpoint) -> None:
    script = """
fs.mkdir("frames")
whole = os.urandom(12_000_000)
with fs.open("frames/a/large", "wb", block_size=5 * 2**20) as file:
    file.write(whole)
with fs.open("frames/a/large", "rb") as file:
    file.seek(7_000_000)
    assert file.read(100) == whole[7_000_000:7_000_100]
fs.pipe("frames/a/small", b"x")
fs.cp("frames/a/large", "frames/b/copy")
assert fs.cat("frames/b/copy") == whole
print(*fs.find("frames"))
fs.rm("frames", recursive=True)
print(fs.exists("frames"))
"""
    assert s3fs_python(endpoint.url, script).split() == ["frames/a/large", "frames/a/small", "frames/b/copy", "False"]
