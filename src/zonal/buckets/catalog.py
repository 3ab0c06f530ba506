"""The catalog: buckets, versions of objects and open uploads, in one SQLite file.

SQLite rather than LMDB, because the index is (bucket, key, order of the version) and keys have up to 1,024 bytes, while LMDB's have at most
511; and because a partial index on `state = CURRENT` serves listings of visible objects. Keys are stored as UTF-8 bytes, which sort in S3's
order.

Reads run on the event loop's thread; each takes a few index look-ups. Changes are functions that run there too, in order, in one
transaction for all that are waiting (`group_commit`). A change is acknowledged when the transaction is durable (WAL, `synchronous=FULL`).
The WAL has a reserve (`foundation.disk_reserve`), so that a full disk can still record deletions.

>>> entry = await catalog.change(lambda changes: changes.put(bucket, entry))
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from zonal.buckets.group_commit import GroupCommit
from zonal.buckets.records import NULL, Bucket, ObjectVersion, Part, Upload
from zonal.foundation.disk_reserve import WalReserve
from zonal.records.store import StoreUnavailable

K = TypeVar("K")
T = TypeVar("T")
CACHED_LOOKUPS = 1000
NONCURRENT, CURRENT, MARKER = 0, 1, 2
"""States of a version: noncurrent; current and visible; current and a delete marker."""

_pack = msgspec.msgpack.encode
_entry = msgspec.msgpack.Decoder(ObjectVersion).decode
_part = msgspec.msgpack.Decoder(Part).decode
_upload = msgspec.msgpack.Decoder(Upload).decode
_bucket = msgspec.msgpack.Decoder(Bucket).decode

VersionRow = tuple[bytes, int, int, bytes]
"""A version: key, order (newer versions have smaller numbers), state, encoded entry."""


class Cache:
    """Looked-up records, until a change of them is committed: one request reads the same bucket and key several times."""

    def __init__(self) -> None:
        self.buckets: dict[str, Bucket | None] = {}
        self.newest: dict[tuple[int, str], ObjectVersion | None] = {}
        self.small: dict[str, bytes | None] = {}
        """Small content by blob id. It is immutable, so it needs no invalidation."""

    def forget(self, changes: CatalogChanges) -> None:
        """Drop the records that these changes have written."""
        if changes.has_changed_buckets:
            self.buckets.clear()
        for place in changes.changed_keys:
            self.newest.pop(place, None)

    def clear(self) -> None:
        self.buckets.clear()
        self.newest.clear()
        self.small.clear()


def _cached(cache: dict[K, T], key: K, load: Callable[[], T]) -> T:
    if key not in cache:
        if len(cache) >= CACHED_LOOKUPS:
            cache.clear()
        cache[key] = load()
    return cache[key]


class CatalogView:
    """Queries of the catalog. Without a `cache` every query reads the database."""

    def __init__(self, database: sqlite3.Connection, cache: Cache | None = None) -> None:
        self._database = database
        self._cache = cache

    def buckets(self) -> list[Bucket]:
        return [_bucket(body) for (body,) in self._database.execute("SELECT body FROM buckets ORDER BY name")]

    def bucket(self, name: str) -> Bucket | None:
        if self._cache is None:
            return self._bucket(name)
        return _cached(self._cache.buckets, name, lambda: self._bucket(name))

    def _bucket(self, name: str) -> Bucket | None:
        row = self._database.execute("SELECT body FROM buckets WHERE name = ?", (name,)).fetchone()
        return _bucket(row[0]) if row else None

    def current(self, bucket: int, key: str) -> ObjectVersion | None:
        """The newest version of a key, which may be a delete marker."""
        if self._cache is None:
            return self._current(bucket, key)
        return _cached(self._cache.newest, (bucket, key), lambda: self._current(bucket, key))

    def _current(self, bucket: int, key: str) -> ObjectVersion | None:
        row = self._newest(bucket, key)
        return _entry(row[1]) if row else None

    def version(self, bucket: int, key: str, version: str) -> ObjectVersion | None:
        row = self._database.execute(
            "SELECT body FROM versions WHERE bucket = ? AND key = ? AND version = ?", (bucket, key.encode(), version)
        ).fetchone()
        return _entry(row[0]) if row else None

    def order(self, bucket: int, key: str, version: str) -> int | None:
        """A version's order among those of its key, or None."""
        row = self._database.execute(
            "SELECT place FROM versions WHERE bucket = ? AND key = ? AND version = ?", (bucket, key.encode(), version)
        ).fetchone()
        return row[0] if row else None

    def is_empty(self, bucket: int) -> bool:
        row = self._database.execute("SELECT 1 FROM versions WHERE bucket = ? LIMIT 1", (bucket,)).fetchone()
        return row is None

    def walk_current(self, bucket: int, start: bytes, end: bytes | None) -> Iterator[VersionRow]:
        """Visible objects with `start <= key < end`, in order; rows are read lazily."""
        sql = "SELECT key, place, state, body FROM versions WHERE state = 1 AND bucket = ? AND key >= ?"
        return self._walk(sql, (bucket, start), end, "ORDER BY key")

    def walk_versions(self, bucket: int, start: bytes, end: bytes | None, after: int | None = None) -> Iterator[VersionRow]:
        """All versions with `start <= key < end`, the newest of a key first; of `start` only those after the order `after`."""
        sql = "SELECT key, place, state, body FROM versions WHERE bucket = ? AND (key, place) > (?, ?)"
        return self._walk(sql, (bucket, start, -(2**63) if after is None else after), end, "ORDER BY key, place")

    def _walk(self, sql: str, values: tuple[Any, ...], end: bytes | None, order: str) -> Iterator[VersionRow]:
        if end is not None:
            sql, values = f"{sql} AND key < ?", (*values, end)
        return iter(self._database.execute(f"{sql} {order}", values))

    def small(self, blob: str) -> bytes | None:
        """Content that is stored in the catalog itself; None if it has been removed."""
        if self._cache is None:
            return self._small(blob)
        return _cached(self._cache.small, blob, lambda: self._small(blob))

    def _small(self, blob: str) -> bytes | None:
        row = self._database.execute("SELECT content FROM small WHERE blob = ?", (blob,)).fetchone()
        return row[0] if row else None

    def refers_to(self, blob: str) -> bool:
        """Whether any record refers to this content."""
        return self._database.execute("SELECT 1 FROM blobs WHERE blob = ?", (blob,)).fetchone() is not None

    def upload(self, bucket: int, id: str) -> Upload | None:
        row = self._database.execute("SELECT body FROM uploads WHERE bucket = ? AND upload = ?", (bucket, id)).fetchone()
        return _upload(row[0]) if row else None

    def walk_uploads(self, bucket: int, start: bytes, end: bytes | None, after: str = "") -> Iterator[tuple[bytes, Upload]]:
        """Open uploads with `start <= key < end`, ordered by key and id; of `start` only those after the id `after`."""
        sql = "SELECT key, body FROM uploads WHERE bucket = ? AND (key, upload) > (?, ?)"
        for key, body in self._walk(sql, (bucket, start, after), end, "ORDER BY key, upload"):  # type: ignore[misc]
            yield key, _upload(body)

    def parts(self, upload: str, after: int = 0, limit: int = -1) -> list[Part]:
        sql = "SELECT body FROM parts WHERE upload = ? AND number > ? ORDER BY number LIMIT ?"
        return [_part(body) for (body,) in self._database.execute(sql, (upload, after, limit))]

    def part(self, upload: str, number: int) -> Part | None:
        row = self._database.execute("SELECT body FROM parts WHERE upload = ? AND number = ?", (upload, number)).fetchone()
        return _part(row[0]) if row else None

    def _newest(self, bucket: int, key: str) -> tuple[int, bytes] | None:
        sql = "SELECT place, body FROM versions WHERE bucket = ? AND key = ? ORDER BY place LIMIT 1"
        row: tuple[int, bytes] | None = self._database.execute(sql, (bucket, key.encode())).fetchone()
        return row


