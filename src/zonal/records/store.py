"""The store: typed records with generations, and the journal, in one SQLite file that survives a SIGKILL.

The region process is the only writer, so every record is also held decoded in memory and a read is a dictionary look-up; SQLite makes
acknowledged changes durable. A transaction collects changes and journal entries, writes them in one commit with `synchronous=FULL`,
then updates memory, then calls the watchers. A commit that fails (on a full disk, for example) changes nothing and raises
`StoreUnavailable`; the next one may succeed. SQLite's WAL has a reserve (`foundation.disk_reserve`) for commits on a full disk.

>>> class Lamp(Record):
...     kind: ClassVar[str] = "lamp"
...     lit: bool = False
>>> store = Store(":memory:")
>>> with store.transaction() as tx:
...     tx.put(Lamp(id="lamp-1", lit=True))
...     tx.note("lamp.lit", "lamp-1")
>>> store.get(Lamp, "lamp-1").lit
True
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import msgspec

from zonal.foundation.clock import Clock, RegionClock
from zonal.foundation.disk_reserve import WalReserve
from zonal.foundation.errors import ZonalError
from zonal.foundation.journal import JournalEntry, ordered
from zonal.records.index import RecordIndex


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A stored record. `id` is unique within its `kind`; `msgspec.structs.replace` makes a changed copy.

    When a stored shape changes incompatibly, raise `version` and override `upgrade`. `indexed` names the fields that `lookup` can search.
    """

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    indexed: ClassVar[tuple[str, ...]] = ()

    id: str

    @classmethod
    def upgrade(cls, body: dict[str, Any], version: int) -> dict[str, Any]:
        """The body of a record written by an older `version`, in the present shape."""
        raise StoreUnavailable(f"{cls.kind} {body.get('id')} was written as version {version}; this zonal reads {cls.version}")


R = TypeVar("R", bound=Record)
Watcher = Callable[[str, str], None]
"""Called after a commit with the kind and id of each record that it changed; must not block and must not write."""


class StoreUnavailable(ZonalError):
    """The store cannot be read, or a commit could not be made durable and had no effect."""


class StaleRecord(ZonalError):
    """The record has changed since it was read; the caller reads it again and decides again."""


class NoSuchRecord(ZonalError):
    """A required record does not exist."""


