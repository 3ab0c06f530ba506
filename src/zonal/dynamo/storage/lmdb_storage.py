"""LMDB as the store: a memory-mapped B-tree whose readers copy nothing and whose writer is one thread.

Writers do not wait for each other. What is accepted while a commit is on its way to the disk is gathered, and the next commit takes
all of it: one transaction and one sync carry everybody who waits (group commit). The event loop's thread decides and encodes, the
writer's thread only hands sorted pairs to LMDB, which does its work and its waiting without the interpreter's lock.

LMDB's keys end at 511 bytes, DynamoDB's sort keys at 1024. A long key is stored as its first 480 bytes and a digest; its value begins
with the whole key, and `range` puts neighbours with one such beginning into their true order.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import queue
import threading
from collections.abc import Awaitable, Iterator, Mapping
from pathlib import Path

import lmdb

from zonal.dynamo.storage.storage import StorageFailed

_SHORT = 480
_BEGINNING = _SHORT
_LONG = _BEGINNING + 16
_MAP_SIZES = (1 << 40, 1 << 36, 1 << 32)
_RELAXED_SYNC_SECONDS = 1.0

Changes = dict[bytes, bytes | None]


class LmdbStorage:
    """A store in one directory. With `durable=False` commits are synced once a second instead of before they are acknowledged."""

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._durable = durable
        self._environment = _open(directory, durable)
        self._reader: lmdb.Transaction[bytes] | None = None
        self._gathering: Changes = {}
        self._flying: Changes = {}
        self._gathered: asyncio.Future[None] | None = None
        self._flight: asyncio.Future[None] | None = None
        self._work: queue.SimpleQueue[tuple[Changes, asyncio.AbstractEventLoop] | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_until_closed, name="dynamo-writer", daemon=True)
        self._writer.start()

    def get(self, key: bytes) -> bytes | None:
        reader = self._reader or self._read()
        if len(key) <= _SHORT:
            return reader.get(key)
        stored = reader.get(_stored_key(key))
        return None if stored is None else _long_value(stored)[1]

    def latest(self, key: bytes) -> bytes | None:
        if key in self._gathering:
            return self._gathering[key]
        if key in self._flying:
            return self._flying[key]
        return self.get(key)

    def range(self, low: bytes, high: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        return _range(self._reader or self._read(), low, high, reverse)

    def submit(self, changes: Mapping[bytes, bytes | None]) -> Awaitable[None]:
        self._gathering.update(changes)
        return self._ticket()

    def settled(self) -> Awaitable[None]:
        if self._gathering:
            return self._ticket()
        if self._flight is not None:
            return asyncio.shield(self._flight)
        return _done()

    def snapshot(self) -> _Snapshot:
        return _Snapshot(self._environment.begin(buffers=False))

    async def close(self) -> None:
        try:
            await self.settled()
        finally:
            self._work.put(None)
            await asyncio.get_running_loop().run_in_executor(None, self._writer.join)
            if self._reader is not None:
                self._reader.abort()
            self._environment.close()

    def _ticket(self) -> Awaitable[None]:
        loop = asyncio.get_running_loop()
        if self._gathered is None:
            self._gathered = loop.create_future()
            self._gathered.add_done_callback(_retrieve)
            if self._flight is None:
                # Whoever else is ready to run in this turn of the loop still gets on board.
                loop.call_soon(self._take_off)
        return asyncio.shield(self._gathered)

    def _take_off(self) -> None:
        if self._flight is not None or self._gathered is None:
            return
        self._flying, self._gathering = self._gathering, {}
        self._flight, self._gathered = self._gathered, None
        self._work.put((self._flying, asyncio.get_running_loop()))

    def _landed(self, error: Exception | None) -> None:
        flight, self._flight, self._flying = self._flight, None, {}
        if self._reader is not None:
            self._reader.abort()
            self._reader = None
        assert flight is not None
        if error is None:
            flight.set_result(None)
        else:
            failure = StorageFailed(f"changes could not be made durable: {error}")
            flight.set_exception(failure)
            # What was accepted meanwhile may rest on what has just failed.
            gathered, self._gathered, self._gathering = self._gathered, None, {}
            if gathered is not None:
                gathered.set_exception(failure)
        if self._gathered is not None:
            self._take_off()

    def _read(self) -> lmdb.Transaction[bytes]:
        """A reader of what is committed now; kept until the next commit, so that it never holds old pages back for long."""
        self._reader = self._environment.begin()
        return self._reader

    def _write_until_closed(self) -> None:
        unsynced = False
        while True:
            try:
                work = self._work.get(timeout=_RELAXED_SYNC_SECONDS if unsynced else None)
            except queue.Empty:
                self._environment.sync(True)
                unsynced = False
                continue
            if work is None:
                self._environment.sync(True)
                return
            changes, loop = work
            error = self._commit(changes)
            unsynced = not self._durable
            try:
                loop.call_soon_threadsafe(self._landed, error)
            except RuntimeError:
                return  # The loop is gone, and with it everybody who waited.

    def _commit(self, changes: Changes) -> Exception | None:
        pairs = sorted((_stored(key, value) for key, value in changes.items()), key=_first)
        try:
            with self._environment.begin(write=True) as transaction:
                for key, value in pairs:
                    if value is None:
                        transaction.delete(key)
                    else:
                        transaction.put(key, value)
        except (lmdb.Error, OSError) as error:
            return error
        return None


def _open(directory: Path, durable: bool) -> lmdb.Environment:
    """Open with the largest map that the process may have: address space only, the file grows as it is filled."""
    for map_size in _MAP_SIZES:
        try:
            return lmdb.open(
                str(directory), map_size=map_size, sync=durable, metasync=durable, readahead=False, max_readers=1024, mode=0o600
            )
        except (lmdb.Error, OSError, MemoryError) as error:
            failure = error
    raise StorageFailed(f"the store in {directory} cannot be opened: {failure}") from failure


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
    """A range one of whose ends is a long key: read from the end's beginning on, and leave out what lies outside."""
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
    """Give long keys their whole length back, and neighbours with the same beginning their true order."""
    for pair in pairs:
        if len(pair[0]) != _LONG:
            yield pair
            continue
        beginning = pair[0][:_BEGINNING]
        group = [pair]
        follower: tuple[bytes, bytes] | None = None
        for follower in pairs:
            if len(follower[0]) != _LONG or follower[0][:_BEGINNING] != beginning:
                break
            group.append(follower)
            follower = None
        yield from sorted((_long_value(value) for _, value in group), reverse=reverse)
        if follower is not None:
            yield from _unfold(itertools.chain([follower], pairs), reverse)
            return


def _stored(key: bytes, value: bytes | None) -> tuple[bytes, bytes | None]:
    if len(key) <= _SHORT:
        return key, value
    return _stored_key(key), None if value is None else len(key).to_bytes(2, "big") + key + value


def _stored_key(key: bytes) -> bytes:
    return key[:_BEGINNING] + hashlib.blake2b(key, digest_size=16).digest()


def _long_value(stored: bytes) -> tuple[bytes, bytes]:
    length = int.from_bytes(stored[:2], "big")
    return stored[2 : 2 + length], stored[2 + length :]


def _first(pair: tuple[bytes, bytes | None]) -> bytes:
    return pair[0]


async def _done() -> None:
    return None


def _retrieve(future: asyncio.Future[None]) -> None:
    """Look at a failure, so that one nobody waited for is not reported as lost."""
    if not future.cancelled():
        future.exception()
