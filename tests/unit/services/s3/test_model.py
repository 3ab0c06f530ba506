"""Random sequences of S3 calls, with restarts, compared with a simple model (`tests/s3_model.py`).

`ZONAL_S3_SEQUENCES` sets their number (a few by default, hundreds for a long run).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, multiple, precondition, rule, run_state_machine_as_test

from tests.s3_model import NULL, Bucket, Refused, Upload
from tests.s3_process import S3Process

SEQUENCES = int(os.environ.get("ZONAL_S3_SEQUENCES", "2"))
NAME = "model"
KEYS = st.sampled_from(["a", "a/", "a/b", "a/b/c", "a//c", "b", "é", "é/x", "../a", "\U0001f389", "a b+c&d=e%2F"])
CONTENTS = st.sampled_from([b"", b"x", b"small" * 100, b"l" * 9000, b"large" * 30_000])
TAGS = st.dictionaries(st.sampled_from(["color", "größe"]), st.sampled_from(["", "red", "a=b/c+d"]), max_size=2)
PART = b"p" * (5 * 1024 * 1024)


class Sequences(RuleBasedStateMachine):
    """One bucket in the real S3 and in the model, with the same calls to both."""

    uploads = Bundle("uploads")

    def __init__(self) -> None:
        super().__init__()
        self._directory = Path(tempfile.mkdtemp())
        self._server = S3Process(self._directory)
        self._client = self._server.client()
        self._client.create_bucket(Bucket=NAME)
        self._model = Bucket()

    def teardown(self) -> None:
        self._server.kill()
        shutil.rmtree(self._directory)

    @rule(kill=st.booleans())
    def restart(self, kill: bool) -> None:
        port = self._server.port
        if kill:
            self._server.kill()
        else:
            self._server.stop()
        self._server = S3Process(self._directory, port=port)

    @rule(status=st.sampled_from(["Enabled", "Suspended"]))
    def set_versioning(self, status: str) -> None:
        self._client.put_bucket_versioning(Bucket=NAME, VersioningConfiguration={"Status": status})
        self._model.versioning = status

    @rule(key=KEYS, content=CONTENTS)
    def put(self, key: str, content: bytes) -> None:
        answer = self._client.put_object(Bucket=NAME, Key=key, Body=content)
        self._model.put(key, content, id=answer.get("VersionId", NULL))

    @rule(key=KEYS, content=CONTENTS, is_right=st.booleans())
    def put_if_match(self, key: str, content: bytes, is_right: bool) -> None:
        etag = self._etag(key) if is_right else "0" * 32
        expected = self._refusal(lambda: self._model.check(key, match=etag))
        answer = self._same(expected, lambda: self._client.put_object(Bucket=NAME, Key=key, Body=content, IfMatch=f'"{etag}"'))
        if answer:
            self._model.put(key, content, id=answer.get("VersionId", NULL))

    @rule(key=KEYS, content=CONTENTS)
    def put_if_none_match(self, key: str, content: bytes) -> None:
        expected = self._refusal(lambda: self._model.check(key, none_match=True))
        answer = self._same(expected, lambda: self._client.put_object(Bucket=NAME, Key=key, Body=content, IfNoneMatch="*"))
        if answer:
            self._model.put(key, content, id=answer.get("VersionId", NULL))

    @rule(source=KEYS, key=KEYS)
    def copy(self, source: str, key: str) -> None:
        if source == key:
            return
        expected = self._refusal(lambda: self._model.get(source))
        answer = self._same(expected, lambda: self._client.copy_object(Bucket=NAME, Key=key, CopySource={"Bucket": NAME, "Key": source}))
        if answer:
            found = self._model.get(source)
            assert found.content is not None
            self._model.put(key, found.content, id=answer.get("VersionId", NULL))
            self._model.get(key).tags = dict(found.tags)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        answer = self._client.delete_object(Bucket=NAME, Key=key)
        assert bool(answer.get("DeleteMarker")) == bool(self._model.versioning)
        self._model.delete(key, id=answer.get("VersionId", NULL))

    @rule(keys=st.lists(KEYS, min_size=1, max_size=4, unique=True))
    def delete_many(self, keys: list[str]) -> None:
        answer = self._client.delete_objects(Bucket=NAME, Delete={"Objects": [{"Key": key} for key in keys]})
        gone = {one["Key"]: one for one in answer["Deleted"]}
        assert set(gone) == set(keys) and "Errors" not in answer
        for key in keys:
            self._model.delete(key, id=gone[key].get("DeleteMarkerVersionId", NULL))

    @precondition(lambda self: not self._model.is_empty())
    @rule(data=st.data())
    def delete_version(self, data: st.DataObject) -> None:
        key, id, _ = data.draw(st.sampled_from(self._model.versions()))
        self._client.delete_object(Bucket=NAME, Key=key, VersionId=id)
        self._model.delete_version(key, id)

    @rule(key=KEYS, tags=TAGS)
    def tag(self, key: str, tags: dict[str, str]) -> None:
        tagging = {"TagSet": [{"Key": name, "Value": value} for name, value in tags.items()]}
        expected = self._refusal(lambda: self._model.get(key))
        if expected and self._model.keys.get(key):
            expected = "MethodNotAllowed"  # A version exists, so the newest one is a delete marker.
        if self._same(expected, lambda: self._client.put_object_tagging(Bucket=NAME, Key=key, Tagging=tagging)):
            self._model.get(key).tags = tags

    @rule(target=uploads, key=KEYS)
    def begin_upload(self, key: str) -> Any:
        id = self._client.create_multipart_upload(Bucket=NAME, Key=key)["UploadId"]
        self._model.uploads[id] = Upload(key)
        return id

    @rule(id=uploads, number=st.sampled_from([1, 2, 7]), content=st.sampled_from([PART, b"last"]))
    def upload_part(self, id: str, number: int, content: bytes) -> None:
        self._client.upload_part(Bucket=NAME, Key=self._model.uploads[id].key, UploadId=id, PartNumber=number, Body=content)
        self._model.uploads[id].parts[number] = content

    @rule(target=uploads, id=consumes(uploads))
    def complete_upload(self, id: str) -> Any:
        upload = self._model.uploads[id]
        listed = self._client.list_parts(Bucket=NAME, Key=upload.key, UploadId=id).get("Parts", [])
        assert {part["PartNumber"]: part["Size"] for part in listed} == {number: len(part) for number, part in upload.parts.items()}
        parts = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in listed]
        parameters = {"Bucket": NAME, "Key": upload.key, "UploadId": id, "MultipartUpload": {"Parts": parts}}
        numbers = sorted(upload.parts)
        expected = (
            "MalformedXML" if not numbers else "EntityTooSmall" if any(len(upload.parts[at]) < len(PART) for at in numbers[:-1]) else ""
        )
        answer = self._same(expected, lambda: self._client.complete_multipart_upload(**parameters))
        if not answer:
            return id
        self._model.complete(id, numbers, version=answer.get("VersionId", NULL))
        return multiple()

    @rule(id=consumes(uploads))
    def abort_upload(self, id: str) -> None:
        self._client.abort_multipart_upload(Bucket=NAME, Key=self._model.uploads.pop(id).key, UploadId=id)

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        expected = self._refusal(lambda: self._model.get(key))
        answer = self._same(expected, lambda: self._client.get_object(Bucket=NAME, Key=key))
        if answer:
            found = self._model.get(key)
            assert (answer["Body"].read(), answer["ETag"]) == (found.content, f'"{found.etag}"')
            tags = self._client.get_object_tagging(Bucket=NAME, Key=key)["TagSet"]
            assert {one["Key"]: one["Value"] for one in tags} == found.tags

    @rule(key=KEYS)
    def head(self, key: str) -> None:
        expected = "404" if self._refusal(lambda: self._model.get(key)) else ""  # A response to HEAD has no body with an error code.
        answer = self._same(expected, lambda: self._client.head_object(Bucket=NAME, Key=key))
        if answer:
            found = self._model.get(key)
            assert (answer["ContentLength"], answer["ETag"]) == (len(found.content or b""), f'"{found.etag}"')
            assert answer.get("VersionId", NULL) == found.id if self._model.versioning else "VersionId" not in answer

    @precondition(lambda self: not self._model.is_empty())
    @rule(data=st.data())
    def get_version(self, data: st.DataObject) -> None:
        key, id, _ = data.draw(st.sampled_from(self._model.versions()))
        expected = self._refusal(lambda: self._model.get(key, id))
        answer = self._same(expected, lambda: self._client.get_object(Bucket=NAME, Key=key, VersionId=id))
        if answer:
            assert answer["Body"].read() == self._model.get(key, id).content

    @rule(key=KEYS, first=st.integers(0, 200_000), size=st.integers(1, 200_000))
    def get_range(self, key: str, first: int, size: int) -> None:
        expected = self._refusal(lambda: self._model.get(key))
        whole = b"" if expected else self._model.get(key).content or b""
        if not expected and first >= len(whole):
            expected = "InvalidRange"
        answer = self._same(expected, lambda: self._client.get_object(Bucket=NAME, Key=key, Range=f"bytes={first}-{first + size - 1}"))
        if answer:
            assert answer["Body"].read() == whole[first : first + size]

    @rule(
        prefix=st.sampled_from(["", "a", "a/", "é", "x"]),
        delimiter=st.sampled_from(["", "/", "b", "//"]),
        limit=st.integers(1, 4),
        old=st.booleans(),
    )
    def list_pages(self, prefix: str, delimiter: str, limit: int, old: bool) -> None:
        name = "list_objects" if old and delimiter else "list_objects_v2"
        found: list[str] = []
        for page in self._client.get_paginator(name).paginate(
            Bucket=NAME, Prefix=prefix, Delimiter=delimiter, PaginationConfig={"PageSize": limit}
        ):
            shown = [one["Key"] for one in page.get("Contents", [])] + [one["Prefix"] for one in page.get("CommonPrefixes", [])]
            assert len(shown) <= limit
            found += sorted(shown, key=str.encode)
        assert found == self._model.listed(prefix, delimiter, "")

    @rule(after=KEYS, delimiter=st.sampled_from(["", "/"]))
    def list_after(self, after: str, delimiter: str) -> None:
        page = self._client.list_objects_v2(Bucket=NAME, StartAfter=after, Delimiter=delimiter)
        shown = [one["Key"] for one in page.get("Contents", [])] + [one["Prefix"] for one in page.get("CommonPrefixes", [])]
        assert sorted(shown, key=str.encode) == self._model.listed("", delimiter, after)

    @rule(limit=st.integers(1, 5))
    def list_versions(self, limit: int) -> None:
        found: dict[tuple[str, str], bool] = {}
        for page in self._client.get_paginator("list_object_versions").paginate(Bucket=NAME, PaginationConfig={"PageSize": limit}):
            rows = page.get("Versions", []) + page.get("DeleteMarkers", [])
            assert len(rows) <= limit
            found |= {(one["Key"], one["VersionId"]): one["IsLatest"] for one in rows}
        assert found == {(key, id): is_newest for key, id, is_newest in self._model.versions()}

    @rule()
    def list_uploads(self) -> None:
        found = self._client.list_multipart_uploads(Bucket=NAME).get("Uploads", [])
        assert {one["UploadId"]: one["Key"] for one in found} == {id: upload.key for id, upload in self._model.uploads.items()}

    @precondition(lambda self: not self._model.uploads)
    @rule()
    def delete_bucket(self) -> None:
        if self._same("" if self._model.is_empty() else "BucketNotEmpty", lambda: self._client.delete_bucket(Bucket=NAME)):
            self._client.create_bucket(Bucket=NAME)
            self._model.versioning = ""

    def _etag(self, key: str) -> str:
        return "1" * 32 if self._refusal(lambda: self._model.get(key)) else self._model.get(key).etag

    def _refusal(self, ask: Any) -> str:
        """The model's error code; empty if it succeeds."""
        try:
            ask()
        except Refused as refused:
            return str(refused)
        return ""

    def _same(self, expected: str, call: Any) -> Any:
        """S3's response; None if it fails with the expected error, as the model does."""
        try:
            answer = call()
        except ClientError as error:
            assert error.response["Error"]["Code"] == expected, f"{error}, not {expected or 'an answer'}"
            return None
        assert not expected, f"answered, not {expected}"
        return answer


def test_random_sequences_have_the_results_of_a_simple_model() -> None:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    phases = [Phase.generate]  # Shrinking would take minutes; the original steps are printed.
    how = settings(
        max_examples=SEQUENCES, stateful_step_count=30, deadline=None, suppress_health_check=checks, database=None, phases=phases
    )
    run_state_machine_as_test(Sequences, settings=how)