class Store:
    """All records and the journal of one region. Not thread-safe: it belongs to the event loop's thread."""

    def __init__(self, path: Path | str, *, clock: Clock | None = None) -> None:
        self._clock = clock or RegionClock()
        self._database = _open(path)
        self._reserve = None if path == ":memory:" else WalReserve(str(path))
        self._records: dict[str, dict[str, _Held]] = {}
        self._indexes: dict[str, RecordIndex] = {}
        self._types: dict[str, type[Record]] = {}
        self._watchers: list[tuple[frozenset[str], Watcher]] = []
        self._transaction: Transaction | None = None
        self._sequence: int = self._database.execute("SELECT coalesce(max(sequence), 0) FROM journal").fetchone()[0]

    def get(self, kind: type[R], id: str) -> R | None:
        """The committed record, or None where there is none."""
        held = self._of(kind).get(id)
        return held.record if held else None  # type: ignore[return-value]

    def require(self, kind: type[R], id: str) -> R:
        """The committed record. Raises `NoSuchRecord`."""
        record = self.get(kind, id)
        if record is None:
            raise NoSuchRecord(f"there is no {kind.kind} '{id}'")
        return record

    def select(self, kind: type[R], where: Callable[[R], bool] | None = None) -> list[R]:
        """The committed records of a kind, sorted by id."""
        held = self._of(kind)
        records: list[R] = [held[id].record for id in self._indexes[kind.kind].ids()]  # type: ignore[misc]
        return records if where is None else [record for record in records if where(record)]

    def load_all(self) -> None:
        """Decode every record of zonal's own types. Raises `StoreUnavailable` for a record that this version cannot read."""
        for kind in _types(Record):
            if hasattr(kind, "kind") and kind.__module__.startswith("zonal."):
                self._of(kind)

    def lookup(self, kind: type[R], field: str, value: str) -> list[R]:
        """The committed records whose indexed field has this value, sorted by id. Does not scan.

        Raises `ValueError` for a field that is not in the kind's `indexed`.
        """
        held = self._of(kind)
        _check_indexed(kind, field)
        return [held[id].record for id in self._indexes[kind.kind].ids(field, value)]  # type: ignore[misc]

    def generation(self, kind: type[Record], id: str) -> int:
        """The number of times that the record has been written; 0 if it does not exist."""
        held = self._of(kind).get(id)
        return held.generation if held else 0

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Collect changes and commit them in one durable step on leaving, or roll them back after an exception.

        A nested transaction joins the outer one.
        """
        if self._transaction is not None:
            yield self._transaction
            return
        transaction = Transaction(self)
        self._transaction = transaction
        try:
            yield transaction
        finally:
            self._transaction = None
        self._commit(transaction)

    def watch(self, kinds: Iterable[type[Record]], watcher: Watcher) -> Callable[[], None]:
        """Call `watcher(kind, id)` after each commit for each changed record of these kinds. Returns a function that ends the watch."""
        row = (frozenset(kind.kind for kind in kinds), watcher)
        self._watchers.append(row)
        return lambda: self._watchers.remove(row)

    def journal(self, *, after: int = 0, event: str = "", subject: str = "", limit: int | None = None) -> list[JournalEntry]:
        """The *last* `limit` entries after sequence `after`, in order, with this event prefix and exactly this subject."""
        rows = self._database.execute(
            "SELECT sequence, at, monotonic, event, subject, fields FROM journal WHERE sequence > ? AND substr(event, 1, ?) = ?"
            " AND (? = '' OR subject = ?) ORDER BY sequence DESC LIMIT ?",
            (after, len(event), event, subject, subject, -1 if limit is None else limit),
        ).fetchall()
        return [
            JournalEntry(s, datetime.fromisoformat(at), m, e, who, msgspec.json.decode(fields))
            for s, at, m, e, who, fields in reversed(rows)
        ]

    def journal_subjects(self, *, prefix: str) -> list[str]:
        """Every subject of the journal that begins with `prefix`, in order."""
        rows = self._database.execute(
            "SELECT DISTINCT subject FROM journal WHERE subject >= ? AND subject < ? ORDER BY subject", (prefix, prefix + chr(0x10FFFF))
        )
        return [subject for (subject,) in rows]

    def close(self) -> None:
        self._database.close()

    def _of(self, kind: type[Record]) -> dict[str, _Held]:
        if kind.kind not in self._records:
            self._types[kind.kind] = kind
            rows = self._database.execute("SELECT id, generation, version, body FROM records WHERE kind = ?", (kind.kind,))
            self._records[kind.kind] = {id: _Held(_decode(kind, id, body, version), generation) for id, generation, version, body in rows}
            self._indexes[kind.kind] = index = RecordIndex(kind.indexed)
            for id, held in self._records[kind.kind].items():
                index.replace(id, None, held.record)
        elif self._types[kind.kind] is not kind:
            raise ValueError(f"two record types have the kind {kind.kind}")
        return self._records[kind.kind]

    def _commit(self, transaction: Transaction) -> None:
        if not transaction.changes and not transaction.notes:
            return
        if self._reserve is not None:
            self._reserve.maintain(self._database)
        try:
            with self._database:
                for (kind, id), record in transaction.changes.items():
                    if record is None:
                        self._database.execute("DELETE FROM records WHERE kind = ? AND id = ?", (kind, id))
                    else:
                        row = (kind, id, self._held_generation(kind, id) + 1, record.version, msgspec.json.encode(record))
                        self._database.execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?)", row)
                self._database.executemany("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?)", list(self._journal_rows(transaction)))
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the region's store could not commit: {error}") from error
        self._sequence += len(transaction.notes)
        for (kind, id), record in transaction.changes.items():
            before = self._records[kind].get(id)
            self._indexes[kind].replace(id, before and before.record, record)
            if record is None:
                self._records[kind].pop(id, None)
            else:
                self._records[kind][id] = _Held(record, self._held_generation(kind, id) + 1)
        for kinds, watcher in list(self._watchers):
            for kind, id in transaction.changes:
                if kind in kinds:
                    watcher(kind, id)

    def _held_generation(self, kind: str, id: str) -> int:
        held = self._records[kind].get(id)
        return held.generation if held else 0

    def _journal_rows(self, transaction: Transaction) -> Iterator[tuple[Any, ...]]:
        for sequence, (event, subject, fields) in enumerate(transaction.notes, start=self._sequence + 1):
            now, reading = self._clock.now(), self._clock.monotonic()
            yield sequence, now.isoformat(), reading, event, subject, msgspec.json.encode(fields)


class Transaction:
    """Changes to be committed together. Reads return the changes made so far."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.changes: dict[tuple[str, str], Record | None] = {}
        self.notes: list[tuple[str, str, dict[str, Any]]] = []

    def get(self, kind: type[R], id: str) -> R | None:
        if (kind.kind, id) in self.changes:
            return self.changes[kind.kind, id]  # type: ignore[return-value]
        return self._store.get(kind, id)

    def require(self, kind: type[R], id: str) -> R:
        """Like `get`, but raises `NoSuchRecord`."""
        record = self.get(kind, id)
        if record is None:
            raise NoSuchRecord(f"there is no {kind.kind} '{id}'")
        return record

    def select(self, kind: type[R], where: Callable[[R], bool] | None = None) -> list[R]:
        mine = {id: record for (name, id), record in self.changes.items() if name == kind.kind}
        if not mine:
            return self._store.select(kind, where)
        records: dict[str, Any] = {record.id: record for record in self._store.select(kind)} | mine
        found: list[R] = [records[id] for id in sorted(records) if records[id] is not None]
        return found if where is None else [record for record in found if where(record)]

    def lookup(self, kind: type[R], field: str, value: str) -> list[R]:
        """Like the store's `lookup`."""
        mine = {id: record for (name, id), record in self.changes.items() if name == kind.kind}
        committed = self._store.lookup(kind, field, value)
        if not mine:
            return committed
        records: dict[str, Any] = {record.id: record for record in committed if record.id not in mine}
        records |= {id: record for id, record in mine.items() if record is not None and getattr(record, field) == value}
        return [records[id] for id in sorted(records)]

    def put(self, record: Record, *, if_generation: int | None = None) -> None:
        """Write a record. Raises `StaleRecord` if its generation is not `if_generation` (0: it must not exist)."""
        kind = type(record)
        if if_generation is not None and self._store.generation(kind, record.id) != if_generation:
            raise StaleRecord(f"{kind.kind} '{record.id}' has changed since it was read")
        self._store._of(kind)
        self.changes[kind.kind, record.id] = record

    def delete(self, kind: type[Record], id: str) -> None:
        """Delete a record; does nothing if it does not exist."""
        self._store._of(kind)
        self.changes[kind.kind, id] = None

    def note(self, event: str, subject: str, **fields: Any) -> None:
        """Add an entry to the journal, committed together with the transaction's changes."""
        self.notes.append((event, subject, ordered(fields)))


