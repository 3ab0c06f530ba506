"""The store with LMDB: a memory-mapped B-tree that this process reads and the writer process writes.

Writers do not wait for each other (group commit): changes accepted during a commit are collected, and the next commit writes all of them in
one transaction. The event loop decides and encodes; `writer_process` calls LMDB and waits for the disk.

LMDB's keys have at most 511 bytes, DynamoDB's sort keys 1024. A long key is stored as its first 480 bytes and a digest; its value begins
with the whole key, and `range` sorts adjacent long keys with the same first 480 bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Iterator, Mapping
from pathlib import Path

import lmdb

from zonal.dynamo.storage.storage import StorageFailed
from zonal.dynamo.storage.writer_client import WriterClient
from zonal.dynamo.storage.writer_process import open_environment

_SHORT = 480
_BEGINNING = _SHORT
_LONG = _BEGINNING + 16

KeyChanges = dict[bytes, bytes | None]


class LmdbStorage:
    """A store in one directory. With `durable=False` commits are synced once a second instead of before they are acknowledged."""

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._writer = WriterClient(directory, self._commit_ended, durable=durable)
        self._environment = open_environment(str(directory), readonly=True)
        self._reader: lmdb.Transaction[bytes] | None = None
        self._gathering: KeyChanges = {}
        self._committing: KeyChanges = {}
        self._commit_waiters: list[asyncio.Future[None]] | None = None  # Waiters of `_committing`.
        self._queued: list[asyncio.Future[None]] = []  # Waiters of `_gathering`.

    def get(self, key: bytes) -> bytes | None:
        reader = self._reader or self._read()
        if len(key) <= _SHORT:
            return reader.get(key)
        stored = reader.get(_stored_key(key))
        return None if stored is None else _long_value(stored)[1]

    def latest(self, key: bytes) -> bytes | None:
        if key in self._gathering:
            return self._gathering[key]
        if key in self._committing:
            return self._committing[key]
        return self.get(key)

    def range(self, low: bytes, high: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        return _range(self._reader or self._read(), low, high, reverse)

    def submit(self, changes: Mapping[bytes, bytes | None]) -> Awaitable[None]:
        self._gathering.update(changes)
        loop = asyncio.get_running_loop()
        if self._commit_waiters is None and not self._queued:
            # Other callbacks of this iteration of the loop can still join the commit.
            loop.call_soon(self._start_commit)
        return _ticket(self._queued, loop)

    def settled(self) -> Awaitable[None]:
        if self._queued:
            return _ticket(self._queued, asyncio.get_running_loop())
        if self._commit_waiters is not None:
            return _ticket(self._commit_waiters, asyncio.get_running_loop())
        return _done()

    def snapshot(self) -> _Snapshot:
        return _Snapshot(self._environment.begin(buffers=False))

    async def close(self) -> None:
        try:
            await self.settled()
        finally:
            self._writer.disconnect()
            await asyncio.to_thread(self._writer.wait)
            if self._reader is not None:
                self._reader.abort()
            self._environment.close()

    def _start_commit(self) -> None:
        self._committing, self._gathering = self._gathering, {}
        self._commit_waiters, self._queued = self._queued, []
        try:
            self._writer.send([_stored(key, value) for key, value in self._committing.items()])
        except StorageFailed as error:
            self._commit_ended(str(error))

    def _commit_ended(self, problem: str) -> None:
        """The commit has succeeded (`problem` is empty) or failed."""
        commit_waiters, self._commit_waiters, self._committing = self._commit_waiters, None, {}
        assert commit_waiters is not None
        if self._reader is not None:
            self._reader.abort()
            self._reader = None
        if problem:
            # Changes accepted meanwhile may have been decided on the failed ones.
            commit_waiters, self._queued, self._gathering = commit_waiters + self._queued, [], {}
        for ticket in commit_waiters:
            if ticket.done():
                continue  # The waiter was cancelled.
            if problem:
                ticket.set_exception(StorageFailed(f"changes could not be made durable: {problem}"))
            else:
                ticket.set_result(None)
        if self._queued:
            self._start_commit()

    def _read(self) -> lmdb.Transaction[bytes]:
        """A reader of the committed state, closed at the next commit, so that it does not keep old pages for long."""
        self._reader = self._environment.begin()
        return self._reader


class _Snapshot:
    def __init__(self, transaction: lmdb.Transaction[bytes]) -> None:
        self._transaction = transaction

    def range(self, low: bytes, high: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        return _range(self._transaction, low, high, reverse)

    def close(self) -> None:
        self._transaction.abort()


def _range(transaction: lmdb.Transaction[bytes], low: bytes, high: bytes, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
    if len(low) > _SHORT or len(high) > _SHORT:
        return _exact_range(transaction, low, high, reverse)
    return _unfold(_walk(transaction, low, high, reverse), reverse)


def _exact_range(transaction: lmdb.Transaction[bytes], low: bytes, high: bytes, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
    """A range with a long key as a bound: read from the first bytes of the bound, and skip keys outside."""
    behind = high[:_BEGINNING] + b"\xff" * 17 if len(high) > _SHORT else high
    pairs = _unfold(_walk(transaction, low[:_BEGINNING] if len(low) > _SHORT else low, behind, reverse), reverse)
    return ((key, value) for key, value in pairs if low <= key < high)


def _walk(transaction: lmdb.Transaction[bytes], low: bytes, high: bytes, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
    cursor: lmdb.Cursor[bytes] = transaction.cursor()
    if not reverse:
        if cursor.set_range(low):
            for pair in cursor.iternext():
                if pair[0] >= high:
                    return
                yield pair
        return
    found = cursor.set_range(high)
    if not (cursor.prev() if found else cursor.last()):
        return
    for pair in cursor.iterprev():
        if pair[0] < low:
            return
        yield pair


def _unfold(pairs: Iterator[tuple[bytes, bytes]], reverse: bool) -> Iterator[tuple[bytes, bytes]]:
    """Restores the whole length of long keys, and the order of adjacent ones with the same beginning."""
    group: list[tuple[bytes, bytes]] = []
    for pair in pairs:
        is_long = len(pair[0]) == _LONG
        if group and not (is_long and pair[0][:_BEGINNING] == group[0][0][:_BEGINNING]):
            yield from sorted((_long_value(value) for _, value in group), reverse=reverse)
            group = []
        if is_long:
            group.append(pair)
        else:
            yield pair
    yield from sorted((_long_value(value) for _, value in group), reverse=reverse)


def _stored(key: bytes, value: bytes | None) -> tuple[bytes, bytes | None]:
    if len(key) <= _SHORT:
        return key, value
    return _stored_key(key), None if value is None else len(key).to_bytes(2, "big") + key + value


def _stored_key(key: bytes) -> bytes:
    return key[:_BEGINNING] + hashlib.blake2b(key, digest_size=16).digest()


def _long_value(stored: bytes) -> tuple[bytes, bytes]:
    length = int.from_bytes(stored[:2], "big")
    return stored[2 : 2 + length], stored[2 + length :]


def _ticket(waiting: list[asyncio.Future[None]], loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
    ticket = loop.create_future()
    ticket.add_done_callback(_retrieve)
    waiting.append(ticket)
    return ticket


async def _done() -> None:
    return None


def _retrieve(future: asyncio.Future[None]) -> None:
    """Retrieve an exception, so that asyncio does not report one without a waiter."""
    if not future.cancelled():
        future.exception()