class CatalogChanges(CatalogView):
    """The view and the write operations that one change gets. `removed` collects content that is no longer referred to."""

    def __init__(self, database: sqlite3.Connection) -> None:
        super().__init__(database)
        self.removed: list[str] = []
        self.changed_keys: list[tuple[int, str]] = []
        self.has_changed_buckets = False

    def add_bucket(self, bucket: Bucket) -> Bucket:
        """Add a bucket with a new number."""
        cursor = self._database.execute("INSERT INTO numbers DEFAULT VALUES")
        bucket = msgspec.structs.replace(bucket, number=cursor.lastrowid or 0)
        self.put_bucket(bucket)
        return bucket

    def put_bucket(self, bucket: Bucket) -> None:
        self.has_changed_buckets = True
        self._database.execute("INSERT OR REPLACE INTO buckets VALUES (?, ?)", (bucket.name, _pack(bucket)))

    def delete_bucket(self, bucket: Bucket) -> None:
        """Remove an empty bucket and its open uploads."""
        self.has_changed_buckets = True
        for _, upload in list(self.walk_uploads(bucket.number, b"", None)):
            self.delete_upload(bucket.number, upload.id)
        self._database.execute("DELETE FROM buckets WHERE name = ?", (bucket.name,))

    def put(self, bucket: int, entry: ObjectVersion) -> ObjectVersion:
        """Add a version as the newest of its key. A null version replaces the key's previous null version."""
        key = entry.key.encode()
        self.changed_keys.append((bucket, entry.key))
        newest = self._newest(bucket, entry.key)
        if newest is not None and entry.version == NULL:
            before = _entry(newest[1])
            if before.version == NULL and before.is_marker == entry.is_marker:  # As in every bucket without versioning.
                self._overwrite(bucket, key, newest[0], before, entry)
                return entry
            self.delete(bucket, entry.key, NULL, promote=False)
        place = -int(entry.modified * 1_000_000)
        if newest is not None:
            place = min(place, newest[0] - 1)
            self._database.execute("UPDATE versions SET state = 0 WHERE bucket = ? AND key = ? AND place = ?", (bucket, key, newest[0]))
        state = MARKER if entry.is_marker else CURRENT
        row = (bucket, key, place, entry.version, state, _pack(entry))
        self._database.execute("INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?)", row)
        self._refer(entry)
        return entry

    def _overwrite(self, bucket: int, key: bytes, place: int, before: ObjectVersion, entry: ObjectVersion) -> None:
        """Replace the newest version in place: its order and the indexes do not change."""
        sql = "UPDATE versions SET body = ? WHERE bucket = ? AND key = ? AND place = ?"
        self._database.execute(sql, (_pack(entry), bucket, key, place))
        self._release(before)
        self._refer(entry)

    def change(self, bucket: int, entry: ObjectVersion) -> None:
        """Write the changeable parts of a version (tags, ACL, locks) in place."""
        self.changed_keys.append((bucket, entry.key))
        sql = "UPDATE versions SET body = ? WHERE bucket = ? AND key = ? AND version = ?"
        self._database.execute(sql, (_pack(entry), bucket, entry.key.encode(), entry.version))

    def delete(self, bucket: int, key: str, version: str, *, promote: bool = True) -> ObjectVersion | None:
        """Remove a version permanently; if it was the newest, the one before becomes current (unless `promote` is false)."""
        raw = key.encode()
        self.changed_keys.append((bucket, key))
        sql = "SELECT place, state, body FROM versions WHERE bucket = ? AND key = ? AND version = ?"
        row = self._database.execute(sql, (bucket, raw, version)).fetchone()
        if row is None:
            return None
        entry = _entry(row[2])
        self._database.execute("DELETE FROM versions WHERE bucket = ? AND key = ? AND place = ?", (bucket, raw, row[0]))
        self._release(entry)
        newest = self._newest(bucket, key) if promote and row[1] != NONCURRENT else None
        if newest is not None:
            state = MARKER if _entry(newest[1]).is_marker else CURRENT
            sql = "UPDATE versions SET state = ? WHERE bucket = ? AND key = ? AND place = ?"
            self._database.execute(sql, (state, bucket, raw, newest[0]))
        return entry

    def add_small(self, blob: str, content: bytes) -> None:
        self._database.execute("INSERT INTO small VALUES (?, ?)", (blob, content))

    def add_upload(self, bucket: int, upload: Upload) -> None:
        row = (bucket, upload.template.key.encode(), upload.id, _pack(upload))
        self._database.execute("INSERT INTO uploads VALUES (?, ?, ?, ?)", row)

    def supersede_uploads(self, bucket: int, key: str) -> None:
        """Mark the open uploads of a key as superseded by its deletion."""
        raw = key.encode()
        for _, upload in list(self.walk_uploads(bucket, raw, raw + b"\x00")):
            row = (_pack(msgspec.structs.replace(upload, superseded=True)), bucket, upload.id)
            self._database.execute("UPDATE uploads SET body = ? WHERE bucket = ? AND upload = ?", row)

    def delete_upload(self, bucket: int, id: str, *, kept: frozenset[str] = frozenset()) -> None:
        """Remove an upload and the content of its parts, except the blobs in `kept`, which an object refers to now."""
        for part in self.parts(id):
            if part.segment.blob not in kept:
                self.release(part.segment.blob, small=part.segment.small)
        self._database.execute("DELETE FROM parts WHERE upload = ?", (id,))
        self._database.execute("DELETE FROM uploads WHERE bucket = ? AND upload = ?", (bucket, id))

    def put_part(self, upload: str, part: Part) -> None:
        """Add a part, or replace the one with its number."""
        before = self.part(upload, part.number)
        if before is not None:
            self.release(before.segment.blob, small=before.segment.small)
        self._database.execute("INSERT OR REPLACE INTO parts VALUES (?, ?, ?)", (upload, part.number, _pack(part)))
        self.refer(part.segment.blob, small=part.segment.small)

    def refer(self, blob: str, *, small: bool) -> None:
        if not small:
            self._database.execute("INSERT OR IGNORE INTO blobs VALUES (?)", (blob,))

    def release(self, blob: str, *, small: bool) -> None:
        if small:
            self._database.execute("DELETE FROM small WHERE blob = ?", (blob,))
        else:
            self._database.execute("DELETE FROM blobs WHERE blob = ?", (blob,))
            self.removed.append(blob)

    def _release(self, entry: ObjectVersion) -> None:
        for segment in entry.segments:
            self.release(segment.blob, small=segment.small)

    def _refer(self, entry: ObjectVersion) -> None:
        for segment in entry.segments:
            self.refer(segment.blob, small=segment.small)