def _check_indexed(kind: type[Record], field: str) -> None:
    if field not in kind.indexed:
        raise ValueError(f"records of kind {kind.kind} are not indexed by {field}")


class _Held(msgspec.Struct, frozen=True):
    record: Record
    generation: int


_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA busy_timeout = 5000;
CREATE TABLE IF NOT EXISTS records (
    kind TEXT, id TEXT, generation INTEGER, version INTEGER, body BLOB, PRIMARY KEY (kind, id)
);
CREATE TABLE IF NOT EXISTS journal (
    sequence INTEGER PRIMARY KEY, at TEXT, monotonic REAL, event TEXT, subject TEXT, fields BLOB
);
CREATE INDEX IF NOT EXISTS journal_subject ON journal (subject, sequence);
"""


def _types(kind: type[Record]) -> Iterator[type[Record]]:
    """Every imported subclass of a record type."""
    for each in kind.__subclasses__():
        yield each
        yield from _types(each)


def _open(path: Path | str) -> sqlite3.Connection:
    if path != ":memory:":
        Path(path).touch(mode=0o600, exist_ok=True)
    try:
        database = sqlite3.connect(path, isolation_level="DEFERRED", check_same_thread=False)
        database.executescript(_SCHEMA)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the region's store at {path} cannot be opened: {_open_problem(path, error)}") from error
    return database


def _open_problem(path: Path | str, error: sqlite3.Error) -> str:
    """SQLite's message, except for a full disk, which SQLite reports as `disk I/O error`."""
    if path != ":memory:" and os.statvfs(Path(path).parent).f_bavail == 0:
        return "no space left on device"
    return str(error)


def _decode(kind: type[Record], id: str, body: bytes, version: int) -> Record:
    try:
        if version != kind.version:
            return msgspec.convert(kind.upgrade(msgspec.json.decode(body), version), kind)
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise StoreUnavailable(f"{kind.kind} '{id}' cannot be read ({error}); another version of zonal may have written it") from error
