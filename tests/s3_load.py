"""A mixed load on S3 by clients with ledgers: puts, overwrites, multipart uploads, copies, single and batch deletes.

Each client is a thread with its own keys in two buckets, one of them with versioning. It ends when the server is killed, and records the
operation in progress as unknown. `settle` reads everything back after the restart and compares it with the ledgers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError, ConnectionError, HTTPClientError, ReadTimeoutError

from tests.s3_ledger import OpenUpload, PlainKey, Version, VersionedKey, content, tag

PLAIN, VERSIONED = "plain", "versioned"
MANY_VERSIONS = 6
PART_BYTES = 5 * 1024 * 1024
SIZES = (24, 700, 8192, 8193, 60_000, 1_500_000)
GONE = (ConnectionError, HTTPClientError, ReadTimeoutError)


class Writer:
    """One client. `acknowledged` counts its acknowledged operations."""

    def __init__(self, name: str, seed: int) -> None:
        self._source = random.Random(seed)
        self.plain = {f"{name}/ключ/../{number}": PlainKey() for number in range(4)}
        self.versioned = {f"{name}/{number}": VersionedKey() for number in range(3)}
        self.uploads: list[OpenUpload] = []
        self.acknowledged = 0

    def work(self, client: Any) -> None:
        """Run operations until the server is killed."""
        acts = [self.put, self.put, self.copy, self.delete, self.delete_many, self.put_version, self.put_version]
        acts += [self.hide, self.delete_version, self.begin_upload, self.go_on_uploading, self.go_on_uploading, self.abort]
        while True:
            try:
                self._source.choice(acts)(client)
            except GONE:
                return
            self.acknowledged += 1

    def put(self, client: Any) -> None:
        key, whole = self._plain_key(), self._content()
        self._replace([key], tag(whole), lambda: client.put_object(Bucket=PLAIN, Key=key, Body=whole))

    def copy(self, client: Any) -> None:
        source, key = self._plain_key(), self._plain_key()
        holds = self.plain[source].holds
        if holds is not None and source != key:
            self._replace([key], holds, lambda: client.copy_object(Bucket=PLAIN, Key=key, CopySource={"Bucket": PLAIN, "Key": source}))

    def delete(self, client: Any) -> None:
        key = self._plain_key()
        self._replace([key], None, lambda: client.delete_object(Bucket=PLAIN, Key=key))

    def delete_many(self, client: Any) -> None:
        keys = self._source.sample(sorted(self.plain), 2)
        objects = [{"Key": key} for key in keys]
        self._replace(keys, None, lambda: client.delete_objects(Bucket=PLAIN, Delete={"Objects": objects}))

    def put_version(self, client: Any) -> None:
        key, whole = self._versioned_key(), self._content()
        if len(self.versioned[key].versions) > MANY_VERSIONS:
            self.delete_version(client)
            return
        self._add_version(key, tag(whole), lambda: client.put_object(Bucket=VERSIONED, Key=key, Body=whole))

    def hide(self, client: Any) -> None:
        key = self._versioned_key()
        self._add_version(key, None, lambda: client.delete_object(Bucket=VERSIONED, Key=key))

    def delete_version(self, client: Any) -> None:
        key = self._versioned_key()
        held = self.versioned[key]
        if not held.versions:
            return
        victim = self._source.choice(held.versions)
        held.maybe_gone.append(victim[0])
        client.delete_object(Bucket=VERSIONED, Key=key, VersionId=victim[0])
        held.versions.remove(victim)
        held.maybe_gone.clear()

    def begin_upload(self, client: Any) -> None:
        if len(self.uploads) < 2:
            key = self._plain_key()
            whole = content(self._source.getrandbits(60), PART_BYTES + self._source.choice((24, 5000, 900_000)))
            self.uploads.append(OpenUpload(key, client.create_multipart_upload(Bucket=PLAIN, Key=key)["UploadId"], whole))

    def go_on_uploading(self, client: Any) -> None:
        """Upload the next part, or complete the upload if all are stored."""
        if not self.uploads:
            return
        upload = self.uploads[0]
        missing = {1, 2} - set(upload.parts)
        if not missing:
            self._complete(client, upload)
            return
        upload.maybe = min(missing)
        piece = upload.whole[:PART_BYTES] if upload.maybe == 1 else upload.whole[PART_BYTES:]
        answer = client.upload_part(Bucket=PLAIN, Key=upload.key, UploadId=upload.id, PartNumber=upload.maybe, Body=piece)
        upload.parts[upload.maybe] = answer["ETag"]
        upload.maybe = None

    def _complete(self, client: Any, upload: OpenUpload) -> None:
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in sorted(upload.parts.items())]
        parameters = {"Bucket": PLAIN, "Key": upload.key, "UploadId": upload.id, "MultipartUpload": {"Parts": parts}}
        upload.may_be_closed = True
        self._replace([upload.key], tag(upload.whole), lambda: client.complete_multipart_upload(**parameters))
        self.uploads.remove(upload)

    def abort(self, client: Any) -> None:
        if self.uploads and self._source.random() < 0.2:
            upload = self.uploads[-1]
            upload.may_be_closed = True
            client.abort_multipart_upload(Bucket=PLAIN, Key=upload.key, UploadId=upload.id)
            self.uploads.remove(upload)

    def _replace(self, keys: list[str], holds: str | None, act: Callable[[], Any]) -> None:
        for key in keys:
            self.plain[key].maybe.append(holds)
        act()
        for key in keys:
            self.plain[key] = PlainKey(holds)

    def _add_version(self, key: str, what: str | None, act: Callable[[], Any]) -> None:
        held = self.versioned[key]
        held.maybe_added.append(what)
        held.versions.append((act()["VersionId"], what))
        held.maybe_added.clear()

    def _plain_key(self) -> str:
        return self._source.choice(sorted(self.plain))

    def _versioned_key(self) -> str:
        return self._source.choice(sorted(self.versioned))

    def _content(self) -> bytes:
        return content(self._source.getrandbits(60), self._source.choice(SIZES))


class Reader:
    """Reads objects while they are written, and records torn ones."""

    def __init__(self) -> None:
        self.torn: list[str] = []
        self.read = 0

    def work(self, client: Any) -> None:
        while True:
            try:
                for one in client.list_objects_v2(Bucket=PLAIN).get("Contents", []):
                    self._look(client, one["Key"])
            except GONE:
                return

    def _look(self, client: Any, key: str) -> None:
        try:
            tag(client.get_object(Bucket=PLAIN, Key=key)["Body"].read())
            self.read += 1
        except ClientError as error:
            assert error.response["Error"]["Code"] == "NoSuchKey", error
        except AssertionError as error:
            self.torn.append(f"{key} is {error}")


def prepare(client: Any) -> None:
    """Create the buckets of the load."""
    for bucket in (PLAIN, VERSIONED):
        client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=VERSIONED, VersioningConfiguration={"Status": "Enabled"})


@contextmanager
def working(client: Any, writers: list[Writer], reader: Reader) -> Iterator[None]:
    """Runs all clients, each in a thread. On exit, after the server was killed, all have ended."""
    with ThreadPoolExecutor(len(writers) + 1) as threads:
        ends = [threads.submit(each.work, client) for each in (*writers, reader)]
        yield
        for end in ends:
            end.result(60)


def settle(client: Any, writers: list[Writer]) -> None:
    """Read everything back. Raises `AssertionError` if an acknowledged write is lost, torn or differs from the listings."""
    found = {one["Key"]: tag(_read(client, PLAIN, one["Key"])) for one in client.list_objects_v2(Bucket=PLAIN).get("Contents", [])}
    versions = _versions(client)
    open_now = {one["UploadId"] for one in client.list_multipart_uploads(Bucket=PLAIN).get("Uploads", [])}
    for writer in writers:
        for key, plain in writer.plain.items():
            plain.settle(found.pop(key, None))
        for key, versioned in writer.versioned.items():
            versioned.settle(versions.pop(key, []))
        for upload in list(writer.uploads):
            is_open = upload.settle(_parts(client, upload) if upload.id in open_now else None)
            open_now.discard(upload.id)
            if not is_open:
                writer.uploads.remove(upload)
    assert not found and not versions, f"nobody wrote {[*found, *versions]}"
    for id in open_now:  # The response of the creation was lost, and with it the upload id, so a client aborts every upload that it finds.
        key = next(one["Key"] for one in client.list_multipart_uploads(Bucket=PLAIN)["Uploads"] if one["UploadId"] == id)
        client.abort_multipart_upload(Bucket=PLAIN, Key=key, UploadId=id)


def _read(client: Any, bucket: str, key: str, **more: str) -> bytes:
    body: bytes = client.get_object(Bucket=bucket, Key=key, **more)["Body"].read()
    return body


def _versions(client: Any) -> dict[str, list[Version]]:
    """All versions by key: versions and markers each oldest first, the current one last."""
    rows: list[tuple[Any, bool]] = []
    for page in client.get_paginator("list_object_versions").paginate(Bucket=VERSIONED):
        rows += [(one, False) for one in page.get("Versions", [])] + [(one, True) for one in page.get("DeleteMarkers", [])]
    rows.reverse()
    found: dict[str, list[Version]] = {}
    for one, is_marker in sorted(rows, key=lambda row: bool(row[0]["IsLatest"])):
        what = None if is_marker else tag(_read(client, VERSIONED, one["Key"], VersionId=one["VersionId"]))
        found.setdefault(one["Key"], []).append((one["VersionId"], what))
    return found


def _parts(client: Any, upload: OpenUpload) -> dict[int, str]:
    listed = client.list_parts(Bucket=PLAIN, Key=upload.key, UploadId=upload.id).get("Parts", [])
    return {part["PartNumber"]: part["ETag"] for part in listed}