class BucketCatalog:
    """The catalog in one file. `on_removed` is called after the commit with each blob that is no longer referred to."""

    def __init__(self, path: Path, on_removed: Callable[[str], None]) -> None:
        path.touch(mode=0o600, exist_ok=True)
        self._path = path
        self._on_removed = on_removed
        self._database = _open(path)
        self._database.executescript(_SCHEMA)
        self._cache = Cache()
        self._commits = GroupCommit(self._database, WalReserve(str(path)))
        self.view = CatalogView(_open(path), self._cache)

    async def change(self, work: Callable[[CatalogChanges], T]) -> T:
        """Run `work` in order with other changes, and return its result when the change is durable.

        An exception of `work` is raised here and its change is rolled back. Raises `StoreUnavailable` if the commit fails.
        """
        changes = CatalogChanges(self._database)

        def settle() -> None:
            self._cache.forget(changes)
            for blob in changes.removed:
                self._on_removed(blob)

        try:
            return await self._commits.run(lambda: work(changes), settle)
        except StoreUnavailable:
            self._cache.clear()  # It is unknown whether the commit reached the disk.
            raise

    def invalidate(self) -> None:
        """Clear the cache. A reader calls it on finding a stale record: a commit takes effect shortly before its cache invalidation."""
        self._cache.clear()

    def new_view(self) -> CatalogView:
        """A view for another thread."""
        return CatalogView(_open(self._path))

    async def close(self) -> None:
        await self._commits.close()
        self.view._database.close()


