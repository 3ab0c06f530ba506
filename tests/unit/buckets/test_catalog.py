"""The catalog compared with a model: random puts, deletes and listings, with and without versioning, against sorted dictionaries."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from zonal.buckets.blobs import DiskFull
from zonal.buckets.catalog import BucketCatalog, CatalogChanges, decode
from zonal.buckets.listing import page
from zonal.buckets.records import NULL, Bucket, ObjectVersion, Part, Segment, Upload
from zonal.records.store import StoreUnavailable


def entry(key: str, version: str = NULL, *, at: float = 1.0, blob: str = "", marker: bool = False) -> ObjectVersion:
    segments = (Segment(blob, 1),) if blob else ()
    return ObjectVersion(key=key, version=version, modified=at, owner="o", segments=segments, is_marker=marker)


@pytest.fixture
async def catalog(tmp_path: Path) -> Any:
    removed: list[str] = []
    catalog = BucketCatalog(tmp_path / "catalog.db", removed.append)
    catalog.removed = removed  # type: ignore[attr-defined]
    yield catalog
    await catalog.close()


KEYS = st.lists(st.sampled_from(["a", "a/", "a/b", "a/b/c", "a0", "b", "b//", "é", "é/x", "\U0001f389", "~"]), min_size=1, max_size=3)
STEPS = st.lists(st.tuples(st.sampled_from(["put", "mark", "delete"]), KEYS.map("".join), st.booleans()), max_size=25)


@example([("put", "a", False), ("put", "aa", False)], "a", "a", 1)
@given(STEPS, st.sampled_from(["", "a", "a/", "é"]), st.sampled_from(["", "/", "a", "//"]), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_listings_are_those_of_a_sorted_dictionary(steps: list[tuple[str, str, bool]], prefix: str, delimiter: str, limit: int) -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory() as directory:
            catalog = BucketCatalog(Path(directory) / "catalog.db", lambda blob: None)
            try:
                model: dict[str, list[tuple[str, bool]]] = {}
                for number, (step, key, versioned) in enumerate(steps):
                    await catalog.change(_work(step, key, f"v{number}" if versioned else NULL, model))
                visible = sorted((key for key, versions in model.items() if versions and not versions[0][1]), key=str.encode)
                assert _listed(catalog, prefix, delimiter, limit) == _expected(visible, prefix, delimiter)
                rows = [(decode(row).key, decode(row).version) for row in catalog.view.walk_versions(1, b"", None)]
                assert rows == [(key, version) for key in sorted(model, key=str.encode) for version, _ in model[key]]
            finally:
                await catalog.close()

    asyncio.run(run())


def _work(step: str, key: str, version: str, model: dict[str, list[tuple[str, bool]]]) -> Callable[[CatalogChanges], Any]:
    versions = model.setdefault(key, [])
    if step == "delete":
        model[key] = [each for each in versions if each[0] != version]
        return lambda changes: changes.delete(1, key, version)
    model[key] = [(version, step == "mark"), *(each for each in versions if each[0] != version)]
    return lambda changes: changes.put(1, entry(key, version, marker=step == "mark"))


def _listed(catalog: BucketCatalog, prefix: str, delimiter: str, limit: int) -> list[str]:
    found: list[str] = []
    after = ""
    while True:
        start = after.encode() + b"\x00" if after else b""
        got = page(
            lambda low, high: catalog.view.walk_current(1, low, high),
            lambda row: row[0],
            start=start,
            prefix=prefix,
            delimiter=delimiter,
            after=after,
            limit=limit,
        )
        assert len(got.rows) + len(got.prefixes) <= limit
        found += [row[0].decode() for row in got.rows] + got.prefixes
        if got.last is None:
            return sorted(found, key=str.encode)
        after = got.last


def _expected(keys: list[str], prefix: str, delimiter: str) -> list[str]:
    found = []
    for key in keys:
        if key.startswith(prefix):
            at = key.find(delimiter, len(prefix)) if delimiter else -1
            found.append(key if at < 0 else key[: at + len(delimiter)])
    return sorted(dict.fromkeys(found), key=str.encode)


async def test_a_change_that_raises_is_rolled_back_alone(catalog: BucketCatalog) -> None:
    def refuse(changes: CatalogChanges) -> None:
        changes.put(1, entry("refused"))
        raise LookupError("no")

    async def put(key: str) -> None:
        await catalog.change(lambda changes: changes.put(1, entry(key)))

    outcomes = await asyncio.gather(put("a"), catalog.change(refuse), put("b"), return_exceptions=True)
    assert isinstance(outcomes[1], LookupError)
    assert [row[0] for row in catalog.view.walk_current(1, b"", None)] == [b"a", b"b"]


async def test_a_failed_commit_fails_its_whole_batch_and_the_next_succeeds(catalog: BucketCatalog) -> None:
    def break_down(changes: CatalogChanges) -> None:
        raise sqlite3.OperationalError("disk full")

    with pytest.raises(StoreUnavailable, match="disk full"):
        await catalog.change(break_down)
    await catalog.change(lambda changes: changes.put(1, entry("a")))
    assert catalog.view.current(1, "a") is not None


async def test_a_full_disk_is_reported_and_the_catalog_continues_when_there_is_space(catalog: BucketCatalog) -> None:
    await catalog.change(lambda changes: changes.put(1, entry("a")))
    await catalog.change(lambda changes: changes._database.execute("PRAGMA max_page_count = 1").fetchone())
    with pytest.raises(DiskFull):
        await catalog.change(lambda changes: changes.add_small("blob", b"x" * 1_000_000))
    await catalog.change(lambda changes: changes._database.execute("PRAGMA max_page_count = 100000").fetchone())
    await catalog.change(lambda changes: changes.add_small("blob", b"x" * 1_000_000))
    assert catalog.view.current(1, "a") is not None and catalog.view.small("blob") == b"x" * 1_000_000


async def test_the_cache_is_invalidated_by_changes_and_on_request(catalog: BucketCatalog) -> None:
    await catalog.change(lambda changes: changes.put(1, entry("a", blob="one")))
    assert catalog.view.current(1, "a") is not None
    await catalog.change(lambda changes: changes.put(1, entry("a", blob="two")))
    found = catalog.view.current(1, "a")
    assert found is not None and found.segments[0].blob == "two"
    catalog._database.execute("DELETE FROM versions")  # Like a commit whose cache invalidation is still to come.
    assert catalog.view.current(1, "a") is not None
    catalog.invalidate()
    assert catalog.view.current(1, "a") is None


async def test_replaced_content_is_removed_after_the_commit(catalog: Any) -> None:
    await catalog.change(lambda changes: changes.put(1, entry("a", blob="one")))
    assert catalog.view.refers_to("one") and catalog.removed == []
    await catalog.change(lambda changes: changes.put(1, entry("a", blob="two")))
    assert catalog.removed == ["one"] and not catalog.view.refers_to("one") and catalog.view.refers_to("two")


async def test_a_completed_upload_keeps_its_parts_and_removes_the_others(catalog: Any) -> None:
    upload = Upload("u", "b", entry("k"), 1.0)
    await catalog.change(lambda changes: changes.add_upload(1, upload))
    for number, blob in ((1, "x"), (2, "y"), (1, "z")):
        await catalog.change(lambda changes, n=number, b=blob: changes.put_part("u", Part(n, 1, "e", Segment(b, 1))))
    assert catalog.removed == ["x"]
    await catalog.change(lambda changes: changes.delete_upload(1, "u", kept=frozenset({"z"})))
    assert catalog.removed == ["x", "y"] and catalog.view.refers_to("z") and catalog.view.parts("u") == []


async def test_a_bucket_created_again_has_a_new_number(catalog: BucketCatalog) -> None:
    made = []
    for _ in range(2):
        bucket = await catalog.change(lambda changes: changes.add_bucket(Bucket("b", 0, 1.0, "o")))
        made.append(bucket.number)
        await catalog.change(lambda changes, one=bucket: changes.delete_bucket(one))
    assert made[0] != made[1]


async def test_a_listing_with_a_delimiter_reads_only_what_it_returns(catalog: BucketCatalog) -> None:
    def many(changes: CatalogChanges) -> None:
        for directory in range(20):
            for number in range(100):
                changes.put(1, entry(f"{directory:02d}/{number:03d}"))

    await catalog.change(many)
    read = 0

    def walk(low: bytes, high: bytes | None) -> Any:
        nonlocal read
        for row in catalog.view.walk_current(1, low, high):
            read += 1
            yield row

    got = page(walk, lambda row: row[0], start=b"", prefix="", delimiter="/", after="", limit=1000)
    assert len(got.prefixes) == 20 and read == 20