_SCHEMA = """
CREATE TABLE IF NOT EXISTS numbers (number INTEGER PRIMARY KEY AUTOINCREMENT);
CREATE TABLE IF NOT EXISTS buckets (name TEXT PRIMARY KEY, body BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS versions (
    bucket INTEGER, key BLOB, place INTEGER, version TEXT, state INTEGER, body BLOB, PRIMARY KEY (bucket, key, place)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS visible ON versions (bucket, key) WHERE state = 1;
CREATE TABLE IF NOT EXISTS small (blob TEXT PRIMARY KEY, content BLOB);
CREATE TABLE IF NOT EXISTS blobs (blob TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploads (bucket INTEGER, key BLOB, upload TEXT, body BLOB, PRIMARY KEY (bucket, key, upload)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS upload_ids ON uploads (bucket, upload);
CREATE TABLE IF NOT EXISTS parts (upload TEXT, number INTEGER, body BLOB, PRIMARY KEY (upload, number)) WITHOUT ROWID;
"""


def _open(path: Path) -> sqlite3.Connection:
    try:
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
        database.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000; PRAGMA cache_size = -16000;"
        )
    except sqlite3.Error as error:
        raise StoreUnavailable(f"cannot open the S3 catalog at {path}: {error}") from error
    return database


def decode(row: VersionRow) -> ObjectVersion:
    """The entry of a walked row."""
    return _entry(row[3])
